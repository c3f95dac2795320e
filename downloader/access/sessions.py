"""Login sessions: signed tokens that survive a restart and expire with the key they were created with."""

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

from downloader.access.secret_files import stored_secret
from downloader.util.files import atomic_write

log = logging.getLogger(__name__)

LIFETIME_SECONDS = 30 * 24 * 3600

SECRET_FILE = "session.key"
ENDED_FILE = "sessions.ended"


class Sessions:
    """Tokens that prove a browser once presented a key, without containing it or anything derived from it alone."""

    def __init__(self, folder: Path) -> None:
        """Use the secret in *folder*, which is created if missing.

        Raises:
            StartRefused: the secret cannot be read or written.
        """
        self._secret = stored_secret(folder, SECRET_FILE)
        self._ended_file = folder / ENDED_FILE
        self._ended = _read_ended(self._ended_file)
        self._lock = threading.Lock()

    def begin(self, key_digest: bytes) -> str:
        """Return a token for a client that presented the key with *key_digest*."""
        return self._signer(key_digest).sign(secrets.token_urlsafe(16)).decode()

    def is_open(self, token: str, key_digests: Iterable[bytes]) -> bool:
        """Tell whether *token* belongs to one of *key_digests* and is neither expired nor ended."""
        return self._name(token, key_digests) is not None

    def end(self, token: str, key_digests: Iterable[bytes]) -> None:
        """Revoke *token*, and with it every copy."""
        name, now = self._name(token, key_digests), time.time()
        if name is None:
            return
        with self._lock:
            self._ended = {each: until for each, until in self._ended.items() if until > now}
            self._ended[name] = now + LIFETIME_SECONDS
            text = "".join(f"{until:.0f} {each}\n" for each, until in self._ended.items())
            try:
                atomic_write(self._ended_file, text.encode())
            except OSError as error:  # a full disk: it stays revoked until the next start
                log.warning("cannot store a revoked session", exc_info=error)

    def _name(self, token: str, key_digests: Iterable[bytes]) -> str | None:
        for digest in key_digests:
            with contextlib.suppress(BadSignature):
                name = self._signer(digest).unsign(token, max_age=LIFETIME_SECONDS).decode()
                return None if name in self._ended else name
        return None

    def _signer(self, key_digest: bytes) -> TimestampSigner:
        # A secret for each key: a token is valid exactly as long as its key is.
        secret = hmac.digest(self._secret, key_digest, "sha256")
        return TimestampSigner(secret, salt="downloader.session", digest_method=hashlib.sha256)


def _read_ended(path: Path) -> dict[str, float]:
    """Return when each of the sessions that were revoked expires, by name: one line each, the expiry first."""
    ended = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        for line in path.read_text("ascii").splitlines():
            until, _, name = line.partition(" ")
            ended[name] = float(until)
    return ended
