"""Collections are taken apart: what a running attempt lists becomes jobs of its batch, page by page."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from downloader.jobs import Entry, Job, Listed, NewJob, Page
from downloader.presets import DEFAULT_PRESET, PRESETS
from downloader.queue.database import Database
from downloader.queue.preemption import RunningAttempt
from downloader.queue.reuse import Reuse, post_key
from downloader.settings import Settings

log = logging.getLogger(__name__)

#: How long to wait before storing again what could not be stored.
STORE_RETRY_SECONDS = 2.0


@dataclass(eq=False, kw_only=True)
class Collections:
    """Stores what is listed, one page of a collection after the other. All methods are called on one event loop.

    Pages wait in memory, at most as many as a listing may have: see `ytdlp.walk.Bounds`.
    """

    settings: Settings
    database: Database
    reuse: Reuse
    clock: Callable[[], datetime]
    wake: Callable[[], None]  #: called when there may be another job to start

    def __post_init__(self) -> None:
        self._pages: dict[RunningAttempt, deque[Page]] = {}
        self._storing: dict[RunningAttempt, asyncio.Task[None]] = {}
        self.closing = False  #: set: what cannot be stored now is given up, and listed again after the next start

    def take(self, attempt: RunningAttempt, page: Page) -> None:
        """Have *page* stored, which *attempt* listed."""
        self._pages.setdefault(attempt, deque()).append(page)
        if attempt not in self._storing:
            self._storing[attempt] = asyncio.create_task(self._store(attempt), name=f"entries of {attempt.job.id}")

    async def stored(self, attempt: RunningAttempt) -> None:
        """Return when all that *attempt* listed is stored, or given up."""
        if (task := self._storing.get(attempt)) is not None:
            await asyncio.wait({task})

    async def _store(self, attempt: RunningAttempt) -> None:
        pages = self._pages[attempt]
        try:
            while pages and await self._store_page(attempt, pages[0]):
                pages.popleft()
        except Exception:
            log.exception("the entries of a collection could not be stored", extra={"job_id": attempt.job.id})
        finally:
            del self._pages[attempt], self._storing[attempt]

    async def _store_page(self, attempt: RunningAttempt, page: Page) -> bool:
        """Store *page*, again and again where the database fails; return whether its attempt is still the one that
        runs."""
        job, logged = attempt.job, False
        while not (self.closing and logged):
            try:
                new_jobs = await self.reuse.find([self._new_job(job, entry) for entry in page.entries])
                listed = Listed(job_id=job.id, attempt=job.attempt_number, page=page, new_jobs=tuple(new_jobs))
                is_running = await self.database.call(self.database.store.add_entries, listed, now=self.clock())
                if page.entries and is_running:
                    self.wake()
                return is_running
            except Exception:
                if not logged:
                    log.exception("the entries of a collection could not be stored", extra={"job_id": job.id})
                logged = True
                await asyncio.sleep(STORE_RETRY_SECONDS)
        return False

    def _new_job(self, job: Job, entry: Entry) -> NewJob:
        """Return what *entry* of the collection *job* becomes."""
        preset = self.settings.presets.get(job.preset, PRESETS[DEFAULT_PRESET])
        return NewJob(
            url=entry.url,
            link=entry.url,
            platform=job.platform,
            preset=job.preset,
            kind=preset.kind,
            wanted_subtitles=job.wanted_subtitles,
            folder=job.folder,
            again=job.again,
            photos=job.photos,
            post_key=post_key(entry.url, job.preset, job.wanted_subtitles, job.photos),
            title=entry.title,
            uploaded_at=entry.uploaded_at,
            duration_seconds=entry.duration_seconds,
            error_code=entry.error_code,
            error=entry.error,
        )
