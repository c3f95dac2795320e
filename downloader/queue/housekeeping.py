"""Cleans up between downloads: orphaned jobs, old events, old jobs, leftover files."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta

from downloader.errors import NotFound
from downloader.jobs import FINAL_STATES, JobState
from downloader.media.removal import MediaRemoval
from downloader.media.work_dir import remove_work_dir
from downloader.queue.clock import Every
from downloader.queue.database import Database
from downloader.settings import Settings

log = logging.getLogger(__name__)

#: Events that a client may resume from; a client that was away for longer has to reload.
KEPT_EVENTS = 50_000
PRUNE_INTERVAL_SECONDS = 3600.0

#: How often to check for jobs that the store calls running although nothing runs them.
ORPHAN_CHECK_INTERVAL_SECONDS = 20.0

#: Old jobs deleted at once: few enough that other users of the database do not notice.
PORTION = 50


class Housekeeper:
    """All coroutines run on one event loop."""

    def __init__(
        self, settings: Settings, database: Database, removal: MediaRemoval, clock: Callable[[], datetime]
    ) -> None:
        """Clean up *database* and the folders of *settings*."""
        self._settings = settings
        self._database = database
        self._store = database.store
        self._removal = removal
        self._clock = clock
        self._prune = Every(PRUNE_INTERVAL_SECONDS)
        days = settings.retention_days
        self._kept = timedelta(days=days or 0)
        #: how often to look for jobs that ended longer ago than that; None: never
        self.retention_interval_seconds = None if days is None else min(max(days * 86_400 / 20, 1.0), 600.0)
        self._retention = Every(self.retention_interval_seconds or 0.0)
        self.orphans_checked_at = time.monotonic()

    def clear_work(self) -> None:
        """Remove unfinished files of jobs that were final, or deleted, when their process died. Blocking."""
        for folder in self._settings.work_dir.glob("*"):
            state: JobState | None = None
            with suppress(NotFound):
                state = self._store.job(folder.name).state
            if state is None or state == "succeeded":
                remove_work_dir(folder, self._settings.raw_dir)
            elif state in FINAL_STATES:
                self._removal.abandon(folder.name)

    async def put_back_orphans(self, running: Collection[str]) -> bool:
        """Put jobs back that only the store calls running: a fault of ours, or the database's, lost their end.

        Return whether it was time to.

        Nothing is claimed in the meantime, and what has ended is among *running* until that is stored.
        """
        if time.monotonic() < self.orphans_checked_at + ORPHAN_CHECK_INTERVAL_SECONDS:
            return False
        orphans = await self._database.call(self._store.recover, now=self._clock(), but=frozenset(running))
        self.orphans_checked_at = time.monotonic()
        if orphans:
            log.error("orphaned jobs were put back into the queue", extra={"jobs": orphans})
        return True

    async def prune_events(self) -> None:
        """Remove old events, if it is time to."""
        now = self._clock()
        if self._prune.is_due(now):
            self._prune.done(now)
            try:
                await self._database.call(self._store.prune_events, KEPT_EVENTS)
            except Exception:
                log.exception("old events could not be removed")

    async def remove_old_jobs(self) -> bool:
        """Delete some of the jobs that are too old, if it is time to; tell whether there may be more."""
        now = self._clock()
        if self.retention_interval_seconds is None or not self._retention.is_due(now):
            return False
        more = await self._database.call(self._remove_ended_before, now - self._kept, now)
        if not more:
            self._retention.done(now)
        return more

    def _remove_ended_before(self, moment: datetime, now: datetime) -> bool:
        old = self._store.finished_before(moment, PORTION)
        if old:
            ids = [job.id for job in old]
            # First the files: a process killed in between finds the records again, and would not find the files.
            files = self._removal.remove((path for job in old for path in job.files), of=ids)
            jobs = self._store.delete(ids, now=now)
            log.info("old jobs deleted", extra={"jobs": len(jobs), "files": files})
        return len(old) == PORTION
