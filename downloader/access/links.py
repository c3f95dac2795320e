"""Signed links: who has one may fetch what it names, without a key."""

from __future__ import annotations

import base64
import hmac
from pathlib import Path

from downloader.access.secret_files import stored_secret

SECRET_FILE = "tunnel.key"

#: Characters of a signature: a SHA-256 in Base64.
SIGNATURE_CHARACTERS = 43


class LinkSigner:
    """Signs links with a secret that is kept over restarts."""

    def __init__(self, folder: Path) -> None:
        """Use the secret in *folder*, which is created if missing.

        Raises:
            StartRefused: the secret cannot be read or written.
        """
        self._secret = stored_secret(folder, SECRET_FILE)

    def sign(self, *parts: str) -> str:
        """Return the signature of *parts*, in which there is no line break."""
        digest = hmac.digest(self._secret, "\n".join(parts).encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def is_signed(self, signature: str, *parts: str) -> bool:
        """Tell whether *signature* is that of *parts*."""
        return hmac.compare_digest(signature.encode(), self.sign(*parts).encode())
