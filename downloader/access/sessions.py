"""Who has logged in: signed tokens that survive a restart, and die with the key that they were made with."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from itsdangerous import BadSignature, TimestampSigner

from downloader.errors import StartRefused
from downloader.util.files import atomic_write

log = logging.getLogger(__name__)

LIFETIME_SECONDS = 30 * 24 * 3600

SECRET_FILE = "session.key"
ENDED_FILE = "sessions.ended"

_SECRET_BYTES = 32


class Sessions:
    """Tokens by which a browser shows that it knew a key, which they do not contain, nor anything made of it alone."""

    def __init__(self, folder: Path) -> None:
        """Use the secret in *folder*; make one where there is none.

        Raises:
            StartRefused: it cannot be read or written.
        """
        try:
            self._secret = _secret(folder / SECRET_FILE)
        except OSError as error:
            raise StartRefused(
                f"Cannot keep {SECRET_FILE} in {folder} ({error.strerror}): let this user write there."
            ) from error
        self._ended = _Ended(folder / ENDED_FILE)

    def begin(self, key_digest: bytes) -> str:
        """Return a token for somebody who knew the key of *key_digest*."""
        return self._signer(key_digest).sign(secrets.token_urlsafe(16)).decode()

    def is_open(self, token: str, key_digests: Iterable[bytes]) -> bool:
        """Tell whether *token* was made with a key that is still among *key_digests*, not too long ago, nor ended."""
        return self._name(token, key_digests) is not None

    def end(self, token: str, key_digests: Iterable[bytes]) -> None:
        """Let *token* count no more, wherever it was copied to."""
        name = self._name(token, key_digests)
        if name is not None:
            self._ended.add(name, time.time() + LIFETIME_SECONDS)

    def _name(self, token: str, key_digests: Iterable[bytes]) -> str | None:
        for digest in key_digests:
            with contextlib.suppress(BadSignature):
                name = self._signer(digest).unsign(token, max_age=LIFETIME_SECONDS).decode()
                return None if name in self._ended else name
        return None

    def _signer(self, key_digest: bytes) -> TimestampSigner:
        # A secret for each key: a token stays good exactly as long as its key is known.
        secret = hmac.digest(self._secret, key_digest, "sha256")
        return TimestampSigner(secret, salt="downloader.session", digest_method=hashlib.sha256)


class _Ended:
    """The names of sessions that were ended before their time, on disk: a line each, when it may be forgotten first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            for line in path.read_text("ascii").splitlines():
                until, _, name = line.partition(" ")
                if float(until) > time.time():
                    self._until[name] = float(until)

    def __contains__(self, name: str) -> bool:
        return name in self._until

    def add(self, name: str, until: float) -> None:
        with self._lock:
            self._until = {each: at for each, at in self._until.items() if at > time.time()} | {name: until}
            text = "".join(f"{at:.0f} {each}\n" for each, at in self._until.items())
            try:
                atomic_write(self._path, text.encode())
            except OSError as error:  # a full disk: it counts as ended until the next start
                log.warning("ended session not kept", exc_info=error)


def _secret(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        path.chmod(0o600)  # whoever copied the folder may have let others read it
        if len(secret := path.read_bytes()) == _SECRET_BYTES:
            return secret
    atomic_write(path, secrets.token_bytes(_SECRET_BYTES))
    return path.read_bytes()
