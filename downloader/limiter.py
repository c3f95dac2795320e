"""Limits how many downloads run at once, for library use.

One limiter serves the whole process, whichever event loop a caller waits on: the counts are kept under a lock, and a
permit is granted on its caller's own loop. The server's queue has the governor instead, which also cools down.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from downloader.platforms import PlatformType


@dataclass(eq=False, slots=True)
class Permit:
    """Permission to run one download. Release it from any thread; releasing it again does nothing."""

    platform: PlatformType
    _limiter: ConcurrencyLimiter
    _number: int  #: order of arrival
    _granted: asyncio.Future[None]
    _is_counted: bool = field(default=False)  #: among the running downloads
    _is_released: bool = field(default=False)

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
        self._running: Counter[PlatformType] = Counter()
        self._waiting: defaultdict[PlatformType, deque[Permit]] = defaultdict(deque)
        self._numbers = count()

    async def acquire(self, platform: PlatformType) -> Permit:
        """Wait until *platform* may start another download; the caller must release the permit."""
        granted = asyncio.get_running_loop().create_future()
        with self._lock:
            permit = Permit(platform, self, next(self._numbers), granted)
            self._waiting[platform].append(permit)
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
            return self._running[platform]

    def _release(self, permit: Permit) -> None:
        with self._lock:
            if permit._is_counted and not permit._is_released:
                self._running[permit.platform] -= 1
            permit._is_released = True
            self._grant()

    def _grant(self) -> None:
        """Grant the longest waiting permits that the limits allow; the lock is held."""
        while self._running.total() < self._total:
            allowed = (
                waiting[0]
                for platform, waiting in self._waiting.items()
                if waiting and self._running[platform] < self._per_platform
            )
            permit = min(allowed, key=lambda each: each._number, default=None)
            if permit is None:
                return
            self._waiting[permit.platform].popleft()
            if permit._is_released:  # its caller gave up
                continue
            with suppress(RuntimeError):  # its loop is closed, so no one is waiting
                permit._granted.get_loop().call_soon_threadsafe(_resolve, permit._granted)
                self._running[permit.platform] += 1
                permit._is_counted = True


def _resolve(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)
