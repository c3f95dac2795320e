"""Secrets of this server, each in a file of the storage folder, created once and readable for its user alone."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from downloader.errors import StartRefused
from downloader.util.files import atomic_write

_BYTES = 32


def stored_secret(folder: Path, name: str) -> bytes:
    """Return the secret in the file *name* of *folder*, which is created if missing.

    Raises:
        StartRefused: it cannot be read or written.
    """
    path = folder / name
    try:
        with contextlib.suppress(FileNotFoundError):
            path.chmod(0o600)  # a copied folder may have lost its permissions
            if len(secret := path.read_bytes()) == _BYTES:
                return secret
        atomic_write(path, secrets.token_bytes(_BYTES))
        return path.read_bytes()
    except OSError as error:
        raise StartRefused(
            f"Cannot store {name} in {folder} ({error.strerror}): give this user write access to it."
        ) from error
