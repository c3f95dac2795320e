"""Polls disk, storage folder and database: can new downloads be stored?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from downloader.daemon_thread import in_thread
from downloader.jobs import Event
from downloader.queue.database import Database
from downloader.queue.space import DiskWatch, QuotaWatch
from downloader.settings import Settings

log = logging.getLogger(__name__)

#: How long a check of the disk may take; writing a file takes milliseconds.
CHECK_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Whether new downloads start."""

    paused: bool  #: by hand
    disk_low: bool
    storage_full: bool  #: the storage folder holds as much as the operator allows
    storage_error: str | None  #: why the storage folder cannot be used, in a sentence
    database_error: str | None  #: why the database cannot be used any more
    free_bytes: int

    @property
    def held_up(self) -> bool:
        """Whether nothing new is started."""
        trouble = self.storage_error or self.database_error
        return self.paused or self.disk_low or self.storage_full or trouble is not None


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
        self._database_fault: str | None = None  #: as of the last check
        self._last_told: tuple[bool, bool, str | None] = (False, False, None)

    def status(self, *, paused: bool) -> QueueStatus:
        """Return whether new downloads start, and what stands in the way, as of the last check."""
        return QueueStatus(
            paused=paused,
            disk_low=self.disk.low,
            storage_full=self.quota.full,
            storage_error=self.disk.fault,
            database_error=self._database_fault,
            free_bytes=self.disk.free_bytes,
        )

    @property
    def fault(self) -> str | None:
        """In a sentence why nothing can be stored, as of the last check."""
        return self.disk.fault or self._database_fault

    @property
    def database_is_lost(self) -> bool:
        """Whether what is stored now would be lost."""
        return self._database_fault is not None

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
        self._database_fault = self._database.store.fault()

    async def has_room(self, now: datetime) -> bool:
        """Tell whether disk and database let new downloads start; log and store an event where that changed."""
        fault = self.fault
        if self.quota.limited and fault is None:  # which reads the whole folder
            await asyncio.to_thread(self.quota.poll, now)
        before, self._last_told = self._last_told, (self.disk.low, self.quota.full, fault)
        if self._last_told != before:
            _log_change(before, self._last_told)
            if not self.database_is_lost:
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
