"""The store, off the event loop; what it has stored keeps step with a clock that is set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import ParamSpec, TypeVar

from downloader.platforms import PlatformType
from downloader.queue.clock import ClockWatch
from downloader.queue.ways import Ways
from downloader.store.repository import Store

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """All methods are called on one event loop."""

    def __init__(
        self, store: Store, ways: Ways, clock: Callable[[], datetime], clock_watch: ClockWatch | None = None
    ) -> None:
        """Call *store*; keep it, and *ways*, in step with *clock*."""
        self.store = store
        self._ways = ways
        self._clock = clock
        self._clock_watch = clock_watch or ClockWatch(clock)
        self._clock_step = timedelta()  #: by which the clock was set and stored times are not moved yet
        self._unsaved: set[tuple[PlatformType, str]] = set()  #: whose cooldown is not stored as it is
        self._shifting = asyncio.Lock()
        #: called with each step by which the clock was set
        self.on_clock_set: Callable[[timedelta], None] = lambda _: None
        # Several: a claim need not wait until a long list is read.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="store")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function*, which blocks, in a thread."""
        await self.keep_step()
        return await self._in_thread(function, *args, **kwargs)

    def close(self) -> None:
        """Wait for the calls that run, and take no more."""
        self._threads.shutdown()

    def notice_clock(self) -> None:
        """Notice whether the clock was set since the last time."""
        if (step := self._clock_watch.step()) is not None:
            log.warning("the clock was set", extra={"by_seconds": round(step.total_seconds(), 3)})
            self.clock_was_set(step)

    def clock_was_set(self, step: timedelta) -> None:
        """Move what lies ahead, and the starts of what runs, by *step*: all waits and durations stay as they are."""
        self._clock_step += step
        self._unsaved.update((state.platform, state.egress) for state in self._ways.shift(step))
        self.on_clock_set(step)

    async def keep_step(self) -> None:
        """Return when what is stored keeps step with the clock; what is computed from it before may be out of date."""
        self.notice_clock()
        while self._clock_step or self._unsaved or self._shifting.locked():
            await self._shift_stored()
            self.notice_clock()

    async def save_cooldown(self, platform: PlatformType, egress: str = "") -> None:
        """Store the cooldown state of *platform* on a way: one after another, so that the newest is stored last."""
        self._unsaved.add((platform, egress))
        await self.keep_step()
        governor = self._ways.of(egress)
        until = governor.cooling_until(platform, self._clock())
        if until is not None:
            facts = {"platform": platform, "until": until.isoformat(), "cap": governor.cap(platform)}
            log.warning("platform cooling down", extra=facts | ({"egress": egress} if egress else {}))

    async def _shift_stored(self) -> None:
        async with self._shifting:
            if step := self._clock_step:
                await self._in_thread(self.store.shift_times, step, now=self._clock())
                self._clock_step -= step
            while self._unsaved:
                platform, egress = self._unsaved.pop()  # before it is stored: it may change again in between
                try:
                    state = self._ways.of(egress).cooldown(platform)
                    await self._in_thread(self.store.save_cooldown, state, now=self._clock())
                except BaseException:
                    self._unsaved.add((platform, egress))
                    raise

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))
