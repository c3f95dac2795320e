"""A pool of worker processes: starts them, shares them among attempts, and terminates them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from downloader.download_settings import DownloadSettings
from downloader.egress.proxy import Grant
from downloader.engines.worker import Done, Report, WorkerConfig
from downloader.engines.worker_process import WorkerLost, WorkerProcess
from downloader.jobs import Progress, Resolved

log = logging.getLogger(__name__)

#: Only one thread of a process runs Python at a time, which is enough for some 60 videos a second. So the second
#: attempt gets a process of its own, and another one is started when each has this many: see docs/adr/0004.
_CROWD = 4

#: A worker that is not ready by then is killed, or every attempt would wait for it.
READY_TIMEOUT_SECONDS = 60.0


def default_processes() -> int:
    """Return one less than the CPUs that this process may run on, but at least 1; the server keeps one busy itself."""
    # Limits of CPU time (`docker run --cpus`) do not show here: DOWNLOADER_WORKER_PROCESSES is for them.
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cpus - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """The size of a pool, and how long its workers live."""

    attempts: int  #: at once, in all
    attempts_per_process: int = 8  #: a process costs about 45 MB, another attempt in it 1 or 2
    processes: int = field(default_factory=default_processes)  #: to spread over; more only if the attempts need them
    #: A worker is replaced after this many attempts, or when it holds this much memory, which grows a little with each.
    #: The next one takes half a second of CPU time to start.
    max_jobs_per_worker: int = 1000
    max_worker_bytes: int = 512 * 1024**2
    #: When nothing has run for this long, all workers stop, which frees almost half of the memory. The next attempt
    #: waits half a second for a new one, two on a slow machine.
    idle_timeout_seconds: float = 60.0

    def processes_for(self, wanted: int) -> int:
        """Return how many processes *wanted* running and waiting attempts take."""
        attempts = min(wanted, self.attempts)
        comfortable = max(min(2, attempts), -(-attempts // _CROWD))
        return max(-(-attempts // self.attempts_per_process), min(comfortable, self.processes))


@dataclass(eq=False, slots=True)
class PooledWorker:
    """A worker and how the pool uses it."""

    process: WorkerProcess = field(init=False)
    dedicated_to: asyncio.Future[PooledWorker] | None = None  #: set: started for one attempt, and ends with it
    ready: bool = False
    attempts: int = 0  #: that it has been acquired for and not released from
    jobs_done: int = 0
    draining: bool = False  #: takes no more attempts, and is terminated after its last one
    lost: bool = False  #: has left the pool
    reaped: asyncio.Future[None] | None = None  #: set: the pool terminated it; done: it has ended
    #: Of attempts that succeeded; one of the worker's threads keeps the connections of each open, for the next one.
    grants: list[Grant] = field(default_factory=list)

    @property
    def shared(self) -> bool:
        """Whether it is open to any attempt."""
        return not self.draining and self.dedicated_to is None

    def take_grant(self) -> Grant | None:
        """Return a kept grant for one attempt, or None."""
        while self.grants:
            grant = self.grants.pop()
            if grant.valid:
                grant.refusals.clear()
                return grant
        return None

    def keep_grant(self, grant: Grant) -> None:
        """Keep *grant* for the next attempt, or revoke it if there will be none."""
        if grant.valid and self.shared and not self.lost:
            self.grants.append(grant)
        else:
            grant.revoke()

    def revoke_grants(self) -> None:
        """Revoke all kept grants."""
        while self.grants:
            self.grants.pop().revoke()


class WorkerPool:
    """The workers of a process engine; to be used on one event loop."""

    def __init__(
        self,
        settings: DownloadSettings,
        limits: PoolLimits,
        *,
        on_message: Callable[[PooledWorker, Progress | Resolved | Done], None],
        on_lost: Callable[[PooledWorker, str], None],
    ) -> None:
        """Call *on_message* for what workers send, and *on_lost* with the reason, once for each that is lost."""
        self._settings = settings
        self._limits = limits
        self._on_message = on_message
        self._on_lost = on_lost
        self._workers: set[PooledWorker] = set()
        self._terminating: set[asyncio.Future[None]] = set()
        self._waiters: deque[asyncio.Future[PooledWorker]] = deque()  #: the longest-waiting first
        self.closed = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self.asleep = False  #: without workers for lack of work
        self.restarts = 0  #: of workers that died, or were killed because of an attempt

    @property
    def ready(self) -> list[PooledWorker]:
        """The workers that are ready, busy ones included."""
        return [worker for worker in self._workers if worker.ready]

    async def acquire(self, *, dedicated: bool = False) -> PooledWorker:
        """Return a ready worker, reserved for one attempt; *dedicated*: that takes no other.

        Raises:
            WorkerLost: the pool is closed, or a worker could not be started.
        """
        if self.closed:
            raise WorkerLost("the server is stopping")
        self.asleep = False
        if not dedicated and (worker := self._least_busy()):
            worker.attempts += 1
            self.scale_up()
            return worker
        waiter: asyncio.Future[PooledWorker] = asyncio.get_running_loop().create_future()
        if dedicated:
            self._start(dedicated_to=waiter)
        else:
            self._waiters.append(waiter)
            self.scale_up()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())
            raise

    def release(self, worker: PooledWorker) -> None:
        """Give *worker* back after an attempt, to the longest-waiting one."""
        worker.attempts -= 1
        if self.closed:
            return
        if not worker.lost and worker.attempts == 0 and not worker.shared:
            self.terminate(worker)
            self.scale_up()
        self._serve()  # even if the worker is lost: the limit on attempts may be what the others wait for
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._idle_timer = asyncio.get_running_loop().call_later(self._limits.idle_timeout_seconds, self._sleep)

    def note_done(self, worker: PooledWorker, memory_bytes: int) -> None:
        """Count an attempt of *worker*, which holds *memory_bytes* now, and drain it if it has done or grown enough."""
        worker.jobs_done += 1
        if worker.jobs_done >= self._limits.max_jobs_per_worker or memory_bytes > self._limits.max_worker_bytes:
            worker.draining = True
            self.scale_up()

    def scale_up(self) -> None:
        """Start as many workers as the running and waiting attempts take."""
        waiting = sum(not waiter.done() for waiter in self._waiters)
        while not self.closed:
            shared = [worker for worker in self._workers if worker.shared]
            if len(shared) >= self._limits.processes_for(sum(worker.attempts for worker in shared) + waiting):
                return
            self._start()

    def terminate(self, worker: PooledWorker) -> asyncio.Future[None]:
        """Kill *worker*; return the future of its end."""
        if worker.reaped is None:
            worker.reaped = asyncio.get_running_loop().create_future()
            worker.reaped.add_done_callback(self._terminating.discard)
            self._terminating.add(worker.reaped)
            self._forget(worker)
            worker.process.kill()
        return worker.reaped

    async def close(self, timeout_seconds: float) -> None:
        """Kill every worker and fail every pending `acquire`; wait *timeout_seconds* at most."""
        self.closed = True
        dedicated = [worker.dedicated_to for worker in self._workers if worker.dedicated_to is not None]
        for waiter in (*self._waiters, *dedicated):
            if not waiter.done():
                waiter.set_exception(WorkerLost("the server is stopping"))
        for worker in tuple(self._workers):
            self.terminate(worker)
            self._on_lost(worker, "the server is stopping")
        if self._terminating:
            await asyncio.wait(tuple(self._terminating), timeout=timeout_seconds)

    def _forget(self, worker: PooledWorker) -> None:
        worker.lost = True
        self._workers.discard(worker)
        worker.revoke_grants()

    def _least_busy(self) -> PooledWorker | None:
        """Return the ready worker with the most room; None: there is none, or no more attempts may run at once."""
        if sum(worker.attempts for worker in self._workers) >= self._limits.attempts:
            return None
        limit = self._limits.attempts_per_process
        free = [worker for worker in self._workers if worker.ready and worker.shared and worker.attempts < limit]
        return min(free, key=lambda worker: worker.attempts, default=None)

    def _serve(self) -> None:
        while self._waiters and (worker := self._least_busy()):
            waiter = self._waiters.popleft()
            if not waiter.done():
                worker.attempts += 1
                waiter.set_result(worker)

    def _sleep(self) -> None:
        """Terminate all workers if there is nothing to do; if there is, its `release` sets the timer again."""
        waiting = any(not waiter.done() for waiter in self._waiters)
        if self.closed or waiting or any(worker.attempts or worker.dedicated_to for worker in self._workers):
            return
        self.asleep = True
        for worker in tuple(self._workers):
            self.terminate(worker)

    def _start(self, dedicated_to: asyncio.Future[PooledWorker] | None = None) -> None:
        worker = PooledWorker(dedicated_to=dedicated_to)
        config = WorkerConfig(
            settings=replace(self._settings, proxy=None),
            log_level=logging.getLogger("downloader").getEffectiveLevel(),
        )
        worker.process = WorkerProcess(
            config, on_message=partial(self._receive, worker), on_end=partial(self._end, worker)
        )
        self._workers.add(worker)
        asyncio.get_running_loop().call_later(READY_TIMEOUT_SECONDS, self._give_up, worker)

    def _give_up(self, worker: PooledWorker) -> None:
        if not worker.ready and not worker.lost:
            log.error("killing a worker that does not become ready")
            worker.process.kill()

    def _receive(self, worker: PooledWorker, message: Report) -> None:
        if worker.lost:
            return
        if not isinstance(message, str):
            self._on_message(worker, message)
            return
        worker.ready = True
        if worker.dedicated_to is None:
            self._serve()
        elif worker.dedicated_to.done():  # its attempt was cancelled
            self.terminate(worker)
        else:
            worker.attempts = 1
            worker.dedicated_to.set_result(worker)

    def _end(self, worker: PooledWorker, reason: str) -> None:
        if worker.reaped is not None:
            worker.reaped.set_result(None)
            return
        self.restarts += 1
        self._forget(worker)
        self._on_lost(worker, reason)
        if not worker.ready:
            log.error("a worker died before it was ready", extra={"detail": reason})
            # One attempt that waits fails, lest all of them wait forever for workers that cannot start.
            waiters = self._waiters if worker.dedicated_to is None else [worker.dedicated_to]
            if waiter := next((waiter for waiter in waiters if not waiter.done()), None):
                waiter.set_exception(WorkerLost(reason))
        if worker.ready or any(not waiter.done() for waiter in self._waiters):
            self.scale_up()
