"""The keys that open the API: read from a setting, kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

#: Shorter ones can be guessed.
MIN_KEY_CHARACTERS = 16

_PREFIX = "sha256:"


def parse_keys(text: str) -> tuple[str, ...]:
    """Return the hashes, as `sha256:<hex>`, of the keys in *text*, which are separated by commas.

    A key may be given as its hash already, so that its place need not hold the key itself.

    Raises:
        ValueError: a key is of no use; the sentence says why, and never repeats it.
    """
    parts = [part.strip() for part in text.split(",")]
    return tuple(dict.fromkeys(_hash(part) for part in parts))


def _hash(key: str) -> str:
    if key.lower().startswith(_PREFIX):
        if not re.fullmatch("[0-9a-f]{64}", digest := key[len(_PREFIX) :].lower()):
            raise ValueError("after sha256: come the 64 hexadecimal digits of the key's SHA-256")
        return _PREFIX + digest
    if len(key) < MIN_KEY_CHARACTERS:
        raise ValueError(f"a key must have {MIN_KEY_CHARACTERS} characters or more, such as: openssl rand -hex 24")
    if re.search(r"[\s\x00-\x1f\x7f]", key):
        raise ValueError("a key must not contain spaces or control characters, which no header can carry")
    return _PREFIX + hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """Those who have one of these may use the service; none at all: everybody may."""

    def __init__(self, hashes: Iterable[str]) -> None:
        """Know the keys of *hashes*, which `parse_keys` made."""
        self.digests = tuple(bytes.fromhex(each.removeprefix(_PREFIX)) for each in hashes)

    def __bool__(self) -> bool:
        """Tell whether a key is needed."""
        return bool(self.digests)

    def find(self, candidate: bytes) -> bytes | None:
        """Return the digest of the key that *candidate* is; None where it is none of them."""
        digest = hashlib.sha256(candidate).digest()
        found = None
        # To the end always: how long it takes must not tell which of them it was.
        for known in self.digests:
            if hmac.compare_digest(digest, known):
                found = known
        return found
