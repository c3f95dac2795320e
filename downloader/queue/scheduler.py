"""Decides which job runs when; lives on the service's event loop.

The store says what there is to do, the governors what may be done now, the engine does it. A crash loses nothing: a job
is running in the store before it runs, and the result is stored before it is reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from downloader.engines.base import Engine
from downloader.errors import NotFound
from downloader.jobs import Claimed, Event, Job, Progress
from downloader.media.removal import MediaRemoval
from downloader.platforms import PLATFORMS, PlatformType
from downloader.queue.attempts import AttemptRunner
from downloader.queue.clock import MIN_STEP_SECONDS
from downloader.queue.collections import Collections
from downloader.queue.completion import Completion
from downloader.queue.database import Database
from downloader.queue.housekeeping import ORPHAN_CHECK_INTERVAL_SECONDS, Housekeeper
from downloader.queue.hub import EventHub
from downloader.queue.reuse import Reuse
from downloader.queue.storage import CHECK_INTERVAL_SECONDS, QueueStatus, StorageMonitor
from downloader.queue.ways import Ways
from downloader.settings import Settings

log = logging.getLogger(__name__)

#: How long to wait after an error before the next round.
ERROR_PAUSE_SECONDS = 5.0

#: What is wrong with a fleet that has no machines.
NO_MACHINE = "No machine is connected: start `batch-video-downloader worker` on one."


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


@dataclass(eq=False, kw_only=True)
class Scheduler:
    """Runs the jobs of a store. All methods are called on one event loop, `start` first."""

    database: Database
    engine: Engine
    ways: Ways
    removal: MediaRemoval
    settings: Settings
    hub: EventHub
    clock: Callable[[], datetime] = utc_now
    random: Random = field(default_factory=Random)
    #: called for every attempt that ended: platform, result, seconds, bytes of media
    on_attempt: Callable[[PlatformType, str, float, int], None] = lambda *_: None

    def __post_init__(self) -> None:
        self._store = self.database.store
        self._wake = asyncio.Event()
        self.storage = StorageMonitor(self.settings, self.database, self.clock)
        self.housekeeper = Housekeeper(self.settings, self.database, self.removal, self.clock)
        self._completion = Completion(
            settings=self.settings,
            database=self.database,
            ways=self.ways,
            removal=self.removal,
            storage=self.storage,
            random=self.random,
            clock=self.clock,
        )
        self.reuse = Reuse(
            settings=self.settings,
            database=self.database,
            storage=self.storage,
            removal=self.removal,
            clock=self.clock,
        )
        self.collections = Collections(
            settings=self.settings, database=self.database, reuse=self.reuse, clock=self.clock, wake=self.wake
        )
        self.attempts = AttemptRunner(
            engine=self.engine,
            settings=self.settings,
            database=self.database,
            ways=self.ways,
            storage=self.storage,
            completion=self._completion,
            collections=self.collections,
            hub=self.hub,
            clock=self.clock,
            make_room=self._wake.set,
            wake=self.wake,
            on_attempt=self.on_attempt,
        )
        self.engine.on_capacity = self._wake.set
        self._no_machine = False  #: as was last told
        self._adopted: list[Job] = []  #: whose attempts an earlier server started, and this one follows
        self._first_platform = 0
        self._due: dict[PlatformType, datetime | None] = {}  #: what the store last said there is to do
        self._due_changed = True  #: that may be out of date
        self._closing = False
        self._paused = False
        self._claiming = False
        self._cancelled_in_claim: set[tuple[str, int]] = set()  #: id, and number of the attempt
        self._loop_task: asyncio.Task[None] | None = None

    # Life

    async def start(self) -> None:
        """Take up what an earlier process left, and start."""
        call = self.database.call
        self._paused = await call(self._store.paused)
        for state in await call(self._store.cooldowns):
            self.ways.restore(state)
        for event in await call(self._store.events_since, await call(self._store.last_event_id) - 1):
            if (step := self.clock() - event.at) < timedelta(seconds=-MIN_STEP_SECONDS):
                self.database.clock_was_set(step)  # while no server was running
        await self._adopt()
        recovered = await call(self._store.recover, now=self.clock(), but=[job.id for job in self._adopted])
        if recovered:
            log.info("resuming interrupted jobs", extra={"jobs": recovered})
        await call(self.housekeeper.clear_work)
        self._loop_task = asyncio.create_task(self._run(), name="scheduler")

    async def _adopt(self) -> None:
        """Ask the engine which attempts of an earlier server it runs; remember those that are still wanted."""
        if not (numbers := await self.engine.adopt()):
            return
        found = (await self.database.call(self._store.jobs_by_id, list(numbers))).values()
        self._adopted = [job for job in found if job.state == "running" and job.attempt_number == numbers[job.id]]
        log.info("following attempts of an earlier server", extra={"attempts": len(self._adopted)})

    async def _follow_adopted(self) -> None:
        self.ways.resize(self.engine.capacity() or {})
        for job in self._adopted:
            self.attempts.start(job, self.clock())
        try:
            found = await self.database.call(self._store.jobs_by_id, [job.id for job in self._adopted])
        except Exception:  # the end of what was cancelled will be refused
            log.exception("adopted jobs could not be read")
            return
        for job in self._adopted:
            stored, attempt = found.get(job.id), self.attempts.running.get(job.id)
            if attempt is not None and (stored is None or stored.state == "cancelled"):  # before it was followed
                attempt.end_early("cancelled")

    async def close(self, grace_seconds: float) -> None:
        """Start nothing more; give running jobs *grace_seconds*, then put them back to queued.

        What machines of a fleet run continues: the next server adopts it.
        """
        self._closing = self._completion.closing = self.collections.closing = True
        self._wake.set()
        if self._loop_task is not None:
            await self._loop_task
        tasks = self.attempts.tasks
        is_fleet = self.engine.capacity() is not None
        if is_fleet:
            await self.attempts.leave()
        elif tasks:
            await asyncio.wait(tasks.values(), timeout=grace_seconds)
        for attempt in tuple(self.attempts.running.values()):
            attempt.end_early("interrupted")
        await asyncio.gather(*tasks.values(), *self.attempts.removals.values(), return_exceptions=True)
        await self.attempts.details.close()
        if not is_fleet:
            await self.engine.close()
        self.database.close()

    # What others ask

    def wake(self) -> None:
        """Check again what may be started: something changed."""
        self._due_changed = True
        self._wake.set()

    def progress(self) -> list[Progress]:
        """Return the progress of everything that runs."""
        attempts = tuple(self.attempts.running.values())
        return [attempt.progress for attempt in attempts if attempt.progress is not None]

    def is_idle(self) -> bool:
        """Tell whether no attempt runs, and none could be started now."""
        if self.attempts.running or self._claiming or self._closing:
            return False
        now = self.clock()
        return self._paused or not any(at is None or at <= now for at in self._due.values())

    def status(self) -> QueueStatus:
        """Return whether new downloads start, and what stands in the way, as of the last check."""
        status = self.storage.status(paused=self._paused)
        capacity = self.engine.capacity()
        if capacity is None or any(capacity.values()):
            return status
        return replace(status, machines_error=NO_MACHINE)

    def files_removed(self) -> None:
        """Note that there may be more room."""
        self.storage.quota.measure_soon()
        self.wake()

    async def set_paused(self, paused: bool) -> None:
        """Start nothing more, or resume; what runs is left alone."""
        await self.database.call(self._store.set_paused, paused, now=self.clock())
        self._paused = paused
        self.wake()

    async def end_cooldown(self, platform: PlatformType) -> None:
        """Let a platform that cools down start again at once."""
        for governor in self.ways.all():
            governor.end_cooldown(platform)
            await self.database.save_cooldown(platform, governor.egress)
        await self.database.call(self._store.release_waiting, platform, now=self.clock())
        self.wake()

    async def cancelled(self, jobs: Iterable[Job]) -> None:
        """End the attempts of *jobs*, which are cancelled in the store; return when nothing is left of them."""
        ending, ids = list[asyncio.Task[None]](), list[str]()
        for job in jobs:
            if not job.attempt_number:
                continue  # it never began
            if (attempt := self.attempts.running.get(job.id)) is not None:
                if attempt.job.attempt_number > job.attempt_number:
                    continue  # it was retried since, which ended this attempt
                attempt.end_early("cancelled")
            if task := self.attempts.tasks.get(job.id):
                ending.append(task)
            if self._claiming:  # perhaps it is just being claimed
                # That attempt and no other: it may be retried, and claimed again, before the claim is through.
                self._cancelled_in_claim.add((job.id, job.attempt_number))
            self.attempts.preemption.forget(job.id)
            ids.append(job.id)
        if not ids:
            return
        removal = asyncio.create_task(self._remove_cancelled(ids, ending), name="remove what was cancelled")
        for job_id in ids:
            self.attempts.track(self.attempts.removals, job_id, removal)
        await asyncio.shield(removal)

    async def _remove_cancelled(self, job_ids: Iterable[str], ending: Collection[asyncio.Task[None]]) -> None:
        if ending:
            await asyncio.wait(ending)
        await asyncio.to_thread(self._abandon_cancelled, job_ids)

    def _abandon_cancelled(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            if not (self.settings.work_dir / job_id).exists():
                continue
            with contextlib.suppress(NotFound):
                if self._store.job(job_id).state != "cancelled":
                    continue  # it was retried since, and may have succeeded
            self.removal.abandon(job_id)

    # Starting

    async def _run(self) -> None:
        # Here, not in `start`: the service answers while its first worker is still loading yt-dlp.
        try:
            await self.engine.start()
        except Exception:  # it may yet work; without this loop nothing would ever be tried
            log.exception("the engine could not start")
        if self._adopted:
            await self._follow_adopted()
        while not self._closing:
            self._wake.clear()
            await self.housekeeper.prune_events()
            pause_seconds = _soonest(await self._round(), ORPHAN_CHECK_INTERVAL_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._wake.wait()

    async def _round(self) -> float | None:
        """Start what may start, and clean up; return the seconds until time alone allows more, None: until woken."""
        try:
            await self.storage.poll()
            if self.storage.database_fault is None and await self.housekeeper.put_back_orphans(self.attempts.tasks):
                self._due_changed = True
            pause_seconds = await self._start_what_may()
            if self.storage.fault is not None:
                return pause_seconds
            if await self.housekeeper.remove_old_jobs():
                self.storage.quota.measure_soon()
                return 0.0
            return _soonest(pause_seconds, self.housekeeper.retention_interval_seconds)
        except Exception:
            # The database may be back in a moment; a scheduler that died would be a server that does nothing.
            log.exception("the scheduler met an error")
            self.storage.disk.doubt()
            self._due_changed = True
            return ERROR_PAUSE_SECONDS

    async def _start_what_may(self) -> float | None:
        """Start all that may start now; return the seconds until time alone allows more, None: until woken."""
        self.database.notice_clock()
        now = self.clock()
        if self._paused:
            return None
        if not await self.storage.has_room(now):
            return CHECK_INTERVAL_SECONDS
        if (capacity := self.engine.capacity()) is not None:
            await self._follow_machines(capacity, now)
            if self._no_machine:
                return None
        if self._due_changed:
            self._due_changed = False  # before it is asked for: it may change meanwhile
            self._due = await self.database.call(self._store.due)
        if self._paused:  # meanwhile
            return None
        due = self._due
        ready = [platform for platform, at in due.items() if at is None or at <= now]
        # Begin with another platform each time, so that none is always served first.
        self._first_platform += 1
        turn = self._first_platform % (len(ready) or 1)
        preemption = self.attempts.preemption
        shares = self.ways.allot(ready[turn:] + ready[:turn], now, silent=preemption.silent(now))
        preemption.held_up = {
            platform for platform in ready if platform not in shares and None in self.ways.next_changes(platform, now)
        }
        for job in await self._claim(shares) if shares else ():
            self.database.notice_clock()
            self.attempts.start(job, self.clock())
            self._wake.set()  # there may be more where this came from
        preemption.make_room(now)
        self.attempts.pass_on_permits()  # what is silent by now leaves room in the total
        return self._pause_seconds(due, now)

    async def _follow_machines(self, capacity: Mapping[str, int], now: datetime) -> None:
        """Open and close ways out as the machines come and go."""
        if self.ways.resize(capacity):
            free = [platform for platform in PLATFORMS if self.ways.cooling_until(platform, now) is None]
            # What waits until another way may be asked again need not wait any more.
            if await self.database.call(self._store.release_limited, free, now=now):
                self._due_changed = True
        no_machine = not any(capacity.values())
        if no_machine != self._no_machine:
            log.warning("no machine is connected" if no_machine else "a machine is connected again")
            data = {"machines_error": NO_MACHINE if no_machine else None}
            event = Event(id=0, at=now, kind="queue_changed", data=data)
            await self.database.call(self._store.add_event, event)
            self._no_machine = no_machine  # once that is told

    async def _claim(self, shares: Mapping[PlatformType, Sequence[str]]) -> list[Job]:
        self._claiming = True
        try:
            claimed = await self._completion.group.claim(
                lambda: {} if self._closing or self.status().held_up else shares
            )
            self._due_changed |= not shares.keys() <= claimed.more
            self.attempts.held_up = frozenset(shares) - {job.platform for job in claimed.jobs}
            left = await self._end_had(claimed)
            jobs = [job for job in left if (job.id, job.attempt_number) not in self._cancelled_in_claim]
            held_up = self._closing or self.status().held_up
            late = [job for job in jobs if held_up or self._is_barred(job)]
            for job in late:  # that changed while they were being claimed
                await self.database.call(
                    self._store.finish,
                    job.id,
                    state="queued",
                    result="interrupted",
                    outcome=None,
                    now=self.clock(),
                    attempt=job.attempt_number,
                )
            if held_up or late:  # the next round finds out why
                self.wake()
            return [job for job in jobs if job not in late]
        finally:
            self._claiming = False
            self._cancelled_in_claim.clear()

    async def _end_had(self, claimed: Claimed) -> list[Job]:
        """End what was claimed although its post is there; return the others."""
        left, ended = await self.reuse.end_had(claimed.jobs, claimed.had)
        for job in ended:
            self.attempts.preemption.forget(job.id)
            self.attempts.on_end(job)
        if ended:
            self.wake()  # there is room for others
        return left

    def _is_barred(self, job: Job) -> bool:
        governor = self.ways.of(job.egress)
        return not governor.total or governor.cooling_until(job.platform, self.clock()) is not None

    def _pause_seconds(self, due: Mapping[PlatformType, datetime | None], now: datetime) -> float | None:
        changes = (at for platform in due for at in self.ways.next_changes(platform, now))
        times = [*due.values(), *changes, *self.attempts.preemption.times()]
        # Times in the past were dealt with, and changed nothing.
        ahead = [at for at in times if at is not None and at > now]
        return (min(ahead) - now).total_seconds() if ahead else None


def _soonest(*seconds: float | None) -> float | None:
    return min((each for each in seconds if each is not None), default=None)
