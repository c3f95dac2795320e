"""One server for one store: a second one would run the same jobs again."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from filelock import FileLock, Timeout

from downloader.errors import StartRefused

log = logging.getLogger(__name__)

LOCK_NAME = "server.lock"

#: What file systems without locks say, network shares above all.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


class InstanceLock:
    """Held from `acquire` to `release`, or to the end of the process, however that comes."""

    def __init__(self, storage_dir: Path, store_file: Path | None) -> None:
        """For a server that works in *storage_dir*, with its jobs in *store_file* where that is a file."""
        files = [storage_dir / LOCK_NAME]
        if store_file is not None and store_file.parent != storage_dir:
            files.append(store_file.with_name(f"{store_file.name}.lock"))
        # Acquired and released in whichever thread opens and closes the queue.
        self._locks = {file: FileLock(file, thread_local=False) for file in files}
        # Then the database, which is somewhere else, keeps a second server off the jobs: by its own file, or itself.
        self._dispensable = None if store_file is not None and len(files) == 1 else files[0]

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StartRefused: another process has it, or it cannot be taken here.
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
                if error.errno in _NO_LOCKS and file == self._dispensable:
                    log.warning("this file system has no locks", extra={"path": str(file), "detail": error.strerror})
                    continue
                self.release()
                raise StartRefused(_refusal(file.parent, error)) from error

    def release(self) -> None:
        """Let another process have it."""
        for lock in self._locks.values():
            if lock.is_locked:
                lock.release()


def _refusal(folder: Path, error: OSError) -> str:
    if error.errno in _NO_LOCKS:
        return (
            f"The file system of {folder} has no locks ({error.strerror}), as many network shares: put the database on"
            " a local disk with DOWNLOADER_DATABASE_URL, as in sqlite:////var/lib/downloader/queue.db."
        )
    return f"Cannot write to {folder} ({error.strerror}): check its permissions."
