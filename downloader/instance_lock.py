"""One server for one store: a second one would run the same jobs again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from downloader.errors import StartRefused

LOCK_NAME = "server.lock"


class InstanceLock:
    """Held from `acquire` to `release`, or to the end of the process, however that comes."""

    def __init__(self, storage_dir: Path, store_file: Path | None) -> None:
        """For a server that works in *storage_dir*, with its jobs in *store_file* where that is a file."""
        files = [storage_dir / LOCK_NAME]
        if store_file is not None and store_file.parent != storage_dir:
            files.append(store_file.with_name(f"{store_file.name}.lock"))
        self._locks = {file: FileLock(file) for file in files}

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StartRefused: another process has it.
        """
        for file, lock in self._locks.items():
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                self.release()
                raise StartRefused(
                    f"Another server is at work in {file.parent}: stop that one, or give this one a folder of its own"
                    " with DOWNLOADER_STORAGE_DIR (and a database, if DOWNLOADER_DATABASE_URL is set)."
                ) from error
            except OSError as error:
                self.release()
                raise StartRefused(
                    f"Cannot write to {file.parent} ({error.strerror}): check its permissions."
                ) from error

    def release(self) -> None:
        """Let another process have it."""
        _release(self._locks.values())


def _release(locks: Iterable[FileLock]) -> None:
    for lock in locks:
        if lock.is_locked:
            lock.release()
