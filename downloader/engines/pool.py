"""Keeps the worker processes: starts as many as are needed, knows which have room, and sends away which must go."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from downloader.download_settings import PREFIX, DownloadSettings
from downloader.engines.cpus import usable_processors
from downloader.engines.worker import Done, WorkerStart
from downloader.engines.worker_process import WorkerLost, WorkerProcess, end_fork_server
from downloader.jobs import Progress

log = logging.getLogger(__name__)

#: Attempts share a process: each process costs about 25 MB of its own, an attempt 1 or 2.
PLACES = 8

#: Of the threads in one process only one runs Python at a time, which is enough for some 60 videos a second. So where
#: there are processors, the second attempt gets a process of its own, and another one is begun when each has this many.
#: The server, whose guard moves every byte, keeps one processor. Where there are two, a second process speeds up only
#: what a platform answers in no time: see docs/adr/0004.
_CROWD = 4

#: A worker is replaced after this many attempts, and when it holds this much memory: both grow a little with each.
MAX_JOBS_PER_WORKER = 200
MAX_WORKER_BYTES = 512 * 1024**2

#: A worker that is not ready by then never will be: somebody has to notice, or all would wait for it.
READY_SECONDS = 60.0

#: When nothing ran for so long, all workers go, and the process that they are forked from: that leaves less than half
#: of the memory. The next attempt waits for theirs to come back: half a second, on a slow machine two.
REST_SECONDS = 60.0

#: Workers get to know none of them: libraries ask for these by themselves, and would then go past the egress proxy.
_PROXY_VARIABLES = frozenset(
    {"http_proxy", "https_proxy", "ftp_proxy", "ws_proxy", "wss_proxy", "all_proxy", "no_proxy"}
)


def _is_ours_alone(name: str) -> bool:
    """Tell whether workers, and the programs that they start, must not get the variable *name*."""
    return name.lower() in _PROXY_VARIABLES or name.upper().startswith(PREFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewLimits:
    """How many workers there may be, and for how long each."""

    attempts: int  #: at once, in all
    places: int = PLACES  #: attempts at once in one process
    processors: int = field(default_factory=usable_processors)
    max_jobs_per_worker: int = MAX_JOBS_PER_WORKER
    max_worker_bytes: int = MAX_WORKER_BYTES
    rest_seconds: float = REST_SECONDS

    def processes(self, wanted: int) -> int:
        """Return how many processes there are to be for so many attempts that run, or wait for their turn."""
        attempts = min(wanted, self.attempts)
        comfortable = max(min(2, attempts), -(-attempts // _CROWD))
        return max(-(-attempts // self.places), min(comfortable, self.processors - 1))


@dataclass(eq=False, slots=True)
class Hand:
    """A worker as its crew sees it."""

    worker: WorkerProcess
    ready: bool = False
    taken: int = 0  #: places
    alone_for: asyncio.Future[Hand] | None = None  #: set: it was started for one attempt, and goes with it
    tired: bool = False  #: gets nothing new, and goes when its last attempt has ended
    gone: asyncio.Future[None] | None = None  #: set: we killed it; done: there is nothing left of it
    lost: bool = False  #: it is none of the crew any more


class WorkerCrew:
    """The workers of a process engine. Everything here happens on one loop; the workers' threads only call it."""

    def __init__(
        self,
        settings: DownloadSettings,
        limits: CrewLimits,
        *,
        on_message: Callable[[Hand, Progress | Done], None],
        on_lost: Callable[[Hand, str], None],
    ) -> None:
        """Tell *on_message* what workers say, and *on_lost*, once for each that ends, how it did."""
        self._settings = settings
        self._limits = limits
        self._on_message = on_message
        self._on_lost = on_lost
        self._hand_of: dict[WorkerProcess, Hand] = {}  #: until there is nothing left of it
        self._hands: set[Hand] = set()
        self._leaving: set[Hand] = set()
        self._waiting: deque[asyncio.Future[Hand]] = deque()
        self._closed = False
        self._rest_timer: asyncio.TimerHandle | None = None
        self._resting: asyncio.Task[None] | None = None
        self.asleep = False  #: there are no workers because there was nothing to do
        self.deaths = 0  #: of workers that nobody killed, or that were killed for what they did

    # Places

    async def hire(self, *, alone: bool = False) -> Hand:
        """Return a worker that is ready, with one place taken; *alone*: in a process that nobody else will use.

        Raises:
            WorkerLost: none can be had.
        """
        if self._closed:
            raise WorkerLost("the server is stopping")
        self.asleep = False
        if not alone and (hand := self._with_room()):
            hand.taken += 1
            self.keep_enough()
            return hand
        waiter: asyncio.Future[Hand] = asyncio.get_running_loop().create_future()
        if alone:
            self._start(alone_for=waiter)
        else:
            self._waiting.append(waiter)
            self.keep_enough()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())
            raise

    def give_back(self, hand: Hand) -> None:
        """Free a place of *hand*, for who waits longest."""
        hand.taken -= 1
        if self._closed:
            return
        if not hand.lost and hand.taken == 0 and (hand.tired or hand.alone_for is not None):
            self.send_away(hand)
            self.keep_enough()
        # Also where its process is gone: that no more may run at once is what others may have waited for.
        self._serve()
        if self._rest_timer is not None:
            self._rest_timer.cancel()
        self._rest_timer = asyncio.get_running_loop().call_later(self._limits.rest_seconds, self._rest)

    def has_done(self, hand: Hand, memory_bytes: int) -> None:
        """Note that *hand* did a job, and holds so much memory now."""
        hand.worker.jobs_done += 1
        if hand.worker.jobs_done >= self._limits.max_jobs_per_worker or memory_bytes > self._limits.max_worker_bytes:
            hand.tired = True
            self.keep_enough()

    def _with_room(self) -> Hand | None:
        """Return the worker with the most room; None where there is none, or no more may run at once."""
        if sum(hand.taken for hand in self._hands) >= self._limits.attempts:
            return None
        free = [hand for hand in self._hands if self._room(hand) and hand.ready]
        return min(free, key=lambda hand: hand.taken, default=None)

    def _room(self, hand: Hand) -> int:
        return self._limits.places - hand.taken if _takes_more(hand) else 0

    def _serve(self) -> None:
        while self._waiting and (hand := self._with_room()):
            waiter = self._waiting.popleft()
            if not waiter.done():
                hand.taken += 1
                waiter.set_result(hand)

    # Workers come and go

    def keep_enough(self) -> None:
        """Start workers for those who wait, and others beside those that are crowded."""
        waiting = sum(not waiter.done() for waiter in self._waiting)
        while not self._closed:
            able = [hand for hand in self._hands if _takes_more(hand)]
            if len(able) >= self._limits.processes(sum(hand.taken for hand in able) + waiting):
                return
            self._start()

    def _start(self, alone_for: asyncio.Future[Hand] | None = None) -> None:
        loop = asyncio.get_running_loop()

        def on_message(worker: WorkerProcess, message: Progress | Done | None) -> None:
            with suppress(RuntimeError):  # the loop ended without closing us
                loop.call_soon_threadsafe(lambda: self._heard(self._hand_of[worker], message))

        def on_end(worker: WorkerProcess, how: str) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: self._ended(self._hand_of.pop(worker), how))

        start = WorkerStart(
            settings=replace(self._settings, proxy=None),
            environment={name: value for name, value in os.environ.items() if not _is_ours_alone(name)},
            log_level=logging.getLogger("downloader").getEffectiveLevel(),
        )
        worker = WorkerProcess(start, on_message=on_message, on_end=on_end)
        self._hand_of[worker] = hand = Hand(worker, alone_for=alone_for)
        self._hands.add(hand)
        loop.call_later(READY_SECONDS, self._give_up, hand)

    def _give_up(self, hand: Hand) -> None:
        if not hand.ready and not hand.lost:
            log.error("a worker does not become ready: killing it")
            hand.worker.kill()

    def send_away(self, hand: Hand) -> asyncio.Future[None]:
        """Kill *hand*; return the future of its end."""
        if hand.gone is None:
            hand.gone = asyncio.get_running_loop().create_future()
            hand.lost = True
            self._hands.discard(hand)
            self._leaving.add(hand)
            hand.worker.kill()
        return hand.gone

    def _rest(self) -> None:
        """Send everybody away, if there is still nothing to do."""
        waiting = any(not waiter.done() for waiter in self._waiting)
        if self._closed or waiting or any(hand.taken or hand.alone_for for hand in self._hands):
            return  # whoever is at something now will come by here again
        self.asleep = True
        for hand in tuple(self._hands):
            self.send_away(hand)
        self._resting = asyncio.create_task(self._end_fork_server())

    async def _end_fork_server(self) -> None:
        if going := {hand.gone for hand in self._leaving if hand.gone is not None}:
            await asyncio.wait(going)
        await asyncio.to_thread(end_fork_server)

    async def close(self, timeout_seconds: float) -> None:
        """Kill every worker, and tell who waits for one; wait *timeout_seconds* at most."""
        self._closed = True
        if self._rest_timer is not None:
            self._rest_timer.cancel()
        for waiter in (*self._waiting, *(hand.alone_for for hand in self._hands if hand.alone_for is not None)):
            if not waiter.done():
                waiter.set_exception(WorkerLost("the server is stopping"))
        for hand in tuple(self._hands):
            self.send_away(hand)
            self._on_lost(hand, "the server is stopping")
        going = {hand.gone for hand in self._leaving if hand.gone is not None}
        if going:
            await asyncio.wait(going, timeout=timeout_seconds)

    @property
    def ready(self) -> list[Hand]:
        """Those that could run something, or do."""
        return [hand for hand in self._hands if hand.ready]

    # What workers' threads say

    def _heard(self, hand: Hand, message: Progress | Done | None) -> None:
        if hand.lost:
            return
        if message is not None:
            self._on_message(hand, message)
            return
        hand.ready = True
        if hand.alone_for is None:
            self._serve()
        elif hand.alone_for.done():  # who wanted it is gone
            self.send_away(hand)
        else:
            hand.taken = 1
            hand.alone_for.set_result(hand)

    def _ended(self, hand: Hand, how: str) -> None:
        if hand.gone is not None:
            self._leaving.discard(hand)
            if not hand.gone.done():
                hand.gone.set_result(None)
            return
        self.deaths += 1
        hand.lost = True
        self._hands.discard(hand)
        self._on_lost(hand, how)
        if not hand.ready:
            log.error("a worker died before it was ready", extra={"detail": how})
            # Somebody has to hear of it, or all would wait for ever.
            self._tell_one(hand, how)
        if hand.ready or any(not waiter.done() for waiter in self._waiting):
            self.keep_enough()

    def _tell_one(self, stillborn: Hand, how: str) -> None:
        waiters = self._waiting if stillborn.alone_for is None else deque([stillborn.alone_for])
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_exception(WorkerLost(how))
                return


def _takes_more(hand: Hand) -> bool:
    """Tell whether *hand* is for any attempt, where there is room."""
    return not hand.tired and hand.alone_for is None
