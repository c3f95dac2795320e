"""Each post once: finds what is there already, so that a job for it ends without a download."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from downloader.jobs import Had, Job, NewJob
from downloader.media.removal import MediaRemoval
from downloader.platform_detector import read_link
from downloader.queue.database import Database
from downloader.queue.storage import StorageMonitor
from downloader.settings import Settings
from downloader.util.daemon_thread import in_thread

log = logging.getLogger(__name__)

#: How long a submission waits for the storage to say whether files are there; then they are taken for missing.
CHECK_TIMEOUT_SECONDS = 5.0

#: What retention deletes so soon is downloaded again: its files might go between their check and the new job's commit.
RETENTION_MARGIN = timedelta(seconds=60)


def post_key(link: str | None, preset: str, subtitles: Iterable[str], photos: bool = True) -> str | None:
    """Return what names the post at *link*, and what is wanted of it; None where the link alone does not tell."""
    target = None if link is None else read_link(link)
    if target is None or target.name is None:
        return None
    languages = ",".join(sorted({language.lower() for language in subtitles}))
    return f"{target.platform}:{target.name}:{preset}:{languages}{'' if photos else ':videos'}"


@dataclass(eq=False, kw_only=True)
class Reuse:
    """All coroutines run on one event loop."""

    settings: Settings
    database: Database
    storage: StorageMonitor
    removal: MediaRemoval
    clock: Callable[[], datetime]

    def __post_init__(self) -> None:
        self._store = self.database.store

    async def find(self, new_jobs: Sequence[NewJob]) -> list[NewJob]:
        """Return *new_jobs*; those whose posts are there, and that do not want them again, as to be reused."""
        keys = {new.post_key for new in new_jobs if new.post_key is not None and _may_reuse(new)}
        if not keys:
            return list(new_jobs)
        there = await self._there(await self.database.call(self._store.had, keys))
        return [
            replace(new, reused=True, source=there[new.post_key]) if new.post_key in there and _may_reuse(new) else new
            for new in new_jobs
        ]

    async def end_had(self, jobs: Sequence[Job], maybe: Collection[str]) -> tuple[list[Job], list[Job]]:
        """End those of the claimed *jobs* whose posts are there, which only those of the ids *maybe* can be.

        Return what is left to do, and all that ended: jobs that were queued for the same posts, too.
        """
        asked = {job.id: job.post_key for job in jobs if job.id in maybe and job.post_key is not None}
        if not asked:
            return list(jobs), []
        there = await self._there(await self.database.call(self._store.had, set(asked.values())))
        by_job = {job_id: there[key] for job_id, key in asked.items() if key in there}
        if not by_job:
            return list(jobs), []
        ended = await self.database.call(self._store.reuse, by_job, now=self.clock())
        ids = {job.id for job in ended}
        tried = [job.id for job in (*ended, *jobs) if job.id in ids and job.attempt_number]
        await asyncio.to_thread(self._remove_work, tried)
        return [job for job in jobs if job.id not in ids], ended

    async def _there(self, had: Mapping[str, Had]) -> dict[str, Job | None]:
        """Return by key whose files to reuse, None: those of no job; without those that have to be fetched."""
        there: dict[str, Job | None] = {key: None for key, found in had.items() if found.archived}
        if any(found.sources for found in had.values()) and self.storage.fault is None:
            # A thread of its own: where a share is gone, it may never return.
            check = in_thread(self._with_files, had, name="reuse")
            if (await asyncio.wait({check}, timeout=CHECK_TIMEOUT_SECONDS))[0]:
                there |= check.result()
        return there

    def _with_files(self, had: Mapping[str, Had]) -> dict[str, Job]:
        found = {}
        for key, each in had.items():
            if source := next((job for job in each.sources if self._has_files(job)), None):
                found[key] = source
        return found

    def _has_files(self, job: Job) -> bool:
        return bool(job.files) and self._stays(job) and all(map(self._is_file, job.files))

    def _stays(self, job: Job) -> bool:
        days = self.settings.retention_days
        if days is None or job.finished_at is None:
            return True
        return self.clock() < job.finished_at + timedelta(days=days) - RETENTION_MARGIN

    def _is_file(self, stored: str) -> bool:
        path = Path(stored)
        with suppress(OSError, ValueError):  # ValueError: a NUL in its name
            inside = path.resolve().is_relative_to(self.settings.raw_dir.resolve())
            return inside and stat.S_ISREG(path.lstat().st_mode)
        return False

    def _remove_work(self, job_ids: Iterable[str]) -> None:
        """Remove the unfinished files of earlier attempts."""
        for job_id in job_ids:
            try:
                self.removal.abandon(job_id)
            except Exception:  # the jobs have ended, and that is what counts
                log.exception("the files of an attempt could not be removed", extra={"job_id": job_id})


def _may_reuse(new: NewJob) -> bool:
    return not new.again and new.error_code is None
