"""The durable queue as requests use it: submit, wait, read, cancel, retry, delete."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from downloader.errors import DownloaderError, NotFound, StoreUnavailable
from downloader.jobs import FINAL_STATES, Job, NewJob, Submission
from downloader.media.removal import MediaRemoval
from downloader.notify.deliverer import Deliverer
from downloader.platform_detector import parse_link, read_link
from downloader.platforms import PlatformType
from downloader.presets import Wanted
from downloader.queue.database import Database
from downloader.queue.hub import EventHub
from downloader.queue.reuse import post_key
from downloader.queue.scheduler import Scheduler
from downloader.queue.statistics import PlatformView, Span, Statistics, compute
from downloader.queue.thumbnails import Thumbnails
from downloader.queue.ways import Ways
from downloader.store.repository import Store

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: How long a request waits for the next attempt of a job; if it is further off, the answer is what is known so far, and
#: the queue continues without the request.
PATIENCE_SECONDS = 60.0

#: How often a waiting request checks whether its platform cools down.
COOLDOWN_CHECK_INTERVAL_SECONDS = 5.0

#: How often a waiting request checks how far the entries of a collection are.
ENTRIES_CHECK_INTERVAL_SECONDS = 0.5

RECENT_SECONDS = 3600.0

#: Posts of an archive that are stored at once: few enough that other users of the database do not notice.
ARCHIVE_PORTION = 5000

#: Jobs that are changed at once.
PORTION = 500

#: What a job that is held says.
HELD = "This was added without starting it. Retry it to download it."


def _query(method: Callable[Concatenate[Store, P], T]) -> Callable[Concatenate[JobQueue, P], Coroutine[Any, Any, T]]:
    """Return *method* of the store as one of the queue, off its loop."""

    @wraps(method)
    async def query(queue: JobQueue, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await queue._db(method, queue._store, *args, **kwargs)

    return query


@dataclass(eq=False, kw_only=True)
class JobQueue:
    """All coroutines run on the event loop that `start` ran on."""

    database: Database
    scheduler: Scheduler
    ways: Ways
    hub: EventHub
    removal: MediaRemoval
    clock: Callable[[], datetime]
    labels: Mapping[PlatformType, str]  #: of the platforms that are served
    notifier: Deliverer | None = None  #: tells others of batches that end

    def __post_init__(self) -> None:
        self._store = self.database.store
        self._computing = asyncio.Lock()
        self._closed = asyncio.Event()
        self._waiters: dict[str, set[asyncio.Future[Job]]] = {}
        self._store.on_event(self.hub.publish)
        self.scheduler.attempts.on_end = self._tell_waiters
        settings = self.scheduler.settings
        self.thumbnails = Thumbnails(
            settings.thumbnails_dir,
            settings.for_downloads,
            self.database,
            self.scheduler.storage,
            self.scheduler.is_idle,
        )

    async def start(self) -> None:
        """Take up what an earlier process left, and start."""
        await self.scheduler.start()
        self.thumbnails.start()

    async def close(self, grace_seconds: float) -> None:
        """Stop; requests that wait get their jobs as they are, or `StoreUnavailable`."""
        self._closed.set()
        await self.thumbnails.close()
        await self.scheduler.close(grace_seconds)
        for job_id in tuple(self._waiters):
            try:
                self._settle(job_id, await asyncio.to_thread(self._store.job, job_id))
            except Exception:  # the other requests must be answered, and everything closed
                log.exception("the store failed")
                for future in self._waiters.get(job_id, ()):
                    if not future.done():
                        future.set_exception(StoreUnavailable())
        self.hub.close()
        if self.notifier is not None:
            await asyncio.to_thread(self.notifier.close)
        await asyncio.to_thread(self._store.close)

    # Submitting

    async def submit(
        self,
        urls: Sequence[str],
        wanted: Wanted = Wanted(),  # noqa: B008 -- frozen
        *,
        idempotency_key: str | None = None,
        retry_failed_once: bool = False,
        hold: bool = False,
    ) -> Submission:
        """Store a batch of *urls*, to get of each what is *wanted*; it is durable when this returns.

        *retry_failed_once*: when all of it has ended, what failed and may succeed later is tried once more.
        *hold*: nothing is downloaded before a retry; see `Job.is_held`.

        Raises:
            IdempotencyConflict: the key was used for other URLs, or to get something else of them.
        """
        new_jobs = [self._new_job(url, wanted) for url in urls]
        if hold:
            new_jobs = [replace(new, error_code="cancelled", error=HELD) if new.link else new for new in new_jobs]
        submission = await self._db(
            self._store.submit,
            await self._stored(self.scheduler.reuse.find(new_jobs)),
            now=self.clock(),
            idempotency_key=idempotency_key,
            retry_failed_once=retry_failed_once,
        )
        self.scheduler.wake()
        return submission

    def _new_job(self, url: str, wanted: Wanted) -> NewJob:
        link = parse_link(url)
        new = NewJob(
            url=url,
            link=None if link is None else link.url,
            platform="unknown" if link is None else link.platform,
            preset=wanted.preset.name,
            kind=wanted.preset.kind,
            wanted_subtitles=wanted.subtitles,
            folder=wanted.folder,
            again=wanted.again,
            photos=wanted.photos,
        )
        if link is not None and wanted.expand is not None:
            target = read_link(link.url)
            if target.collection_id is not None:
                return replace(new, link=target.canonical_url, kind="collection", expand=wanted.expand)
            if target.kind == "short":  # where it leads is known once it was followed
                return replace(new, expand=wanted.expand)
        return replace(new, post_key=post_key(new.link, new.preset, new.wanted_subtitles, new.photos))

    # Waiting

    async def wait(self, submission: Submission) -> list[Job]:
        """Return the jobs of *submission*, one for each link sent, in order, once each is final.

        A job whose next attempt lies more than `PATIENCE_SECONDS` ahead is returned as it is, as is one that waits for
        a platform that cools down for longer than that. A collection is returned once its entries are as far, too.
        """
        jobs = {job.id: job for job in submission.jobs if job.state in FINAL_STATES}  # failed at once, or reused
        ids = tuple(dict.fromkeys(job.id for job in submission.jobs if job.id not in jobs))
        ended = await asyncio.gather(*map(self.wait_for, ids))
        jobs |= zip(ids, ended, strict=True)
        return [jobs[job.id] for job in submission.jobs]

    async def wait_for(self, job_id: str) -> Job:
        """Return one job once it is final; see `wait`."""
        job = await self._ended(job_id)
        if job.kind != "collection" or job.state not in FINAL_STATES:
            return job
        while not self._closed.is_set():
            now = self.clock()
            patience = now + timedelta(seconds=PATIENCE_SECONDS)
            queued = replace(job, state="queued")  # as those of its entries are that do not run
            try:
                if not await self._db(self._store.entries_due, job_id, patience) or self._cools_for_long(queued):
                    break
            except StoreUnavailable:  # the jobs continue all the same, and so does the request
                pass
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), ENTRIES_CHECK_INTERVAL_SECONDS)
        try:
            return await self._db(self._store.job, job_id)
        except (NotFound, StoreUnavailable):
            return job

    async def _ended(self, job_id: str) -> Job:
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        # Subscribe first, then read: either way round, the end is noticed.
        waiters = self._waiters.setdefault(job_id, set())
        waiters.add(future)
        try:
            self._tell_waiters(await self._db(self._store.job, job_id))
            while not (await asyncio.wait({future}, timeout=COOLDOWN_CHECK_INTERVAL_SECONDS))[0]:
                try:
                    job = await self._db(self._store.job, job_id)
                except StoreUnavailable:  # the job continues all the same, and so does the request
                    continue
                self._tell_waiters(job)
                if self._cools_for_long(job):
                    self._settle(job_id, job)
            return future.result()
        finally:
            waiters.discard(future)
            if not waiters and self._waiters.get(job_id) is waiters:
                del self._waiters[job_id]

    def _cools_for_long(self, job: Job) -> bool:
        if job.state != "queued":
            return False
        if self.scheduler.status().held_up:
            return True
        until = self.ways.cooling_until(job.platform, self.clock())
        return until is not None and until > self.clock() + timedelta(seconds=PATIENCE_SECONDS)

    def _tell_waiters(self, job: Job) -> None:
        patience = self.clock() + timedelta(seconds=PATIENCE_SECONDS)
        far_off = job.next_attempt_at is not None and job.next_attempt_at > patience
        if job.state in FINAL_STATES or far_off:
            self._settle(job.id, job)

    def _settle(self, job_id: str, job: Job) -> None:
        for future in self._waiters.get(job_id, ()):
            if not future.done():
                future.set_result(job)

    # Reading

    batch = _query(Store.batch)
    batches = _query(Store.batches)
    batch_jobs = _query(Store.batch_jobs)
    job = _query(Store.job)
    job_ids = _query(Store.job_ids)
    jobs = _query(Store.jobs)
    jobs_with_urls = _query(Store.jobs_with_urls)
    file_users = _query(Store.file_users)
    number_of_jobs = _query(Store.number_of_jobs)
    attempts = _query(Store.attempts)
    counts = _query(Store.counts)
    events_since = _query(Store.events_since)
    last_event_id = _query(Store.last_event_id)

    async def platforms(self) -> list[PlatformView]:
        """Return the state of each platform, and its last hour."""
        now = self.clock()
        counts = await self._db(self._store.counts)
        recent = await self._db(self._store.recent, since=now - timedelta(seconds=RECENT_SECONDS))
        views = []
        for platform, label in self.labels.items():
            succeeded, failed, seconds = recent.get(platform, (0, 0, 0.0))
            of_platform = counts.get(platform, {})
            views.append(
                PlatformView(
                    platform=platform,
                    label=label,
                    cap=self.ways.cap(platform),
                    running=self.ways.running(platform),
                    queued=of_platform.get("queued", 0),
                    waiting=of_platform.get("waiting", 0),
                    cooling_until=self.ways.cooling_until(platform, now),
                    succeeded_last_hour=succeeded,
                    failed_last_hour=failed,
                    mean_seconds_last_hour=seconds / succeeded if succeeded else None,
                )
            )
        return views

    async def statistics(self, hours: int) -> Statistics:
        """Return the statistics of the last *hours*."""
        # One at a time: it takes the database most of a second for 100,000 attempts, and the queue must find it free.
        async with self._computing:
            span = Span.last(hours, self.clock())
            ended = await self._db(
                self._store.ended, since=span.since, until=span.until, bucket_seconds=span.bucket_seconds
            )
            return await asyncio.to_thread(compute, span, ended, self.labels)

    # Changing

    async def cancel(self, job_ids: Sequence[str]) -> list[Job]:
        """Cancel those that are not final, at once; return them as they are then. Raises NotFound."""
        return await self._cancelled(await self._db(self._store.cancel, job_ids, now=self.clock()))

    async def _cancelled(self, jobs: Sequence[Job]) -> list[Job]:
        self.scheduler.wake()  # the second round of a batch may have started
        await self.scheduler.cancelled(jobs)
        for job in jobs:
            self._tell_waiters(job)
        return await self._db(self._store.with_entries, jobs)

    async def cancel_batch(self, batch_id: str) -> list[Job]:
        """Cancel up to `PORTION` jobs of a batch that are not final, and the second round that it may want; return them
        as they are then.

        Raises NotFound. To be called until there are none: as one change, thousands would keep the database from
        others, and fill the memory.
        """
        jobs = await self._db(self._store.cancel_batch, batch_id, now=self.clock(), most=PORTION)
        return await self._cancelled(jobs)

    async def retry(self, job_ids: Sequence[str]) -> list[Job]:
        """Put failed and cancelled ones back into the queue; return them."""
        jobs = await self._db(self._store.retry, job_ids, now=self.clock())
        self.scheduler.wake()
        return await self._db(self._store.with_entries, jobs)

    async def take_more(self, job_id: str, number: int | None) -> Job:
        """Take *number* more entries of a collection, None: all that are left; see `Store.take_more`."""
        await self._db(self._store.take_more, job_id, number, now=self.clock())
        self.scheduler.wake()
        return await self._db(self._store.job, job_id)

    async def delete(self, job_ids: Sequence[str], *, with_files: bool) -> list[str]:
        """Delete the records of final ones, with their files if wanted; return their ids.

        A file that another job has too is left to that one.
        """
        ids: list[str] = []
        for start in range(0, len(job_ids), PORTION):
            deleted = await self._db(self._store.delete, job_ids[start : start + PORTION], now=self.clock())
            for job in deleted:
                self._settle(job.id, job)
            if with_files:
                paths = [path for job in deleted for path in job.files]
                await self._db(self.removal.remove, paths, of=[job.id for job in deleted])
                self.scheduler.files_removed()
            ids += (job.id for job in deleted)
        return ids

    # The archive

    async def add_to_archive(self, posts: Sequence[tuple[PlatformType, str]]) -> int:
        """Have *posts* count as had, each given by its platform and its name; return how many did not before."""
        added = 0
        for platform in self.labels:
            names = [name for owner, name in posts if owner == platform]
            for start in range(0, len(names), ARCHIVE_PORTION):
                some = names[start : start + ARCHIVE_PORTION]
                added += await self._db(self._store.add_to_archive, platform, some, now=self.clock())
        return added

    async def clear_archive(self) -> int:
        """Forget the archive; return how many posts it had."""
        return await self._db(self._store.clear_archive, now=self.clock())

    # Helpers

    async def _db(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._stored(self.database.call(function, *args, **kwargs))

    async def _stored(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (DownloaderError, ValueError):
            raise
        except Exception as error:
            log.exception("the store failed")
            raise StoreUnavailable from error
