"""The store: every batch, job, attempt and event, in SQLite or PostgreSQL; a crash loses nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import BigInteger, Connection, Engine, and_, delete, type_coerce, update
from sqlalchemy.exc import IntegrityError

from downloader.jobs import (
    FINAL_STATES,
    AttemptEnd,
    AttemptResult,
    Claimed,
    CooldownState,
    Described,
    Event,
    Job,
    JobState,
    Listed,
    NewJob,
    Submission,
)
from downloader.models import Outcome
from downloader.platforms import PlatformType
from downloader.store import claiming, collections, listing, queries, remembered, reuse, thumbnails
from downloader.store.cancellation import cancel, cancel_batch
from downloader.store.changes import SecondTry
from downloader.store.database import DatabaseFiles, DatabaseLock, open_database, reading, writing
from downloader.store.outbox import Outbox
from downloader.store.paths import set_media_dir
from downloader.store.schema import attempts, events, jobs
from downloader.store.submission import first_submission, store_batch
from downloader.store.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")


def _query(query: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Store, P], T]:
    """Return *query* as a method of the store."""

    @wraps(query)
    def method(store: Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with reading(store._engine) as connection:
            return query(connection, *args, **kwargs)

    return method


class Store:
    """Each method is one transaction, blocking, callable from any thread; every change also stores its events.

    Text that no database can store (NUL, lone surrogates) is kept with U+FFFD in its place. Times go in aware, of any
    zone, and come out in UTC.
    """

    def __init__(self, engine: Engine) -> None:
        """For `open`, which sees to it that *engine* has our tables."""
        self._engine = engine
        self._files = DatabaseFiles(engine)
        self._writer = Writer(engine, self._files)
        self._change, self.on_event = self._writer.change, self._writer.on_event
        self._lock: DatabaseLock | None = None
        self._second_try: SecondTry = lambda job, now: None
        # Of two jobs for one post, one is the first to run. A database has one server, so this is enough.
        self._claiming = threading.RLock()

    @classmethod
    def open(cls, database_url: str, *, media_dir: Path | None = None) -> Store:
        """Return the store in the database at *database_url*, made or migrated where that is needed.

        Files below *media_dir* are found again after it was moved, if it is given here then.

        Raises:
            StartRefused: it cannot be opened, or was made by a newer version.
        """
        engine = open_database(database_url)
        if media_dir is not None:
            set_media_dir(engine, media_dir)
        return cls(engine)

    def lock_out_others(self) -> None:
        """Keep other servers off this database until `close`, or the end of the process.

        Raises:
            StartRefused: another one has it.
        """
        self._lock = DatabaseLock(self._engine)

    def close(self) -> None:
        """Let go of the database."""
        if self._lock is not None:
            self._lock.release()
        self._files.close()
        self._engine.dispose()

    def fault(self) -> str | None:
        """Return in a sentence why nothing can be stored any more; None where that is not known."""
        return self._files.fault() or (None if self._lock is None else self._lock.fault())

    # -- reading: each query on a connection of its own; jobs that others see, with the entries of collections

    batch = _query(queries.batch)
    batches = _query(queries.batch_page)
    batch_jobs = _query(collections.batch_jobs)
    job = _query(collections.job)
    jobs = _query(collections.job_page)
    number_of_jobs = _query(listing.number_of_jobs)
    jobs_by_id = _query(collections.jobs_by_id)
    with_entries = _query(collections.with_entries)
    entries_due = _query(collections.entries_due)
    job_ids = _query(queries.job_ids)
    jobs_with_urls = _query(queries.jobs_with_urls)
    attempts = _query(queries.job_attempts)
    file_users = _query(queries.file_users)
    finished_before = _query(queries.finished_before)
    due = _query(claiming.due)
    had = _query(reuse.had)
    known_ids = _query(thumbnails.known_ids)
    with_thumbnails = _query(thumbnails.with_thumbnails)
    sharing_ids = _query(thumbnails.sharing_ids)
    counts = _query(queries.counts)
    recent = _query(queries.recent)
    ended = _query(queries.ended)
    events_since = _query(queries.events_since)
    last_event_id = _query(queries.last_event_id)
    paused = _query(queries.paused)
    cooldowns = _query(queries.cooldown_states)

    # -- submitting

    def submit(
        self,
        jobs: Sequence[NewJob],
        *,
        now: datetime,
        idempotency_key: str | None = None,
        retry_failed_once: bool = False,
    ) -> Submission:
        """Store a batch; on the disk when this returns. Raises ValueError where there is no link in it.

        Links to one post of which the same is wanted become one job, and so do equal URLs that no platform owns; those
        fail at once. What is to be reused succeeds at once, or is queued if its source was deleted since. A known key
        returns the first batch, as far as it has not been deleted, whatever *retry_failed_once* says.

        *retry_failed_once*: when the last job of the batch becomes final, those that failed are put back, once, as far
        as `on_batch_end` has it; all in the transaction of that last job, so that the batch never looks ended before.

        It has one event, `batch_created` with `total`, and none for its jobs: clients that follow events ask
        for the batch then, and get an event for each job from its first change on.

        Raises:
            IdempotencyConflict: the key was used with other URLs, or to get something else of them.
        """
        if not jobs:
            raise ValueError("a batch needs at least one link")
        try:
            return self._submit(jobs, now, idempotency_key, retry_failed_once)
        except IntegrityError:
            if idempotency_key is None:
                raise
            # Another submission with the key was quicker by a moment: now it is there to be found.
            return self._submit(jobs, now, idempotency_key, retry_failed_once)

    def _submit(
        self, new_jobs: Sequence[NewJob], now: datetime, key: str | None, retry_failed_once: bool
    ) -> Submission:
        with self._change(now, durable=True) as change:
            return first_submission(change, new_jobs, key) or store_batch(change, new_jobs, key, retry_failed_once)

    # -- running

    def exchange(
        self,
        ends: Sequence[AttemptEnd],
        wanted: Mapping[PlatformType, Sequence[str]],
        described: Sequence[Described] = (),
        *,
        now: datetime,
    ) -> tuple[list[Job | None], Claimed]:
        """Store how attempts ended and what others told, and claim a job for each of the ways out *wanted* for its
        platform, as far as there are jobs; in one transaction.

        Return for each end its job, or None where it is not running (it was cancelled or deleted): then nothing of it
        is changed. Where it was the last of its batch and failed, a second round may have it waiting again.

        What is claimed is queued, or waiting and due, the oldest first; it runs then, each job with an attempt
        (`result` running) and `counted_attempts` + 1. No job is given twice. Of the jobs for one post only one runs,
        unless they fetch it again; the others stay as they are until it has ended.

        Raises:
            IllegalTransition: a running job cannot become what an end says.
        """
        for end in ends:
            if end.result == "running" or (end.state == "waiting") != (end.next_attempt_at is not None):
                raise ValueError(f"an attempt cannot end as {end}")
        with self._claiming, self._change(now) as change:
            ended = change.finish(ends)
            put_back = change.begin_second_rounds(self._second_try)
            # The ends say what those told; and these jobs are written once.
            change.describe([one for one in described if one.job_id not in ended])
            claimed = claiming.claim(change, wanted, but=ended.keys())
        ended = {job.id: put_back.get(job.id, job) for job in ended.values()}
        return [ended.get(end.job_id) for end in ends], claimed

    def claim(self, platform: PlatformType, limit: int, *, egress: str = "", now: datetime) -> list[Job]:
        """Claim up to *limit* jobs of *platform*, all for one way out: see `exchange`."""
        return list(self.exchange((), {platform: [egress] * limit}, now=now)[1].jobs)

    def finish(
        self,
        job_id: str,
        *,
        state: JobState,
        result: AttemptResult,
        outcome: Outcome | None,
        now: datetime,
        next_attempt_at: datetime | None = None,
        attempt: int | None = None,
    ) -> Job | None:
        """Store how one attempt ended: see `AttemptEnd` and `exchange`."""
        end = AttemptEnd(
            job_id=job_id,
            state=state,
            result=result,
            outcome=outcome,
            at=now,
            next_attempt_at=next_attempt_at,
            attempt=attempt,
        )
        return self.exchange([end], {}, now=now)[0][0]

    def resolve(
        self, job_id: str, link: str, post_key: str | None, *, is_collection: bool = False, attempt: int, now: datetime
    ) -> bool:
        """Store to which *link* that of a running job redirects, and the key of its post.

        Return whether its *attempt* continues: not if the post is there, or another job is just fetching it, nor if it
        is a collection, as which it is then to be listed; the job is to be queued, so that `exchange` decides.
        """
        with self._claiming, self._change(now) as change:
            return reuse.resolve(change, job_id, attempt, link, post_key, is_collection=is_collection)

    def add_entries(self, listed: Listed, *, now: datetime) -> bool:
        """See `collections.add_entries`; False: that attempt does not run any more, and nothing was stored."""
        with self._change(now) as change:
            return collections.add_entries(change, listed)

    def take_more(self, job_id: str, number: int | None, *, now: datetime) -> Job:
        """Queue a final collection again, to take *number* more of its entries, None: all.

        Raises NotFound and NotExpandable.
        """
        with self._change(now) as change:
            return collections.take_more(change, job_id, number)

    def reuse(self, by_job: Mapping[str, Job | None], *, now: datetime) -> list[Job]:
        """End claimed jobs, whose attempts did not begin, with the files of others, None: with none; return them.

        What is queued for the same posts, or waits, ends with them. A job whose source was deleted is left as it is.
        """
        with self._change(now) as change:
            ended = reuse.reuse(change, by_job)
            change.begin_second_rounds(self._second_try)
            return ended

    def recover(self, *, now: datetime, but: Collection[str] = ()) -> int:
        """Put every running job but those of the ids *but* back to queued (attempt: interrupted, not counted), as
        after a crash; return how many."""
        with self._change(now) as change:
            running = change.lock(jobs.c.state == "running", jobs.c.id.not_in(but))
            for job in running:
                change.end(job, "queued", "interrupted", counted_attempts=max(0, job.counted_attempts - 1))
            return len(running)

    def thumbnail_failed(self, job_id: str) -> None:
        """Count a failure to get the thumbnail of a job; no event tells of it."""
        with writing(self._engine) as connection:
            thumbnails.count_failure(connection, job_id)

    def shift_times(self, step: timedelta, *, now: datetime) -> None:
        """Move by *step*, by which the clock was set, until when jobs wait and since when they run."""
        moved = step // timedelta(microseconds=1)
        with self._change(now) as change:
            for job in change.lock(jobs.c.next_attempt_at.is_not(None)):
                change.postpone(job, step)
            for table, running in ((jobs, jobs.c.state == "running"), (attempts, attempts.c.result == "running")):
                started_at = type_coerce(table.c.started_at, BigInteger) + moved
                change.connection.execute(update(table).where(running).values(started_at=started_at))

    def on_batch_end(self, second_try: SecondTry) -> None:
        """Have *second_try* say of each failed job of a batch that ended when it is put back; else none ever is.

        It is called in the middle of the transaction, in any thread: it must be quick, ask nothing of this store and
        never raise.
        """
        self._second_try = second_try

    def open_outbox(self, receivers: Sequence[str], *, only_problems: bool) -> Outbox:
        """Have messages to *receivers* stored with the end of each batch from now on; see `Outbox`."""
        self._writer.outbox = Outbox(self._engine, receivers, only_problems=only_problems)
        return self._writer.outbox

    # -- by hand

    def cancel(self, job_ids: Sequence[str], *, now: datetime) -> list[Job]:
        """Cancel those that are not final; return them as they are then.

        Where they are the last of their batch, its second round may start with it: see `cancel_batch`.
        """
        with self._change(now) as change:
            cancelled = cancel(change, change.lock_to_end(job_ids))
            change.begin_second_rounds(self._second_try)
            return cancelled

    def cancel_batch(self, batch_id: str, *, now: datetime, most: int = sys.maxsize) -> list[Job]:
        """Cancel what of a batch is not final, up to *most* jobs, and its second round for good; return as `cancel`
        does.

        Raises NotFound.
        """
        with self._change(now) as change:
            return cancel_batch(change, batch_id, most)

    def retry(self, job_ids: Sequence[str], *, now: datetime) -> list[Job]:
        """Put failed and cancelled ones back to queued, `counted_attempts` at 0; return them.

        Those that no platform owns stay failed.
        """
        with self._change(now) as change:
            change.lock_second_rounds(job_ids)  # one of them may be about to start
            locked = change.lock_ids(job_ids)
            ended = [job for job in locked if job.state in {"failed", "cancelled"} and job.link is not None]
            nothing = {"error_code": None, "error": None, "detail": None}
            return change.move_alike(ended, "queued", counted_attempts=0, final_attempt=False, **nothing)

    def release_waiting(self, platform: PlatformType, *, now: datetime) -> int:
        """Put waiting jobs of *platform* back to queued (its cool-down was ended by hand); return how many."""
        with self._change(now) as change:
            waiting = change.lock(jobs.c.platform == platform, jobs.c.state == "waiting")
            return len(change.move_alike(waiting, "queued"))

    def release_limited(self, platforms: Collection[PlatformType], *, now: datetime) -> int:
        """Put jobs of *platforms* that wait since they met a rate limit back to queued, and do not count that attempt:
        there is another way out. Return how many."""
        met_limit = and_(jobs.c.state == "waiting", jobs.c.error_code == "rate_limited")
        with self._change(now) as change:
            waiting = change.lock(met_limit, jobs.c.platform.in_(sorted(platforms)))
            for job in waiting:
                change.move(job, "queued", counted_attempts=max(0, job.counted_attempts - 1))
            return len(waiting)

    def delete(self, job_ids: Sequence[str], *, now: datetime) -> list[Job]:
        """Delete the records of final ones, attempts included; return them. A batch without jobs goes too."""
        with self._change(now) as change:
            change.lock_batches(job_ids)
            final = [job for job in change.lock_ids(job_ids) if job.state in FINAL_STATES]
            change.delete(final)
            return final

    # -- around it

    def add_to_archive(self, platform: PlatformType, posts: Sequence[str], *, now: datetime) -> int:
        """Have *posts* count as had, whatever is wanted of them; return how many did not before."""
        with self._change(now) as change:
            return reuse.add_to_archive(change, platform, posts)

    def clear_archive(self, *, now: datetime) -> int:
        """Forget the archive; return how many posts it had."""
        with self._change(now) as change:
            return reuse.clear_archive(change)

    def add_event(self, event: Event) -> Event:
        """Store it under the next number (its own id is ignored)."""
        with self._change(event.at) as change:
            change.tell(event.kind, batch_id=event.batch_id, job_id=event.job_id, data=dict(event.data))
        return change.events[0]

    def prune_events(self, keep: int) -> None:
        """Drop all but the newest *keep*."""
        with writing(self._engine) as connection:
            last = queries.last_event_id(connection)  # numbers have no gaps
            connection.execute(delete(events).where(events.c.id <= last - keep))

    def save_cooldown(self, state: CooldownState, *, now: datetime) -> None:
        """Remember *state*; the event `platform_changed` tells of it where it is not as before."""
        with self._change(now) as change:
            remembered.save_cooldown(change, state)

    def set_paused(self, paused: bool, *, now: datetime) -> None:
        """Remember it; the event `queue_changed` tells of it where it is not as before."""
        with self._change(now) as change:
            remembered.set_paused(change, paused)
