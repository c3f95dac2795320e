"""Whether new downloads can be stored: watches the disk, the storage folder and the database."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from downloader.jobs import Event
from downloader.media.move import INCOMING_PREFIX, try_move
from downloader.queue.clock import Every
from downloader.queue.database import Database
from downloader.settings import Settings
from downloader.util.daemon_thread import in_thread

log = logging.getLogger(__name__)

#: How often the disk is checked.
CHECK_INTERVAL_SECONDS = 5.0

#: How often the folders are measured; in between, the sizes of new files are added.
MEASURE_INTERVAL_SECONDS = 30.0

#: How long a check of the disk may take; writing a file takes milliseconds.
CHECK_TIMEOUT_SECONDS = 10.0


def missing_target(*folders: Path) -> str | None:
    """Return, in a sentence, which of *folders* is a link to one that is not there; None if none of them is."""
    for folder in folders:
        if folder.is_symlink() and not folder.exists():
            return f"{folder} is a link to {folder.readlink()}, which is not there: mount its disk, or change the link."
    return None


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


class QuotaWatch:
    """Whether some folders hold as much as they may; without a limit they are measured only on demand."""

    def __init__(self, folders: Iterable[Path], max_bytes: int | None) -> None:
        self._folders = tuple(folders)
        self.max_bytes = max_bytes
        self._every = Every(MEASURE_INTERVAL_SECONDS)
        self._used_bytes = 0
        self._measuring = threading.Lock()  # of two that ask at once, the second must not get what was before
        self.full = False  #: as of the last measurement

    def arrived(self, size_bytes: int) -> None:
        """Add a new file to what was measured."""
        self._used_bytes += size_bytes

    def measure_soon(self) -> None:
        """Have the next poll measure: something was deleted."""
        self._every.expire()

    def poll(self, now: datetime) -> bool:
        """Measure if it is time to; tell whether `full` changed."""
        if self.max_bytes is None:
            return False
        before, self.full = self.full, self.measure(now) >= self.max_bytes
        return self.full != before

    def measure(self, now: datetime) -> int:
        """Return how many bytes the folders hold, measured again if it is time to. 100,000 files take half a second."""
        with self._measuring:
            if self._every.is_due(now):
                self._every.done(now)
                self._used_bytes = sum(size for folder in self._folders for size in _sizes(folder))
            return self._used_bytes


def _sizes(folder: Path | str) -> Iterator[int]:
    """Yield the size of each file below *folder*; links are not followed, vanished files are skipped."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(entry.path)
                else:
                    with suppress(OSError):
                        yield entry.stat(follow_symlinks=False).st_size
    except OSError:
        return


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Whether new downloads start."""

    paused: bool  #: by hand
    disk_low: bool
    storage_full: bool  #: the storage folder holds as much as the operator allows
    storage_error: str | None  #: why the storage folder cannot be used, in a sentence
    database_error: str | None  #: why the database cannot be used any more
    free_bytes: int
    machines_error: str | None = None  #: why no machine of the fleet takes downloads

    @property
    def fault(self) -> str | None:
        """Why nothing can be stored."""
        return self.storage_error or self.database_error

    @property
    def held_up(self) -> bool:
        """Whether nothing new is started."""
        return self.paused or self.disk_low or self.storage_full or (self.fault or self.machines_error) is not None


class StorageMonitor:
    """All coroutines run on one event loop."""

    def __init__(self, settings: Settings, database: Database, clock: Callable[[], datetime]) -> None:
        """Watch the folders of *settings*, and *database*."""
        self._database = database
        self._clock = clock
        self.disk = DiskWatch(settings.raw_dir, settings.work_dir, settings.min_free_bytes)
        self.quota = QuotaWatch((settings.raw_dir, settings.work_dir), settings.max_storage_bytes)
        self._turn = asyncio.Lock()
        self._check: asyncio.Future[None] | None = None
        self._hangs = False  #: that check timed out
        self.database_fault: str | None = None  #: as of the last check; set: what is stored now would be lost
        self._last_told: tuple[bool, bool, str | None] = (False, False, None)

    def status(self, *, paused: bool) -> QueueStatus:
        """Return whether new downloads start, and what stands in the way, as of the last check."""
        return QueueStatus(
            paused=paused,
            disk_low=self.disk.low,
            storage_full=self.quota.full,
            storage_error=self.disk.fault,
            database_error=self.database_fault,
            free_bytes=self.disk.free_bytes,
        )

    @property
    def fault(self) -> str | None:
        """In a sentence why nothing can be stored, as of the last check."""
        return self.disk.fault or self.database_fault

    async def used_bytes(self) -> int | None:
        """Return how much the folders hold, as of half a minute ago at most; None if they cannot be read."""
        return None if self.fault else await asyncio.to_thread(self.quota.measure, self._clock())

    def failed_since(self, faults: int) -> bool:
        """Whether the disk failed since `disk.faults` was *faults*, or nothing can be stored now."""
        return self.fault is not None or self.disk.low or self.disk.faults != faults

    async def poll(self, *, thoroughly: bool = False) -> None:
        """Check disk and database, if it is time to; *thoroughly*: now, by writing a file."""
        if thoroughly:
            self.disk.doubt()
        async with self._turn:
            if self._check is None or self._check.done():
                if not self.disk.is_due(self._clock()):
                    return
                # A thread of its own: where a share is gone, it may never return.
                self._check, self._hangs = in_thread(self._check_now, self._clock(), name="disk"), False
            if not self._hangs:
                done, _ = await asyncio.wait({self._check}, timeout=CHECK_TIMEOUT_SECONDS)
                self._hangs = not done
            if self._hangs:
                self.disk.unanswered()

    def _check_now(self, now: datetime) -> None:
        self.disk.poll(now)
        self.database_fault = self._database.store.fault()

    async def has_room(self, now: datetime) -> bool:
        """Tell whether disk and database let new downloads start; log and store an event where that changed."""
        fault = self.fault
        if self.quota.max_bytes is not None and fault is None:  # which reads the whole folder
            await asyncio.to_thread(self.quota.poll, now)
        before, self._last_told = self._last_told, (self.disk.low, self.quota.full, fault)
        if self._last_told != before:
            _log_change(before, self._last_told)
            if self.database_fault is None:
                data = {"disk_low": self.disk.low, "storage_full": self.quota.full, "storage_error": fault}
                event = Event(id=0, at=now, kind="queue_changed", data=data)
                await self._database.call(self._database.store.add_event, event)
        return not (self.disk.low or self.quota.full or fault is not None)


def _log_change(before: tuple[bool, bool, str | None], after: tuple[bool, bool, str | None]) -> None:
    (was_low, was_full, old_fault), (low, full, fault) = before, after
    if low != was_low:
        log.warning("the disk is nearly full: no new downloads start" if low else "the disk has room again")
    if full != was_full:
        log.warning("the storage folder is full: no new downloads start" if full else "the storage folder has room")
    if fault is not None and fault != old_fault:
        log.error("no new downloads start", extra={"detail": fault})
    if fault is None and old_fault is not None:
        log.warning("the storage can be used again")
