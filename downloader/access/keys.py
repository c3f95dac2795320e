"""API keys: parsed from a setting, stored as hashes, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable

#: Shorter keys can be guessed.
MIN_KEY_CHARACTERS = 16

_PREFIX = "sha256:"


def parse_keys(text: str) -> tuple[str, ...]:
    """Return the hashes, as `sha256:<hex>`, of the comma-separated keys in *text*.

    A key may already be given as its hash, so that the configuration need not contain the key itself.

    Raises:
        ValueError: a key is unusable; the message says why and never contains the key.
    """
    parts = [part.strip() for part in text.split(",")]
    return tuple(dict.fromkeys(_hash(part) for part in parts))


def _hash(key: str) -> str:
    if key.lower().startswith(_PREFIX):
        if not re.fullmatch("[0-9a-f]{64}", digest := key[len(_PREFIX) :].lower()):
            raise ValueError("sha256: must be followed by the 64 hexadecimal digits of the key's SHA-256")
        return _PREFIX + digest
    if len(key) < MIN_KEY_CHARACTERS:
        raise ValueError(f"a key must have {MIN_KEY_CHARACTERS} characters or more: make one with openssl rand -hex 24")
    if re.search(r"[\s\x00-\x1f\x7f]", key):
        raise ValueError("a key must not contain spaces or control characters, because no header can carry them")
    return _PREFIX + hashlib.sha256(key.encode()).hexdigest()


def sent_key(header: str) -> bytes | None:
    """Return the key in an Authorization *header*, decoded as WSGI does; None if it holds none in a way that we know.

    `Bearer <key>`; `Api-Key <key>`, as cobalt's clients send it; `Basic` with the key as password and any name, as
    programs send it that put `name:key@` into the address.
    """
    scheme, _, rest = header.partition(" ")
    candidate = rest.strip().encode("latin-1", "replace")
    if scheme.lower() in ("bearer", "api-key"):
        return candidate
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(candidate, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""  # no key, but an attempt


class ApiKeys:
    """The keys that give access to the service; without any, it is open to all."""

    def __init__(self, hashes: Iterable[str]) -> None:
        """Accept the keys with these *hashes*, as returned by `parse_keys`."""
        self.digests = tuple(bytes.fromhex(each.removeprefix(_PREFIX)) for each in hashes)

    def __bool__(self) -> bool:
        """Tell whether a key is required."""
        return bool(self.digests)

    def find(self, candidate: bytes) -> bytes | None:
        """Return the digest of *candidate* if it is one of the keys, else None."""
        digest = hashlib.sha256(candidate).digest()
        # No early exit: the time taken must not reveal which key matched.
        found = [known for known in self.digests if hmac.compare_digest(digest, known)]
        return found[0] if found else None
