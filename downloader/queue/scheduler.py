"""Decides which job runs when, runs it, and decides what becomes of it; lives on the service's event loop.

The store says what there is to do, the governor what may be done now, the engine does it. Nothing here is lost by a
crash: a job is running in the store before it runs, and what it came to is stored before anyone is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal

from downloader.daemon_thread import in_thread
from downloader.engines.attempt import failed
from downloader.engines.base import Engine
from downloader.errors import STORAGE_CODES, ErrorCode, NotFound, sentence
from downloader.jobs import FINAL_STATES, AttemptResult, Event, Job, JobState, Progress, Work
from downloader.media.files import remove_work_dir
from downloader.media.removal import MediaRemoval
from downloader.models import Outcome
from downloader.platforms import PlatformType
from downloader.queue.clock import MIN_STEP_SECONDS
from downloader.queue.database import Database
from downloader.queue.disk import LOOK_SECONDS, DiskWatch
from downloader.queue.governor import FIRST_REST_SECONDS, Governor
from downloader.queue.hub import EventHub
from downloader.queue.preemption import Signs, SilenceRules
from downloader.queue.retention import Retention
from downloader.queue.retry import next_attempt_at, second_try_at
from downloader.queue.space import StorageWatch
from downloader.settings import Settings
from downloader.store.repository import Store

log = logging.getLogger(__name__)

#: Events that a client may resume from; older ones are removed now and then, and who was away longer loads anew.
KEPT_EVENTS = 50_000
PRUNE_SECONDS = 3600.0

#: A silent download that stepped back for others comes back after this.
STEP_BACK_SECONDS = 8.0

#: How often jobs are looked for that the store calls running and nothing runs.
ORPHAN_CHECK_SECONDS = 20.0

#: How long a look at the disk may take; writing a file takes milliseconds.
LOOK_PATIENCE_SECONDS = 10.0

#: How long to wait before what could not be stored is stored again.
STORE_RETRY_SECONDS = 2.0

#: Tries that a job may lose to a disk that is otherwise well, before they count.
PATIENT_TRIES = 20

#: What a disk that fails may look like.
_PERHAPS_STORAGE: frozenset[ErrorCode] = STORAGE_CODES | {"internal", "file_missing", "not_a_video", "timeout"}

Why = Literal["cancelled", "interrupted", "stepped_back"]


@dataclass(eq=False, slots=True)
class _Running:
    """A job that runs now."""

    job: Job
    started_at: datetime
    signs: Signs
    disk_faults: int  #: as of its start
    run: asyncio.Task[Outcome] | None = None  #: all that may be cancelled: whatever stores its end may not
    progress: Progress | None = None
    ended_at: datetime | None = None
    why: Why | None = None  #: set: it was ended by us, and this is the reason


class _NotStored(Exception):
    """The service stopped before the end of an attempt could be stored: the next start puts its job back."""


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Whether new downloads are begun."""

    paused: bool  #: by hand
    disk_low: bool
    storage_full: bool  #: as much lies in the storage folder as the operator allows
    storage_error: str | None  #: why the storage folder cannot be used, in a sentence
    database_error: str | None  #: why the database cannot be used any more
    free_bytes: int

    @property
    def held_up(self) -> bool:
        """Whether nothing new is started."""
        trouble = self.storage_error or self.database_error
        return self.paused or self.disk_low or self.storage_full or trouble is not None


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


@dataclass(eq=False, kw_only=True)
class Scheduler:
    """Runs the jobs of a store. All methods are called on one event loop, `start` first."""

    store: Store
    database: Database  #: calls the store
    engine: Engine
    governor: Governor
    removal: MediaRemoval
    settings: Settings
    hub: EventHub
    clock: Callable[[], datetime] = utc_now
    random: Random = field(default_factory=Random)
    #: told of every attempt that ended: platform, what it came to, seconds, bytes of media
    on_attempt: Callable[[PlatformType, str, float, int], None] = lambda *_: None

    def __post_init__(self) -> None:
        self._running: dict[str, _Running] = {}
        self._ending: set[_Running] = set()  #: what ran, until its end is stored
        self._tasks: dict[str, asyncio.Task[None]] = {}  #: of each job, until the end of its attempt is stored
        self._removals: dict[str, asyncio.Task[None]] = {}  #: of each job whose work is being removed
        self._stepped_back: set[str] = set()
        self._held_up: set[PlatformType] = set()
        self._silence = SilenceRules()
        self._disk = DiskWatch(self.settings.raw_dir, self.settings.work_dir, self.settings.min_free_bytes)
        self._disk_turn = asyncio.Lock()
        self._disk_look: asyncio.Future[None] | None = None
        self._disk_hangs = False  #: that look was waited for in vain
        self._store_fault: str | None = None  #: as of the last look
        self._told_of: tuple[bool, bool, str | None] = (False, False, None)
        self._storage = StorageWatch((self.settings.raw_dir, self.settings.work_dir), self.settings.max_storage_bytes)
        self._retention = Retention(self.store, self.removal, self.settings.retention_days)
        self._first_platform = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._paused = False
        self._claiming = False
        self._second_tries = 0  #: jobs that the store asked about when their batch ended
        self._cancelled_in_claim: set[tuple[str, int]] = set()  #: id, and number of the attempt
        self._pruned_at: datetime | None = None
        self._orphans_checked_at = time.monotonic()
        self._loop_task: asyncio.Task[None] | None = None
        self._on_end: list[Callable[[Job], None]] = []
        self.store.on_batch_end(self._second_try)
        self.database.on_clock_set(self._shift_running)

    # Life

    async def start(self) -> None:
        """Take up what an earlier process left, and begin."""
        self._paused = await self.database.call(self.store.paused)
        for rest in (await self.database.call(self.store.platform_rests)).values():
            self.governor.restore(rest)
        for event in await self.database.call(
            self.store.events_since, await self.database.call(self.store.last_event_id) - 1
        ):
            if (step := self.clock() - event.at) < timedelta(seconds=-MIN_STEP_SECONDS):
                self.database.clock_was_set(step)  # while no server was running
        recovered = await self.database.call(self.store.recover, now=self.clock())
        if recovered:
            log.info("resuming what was interrupted", extra={"jobs": recovered})
        await self.database.call(self._clear_work)
        self._loop_task = asyncio.create_task(self._run(), name="scheduler")

    def _clear_work(self) -> None:
        """Remove unfinished files of jobs that are done with, or were deleted, when their process died."""
        for folder in self.settings.work_dir.glob("*"):
            try:
                state = self.store.job(folder.name).state
            except NotFound:
                remove_work_dir(folder, self.settings.raw_dir)
                continue
            if state == "succeeded":
                remove_work_dir(folder, self.settings.raw_dir)
            elif state in FINAL_STATES:
                self.removal.abandon(folder.name)

    async def close(self, grace_seconds: float) -> None:
        """Begin nothing more; give running jobs *grace_seconds*, then put them back to queued."""
        self._closing = True
        self._wake.set()
        if self._loop_task is not None:
            await self._loop_task
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace_seconds)
        for entry in tuple(self._running.values()):
            self._end_early(entry, "interrupted")
        await asyncio.gather(*self._tasks.values(), *self._removals.values(), return_exceptions=True)
        await self.engine.close()
        self.database.close()

    def _shift_running(self, step: timedelta) -> None:
        for entry in (*self._running.values(), *self._ending):
            entry.started_at += step
            entry.signs.last_at += step
            if entry.ended_at is not None:
                entry.ended_at += step

    # What others ask

    def wake(self) -> None:
        """Look again for what may be started: something changed."""
        self._wake.set()

    def on_end(self, listener: Callable[[Job], None]) -> None:
        """Have *listener* called with every job whose attempt ended, once that is stored."""
        self._on_end.append(listener)

    def progress(self) -> list[Progress]:
        """Return how far everything that runs is."""
        return [entry.progress for entry in tuple(self._running.values()) if entry.progress is not None]

    def status(self) -> QueueStatus:
        """Return whether new downloads are begun, and what stands in the way, as of the last look."""
        return QueueStatus(
            paused=self._paused,
            disk_low=self._disk.low,
            storage_full=self._storage.full,
            storage_error=self._disk.fault,
            database_error=self._store_fault,
            free_bytes=self._disk.free_bytes,
        )

    async def look(self, *, thoroughly: bool = False) -> None:
        """Look at disk and database, if it is time to; *thoroughly*: now, by writing a file."""
        if thoroughly:
            self._disk.doubt()
        async with self._disk_turn:
            if self._disk_look is None or self._disk_look.done():
                if not self._disk.is_due(self.clock()):
                    return
                # A thread of its own: where a share is gone, it may stay in there for ever.
                self._disk_look, self._disk_hangs = in_thread(self._look, self.clock(), name="disk"), False
            if not self._disk_hangs:
                done, _ = await asyncio.wait({self._disk_look}, timeout=LOOK_PATIENCE_SECONDS)
                self._disk_hangs = not done
            if self._disk_hangs:
                self._disk.unanswered()

    def _look(self, now: datetime) -> None:
        self._disk.look(now)
        self._store_fault = self.store.fault()

    def _trouble(self) -> str | None:
        """Return in a sentence why nothing can be stored, as of the last look."""
        return self._disk.fault or self._store_fault

    def files_removed(self) -> None:
        """Take note that there may be more room."""
        self._storage.measure_soon()
        self.wake()

    async def set_paused(self, paused: bool) -> None:
        """Begin nothing more, or go on; what runs is left alone."""
        await self.database.call(self.store.set_paused, paused, now=self.clock())
        self._paused = paused
        self.wake()

    async def cancelled(self, jobs: Iterable[Job]) -> None:
        """End the attempts of *jobs*, which the store has as cancelled by now; return when nothing is left of them."""
        ending, ids = list[asyncio.Task[None]](), list[str]()
        for job in jobs:
            entry = self._running.get(job.id)
            if entry is not None and entry.job.tries > job.tries:
                continue  # it was retried since, and `_start` has ended this attempt
            if entry is not None:
                self._end_early(entry, "cancelled")
            if task := self._tasks.get(job.id):
                ending.append(task)
            if self._claiming:  # perhaps it is being claimed this very moment
                # That attempt and no other: it may be retried, and claimed again, before the claim is through.
                self._cancelled_in_claim.add((job.id, job.tries))
            self._stepped_back.discard(job.id)
            ids.append(job.id)
        if not ids:
            return
        removal = asyncio.create_task(self._remove_cancelled(ids, ending), name="remove what was cancelled")
        for job_id in ids:
            self._removals[job_id] = removal
            removal.add_done_callback(partial(self._forget, self._removals, job_id))
        await asyncio.shield(removal)

    async def _remove_cancelled(self, job_ids: Iterable[str], ending: Collection[asyncio.Task[None]]) -> None:
        if ending:
            await asyncio.wait(ending)
        await asyncio.to_thread(self._abandon_cancelled, job_ids)

    def _abandon_cancelled(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            if self._work_dir(job_id).exists() and self._is_cancelled(job_id):
                self.removal.abandon(job_id)

    def _is_cancelled(self, job_id: str) -> bool:
        """Tell whether a job that was cancelled is so still: it may have been retried, and have succeeded, since."""
        try:
            return self.store.job(job_id).state == "cancelled"
        except NotFound:
            return True

    async def end_rest(self, platform: PlatformType) -> None:
        """Let a resting platform start again at once."""
        self.governor.end_rest(platform)
        await self._remember(platform)
        await self.database.call(self.store.release_waiting, platform, now=self.clock())
        self.wake()

    # Starting

    async def _run(self) -> None:
        # Here, not in `start`: the service answers while its first worker is still loading yt-dlp.
        try:
            await self.engine.start()
        except Exception:  # it may yet do; without this loop nothing would ever be tried
            log.exception("the engine could not make ready")
        while not self._closing:
            self._wake.clear()
            await self._prune_events()
            try:
                await self.look()
                if self._store_fault is None:
                    await self._put_back_orphans()
                pause_seconds = await self._start_what_may()
                if self._trouble() is None:
                    pause_seconds = await self._remove_old(pause_seconds)
            except Exception:
                # The database may be back in a moment; a scheduler that died would be a server that does nothing.
                log.exception("the queue could not go on")
                self._disk.doubt()
                pause_seconds = 5.0
            try:
                most = ORPHAN_CHECK_SECONDS
                async with asyncio.timeout(most if pause_seconds is None else min(pause_seconds, most)):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _put_back_orphans(self) -> None:
        """Put back what is running in the store and nowhere else: a fault of ours, or the database's, lost its end.

        Nothing is claimed meanwhile, and what has ended is in `_tasks` until that is stored.
        """
        if time.monotonic() < self._orphans_checked_at + ORPHAN_CHECK_SECONDS:
            return
        orphans = await self.database.call(self.store.recover, now=self.clock(), but=frozenset(self._tasks))
        self._orphans_checked_at = time.monotonic()
        if orphans:
            log.error("jobs that nothing was running were put back into the queue", extra={"jobs": orphans})

    async def _prune_events(self) -> None:
        now = self.clock()
        age = PRUNE_SECONDS if self._pruned_at is None else (now - self._pruned_at).total_seconds()
        if not 0 <= age < PRUNE_SECONDS:  # below 0: the clock was set back
            self._pruned_at = now
            try:
                await self.database.call(self.store.prune_events, KEPT_EVENTS)
            except Exception:
                log.exception("old events could not be removed")

    async def _remove_old(self, pause_seconds: float | None) -> float | None:
        """Delete some of what is too old; return the pause until there may be more, *pause_seconds* at most."""
        look_seconds = self._retention.look_seconds
        if look_seconds is None:
            return pause_seconds
        if await self.database.call(self._retention.remove_some, self.clock()):
            look_seconds = 0.0
            self._storage.measure_soon()
        return look_seconds if pause_seconds is None else min(pause_seconds, look_seconds)

    async def _start_what_may(self) -> float | None:
        """Start all that may start now; return the seconds until time alone allows more, None: until woken."""
        self.database.notice_clock()
        now = self.clock()
        if self._paused:
            return None
        if await self._no_room(now):
            return LOOK_SECONDS
        due = await self.database.call(self.store.due)
        ready = [platform for platform, at in due.items() if at is None or at <= now]
        # Begin with another platform each time, so that none is always served first.
        self._first_platform += 1
        turn = self._first_platform % (len(ready) or 1)
        shares = self.governor.allot(ready[turn:] + ready[:turn], now, silent=self._silent(now))
        # What is due and has no room, although its platform is not at rest: others hold it up.
        self._held_up = {
            platform
            for platform in ready
            if platform not in shares and self.governor.next_change(platform, now) is None
        }
        started = False
        for platform, count in shares.items():
            for job in await self._claim(platform, count):
                self.database.notice_clock()
                self._start(job, self.clock())
                started = True
        if started:
            self._wake.set()  # there may be more where these came from
        if self._held_up:
            self._make_room(now)
        return self._pause_seconds(due, now)

    async def _claim(self, platform: PlatformType, count: int) -> list[Job]:
        self._claiming = True
        try:
            await self.database.keep_step()
            jobs = await self.database.call(self.store.claim, platform, count, now=self.clock())
            jobs = [job for job in jobs if (job.id, job.tries) not in self._cancelled_in_claim]
            rests = self.governor.cooling_until(platform, self.clock()) is not None
            if not (rests or self._paused or self._closing):
                return jobs
            # That came about while they were being claimed.
            for job in jobs:
                await self._put_back(job)
            return []
        finally:
            self._claiming = False
            self._cancelled_in_claim.clear()

    async def _put_back(self, job: Job) -> None:
        await self.database.call(
            self.store.finish,
            job.id,
            state="queued",
            result="interrupted",
            outcome=None,
            now=self.clock(),
            attempt=job.tries,
        )

    def _pause_seconds(self, due: Mapping[PlatformType, datetime | None], now: datetime) -> float | None:
        times = [*due.values(), *(self.governor.next_change(platform, now) for platform in due)]
        if self._held_up:
            times += [entry.signs.silent_at() for entry in self._running.values()]
            times += [self._quiet_at(entry) for entry in self._running.values()]
        # What lies behind us has been looked at, and changed nothing.
        ahead = [at for at in times if at is not None and at > now]
        return (min(ahead) - now).total_seconds() if ahead else None

    def _start(self, job: Job, now: datetime) -> None:
        self.governor.started(job.platform, now)
        entry = _Running(job=job, started_at=now, signs=Signs(now), disk_faults=self._disk.faults)
        # A job that was cancelled and retried: its first attempt may still be on its way out of the work folder.
        before = self._removals.get(job.id) or self._tasks.get(job.id)
        if old := self._running.get(job.id):  # the store was quicker than whoever is about to tell us of the cancel
            self._end_early(old, "cancelled")
        self._running[job.id] = entry
        entry.run = asyncio.create_task(self._run_attempt(entry, before), name=f"attempt {job.id}")
        task = asyncio.create_task(self._attempt(entry, entry.run, before), name=f"job {job.id}")
        self._tasks[job.id] = task
        task.add_done_callback(partial(self._forget, self._tasks, job.id))

    @staticmethod
    def _forget(tasks: dict[str, asyncio.Task[None]], job_id: str, task: asyncio.Task[None]) -> None:
        if tasks.get(job_id) is task:
            del tasks[job_id]

    # A download that is silent makes room

    def _quiet_at(self, entry: _Running) -> datetime | None:
        """Return when *entry* will have been silent long enough to step back; None where it need not."""
        if entry.why is not None or entry.job.id in self._stepped_back:
            return None
        return self._silence.quiet_at(entry.job.platform, entry.signs)

    def _silent(self, now: datetime) -> int:
        """Return how many downloads wait for an answer, and have for a while."""
        times = [entry.signs.silent_at() for entry in self._running.values()]
        return sum(at is not None and at <= now for at in times)

    def _make_room(self, now: datetime) -> None:
        for entry in tuple(self._running.values()):
            at = self._quiet_at(entry)
            if at is not None and at <= now and self._would_help(entry.job.platform):
                self._end_early(entry, "stepped_back")
                if entry.why == "stepped_back":
                    self._stepped_back.add(entry.job.id)

    def _would_help(self, platform: PlatformType) -> bool:
        """Whether a place of *platform* would be of use to a job that is held up."""
        return platform in self._held_up or len(self._running) >= 2 * self.settings.workers

    # Running

    async def _run_attempt(self, entry: _Running, before: asyncio.Task[None] | None) -> Outcome:
        if before is not None:
            await asyncio.wait({before})
        return await self.engine.run(self._work(entry.job), partial(self._told, entry))

    async def _attempt(self, entry: _Running, run: asyncio.Task[Outcome], before: asyncio.Task[None] | None) -> None:
        """Store the end of *run*, whichever it is, once. Never cancelled: who ends an attempt early cancels *run*."""
        outcome = self._judged(entry.job, await self._outcome(entry, run))
        if outcome is not None:
            try:
                outcome = await self._blame_storage(entry, outcome)
            except Exception:  # the end itself must be stored all the same
                log.exception("the disk was not looked at", extra={"job_id": entry.job.id})
        if before is not None:  # still at work in the same folder, if *run* was ended before its turn came
            await asyncio.wait({before})
        self.database.notice_clock()
        job, entry.ended_at = entry.job, self.clock()
        # The place is free from here on, whatever the database says to the rest.
        if self._running.get(job.id) is entry:
            del self._running[job.id]
        rest_changed = self._account(entry, outcome, entry.ended_at)
        self._ending.add(entry)
        self.wake()  # the next one can begin while the end of this one is stored
        second_tries = self._second_tries
        try:
            ended = await self._stubbornly(job.id, partial(self._store_end, entry, outcome, rest_changed))
        except _NotStored:
            return
        finally:
            self._ending.discard(entry)
        if outcome is None or not outcome[0] or self._second_tries != second_tries:
            self.wake()  # it may have put something back, which has a time of its own
        if ended is None or ended.state in FINAL_STATES:
            self._stepped_back.discard(job.id)
        if ended is not None:
            for listener in self._on_end:
                listener(ended)

    async def _outcome(self, entry: _Running, run: asyncio.Task[Outcome]) -> Outcome | None:
        """Wait for the attempt; return what it came to, None where it was ended by us."""
        await asyncio.wait({run})
        if run.cancelled():
            entry.why = entry.why or "interrupted"
            return None
        if (error := run.exception()) is not None:
            log.error("attempt crashed", extra={"job_id": entry.job.id}, exc_info=error)
            detail = f"{type(error).__name__}: {error}"
            return Outcome(False, None, sentence("internal"), error_code="internal", detail=detail)
        return run.result()

    def _judged(self, job: Job, outcome: Outcome | None) -> Outcome | None:
        """Return *outcome*; where it met a login page, as what that means for the post or for its platform."""
        if outcome is None or not outcome.walled:
            return outcome
        wall = self.governor.judge_wall(job.platform, job.url if job.link is None else job.link)
        if wall == "post":
            return failed(job.platform, "login_required", outcome.detail or "")
        # Where it is open the post waits, as it would for a limit, and its platform does not.
        return Outcome(
            *outcome,
            error_code=outcome.error_code,
            detail=outcome.detail,
            retry_after_seconds=FIRST_REST_SECONDS if wall == "open" else outcome.retry_after_seconds,
            walled=wall == "open",
        )

    async def _blame_storage(self, entry: _Running, outcome: Outcome) -> Outcome:
        """Return *outcome*; where the storage failed under the attempt, as just that."""
        if outcome.media is not None and self._disk.mounts and not await asyncio.to_thread(self._disk.is_mounted):
            # They went to what is below the mount point, and will be hidden when the disk is back.
            await asyncio.to_thread(_unlink, outcome.media.files)
            self._disk.doubt()
            return failed(entry.job.platform, "storage_unavailable", "the disk was not mounted any more")
        if outcome.error_code not in _PERHAPS_STORAGE:
            return outcome
        await self.look(thoroughly=True)
        if self._disk.faults == entry.disk_faults or outcome.error_code in STORAGE_CODES:
            return outcome
        return failed(entry.job.platform, "storage_unavailable", outcome.detail or "")

    def _account(self, entry: _Running, outcome: Outcome | None, now: datetime) -> bool:
        """Have all who count and govern take note of an end; tell whether its platform's rest is to be stored."""
        job = entry.job
        limited = outcome is not None and outcome.error_code == "rate_limited" and not outcome.walled
        succeeded = outcome is not None and outcome[0]
        try:
            rest = self.governor.ended(
                job.platform,
                now,
                post=job.url if job.link is None else job.link,
                succeeded=succeeded,
                limited=limited,
                retry_after_seconds=None if outcome is None else outcome.retry_after_seconds,
            )
            if succeeded:
                self._silence.learn(job.platform, entry.signs)
                self.governor.let_through(job.platform)
            if limited:
                self._interrupt_platform(job.platform)
            self._count(entry, outcome, now)
        except Exception:  # the end itself must be stored all the same
            log.exception("the end of an attempt was not counted", extra={"job_id": job.id})
            return False
        return rest is not None

    async def _stubbornly(self, job_id: str, store: Callable[[], Awaitable[Job | None]]) -> Job | None:
        """Store the end of an attempt; where the database cannot take it now, again, until the service stops.

        Raises:
            _NotStored: the service stops.
        """
        told = False
        while True:
            try:
                return await store()
            except Exception as error:
                if not told:
                    log.exception("the end of an attempt could not be stored", extra={"job_id": job_id})
                told = True
                if self._closing:
                    raise _NotStored from error
                await asyncio.sleep(STORE_RETRY_SECONDS)

    def _count(self, entry: _Running, outcome: Outcome | None, now: datetime) -> None:
        word: str = entry.why or "interrupted"
        if outcome is not None:
            word = "succeeded" if outcome[0] else outcome.error_code or "internal"
        media = None if outcome is None else outcome.media
        seconds = (now - entry.started_at).total_seconds()
        self.on_attempt(entry.job.platform, word, seconds, 0 if media is None else media.size_bytes)

    async def _store_end(self, entry: _Running, outcome: Outcome | None, rest_changed: bool) -> Job | None:
        job = entry.job
        if rest_changed:
            await self._remember(job.platform)
        await self.database.keep_step()  # perhaps set since it ended, or since the database would not have it
        assert entry.ended_at is not None
        now = entry.ended_at
        if outcome is None:
            return await self._store_early_end(entry, now)
        state, result, retry_at = self._verdict(entry, outcome, now)
        ended = await self.database.call(self._finish, job, state, result, outcome, now, retry_at)
        log.info(
            "attempt ended",
            extra={
                "job_id": job.id,
                "platform": job.platform,
                "attempt": job.attempts,
                "state": state if ended is None else ended.state,
                "error_code": outcome.error_code,
                "seconds": round((now - entry.started_at).total_seconds(), 3),
            },
        )
        if ended is not None and outcome.media is not None:
            self._storage.arrived(outcome.media.size_bytes)
        return ended

    def _verdict(
        self, entry: _Running, outcome: Outcome, now: datetime
    ) -> tuple[JobState, AttemptResult, datetime | None]:
        """Say what becomes of a job after *outcome*: its state, what the attempt counts as, when it is tried again."""
        job, code = entry.job, outcome.error_code
        if outcome[0] or code is None:
            return ("succeeded", "succeeded", None) if outcome[0] else ("failed", "failed", None)
        if code in STORAGE_CODES:
            # No fault of the link: that costs no try. It is queued until the storage can be used again.
            if self._trouble() or self._disk.low or self._disk.faults != entry.disk_faults:
                return "queued", "interrupted", None
            # Something of its own, an unfinished file of another user's, say; it may pass, but not for ever.
            if job.tries <= PATIENT_TRIES and not job.last_try:
                return "waiting", "interrupted", now + timedelta(seconds=min(LOOK_SECONDS * job.tries, 60))
        retry_at = next_attempt_at(
            code,
            job.attempts,
            # A mark on the job, and no counting: what the second round puts back had its `attempts` used up, but
            # after a restart max_attempts may be higher, and it would get more than the one further try.
            job.attempts if job.last_try else self.settings.max_attempts,
            now=now,
            random=self.random,
            retry_after_seconds=outcome.retry_after_seconds,
            cooling_until=self.governor.cooling_until(job.platform, now),
        )
        return ("failed" if retry_at is None else "waiting"), "failed", retry_at

    async def _store_early_end(self, entry: _Running, now: datetime) -> Job | None:
        job = entry.job
        log.info("attempt ended early", extra={"job_id": job.id, "platform": job.platform, "why": entry.why})
        if entry.why == "cancelled":  # which is stored
            await asyncio.to_thread(self.removal.abandon, job.id)
            return None
        back_at = now + timedelta(seconds=STEP_BACK_SECONDS) if entry.why == "stepped_back" else None
        state: JobState = "queued" if back_at is None else "waiting"
        return await self.database.call(self._finish, job, state, "interrupted", None, now, back_at)

    def _finish(
        self,
        job: Job,
        state: JobState,
        result: AttemptResult,
        outcome: Outcome | None,
        now: datetime,
        next_attempt_at: datetime | None,
    ) -> Job | None:
        """Store the end, then remove what of its files nobody needs any more; both block, so both in one go.

        Return the job as it is then; None where it was cancelled or deleted meanwhile.
        """
        ended = self.store.finish(
            job.id,
            state=state,
            result=result,
            outcome=outcome,
            now=now,
            next_attempt_at=next_attempt_at,
            attempt=job.tries,
        )
        ended = ended or self._stored_before(job)
        try:
            if ended is not None and ended.state == "succeeded":
                remove_work_dir(self._work_dir(job.id))
            elif ended is None or ended.state in FINAL_STATES:
                media = None if outcome is None else outcome.media
                self.removal.abandon(job.id, () if media is None else media.files)
        except Exception:  # it is stored: to do that again would be to find it cancelled
            log.exception("what an attempt left could not be removed", extra={"job_id": job.id})
        return ended

    def _stored_before(self, job: Job) -> Job | None:
        """Return *job* as it is where the end of this attempt is stored, though the database broke off saying so."""
        try:
            found = self.store.job(job.id)
        except NotFound:
            return None
        return found if found.tries == job.tries and found.state in {"succeeded", "failed", "waiting"} else None

    def _second_try(self, job: Job, now: datetime) -> datetime | None:
        """Say when *job*, which failed and whose batch has ended, is tried once more. In any thread."""
        self._second_tries += 1
        until = self.governor.cooling_until(job.platform, now)
        return second_try_at(job.error_code, job.attempts, now=now, random=self.random, cooling_until=until)

    def _told(self, entry: _Running, progress: Progress) -> None:
        progress = replace(progress, attempt=entry.job.tries, batch_id=entry.job.batch_id)
        entry.progress = progress
        shown = progress.phase != "extracting"
        if shown and not entry.signs.begun:
            self.governor.let_through(entry.job.platform)
        entry.signs.note(self.clock(), begun=shown)
        self.hub.publish_progress(entry.job.batch_id, progress)

    def _end_early(self, entry: _Running, why: Why) -> None:
        """Cancel the attempt of *entry*; one that has ended is left as it is, and one that is ending to its end."""
        assert entry.run is not None  # from `_start` on
        if (entry.why is None and entry.run.cancel()) or (entry.why is not None and why == "cancelled"):
            entry.why = why

    def _interrupt_platform(self, platform: PlatformType) -> None:
        """End everything that runs on *platform*, which asked for rest: it gets no request at all until then."""
        for entry in tuple(self._running.values()):
            asks_no_more = entry.progress is not None and entry.progress.phase in ("merging", "checking")
            if entry.job.platform == platform and not asks_no_more:
                self._end_early(entry, "interrupted")

    # Around it

    def _work(self, job: Job) -> Work:
        assert job.link is not None  # the store claims no job that no platform owns
        return Work(
            job_id=job.id,
            platform=job.platform,
            link=job.link,
            output_dir=str(self.settings.raw_dir),
            work_dir=str(self._work_dir(job.id)),
            in_storage=True,
        )

    def _work_dir(self, job_id: str) -> Path:
        return self.settings.work_dir / job_id

    async def _remember(self, platform: PlatformType) -> None:
        await self.database.save_platform(platform)
        rest, now = self.governor.rest(platform), self.clock()
        if rest.cooling_until is not None and rest.cooling_until > now:
            log.warning(
                "platform rests",
                extra={"platform": rest.platform, "until": rest.cooling_until.isoformat(), "cap": int(rest.cap)},
            )

    async def _no_room(self, now: datetime) -> bool:
        """Tell whether disk or database keep anything new from being begun; let it be known where that changed."""
        fault = self._trouble()
        if self._storage.limited and fault is None:  # which reads the whole folder
            await asyncio.to_thread(self._storage.look, now)
        low, full = self._disk.low, self._storage.full
        (was_low, was_full, old_fault), self._told_of = self._told_of, (low, full, fault)
        if low != was_low:
            log.warning("the disk is nearly full: nothing new is begun" if low else "the disk has room again")
        if full != was_full:
            log.warning("the storage folder is full: nothing new is begun" if full else "the storage folder has room")
        if fault is not None and fault != old_fault:
            log.error("no new downloads start", extra={"detail": fault})
        if fault is None and old_fault is not None:
            log.warning("the storage can be used again")
        if self._told_of != (was_low, was_full, old_fault) and self._store_fault is None:
            data = {"disk_low": low, "storage_full": full, "storage_error": fault}
            await self.database.call(self.store.add_event, Event(id=0, at=now, kind="queue_changed", data=data))
        return low or full or fault is not None


def _unlink(paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            Path(path).unlink()
