"""Runs attempts in a pool of worker processes: one that hangs is killed, and the others in its process are resumed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from downloader.download_settings import DownloadSettings
from downloader.egress.dialer import Rules
from downloader.egress.guard import open_egress, rules_of
from downloader.egress.proxy import Grant
from downloader.engines.attempt import success_of
from downloader.engines.base import Engine, EngineHealth
from downloader.engines.pool import PooledWorker, PoolLimits, WorkerPool
from downloader.engines.stall import Stalled, StallWatch
from downloader.engines.worker import Done, Permit, Proceed, Stop
from downloader.engines.worker_process import WorkerLost
from downloader.errors import StartRefused
from downloader.jobs import Progress, Resolved, Work
from downloader.models import Outcome

log = logging.getLogger(__name__)

#: How long an attempt has to stop when asked, before its process is killed along with the other attempts in it.
GRACE_SECONDS = 1.0

#: How long to wait for killed workers to end; it takes milliseconds.
_KILL_TIMEOUT_SECONDS = 1.0

#: How long the start waits for the first worker, which has yt-dlp to load.
_START_TIMEOUT_SECONDS = 30.0


#: Of an attempt: on_progress and on_resolved.
_Listeners = tuple[Callable[[Progress], None], Callable[[str], None] | None]


class _Displaced(Exception):
    """An attempt was ended with its process, through no fault of its own."""


class _SharedWorkerLost(Exception):
    """A process died with several attempts in it, any of which may have been the cause."""


@dataclass(eq=False, frozen=True, slots=True, kw_only=True)
class _Attempt:
    """An attempt running in a worker."""

    work: Work
    worker: PooledWorker
    grant: Grant
    on_progress: Callable[[Progress], None]
    on_resolved: Callable[[str], None] | None
    watch: StallWatch
    end: asyncio.Future[Outcome]

    def fail(self, error: Exception) -> None:
        if not self.end.done():
            self.end.set_exception(error)
            self.end.exception()  # marks it as retrieved: no one may be waiting for it any more


class ProcessEngine(Engine):
    """An `Engine` with a pool of worker processes."""

    def __init__(self, settings: DownloadSettings, limits: PoolLimits) -> None:
        """Run up to `limits.attempts` attempts at once; others wait their turn."""
        self._settings = settings
        self.pool = WorkerPool(settings, limits, on_message=self._on_message, on_lost=self._on_lost)
        self._attempts: dict[str, _Attempt] = {}  #: by job
        #: By job, for the length of `run`: an attempt that is moved to another worker keeps its permit.
        self._permitted: dict[str, bool] = {}

    @cached_property
    def _rules(self) -> Rules:
        return rules_of(self._settings)

    async def start(self) -> None:
        """Start a first worker and wait until it is ready."""
        try:
            self.pool.release(await asyncio.wait_for(self.pool.acquire(), _START_TIMEOUT_SECONDS))
        except (WorkerLost, TimeoutError) as error:
            log.error("no worker could be started", extra={"detail": str(error)})

    async def run(
        self, work: Work, on_progress: Callable[[Progress], None], on_resolved: Callable[[str], None] | None = None
    ) -> Outcome:
        """Run one attempt; see `Engine.run`."""
        dedicated = False
        self._permitted[work.job_id] = work.may_download
        try:
            while True:
                try:
                    return await self._run_once(work, (on_progress, on_resolved), dedicated=dedicated)
                except _Displaced:
                    log.info("resuming a download in another worker", extra={"job_id": work.job_id})
                except _SharedWorkerLost as lost:
                    # If this attempt is the cause, it will only take itself down the next time.
                    facts = {"job_id": work.job_id, "detail": str(lost)}
                    log.warning("a worker died: resuming a download in one of its own", extra=facts)
                    dedicated = True
        finally:
            del self._permitted[work.job_id]

    def permit(self, job_id: str) -> None:
        """See `Engine.permit`."""
        if job_id in self._permitted:
            self._permitted[job_id] = True
        if (attempt := self._attempts.get(job_id)) is not None:
            attempt.worker.process.send(Permit(job_id))

    def proceed(self, job_id: str) -> None:
        """See `Engine.proceed`."""
        if (attempt := self._attempts.get(job_id)) is not None:  # if it is moved just now, it will ask again
            attempt.worker.process.send(Proceed(job_id))

    async def _run_once(self, work: Work, listeners: _Listeners, *, dedicated: bool) -> Outcome:
        try:
            worker = await self.pool.acquire(dedicated=dedicated)
        except WorkerLost as lost:
            return Outcome.failed("interrupted", work.platform, str(lost))
        try:
            if worker.lost:  # since it was acquired
                if worker.reaped is not None:  # terminated because of another attempt, or by `close`
                    raise _Displaced
                return Outcome.failed("interrupted", work.platform, "the worker died before the attempt could start")
            return await self._run_in(worker, work, listeners)
        finally:
            self.pool.release(worker)

    async def _run_in(self, worker: PooledWorker, work: Work, listeners: _Listeners) -> Outcome:
        """Run one attempt in *worker*, which was acquired for it."""
        try:
            grant = worker.take_grant() or open_egress(self._settings, self._rules)
        except (OSError, StartRefused) as error:
            return Outcome.failed("internal", work.platform, f"the egress proxy did not start: {error}")
        attempt = _Attempt(
            work=replace(work, proxy=grant.url, may_download=self._permitted[work.job_id]),
            worker=worker,
            grant=grant,
            on_progress=listeners[0],
            on_resolved=listeners[1],
            watch=StallWatch(work, self._settings),
            end=asyncio.get_running_loop().create_future(),
        )
        success = False
        try:
            outcome = await self._complete(attempt)
            success = outcome[0]
        finally:
            # After anything else its connections may be in any state, and the worker closes them.
            if success:
                worker.keep_grant(grant)
            else:
                grant.revoke()
        refusal = grant.refusal(outcome)
        return outcome if refusal is None else Outcome.failed("blocked_address", work.platform, refusal)

    async def _complete(self, attempt: _Attempt) -> Outcome:
        """Return the outcome of *attempt*, which this starts."""
        work = attempt.work
        self._attempts[work.job_id] = attempt
        attempt.worker.process.send(work)
        attempt.on_progress(Progress(job_id=work.job_id, phase="extracting"))
        try:
            try:
                return await attempt.watch.wait_for(attempt.end)
            except Stalled as stalled:
                log.warning("ending a download that hangs", extra={"job_id": work.job_id, "detail": str(stalled)})
                await self._end(attempt)
                return Outcome.failed("timeout", work.platform, str(stalled))
        except WorkerLost as lost:
            if not self.pool.closed:
                log.warning("a worker died", extra={"job_id": work.job_id, "detail": str(lost)})
            return Outcome.failed("interrupted", work.platform, str(lost))
        except asyncio.CancelledError:
            await self._end(attempt)
            if outcome := success_of(attempt.end):
                return outcome
            raise
        finally:
            if self._attempts.get(work.job_id) is attempt:
                del self._attempts[work.job_id]

    async def _end(self, attempt: _Attempt) -> None:
        """End *attempt* and its child processes; its worker too if it does not stop in time."""
        if attempt.end.done():
            return
        worker = attempt.worker
        # Cutting its connections wakes whatever waits for the network, which then finds that it is to stop.
        worker.process.send(Stop(attempt.work.job_id))
        attempt.grant.revoke()
        await asyncio.wait({attempt.end}, timeout=GRACE_SECONDS)
        if attempt.end.done():
            return
        self.pool.restarts += 1
        reaped = self.pool.terminate(worker)
        for other in self._attempts_in(worker):
            other.fail(WorkerLost("ended") if other is attempt else _Displaced())
        self.pool.scale_up()
        await asyncio.wait({reaped}, timeout=_KILL_TIMEOUT_SECONDS)

    def health(self) -> EngineHealth:
        """Return the current state; a worker counts once it is ready."""
        return EngineHealth(
            workers=len(self.pool.ready),
            busy=len(self._attempts),
            restarts=self.pool.restarts,
            asleep=self.pool.asleep,
        )

    async def close(self) -> None:
        """Kill every worker; running attempts end as `interrupted`."""
        await self.pool.close(_KILL_TIMEOUT_SECONDS)

    def _on_message(self, worker: PooledWorker, message: Progress | Resolved | Done) -> None:
        attempt = self._attempts.get(message.job_id)
        if attempt is None or attempt.worker is not worker:
            return
        if isinstance(message, Progress):
            attempt.watch.note(message)
            attempt.on_progress(message)
            return
        if isinstance(message, Resolved):
            if attempt.on_resolved is None:
                self.proceed(message.job_id)
            else:
                attempt.on_resolved(message.link)
            return
        self.pool.note_done(worker, message.memory_bytes)
        if not attempt.end.done():
            attempt.end.set_result(message.outcome)

    def _on_lost(self, worker: PooledWorker, reason: str) -> None:
        attempts = self._attempts_in(worker)
        shared = len(attempts) > 1 and not self.pool.closed
        for attempt in attempts:
            attempt.fail(_SharedWorkerLost(reason) if shared else WorkerLost(reason))

    def _attempts_in(self, worker: PooledWorker) -> list[_Attempt]:
        return [attempt for attempt in self._attempts.values() if attempt.worker is worker]
