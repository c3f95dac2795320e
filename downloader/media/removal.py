"""Deletes files: finished ones only in their own folder, and only those that no job has or is about to have."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from downloader.media.files import added_files, pending_names, remove_work_dir

log = logging.getLogger(__name__)


class MediaRemoval:
    """Deletes files of one folder; blocking."""

    def __init__(self, raw_dir: Path, work_dir: Path, users: Callable[[str, Collection[str]], int]) -> None:
        """For the files of *raw_dir*; *users* tells how many jobs have a file, some of them not counted."""
        self._raw_dir = raw_dir
        self._work_dir = work_dir
        self._users = users

    def remove(self, paths: Iterable[str], *, of: Collection[str]) -> int:
        """Delete those of *paths* that no job has but those of the ids in *of*; return how many went.

        Whatever a stored path says, nothing outside the folder is touched, and nothing but plain files in it.
        """
        return sum(self._remove(path, of) for path in dict.fromkeys(paths))

    def abandon(self, job_id: str, paths: Iterable[str] = ()) -> None:
        """Remove all that attempts of a job left that came to nothing: what was moved already, and its work folder.

        *paths* are files that its last attempt is known to have made. One that replaced another stays: the record of
        that one may have been deleted, and its file kept on purpose.
        """
        work_dir = self._work_dir / job_id
        added = map(str, added_files(work_dir, self._raw_dir))
        spoken_of = pending_names(work_dir)
        self.remove([*added, *(path for path in paths if Path(path).name not in spoken_of)], of=[job_id])
        remove_work_dir(work_dir, self._raw_dir)

    def _remove(self, stored: str, of: Collection[str]) -> bool:
        path = Path(stored)
        try:
            # Only what the service itself put there, whatever the database says.
            if path.parent != self._raw_dir or not stat.S_ISREG((seen := path.lstat()).st_mode):
                log.warning("a file that is none of the service's was left alone", extra={"path": stored})
                return False
            # In this order: another download of the same post first writes down that it will put a file here, then
            # puts it here, then is stored, and only then is what it wrote down removed.
            if self._is_promised(path.name, of) or self._users(stored, of):
                return False
            if _identity(seen) != _identity(path.lstat()):  # another was just put here
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:  # ValueError: a NUL in its name
            log.warning("a file could not be deleted", extra={"path": stored, "detail": repr(error)})
            return False
        return True

    def _is_promised(self, name: str, of: Collection[str]) -> bool:
        try:
            folders = [entry.name for entry in os.scandir(self._work_dir)]
        except OSError:
            return False
        return any(name in pending_names(self._work_dir / folder) for folder in folders if folder not in of)


def _identity(seen: os.stat_result) -> tuple[int, ...]:
    # The number alone is given again as soon as it is free.
    return seen.st_dev, seen.st_ino, seen.st_mode, seen.st_ctime_ns
