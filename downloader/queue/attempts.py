"""Runs attempts: starts them in the engine, follows them, and has their ends counted and stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from downloader.cookies.store import CookieStore
from downloader.engines.base import AttemptLost, Engine
from downloader.errors import STORAGE_CODES, ErrorCode, sentence
from downloader.jobs import FINAL_STATES, Job, Progress, Work
from downloader.models import Outcome
from downloader.platform_detector import read_link
from downloader.platforms import PlatformType
from downloader.queue.collections import Collections
from downloader.queue.completion import Completion, NotStored, met_limit
from downloader.queue.database import Database
from downloader.queue.details import DetailsLane
from downloader.queue.governor import FIRST_COOLDOWN_SECONDS, Governor
from downloader.queue.hub import EventHub
from downloader.queue.preemption import Activity, Preemption, RunningAttempt
from downloader.queue.reuse import post_key
from downloader.queue.storage import StorageMonitor
from downloader.queue.ways import Ways
from downloader.settings import Settings

log = logging.getLogger(__name__)

#: How long a server that stops waits for ends that are on their way.
LEAVE_SECONDS = 0.2

#: Attempts that a job may lose with their machines before they count.
MAX_LOST = 20

#: What a failing disk may look like.
_PERHAPS_STORAGE: frozenset[ErrorCode] = STORAGE_CODES | {"internal", "file_missing", "not_a_video", "timeout"}


@dataclass(eq=False, kw_only=True)
class AttemptRunner:
    """All methods are called on one event loop."""

    engine: Engine
    settings: Settings
    database: Database
    ways: Ways
    storage: StorageMonitor
    completion: Completion
    collections: Collections
    hub: EventHub
    clock: Callable[[], datetime]
    make_room: Callable[[], None]  #: called when there may be room for another
    wake: Callable[[], None]  #: called when there may be another to start
    on_attempt: Callable[[PlatformType, str, float, int], None]  #: see `Scheduler.on_attempt`

    def __post_init__(self) -> None:
        self.running: dict[str, RunningAttempt] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}  #: of each job, until the end of its attempt is stored
        self.removals: dict[str, asyncio.Task[None]] = {}  #: of each job whose work is being removed
        #: Platforms whose jobs could not be claimed, as others were running for the same posts.
        self.held_up: frozenset[PlatformType] = frozenset()
        self._resolving: set[asyncio.Task[None]] = set()
        self._ending: set[RunningAttempt] = set()  #: what ran, until its end is stored
        self.details = DetailsLane(self.completion.group)
        self.preemption = Preemption(self.running, self.settings.workers, fleet=self.engine.capacity() is not None)
        #: called with every job whose attempt ended, once that is stored
        self.on_end: Callable[[Job], None] = lambda _: None
        self.database.on_clock_set = self._shift

    def start(self, job: Job, now: datetime) -> None:
        """Start an attempt of *job*, which the store has as running."""
        governor = self.ways.of(job.egress)
        governor.started(job.platform, now)
        attempt = RunningAttempt(
            job=job,
            governor=governor,
            started_at=now,
            activity=Activity(now),
            disk_faults=self.storage.disk.faults,
        )
        # A job that was cancelled and retried: its first attempt may still be leaving the work folder.
        before = self.removals.get(job.id) or self.tasks.get(job.id)
        if old := self.running.get(job.id):  # the store was quicker than the news of the cancel
            old.end_early("cancelled")
        self.running[job.id] = attempt
        if job.kind != "collection":  # a list has no media
            attempt.permitted = governor.permit(job.platform, silent=self.preemption.silent(now))
        attempt.run = asyncio.create_task(self._run(attempt, before), name=f"attempt {job.id}")
        task = asyncio.create_task(self._follow(attempt, attempt.run, before), name=f"job {job.id}")
        self.track(self.tasks, job.id, task)

    def track(self, tasks: dict[str, asyncio.Task[None]], job_id: str, task: asyncio.Task[None]) -> None:
        """Keep *task* in *tasks* until it is done."""
        tasks[job_id] = task

        def forget(_: asyncio.Task[None]) -> None:
            if tasks.get(job_id) is task:
                del tasks[job_id]

        task.add_done_callback(forget)

    def interrupt_platform(self, platform: PlatformType, governor: Governor) -> None:
        """End everything that asks *platform* by one way, where it gets no request at all until it has cooled down."""
        for attempt in tuple(self.running.values()):
            if attempt.governor is governor and attempt.job.platform == platform and not attempt.asks_no_more:
                attempt.end_early("interrupted")

    async def leave(self) -> None:
        """Close the engine of a fleet, and leave what its machines run to the next server."""
        runs = []
        for attempt in self.running.values():
            if attempt.end_reason is None and attempt.run is not None:
                attempt.end_reason = "left"
                runs.append(attempt.run)
        await self.engine.close()
        if runs:
            await asyncio.wait(runs, timeout=LEAVE_SECONDS)
        for run in runs:
            run.cancel()  # it reaches no machine any more

    def _shift(self, step: timedelta) -> None:
        for attempt in (*self.running.values(), *self._ending):
            attempt.shift(step)
        self.wake()

    # While it runs

    async def _run(self, attempt: RunningAttempt, before: asyncio.Task[None] | None) -> Outcome:
        if before is not None:
            await asyncio.wait({before})
        job = attempt.job
        assert job.link is not None  # the store claims no job that no platform owns
        work = Work(
            job_id=job.id,
            platform=job.platform,
            link=job.link,
            output_dir=str(self.settings.raw_dir),
            work_dir=str(self.settings.work_dir / job.id),
            preset=job.preset,
            subtitles=job.wanted_subtitles,
            folder=job.folder,
            expand=job.expand,
            listed=job.listed,
            photos=job.photos,
            in_storage=True,
            may_download=attempt.permitted,
            attempt=job.attempt_number,
            egress=job.egress,
        )
        return await self.engine.run(work, partial(self._on_progress, attempt), partial(self._on_resolved, attempt))

    def _on_resolved(self, attempt: RunningAttempt, link: str) -> None:
        task = asyncio.create_task(self._resolve(attempt, link), name=f"resolve {attempt.job.id}")
        self._resolving.add(task)
        task.add_done_callback(self._resolving.discard)

    async def _resolve(self, attempt: RunningAttempt, link: str) -> None:
        """Store where the short link of *attempt* leads; end it early if that post is there, or being fetched.

        If it leads to a collection, the next attempt lists that.
        """
        job = attempt.job
        key = post_key(link, job.preset, job.wanted_subtitles, job.photos)
        store = self.database.store
        try:
            proceeds = await self.database.call(
                store.resolve,
                job.id,
                link,
                key,
                is_collection=read_link(link).kind == "collection",
                attempt=job.attempt_number,
                now=self.clock(),
            )
        except Exception:
            log.exception("where a link leads could not be stored", extra={"job_id": job.id})
            proceeds = False
        if self.running.get(job.id) is not attempt:
            return
        if proceeds:
            self.engine.proceed(job.id)
        else:
            attempt.end_early("interrupted")

    def _on_progress(self, attempt: RunningAttempt, progress: Progress) -> None:
        job = attempt.job
        if progress.details is not None:
            self.details.learn(attempt, progress.details)
        if progress.page is not None:
            self.collections.take(attempt, progress.page)
        attempt.progress = replace(progress, attempt=job.attempt_number, batch_id=job.batch_id, details=None, page=None)
        shown = progress.phase != "extracting"
        if shown and attempt.extracting:
            attempt.extracting = False
            attempt.governor.extracted(job.platform)
            attempt.governor.let_through(job.platform)
            self.make_room()
        if attempt.permitted and attempt.asks_no_more:
            attempt.permitted = False
            attempt.governor.released(job.platform)
            self.pass_on_permits()
        # A list would be read from the start again: it is not preempted once its first page has come.
        receiving = attempt.asks_no_more or progress.downloaded_bytes > 0 or progress.page is not None
        attempt.activity.note(self.clock(), receiving=receiving)
        self.hub.publish(attempt.progress)

    def pass_on_permits(self) -> None:
        """Let those that wait for others' media download theirs, as far as there is room.

        Those come first whose pages are read, for the others' may never come; of either, the oldest.
        """
        waiting = [attempt for attempt in self.running.values() if attempt.needs_permit]
        if not waiting:
            return
        silent = self.preemption.silent(self.clock())
        for attempt in sorted(waiting, key=lambda attempt: attempt.extracting):
            attempt.permitted = attempt.governor.permit(attempt.job.platform, silent=silent)
            if attempt.permitted:
                self.engine.permit(attempt.job.id)

    # Its end

    async def _follow(
        self, attempt: RunningAttempt, run: asyncio.Task[Outcome], before: asyncio.Task[None] | None
    ) -> None:
        """Store the end of *run*, whatever it is, once. Never cancelled: to end an attempt early, cancel *run*."""
        outcome = self._judged(attempt, await self._outcome(attempt, run))
        if outcome is not None:
            try:
                outcome = await self._blame_storage(attempt, outcome)
            except Exception:  # the end itself must be stored all the same
                log.exception("the disk could not be checked", extra={"job_id": attempt.job.id})
        await self.collections.stored(attempt)
        if before is not None:  # still at work in the same folder, if *run* was ended before its turn came
            await asyncio.wait({before})
        self.database.notice_clock()
        job, attempt.ended_at = attempt.job, self.clock()
        # From here on there is room for another, even if storing the end fails.
        if self.running.get(job.id) is attempt:
            del self.running[job.id]
        self.details.forget(attempt)
        if attempt.end_reason == "left" and (outcome is None or outcome.error_code == "interrupted"):
            return
        new_cooldowns = self._account(attempt, outcome, attempt.ended_at)
        self.pass_on_permits()
        self._ending.add(attempt)
        self.make_room()
        second_tries = self.completion.second_tries
        try:
            if outcome is not None and met_limit(outcome):
                new_cooldowns += await self._limit_account(attempt, outcome)
            ended = await self.completion.store_with_retry(
                attempt, outcome, new_cooldowns=new_cooldowns, alone=not self.running
            )
        except NotStored:
            return
        finally:
            self._ending.discard(attempt)
        put_back = outcome is None or not outcome[0] or self.completion.second_tries != second_tries
        if put_back or job.platform in self.held_up:
            self.wake()  # what was put back has a time of its own
        if ended is None or ended.state in FINAL_STATES:
            self.preemption.forget(job.id)
        if ended is not None:
            self.on_end(ended)

    async def _outcome(self, attempt: RunningAttempt, run: asyncio.Task[Outcome]) -> Outcome | None:
        """Wait for the attempt; return its outcome, None if we ended it."""
        await asyncio.wait({run})
        if run.cancelled():
            attempt.end_reason = attempt.end_reason or "interrupted"
            return None
        error, job = run.exception(), attempt.job
        if isinstance(error, AttemptLost) and job.attempt_number - job.counted_attempts < MAX_LOST:
            log.warning("an attempt was lost", extra={"job_id": job.id, "detail": str(error)})
            attempt.end_reason = attempt.end_reason or "interrupted"
            return None
        if isinstance(error, AttemptLost):  # perhaps because of the post
            return Outcome.failed("interrupted", job.platform, str(error))
        if error is not None:
            log.error("attempt crashed", extra={"job_id": job.id}, exc_info=error)
            detail = f"{type(error).__name__}: {error}"
            return Outcome(False, None, sentence("internal"), error_code="internal", detail=detail)
        return run.result()

    def _judged(self, attempt: RunningAttempt, outcome: Outcome | None) -> Outcome | None:
        """Return *outcome*; a login page as what it means for the post or for its platform."""
        if outcome is None or not outcome.walled:
            return outcome
        platform = attempt.job.platform
        wall = attempt.governor.judge_wall(platform, _post(attempt.job))
        if wall == "post":
            return Outcome.failed("login_required", platform, outcome.detail or "")
        # As long as that is open, the post waits as it would for a limit, but its platform does not.
        return Outcome(
            *outcome,
            error_code=outcome.error_code,
            detail=outcome.detail,
            retry_after_seconds=FIRST_COOLDOWN_SECONDS if wall == "open" else outcome.retry_after_seconds,
            walled=wall == "open",
        )

    async def _blame_storage(self, attempt: RunningAttempt, outcome: Outcome) -> Outcome:
        """Return *outcome*; if the storage failed during the attempt, as a storage error."""
        disk = self.storage.disk
        if outcome.media is not None and disk.mounts and not await asyncio.to_thread(disk.is_mounted):
            # They went to the folder below the mount point, and will be hidden when the disk is back.
            await asyncio.to_thread(_unlink, outcome.media.files)
            disk.doubt()
            return Outcome.failed("storage_unavailable", attempt.job.platform, "the disk was not mounted any more")
        if outcome.error_code not in _PERHAPS_STORAGE:
            return outcome
        await self.storage.poll(thoroughly=True)
        if disk.faults == attempt.disk_faults or outcome.error_code in STORAGE_CODES:
            return outcome
        return Outcome.failed("storage_unavailable", attempt.job.platform, outcome.detail or "")

    def _account(self, attempt: RunningAttempt, outcome: Outcome | None, now: datetime) -> list[str]:
        """Tell governor, preemption and metrics of an end; return the ways on which its platform changed."""
        job, governor = attempt.job, attempt.governor
        limited = met_limit(outcome)
        succeeded = outcome is not None and outcome[0]
        try:
            cooldown = governor.ended(
                job.platform,
                now,
                post=_post(job),
                succeeded=succeeded,
                limited=limited,
                retry_after_seconds=None if outcome is None else outcome.retry_after_seconds,
                extracting=attempt.extracting,
                permitted=attempt.permitted,
            )
            if succeeded and job.kind != "collection":
                self.preemption.learn(job.platform, attempt.activity)
            if succeeded:
                governor.let_through(job.platform)
            if limited:
                self.interrupt_platform(job.platform, governor)
            self._count(attempt, outcome, now)
        except Exception:  # the end itself must be stored all the same
            log.exception("the end of an attempt was not counted", extra={"job_id": job.id})
            return []
        return [] if cooldown is None else [cooldown.egress]

    async def _limit_account(self, attempt: RunningAttempt, outcome: Outcome) -> list[str]:
        """With cookies for its platform, what is limited is the account: have all other ways cool down too.

        Return those on which that is news.
        """
        platform, cookies = attempt.job.platform, CookieStore(self.settings.cookies_folder)
        others = [governor for governor in self.ways.all() if governor is not attempt.governor]
        if not others or not await asyncio.to_thread(cookies.has, platform):
            return []
        assert attempt.ended_at is not None
        changed = []
        for governor in others:
            asked_seconds = outcome.retry_after_seconds
            if governor.limit(platform, attempt.ended_at, post=_post(attempt.job), retry_after_seconds=asked_seconds):
                changed.append(governor.egress)
            self.interrupt_platform(platform, governor)
        return changed

    def _count(self, attempt: RunningAttempt, outcome: Outcome | None, now: datetime) -> None:
        result: str = attempt.end_reason or "interrupted"
        if outcome is not None:
            result = "succeeded" if outcome[0] else outcome.error_code or "internal"
        media = None if outcome is None else outcome.media
        seconds = (now - attempt.started_at).total_seconds()
        self.on_attempt(attempt.job.platform, result, seconds, 0 if media is None else media.size_bytes)


def _post(job: Job) -> str:
    return job.url if job.link is None else job.link


def _unlink(paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            Path(path).unlink()
