"""Can downloads be stored now: is there room for another, is the storage folder there, can it be written?"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from datetime import datetime
from pathlib import Path

from downloader.media.move import INCOMING_PREFIX, try_move

log = logging.getLogger(__name__)

#: How often the disk is looked at.
LOOK_SECONDS = 5.0


class DiskWatch:
    """Looks at the two folders that downloads use; the time is handed in."""

    def __init__(self, raw_dir: Path, work_dir: Path, min_free_bytes: int) -> None:
        self._raw_dir, self._work_dir = raw_dir, work_dir
        self._folders = raw_dir, work_dir
        self._min_free_bytes = min_free_bytes
        self._made = False  #: the folders were there once
        self._looked_at: datetime | None = None
        self._doubted = False
        # As of the last look:
        self.mounts: set[Path] = set()  #: what the folders are on, but for the root
        self.low = False
        self.fault: str | None = None  #: a sentence; None: the folders can be written
        self.free_bytes = 0
        self.faults = 0  #: how often something was wrong, also where the look put it right

    def doubt(self) -> None:
        """Have the next look be thorough, and not wait for its time: something failed."""
        self._doubted = True

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time to look again."""
        age = LOOK_SECONDS if self._looked_at is None else (now - self._looked_at).total_seconds()
        return self._doubted or not 0 <= age < LOOK_SECONDS  # below 0: the clock was set back

    def look(self, now: datetime) -> None:
        """Look again. Blocking: a share that is gone may answer late, or never."""
        thorough = self._doubted or self.fault is not None or self.low
        self._looked_at, self._doubted = now, False
        try:
            if not self.is_mounted():
                # What is below its mount point now is a folder of another disk, which was not meant.
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
        """Note that a look does not come back."""
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
                raise OSError(errno.ENOTDIR, "it is no folder, or leads to none", str(folder))
            folder.mkdir()  # not its parents: a storage folder that is gone will have been on another disk
            if self._made:
                self.faults += 1  # what was in it is lost to those who were at work there
                log.warning("a folder was gone and is made again", extra={"path": str(folder)})
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
