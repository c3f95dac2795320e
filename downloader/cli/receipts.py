"""Makes commands safe to repeat: keeps the idempotency key of one that was stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sys
import time
from pathlib import Path

from downloader.media.move import move_new
from downloader.util.files import atomic_write

#: After so long, the same command is a new one.
KEPT_SECONDS = 7 * 24 * 3600.0


def default_folder() -> Path:
    """Return where this user's programs keep their state."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base) / "batch-video-downloader" if base else Path.home() / ".batch-video-downloader"
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "batch-video-downloader"


class Receipt:
    """The idempotency key of a command, kept until `discard`: the same command has the same one until then."""

    def __init__(self, command: object, folder: Path | None = None) -> None:
        """Find or create the receipt of *command*, JSON that says all that it does."""
        digest = hashlib.sha256(json.dumps(command).encode()).hexdigest()
        self.key = secrets.token_hex(16)
        self.kept = False  #: whether the same command will find it
        try:
            folder = folder or default_folder()
            self._file = folder / digest[:32]
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _remove_old(folder)
            self.key = _kept_key(self._file, self.key)
            self.kept = True
        except (OSError, RuntimeError, ValueError):  # no home, or a full or read-only disk
            pass

    def discard(self) -> None:
        """Forget it: the command is done."""
        if self.kept:
            with contextlib.suppress(OSError):
                self._file.unlink()


def _kept_key(file: Path, key: str) -> str:
    """Return the key in *file*; if it is not there yet, *key*, which is then."""
    mine = file.with_name(f".{key}")
    atomic_write(mine, key.encode())
    try:
        # Of two commands that begin at once, one makes the file, and both use what is in it.
        with contextlib.suppress(FileExistsError):
            move_new(mine, [file])
        return file.read_text("ascii")
    finally:
        mine.unlink(missing_ok=True)


def _remove_old(folder: Path) -> None:
    for file in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - file.stat().st_mtime > KEPT_SECONDS:
                file.unlink()
