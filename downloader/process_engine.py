"""Runs attempts in warm worker processes, one at a time in each: a hung one is killed, a crash costs one attempt."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

from downloader.attempt_runner import Stalled, StallWatch, failed
from downloader.egress import way_out
from downloader.engine import EngineHealth
from downloader.jobs import Progress, Work
from downloader.models import Outcome
from downloader.settings import PREFIX, Settings
from downloader.worker import Done, WorkerStart
from downloader.worker_process import WorkerLost, WorkerProcess

log = logging.getLogger(__name__)

#: A worker is replaced after this many attempts, and when it holds this much memory: both grow a little with each.
MAX_JOBS_PER_WORKER = 200
MAX_WORKER_BYTES = 512 * 1024**2

#: How long to wait for a worker that was killed; it takes milliseconds.
_END_SECONDS = 1.0

#: How long the start waits for the first worker, which has yt-dlp to load.
_START_SECONDS = 30.0

#: Workers get to know none of them: libraries ask for these by themselves, and would then go past the egress proxy.
_PROXY_VARIABLES = frozenset(
    {"http_proxy", "https_proxy", "ftp_proxy", "ws_proxy", "wss_proxy", "all_proxy", "no_proxy"}
)


def _is_ours_alone(name: str) -> bool:
    """Tell whether workers, and the programs that they start, must not get the variable *name*."""
    return name.lower() in _PROXY_VARIABLES or name.upper().startswith(PREFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """An attempt under way in a worker."""

    work: Work
    on_progress: Callable[[Progress], None]
    watch: StallWatch
    end: asyncio.Future[Outcome]


class ProcessEngine:
    """An `Engine`. Everything here happens on the loop that `start` ran on; the workers' threads only call it."""

    def __init__(
        self,
        settings: Settings,
        max_workers: int,
        *,
        max_jobs_per_worker: int = MAX_JOBS_PER_WORKER,
        max_worker_bytes: int = MAX_WORKER_BYTES,
    ) -> None:
        """Run attempts as *settings* say, *max_workers* at once; those beyond wait their turn."""
        self._settings = settings
        self._max_workers = max_workers
        self._max_jobs_per_worker = max_jobs_per_worker
        self._max_worker_bytes = max_worker_bytes
        self._starting: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()
        self._attempts: dict[WorkerProcess, _Attempt] = {}  #: of the busy ones, but for those just hired
        self._leaving: dict[WorkerProcess, asyncio.Future[None]] = {}  #: killed by us, not gone yet
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._restarts = 0
        self._closed = False

    async def start(self) -> None:
        """Start a first worker and wait until it is ready."""
        self._keep_spare()
        try:
            self._put_back(await asyncio.wait_for(self._hire(), _START_SECONDS))
        except (WorkerLost, TimeoutError) as error:
            log.error("no worker could be started", extra={"detail": str(error)})

    async def run(self, work: Work, on_progress: Callable[[Progress], None]) -> Outcome:
        """Run one attempt; see `Engine.run`. A cancelled one is over, with all its processes, when this returns."""
        try:
            worker = await self._hire()
        except WorkerLost as lost:
            return failed(work.platform, "interrupted", str(lost))
        if worker not in self._busy:  # it went just now
            return failed(work.platform, "interrupted", "the worker was lost before it could begin")
        with ExitStack() as stack:
            try:
                way = stack.enter_context(way_out(self._settings))
            except (OSError, ValueError) as error:
                self._put_back(worker)
                return failed(work.platform, "internal", f"no way out can be had: {error}")
            outcome = await self._attempt(worker, replace(work, proxy=way.url), on_progress)
            refusal = way.refused(outcome)
        return outcome if refusal is None else failed(work.platform, "blocked_address", refusal)

    async def _attempt(self, worker: WorkerProcess, work: Work, on_progress: Callable[[Progress], None]) -> Outcome:
        """Run one attempt in *worker*, which is busy with it until its end."""
        end: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        attempt = _Attempt(work=work, on_progress=on_progress, watch=StallWatch(work, self._settings), end=end)
        self._attempts[worker] = attempt
        self._keep_spare()
        worker.send(work)
        try:
            return await attempt.watch.wait_for(end)
        except WorkerLost as lost:
            if not self._closed:
                log.warning("a worker died", extra={"job_id": work.job_id, "detail": str(lost)})
            return failed(work.platform, "interrupted", str(lost))
        except Stalled as stalled:
            log.warning("a download hangs: killing its worker", extra={"job_id": work.job_id, "detail": str(stalled)})
            await self._dismiss(worker)
            return failed(work.platform, "timeout", str(stalled))
        except asyncio.CancelledError:
            if self._attempts.get(worker) is attempt:  # else it is done and the worker is at something else
                await self._dismiss(worker)
            raise

    def health(self) -> EngineHealth:
        """Return how it is; a worker that is being started does not count yet."""
        busy = len(self._busy)
        return EngineHealth(workers=busy + len(self._idle), busy=busy, restarts=self._restarts)

    async def close(self) -> None:
        """Kill every worker; what runs ends as interrupted."""
        self._closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(WorkerLost("the server is stopping"))
        for worker in (*self._starting, *self._idle, *self._busy):
            self._let_go(worker)
        if self._leaving:
            await asyncio.wait(set(self._leaving.values()), timeout=_END_SECONDS)

    # Workers come and go

    def _keep_spare(self) -> None:
        """Start workers for those who wait, and one more: the next attempt should not have to wait for its start."""
        waiting = sum(not waiter.done() for waiter in self._waiting)
        while not self._closed and len(self._starting) + len(self._idle) < waiting + 1:
            if len(self._starting) + len(self._idle) + len(self._busy) >= self._max_workers:
                return
            self._starting.add(self._start_worker())

    def _start_worker(self) -> WorkerProcess:
        loop = asyncio.get_running_loop()

        def on_message(worker: WorkerProcess, message: Progress | Done | None) -> None:
            with suppress(RuntimeError):  # the loop ended without closing us
                loop.call_soon_threadsafe(self._heard, worker, message)

        def on_end(worker: WorkerProcess, how: str) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._ended, worker, how)

        level = logging.getLogger("downloader").getEffectiveLevel()
        start = WorkerStart(
            # What has passwords in it is for others: the egress proxy, the store, the API.
            settings=self._settings.model_copy(update={"proxy": None, "database_url": None, "api_key": None}),
            environment={name: value for name, value in os.environ.items() if not _is_ours_alone(name)},
            log_level=level,
        )
        return WorkerProcess(start, on_message=on_message, on_end=on_end)

    async def _hire(self) -> WorkerProcess:
        """Return a worker that is ready and belongs to nobody.

        Raises:
            WorkerLost: none can be had.
        """
        if self._closed:
            raise WorkerLost("the server is stopping")
        if self._idle:
            worker = self._idle.pop()
            self._busy.add(worker)
            return worker
        waiter: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._keep_spare()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._put_back(waiter.result())
            raise

    def _put_back(self, worker: WorkerProcess) -> None:
        """Hand a worker that is ready to who waits longest; else it is idle."""
        if worker not in self._starting | self._busy:  # it ended, or is about to
            return
        self._starting.discard(worker)
        self._busy.discard(worker)
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._busy.add(worker)
                waiter.set_result(worker)
                return
        self._idle.append(worker)

    async def _dismiss(self, worker: WorkerProcess) -> None:
        """Kill *worker*, whose attempt must not go on; return when it is gone."""
        self._restarts += 1
        gone = self._let_go(worker)
        self._keep_spare()
        await asyncio.wait({gone}, timeout=_END_SECONDS)

    def _let_go(self, worker: WorkerProcess) -> asyncio.Future[None]:
        """Kill *worker*; return the future of its end."""
        gone = self._leaving[worker] = asyncio.get_running_loop().create_future()
        self._forget(worker, "the server is stopping")
        worker.kill()
        return gone

    def _forget(self, worker: WorkerProcess, how: str) -> None:
        self._starting.discard(worker)
        self._busy.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        attempt = self._attempts.pop(worker, None)
        if attempt is not None and not attempt.end.done():
            attempt.end.set_exception(WorkerLost(how))
            attempt.end.exception()  # seen: nobody may be waiting for it any more

    # What workers' threads say

    def _heard(self, worker: WorkerProcess, message: Progress | Done | None) -> None:
        if worker in self._leaving:
            return
        if message is None:
            self._put_back(worker)
            return
        attempt = self._attempts.get(worker)
        if attempt is None or attempt.work.job_id != message.job_id:
            return
        if isinstance(message, Progress):
            attempt.watch.note(message)
            attempt.on_progress(message)
            return
        del self._attempts[worker]
        if not attempt.end.done():
            attempt.end.set_result(message.outcome)
        worker.jobs_done += 1
        if worker.jobs_done >= self._max_jobs_per_worker or message.memory_bytes > self._max_worker_bytes:
            self._let_go(worker)
            self._keep_spare()
        else:
            self._put_back(worker)

    def _ended(self, worker: WorkerProcess, how: str) -> None:
        gone = self._leaving.pop(worker, None)
        if gone is not None:
            if not gone.done():
                gone.set_result(None)
            return
        self._restarts += 1
        stillborn = worker in self._starting
        self._forget(worker, how)
        if stillborn:
            log.error("a worker died before it was ready", extra={"detail": how})
            # Somebody has to hear of it, or all would wait for ever.
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_exception(WorkerLost(how))
                    break
        if not stillborn or any(not waiter.done() for waiter in self._waiting):
            self._keep_spare()
