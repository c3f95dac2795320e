"""Room for downloads: the disk's, and what the operator allows. Blocking; the time is handed in."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from downloader.media.move import INCOMING_PREFIX, try_move
from downloader.queue.interval import Every

log = logging.getLogger(__name__)

#: How often the disk is checked.
CHECK_INTERVAL_SECONDS = 5.0


class DiskWatch:
    """Whether the two folders that downloads use are there and can be written."""

    def __init__(self, raw_dir: Path, work_dir: Path, min_free_bytes: int) -> None:
        self._raw_dir, self._work_dir = raw_dir, work_dir
        self._folders = raw_dir, work_dir
        self._min_free_bytes = min_free_bytes
        self._made = False  #: the folders were there once
        self._every = Every(CHECK_INTERVAL_SECONDS)
        self._doubted = False
        # As of the last check:
        self.mounts: set[Path] = set()  #: what the folders are on, but for the root
        self.low = False
        self.fault: str | None = None  #: a sentence; None: the folders can be written
        self.free_bytes = 0
        self.faults = 0  #: how often something was wrong, even if the check put it right

    def doubt(self) -> None:
        """Make the next check due at once, and thorough: something failed."""
        self._doubted = True

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time to check again."""
        return self._doubted or self._every.is_due(now)

    def poll(self, now: datetime) -> None:
        """Check again. A share that is gone may answer late, or never."""
        thorough = self._doubted or self.fault is not None or self.low
        self._every.done(now)
        self._doubted = False
        try:
            if not self.is_mounted():
                # Its mount point is now a folder of another disk.
                raise OSError(errno.ENODEV, "it is not mounted any more", str(self._lost_mount()))
            self._make_folders()
            free_bytes = min(self._free_bytes(folder) for folder in self._folders)
            low = free_bytes < self._min_free_bytes
            if thorough and not low:
                try_move(self._work_dir, self._raw_dir)
        except OSError as error:
            self.faults += 1
            self.low = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self.fault = None if self.low else _sentence(error)
        else:
            self.free_bytes, self.low, self.fault = free_bytes, low, None

    def unanswered(self) -> None:
        """Note that a check does not return."""
        self.faults += 1
        self.fault = "The storage folder does not answer: check its disk, mount and network."

    def is_mounted(self) -> bool:
        """Tell whether all file systems are still there that the folders were on."""
        return self._lost_mount() is None

    def _lost_mount(self) -> Path | None:
        return next((mount for mount in self.mounts if not os.path.ismount(mount)), None)

    def _make_folders(self) -> None:
        for folder in self._folders:
            if folder.is_dir():
                continue
            if os.path.lexists(folder):
                raise OSError(errno.ENOTDIR, "it is not a folder", str(folder))
            folder.mkdir()  # not its parents: a storage folder that is gone was probably on another disk
            if self._made:
                self.faults += 1  # running downloads lost their files
                log.warning("a missing folder was created again", extra={"path": str(folder)})
        self.mounts = {_mount_of(folder) for folder in self._folders} - {Path(self._raw_dir.anchor)}
        self._made = True

    def _free_bytes(self, folder: Path) -> int:
        if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))
        return shutil.disk_usage(folder).free


def _mount_of(folder: Path) -> Path:
    folder = folder.resolve()
    return next(path for path in (folder, *folder.parents) if os.path.ismount(path))


def _sentence(error: OSError) -> str:
    """Return what is wrong, naming the folder that it is wrong with."""
    path = Path(str(error.filename2 or error.filename or ""))
    where = path.parent if path.name.startswith(INCOMING_PREFIX) else path
    return f"The storage folder cannot be written ({where}: {error.strerror}): check its disk, mount and permissions."


#: How often the folders are measured; in between, the sizes of new files are added.
MEASURE_INTERVAL_SECONDS = 30.0


class QuotaWatch:
    """Whether some folders hold as much as they may; without a limit it does nothing."""

    def __init__(self, folders: Iterable[Path], max_bytes: int | None) -> None:
        self._folders = tuple(folders)
        self._max_bytes = max_bytes
        self._every = Every(MEASURE_INTERVAL_SECONDS)
        self._used_bytes = 0
        self.full = False  #: as of the last measurement

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self._max_bytes is not None

    def arrived(self, size_bytes: int) -> None:
        """Add a new file to what was measured."""
        self._used_bytes += size_bytes

    def measure_soon(self) -> None:
        """Have the next poll measure: something was deleted."""
        self._every.expire()

    def poll(self, now: datetime) -> bool:
        """Measure if it is time to; tell whether `full` changed. 100,000 files take half a second."""
        if self._max_bytes is None:
            return False
        if self._every.is_due(now):
            self._every.done(now)
            self._used_bytes = sum(size for folder in self._folders for size in _sizes(folder))
        before, self.full = self.full, self._used_bytes >= self._max_bytes
        return self.full != before


def _sizes(folder: Path | str) -> Iterator[int]:
    """Yield the size of each file below *folder*; links are not followed, vanished files are skipped."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(entry.path)
                else:
                    yield _size(entry)
    except OSError:
        return


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
