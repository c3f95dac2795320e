"""The durable queue as the rest of the service uses it: submit, look, cancel, retry, delete, wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from downloader.errors import DownloaderError, ErrorCode, NotFound, StoreUnavailable, sentence
from downloader.jobs import (
    FINAL_STATES,
    Attempt,
    Batch,
    Event,
    Job,
    JobState,
    NewJob,
    PlatformView,
    Progress,
    Submission,
)
from downloader.platform_detector import parse_link
from downloader.platforms import PlatformType
from downloader.queue.hub import EventHub, Subscription
from downloader.queue.scheduler import QueueStatus, Scheduler
from downloader.queue.statistics import Figures, Span, figures

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: How long a waiting request holds on to a job whose next attempt lies ahead; beyond it the answer is what is known so
#: far, and the queue goes on without the request.
PATIENCE_SECONDS = 60.0

#: How often a waiting request looks whether its platform has gone to rest.
REST_LOOK_SECONDS = 5.0

RECENT_SECONDS = 3600.0


class JobQueue:
    """All coroutines run on the event loop that `start` ran on."""

    def __init__(self, scheduler: Scheduler, platforms: Sequence[PlatformType], label: Callable[[str], str]) -> None:
        """Serve *scheduler*'s jobs of *platforms*; *label* tells how a platform is written."""
        self._scheduler = scheduler
        self._store = scheduler.store
        self._hub: EventHub = scheduler.hub
        self._platforms = tuple(platforms)
        self._label = label
        self._figuring = asyncio.Lock()
        self._waiters: dict[str, set[asyncio.Future[Job]]] = {}
        self._store.on_event(self._hub.publish)
        scheduler.on_end(self._tell_waiters)

    async def start(self) -> None:
        """Take up what was left, and begin."""
        await self._scheduler.start()

    async def close(self, grace_seconds: float) -> None:
        """Stop; requests that wait get their jobs as they are, or `StoreUnavailable`."""
        await self._scheduler.close(grace_seconds)
        for job_id in tuple(self._waiters):
            try:
                self._settle(job_id, await asyncio.to_thread(self._store.job, job_id))
            except Exception:  # the others are to be answered, and the rest to be closed
                log.exception("the store failed")
                for future in self._waiters.get(job_id, ()):
                    if not future.done():
                        future.set_exception(StoreUnavailable())
        self._hub.close()
        await asyncio.to_thread(self._store.close)

    # Submitting

    async def submit(
        self, urls: Sequence[str], *, idempotency_key: str | None = None, retry_failed_once: bool = False
    ) -> Submission:
        """Store a batch of *urls*; it is durable when this returns.

        *retry_failed_once*: when all of it has ended, what failed and may pass is tried once more.

        Raises:
            IdempotencyConflict: the key was used for other URLs.
        """
        submission = await self._db(
            self._store.submit,
            [self._new_job(url) for url in urls],
            now=self._now(),
            idempotency_key=idempotency_key,
            retry_failed_once=retry_failed_once,
        )
        self._scheduler.wake()
        return submission

    def _new_job(self, url: str) -> NewJob:
        link = parse_link(url)
        if link is None:
            code: ErrorCode = "unsupported_platform"
            return NewJob(url=url, link=None, platform="unknown", error_code=code, error=sentence(code))
        return NewJob(url=url, link=link.url, platform=link.platform)

    # Waiting

    async def wait(self, submission: Submission) -> list[Job]:
        """Return the jobs of *submission*, one for each link sent, in order, once each is final.

        A job whose next attempt lies more than `PATIENCE_SECONDS` ahead is returned as it is, as is one that waits for
        a platform which rests for longer than that.
        """
        ids = tuple(dict.fromkeys(job.id for job in submission.jobs))
        ended = await asyncio.gather(*(self._ended(job_id) for job_id in ids))
        jobs = dict(zip(ids, ended, strict=True))
        return [jobs[job.id] for job in submission.jobs]

    async def _ended(self, job_id: str) -> Job:
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        # Listen first, look then: whichever way round the end comes, it is noticed.
        waiters = self._waiters.setdefault(job_id, set())
        waiters.add(future)
        try:
            self._tell_waiters(await self._db(self._store.job, job_id))
            while not (await asyncio.wait({future}, timeout=REST_LOOK_SECONDS))[0]:
                try:
                    job = await self._db(self._store.job, job_id)
                except StoreUnavailable:  # the job goes on all the same, and so does whoever waits for it
                    continue
                self._tell_waiters(job)
                if self._rests_for_long(job):
                    self._settle(job_id, job)
            return future.result()
        finally:
            waiters.discard(future)
            if not waiters and self._waiters.get(job_id) is waiters:
                del self._waiters[job_id]

    def _rests_for_long(self, job: Job) -> bool:
        if job.state != "queued":
            return False
        status = self._scheduler.status()
        if status.held_up:
            return True
        until = self._scheduler.governor.cooling_until(job.platform, self._now())
        return until is not None and until > self._now() + timedelta(seconds=PATIENCE_SECONDS)

    def _tell_waiters(self, job: Job) -> None:
        patience = self._now() + timedelta(seconds=PATIENCE_SECONDS)
        far_off = job.next_attempt_at is not None and job.next_attempt_at > patience
        if job.state in FINAL_STATES or far_off:
            self._settle(job.id, job)

    def _settle(self, job_id: str, job: Job) -> None:
        for future in self._waiters.get(job_id, ()):
            if not future.done():
                future.set_result(job)

    # Looking

    async def batch(self, batch_id: str) -> Batch:
        """Return a batch. Raises NotFound."""
        return await self._db(self._store.batch, batch_id)

    async def batches(self, *, before: str | None = None, limit: int = 50) -> tuple[list[Batch], str | None]:
        """Return batches, newest first, and the cursor of the next page."""
        return await self._db(self._store.batches, before=before, limit=limit)

    async def batch_jobs(self, batch_id: str) -> list[tuple[str, Job]]:
        """Return (URL as sent, job) for each link of a batch, in order. Raises NotFound."""
        return await self._db(self._store.batch_jobs, batch_id)

    async def job(self, job_id: str) -> Job:
        """Return a job. Raises NotFound."""
        return await self._db(self._store.job, job_id)

    async def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        platform: PlatformType | None = None,
        batch_id: str | None = None,
        text: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[Job], str | None]:
        """Return jobs, newest first, and the cursor of the next page. Raises BadCursor."""
        return await self._db(
            self._store.jobs,
            states=states,
            platform=platform,
            batch_id=batch_id,
            text=text,
            cursor=cursor,
            limit=limit,
        )

    async def attempts(self, job_id: str) -> list[Attempt]:
        """Return a job's attempts in order. Raises NotFound."""
        return await self._db(self._store.attempts, job_id)

    def progress(self) -> list[Progress]:
        """Return how far everything that runs is."""
        return self._scheduler.progress()

    async def platforms(self) -> list[PlatformView]:
        """Return how each platform is treated and how it fared in the last hour."""
        now = self._now()
        counts = await self._db(self._store.counts)
        recent = await self._db(self._store.recent, since=now - timedelta(seconds=RECENT_SECONDS))
        governor = self._scheduler.governor
        views = []
        for platform in self._platforms:
            succeeded, failed, seconds = recent.get(platform, (0, 0, 0.0))
            of_platform = counts.get(platform, {})
            views.append(
                PlatformView(
                    platform=platform,
                    label=self._label(platform),
                    cap=governor.cap(platform),
                    running=governor.running(platform),
                    queued=of_platform.get("queued", 0),
                    waiting=of_platform.get("waiting", 0),
                    cooling_until=governor.cooling_until(platform, now),
                    succeeded_last_hour=succeeded,
                    failed_last_hour=failed,
                    mean_seconds_last_hour=seconds / succeeded if succeeded else None,
                )
            )
        return views

    async def figures(self, hours: int) -> Figures:
        """Return how each platform fared in the last *hours*."""
        labels = {platform: self._label(platform) for platform in self._platforms}
        # One at a time: it takes the database most of a second for 100,000 attempts, and the queue must find it free.
        async with self._figuring:
            span = Span.last(hours, self._now())
            ended = await self._db(
                self._store.ended, since=span.since, until=span.until, bucket_seconds=span.bucket_seconds
            )
            return await asyncio.to_thread(figures, span, ended, labels)

    async def counts(self) -> dict[PlatformType, dict[JobState, int]]:
        """Return how many jobs each platform has, by state."""
        return await self._db(self._store.counts)

    async def look(self, *, thoroughly: bool = False) -> None:
        """Bring `status` up to date; *thoroughly*: by writing a file."""
        await self._scheduler.look(thoroughly=thoroughly)

    def status(self) -> QueueStatus:
        """Return whether new downloads are begun, as of the last look."""
        return self._scheduler.status()

    # Changing

    async def cancel(self, job_ids: Sequence[str]) -> list[Job]:
        """Cancel those that are not final, at once; return them as they are then. Raises NotFound."""
        return await self._cancelled(await self._db(self._store.cancel, job_ids, now=self._now()))

    async def _cancelled(self, before: Sequence[Job]) -> list[Job]:
        self._scheduler.wake()  # the second round of a batch may have begun
        await self._scheduler.cancelled(before)
        after = await self._db(self._as_they_are, before)
        for job in after:
            self._tell_waiters(job)
        return after

    def _as_they_are(self, jobs: Sequence[Job]) -> list[Job]:
        """Return *jobs* as they are now; one that was deleted meanwhile as it must have been then."""
        found = []
        for job in jobs:
            try:
                found.append(self._store.job(job.id))
            except NotFound:
                found.append(replace(job, state="cancelled", next_attempt_at=None))
        return found

    async def cancel_batch(self, batch_id: str) -> list[Job]:
        """Cancel whatever of a batch is not final, and the second round that it may want. Raises NotFound."""
        return await self._cancelled(await self._db(self._store.cancel_batch, batch_id, now=self._now()))

    async def retry(self, job_ids: Sequence[str]) -> list[Job]:
        """Put failed and cancelled ones back into the queue; return them. Raises NotFound."""
        jobs = await self._db(self._store.retry, job_ids, now=self._now())
        self._scheduler.wake()
        return jobs

    async def retry_batch(self, batch_id: str) -> list[Job]:
        """Put what failed of a batch, or was cancelled, back into the queue. Raises NotFound."""
        return await self.retry(await self._db(self._store.job_ids, batch_id, states=("failed", "cancelled")))

    async def delete(self, job_ids: Sequence[str], *, with_files: bool) -> list[Job]:
        """Delete the records of final ones, with their files if wanted; return them.

        A file that another job has too is left to that one.
        """
        deleted = await self._db(self._store.delete, job_ids, now=self._now())
        for job in deleted:
            self._settle(job.id, job)
        if with_files:
            paths = [path for job in deleted for path in job.files]
            await self._db(self._scheduler.removal.remove, paths, of=[job.id for job in deleted])
            self._scheduler.files_removed()
        return deleted

    async def pause(self) -> None:
        """Begin nothing more; what runs goes on."""
        await self._scheduler.set_paused(True)

    async def resume(self) -> None:
        """Go on."""
        await self._scheduler.set_paused(False)

    async def end_cooldown(self, platform: PlatformType) -> None:
        """Let a resting platform start again at once."""
        await self._scheduler.end_rest(platform)

    # Following

    async def events_since(self, event_id: int, *, batch_id: str | None = None, limit: int = 500) -> list[Event]:
        """Return events with greater numbers, in order."""
        return await self._db(self._store.events_since, event_id, batch_id=batch_id, limit=limit)

    async def last_event_id(self) -> int:
        """Return the number of the newest event; 0 where there is none yet."""
        return await self._db(self._store.last_event_id)

    @property
    def onlookers(self) -> int:
        """How many subscriptions there are."""
        return len(self._hub)

    def subscribe(self, *, batch_id: str | None = None) -> Subscription:
        """Return a subscription to all changes and progress from now on, or to those of one batch."""
        return self._hub.subscribe(batch_id)

    # Helpers

    async def _db(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._scheduler.db(function, *args, **kwargs)
        except (DownloaderError, ValueError):
            raise
        except Exception as error:
            log.exception("the store failed")
            raise StoreUnavailable from error

    def _now(self) -> datetime:
        return self._scheduler.clock()
