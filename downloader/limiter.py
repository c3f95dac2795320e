"""Admits downloads within caps, for those who wait on an event loop of their own: library use.

Shared by the whole process, whichever loop a caller waits on: the counts are kept under a lock, and a waiter is woken
on its own loop. The server's queue asks the governor instead, which also knows rest and spacing.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field

from downloader.platforms import PlatformType


@dataclass(eq=False, slots=True)
class _Waiter:
    number: int  #: order of arrival
    loop: asyncio.AbstractEventLoop
    admitted: asyncio.Future[None]
    holds_slot: bool = False
    gone: bool = False


@dataclass(slots=True)
class Slot:
    """Leave to run one download; give it back with `release`, from any thread, as often as you like."""

    _gate: Gate
    platform: PlatformType
    _held: bool = field(default=True)

    def release(self) -> None:
        """Let the next download start."""
        with self._gate._lock:
            if not self._held:
                return
            self._held = False
        self._gate._give_back(self.platform)


class Gate:
    """Admits downloads first come, first served, but never one of a platform that is full."""

    def __init__(self, *, total: int, per_platform: int) -> None:
        """Admit at most *total* downloads at once, *per_platform* of one platform."""
        self._total = total
        self._per_platform = per_platform
        self._lock = threading.Lock()
        self._running: Counter[PlatformType] = Counter()
        self._waiting: defaultdict[PlatformType, deque[_Waiter]] = defaultdict(deque)
        self._arrivals = 0

    async def acquire(self, platform: PlatformType) -> Slot:
        """Wait until *platform* may start another download; the caller must release the slot."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._arrivals += 1
            waiter = _Waiter(self._arrivals, loop, loop.create_future())
            self._waiting[platform].append(waiter)
            self._admit()
        try:
            await waiter.admitted
        except BaseException:  # cancelled, or thrown away together with its loop
            with self._lock:
                waiter.gone = True
                took_slot = waiter.holds_slot
            if took_slot:
                self._give_back(platform)
            raise
        return Slot(self, platform)

    def running(self, platform: PlatformType) -> int:
        """Return how many downloads of *platform* run now."""
        with self._lock:
            return self._running[platform]

    def _give_back(self, platform: PlatformType) -> None:
        with self._lock:
            self._running[platform] -= 1
            self._admit()

    def _admit(self) -> None:
        """Wake whoever may start; the lock is held."""
        while self._running.total() < self._total:
            platform = self._next_platform()
            if platform is None:
                return
            waiter = self._waiting[platform].popleft()
            # The loop of a waiter may have ended without cancelling it: then nobody is left to take the slot.
            with suppress(RuntimeError):
                waiter.loop.call_soon_threadsafe(_wake, waiter.admitted)
                waiter.holds_slot = True
                self._running[platform] += 1

    def _next_platform(self) -> PlatformType | None:
        """Return the platform of the longest waiting download that may start; the lock is held."""
        best: tuple[int, PlatformType] | None = None
        for platform, waiters in self._waiting.items():
            while waiters and waiters[0].gone:
                waiters.popleft()
            if waiters and self._running[platform] < self._per_platform:
                candidate = (waiters[0].number, platform)
                best = candidate if best is None else min(best, candidate)
        return None if best is None else best[1]


def _wake(admitted: asyncio.Future[None]) -> None:
    if not admitted.done():
        admitted.set_result(None)
