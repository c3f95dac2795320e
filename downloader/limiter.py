"""Limits how many downloads run at once, for library use.

One limiter serves the whole process, whichever event loop a caller waits on: the permits are kept under a lock, and
each is granted on its caller's own loop. The server's queue has the governor instead, which also cools down.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import OrderedDict, defaultdict
from contextlib import suppress
from dataclasses import dataclass

from downloader.platforms import PlatformType


@dataclass(frozen=True, eq=False, slots=True)
class Permit:
    """Permission to run one download. Release it from any thread; releasing it again does nothing."""

    platform: PlatformType
    number: int  #: in order of arrival
    _limiter: ConcurrencyLimiter

    def release(self) -> None:
        """Let the next download start."""
        self._limiter._release(self)


class ConcurrencyLimiter:
    """Grants permits first come, first served, but skips platforms that are full."""

    def __init__(self, *, total: int, per_platform: int) -> None:
        """Allow *total* downloads at once, *per_platform* of one platform."""
        self._total = total
        self._per_platform = per_platform
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._running: set[Permit] = set()
        #: of each platform, in order of arrival, so that ten thousand that wait cost no more than one
        self._waiting: defaultdict[PlatformType, OrderedDict[Permit, asyncio.Future[None]]] = defaultdict(OrderedDict)

    async def acquire(self, platform: PlatformType) -> Permit:
        """Wait until *platform* may start another download; the caller must release the permit."""
        granted = asyncio.get_running_loop().create_future()
        with self._lock:
            permit = Permit(platform, next(self._numbers), self)
            self._waiting[platform][permit] = granted
            self._grant()
        try:
            await granted
        except BaseException:  # cancelled, or discarded together with its loop
            permit.release()
            raise
        return permit

    def running(self, platform: PlatformType) -> int:
        """Return how many downloads of *platform* are running."""
        with self._lock:
            return self._count(platform)

    def _count(self, platform: PlatformType) -> int:
        return sum(permit.platform == platform for permit in self._running)

    def _release(self, permit: Permit) -> None:
        with self._lock:
            self._waiting[permit.platform].pop(permit, None)
            self._running.discard(permit)
            self._grant()

    def _grant(self) -> None:
        """Grant the longest waiting permits that the limits allow; the lock is held."""
        while len(self._running) < self._total:
            open_to = (
                queue for name, queue in self._waiting.items() if queue and self._count(name) < self._per_platform
            )
            first = min((next(iter(queue)) for queue in open_to), key=lambda permit: permit.number, default=None)
            if first is None:
                return
            granted = self._waiting[first.platform].pop(first)
            with suppress(RuntimeError):  # its loop is closed, so no one is waiting
                granted.get_loop().call_soon_threadsafe(_resolve, granted)
                self._running.add(first)


def _resolve(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)
