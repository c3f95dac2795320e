"""Deletes finished files, only in their own folder, and only those that no job has or is about to have."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from downloader.media.folders import is_below, remove_empty_folders
from downloader.media.outcome import added_files, pending_files
from downloader.media.work_dir import remove_work_dir

log = logging.getLogger(__name__)


class MediaRemoval:
    """Deletes the files of one folder; blocking."""

    def __init__(self, raw_dir: Path, work_dir: Path, users: Callable[[str, Collection[str]], int]) -> None:
        """Delete files of *raw_dir*; *users* returns how many jobs have a file, except the given ones."""
        self._raw_dir = raw_dir
        self._work_dir = work_dir
        self._users = users

    def remove(self, paths: Iterable[str], *, of: Collection[str]) -> int:
        """Delete those of *paths* that only the jobs in *of* have; return how many were deleted.

        Only plain files in the folder are touched, whatever a stored path says. Folders in it that become empty go too.
        """
        return sum(self._remove(path, of) for path in dict.fromkeys(paths))

    def abandon(self, job_id: str, paths: Iterable[str] = ()) -> None:
        """Remove what a job's unsuccessful attempts left: files already moved, and its work folder.

        *paths* are files that its last attempt is known to have made. One that replaced another stays: the operator may
        have deleted that one's record and kept its file.
        """
        work_dir = self._work_dir / job_id
        added = map(str, added_files(work_dir, self._raw_dir))
        pending = pending_files(work_dir, self._raw_dir)
        self.remove([*added, *(path for path in paths if Path(path) not in pending)], of=[job_id])
        remove_work_dir(work_dir, self._raw_dir)

    def _remove(self, stored: str, of: Collection[str]) -> bool:
        path = Path(stored)
        try:
            if not is_below(path, self._raw_dir) or not stat.S_ISREG((seen := path.lstat()).st_mode):
                log.warning("a file that is not the service's was left alone", extra={"path": stored})
                return False
            # In this order: another download of the same post first writes its outcome, then moves the file here, then
            # is stored as a success, and only then is its outcome removed.
            if self._is_pending(path, of) or self._users(stored, of):
                return False
            if _identity(seen) != _identity(path.lstat()):  # another file was just moved here
                return False
            path.unlink()
            remove_empty_folders(path.parent, self._raw_dir)
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:  # ValueError: a NUL in its name
            log.warning("could not delete a file", extra={"path": stored, "detail": repr(error)})
            return False
        return True

    def _is_pending(self, path: Path, of: Collection[str]) -> bool:
        try:
            folders = [entry.name for entry in os.scandir(self._work_dir)]
        except OSError:
            return False
        others = (self._work_dir / folder for folder in folders if folder not in of)
        return any(path in pending_files(other, self._raw_dir) for other in others)


def _identity(seen: os.stat_result) -> tuple[int, ...]:
    # The inode number alone is reused as soon as it is free.
    return seen.st_dev, seen.st_ino, seen.st_mode, seen.st_ctime_ns
