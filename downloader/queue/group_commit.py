"""Stores ends of attempts, what others told, and claims, in groups: a transaction costs more than what is in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from downloader.jobs import AttemptEnd, Claimed, Described, Job
from downloader.platforms import PlatformType
from downloader.queue.database import Database

log = logging.getLogger(__name__)

#: How long an end waits for others, or for a claim, to be stored with it; events wait as long to be sent together.
WINDOW_SECONDS = 0.02

#: Where no other is likely to come, it waits only for the claim that it makes room for.
MIN_WINDOW_SECONDS = 0.001


@dataclass(eq=False, slots=True)
class _Member:
    """An end, a claim, or what attempts told, that waits to be stored."""

    due: float  #: until when it waits for others, by the loop's clock
    end: Callable[[], AttemptEnd] | None = None
    described: Callable[[], Iterable[Described]] = tuple
    wanted: Callable[[], Mapping[PlatformType, Sequence[str]]] = dict
    stored: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def tell(self, result: Any) -> None:
        if self.stored.done():  # no one waits any more
            return
        if isinstance(result, Exception):
            self.stored.set_exception(result)
        else:
            self.stored.set_result(result)


class GroupCommit:
    """One group at a time, and what comes while it is stored in the next. All methods run on one event loop."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        after_end: Callable[[AttemptEnd, Job | None], Job | None],
    ) -> None:
        """Store in *database*; call *after_end*, which may block, for each end that is stored."""
        self._database = database
        self._clock = clock
        self._after_end = after_end
        self._waiting: list[_Member] = []
        self._storing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def end(self, end: Callable[[], AttemptEnd], *, alone: bool) -> Job | None:
        """Store what *end* returns when its turn has come; return what `after_end` made of its job.

        *alone*: no other attempt runs.
        """
        job: Job | None = await self._add(MIN_WINDOW_SECONDS if alone else WINDOW_SECONDS, end=end)
        return job

    async def claim(self, wanted: Callable[[], Mapping[PlatformType, Sequence[str]]]) -> Claimed:
        """Claim a job for each of the ways out that *wanted* returns for its platform when its turn has come."""
        claimed: Claimed = await self._add(0, wanted=wanted)
        return claimed

    async def describe(self, described: Callable[[], Iterable[Described]]) -> None:
        """Store what *described* returns when its turn has come."""
        await self._add(WINDOW_SECONDS, described=described)

    def _add(self, window_seconds: float, **what: Any) -> asyncio.Future[Any]:
        member = _Member(asyncio.get_running_loop().time() + window_seconds, **what)
        self._waiting.append(member)
        self._set_timer()
        return member.stored

    def _set_timer(self) -> None:
        if self._storing is not None or not self._waiting:
            return
        due = min(member.due for member in self._waiting)
        if self._timer is not None and self._timer.when() <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._storing = asyncio.create_task(self._store_waiting(), name="group commit")

    async def _store_waiting(self) -> None:
        members, self._waiting = self._waiting, []
        try:
            await self._store(members)
        finally:
            self._storing = None
            self._set_timer()

    async def _store(self, members: Sequence[_Member]) -> None:
        try:
            # What an end leads to depends on the clock, which may have been set since.
            await self._database.keep_step()
            ends = [member.end() for member in members if member.end]
            wanted = {platform: ways for member in members for platform, ways in member.wanted().items()}
            described = [one for member in members for one in member.described()]
            jobs, claimed = await self._database.call(self._exchange, ends, wanted, described, self._clock())
        except Exception as error:
            if len(members) == 1:
                members[0].tell(error)
                return
            log.warning("a group could not be stored: trying its members one by one", exc_info=error)
            for member in members:
                await self._store([member])
            return
        results = iter(jobs)
        for member in members:
            member.tell(next(results) if member.end else claimed)

    def _exchange(
        self,
        ends: Sequence[AttemptEnd],
        wanted: Mapping[PlatformType, Sequence[str]],
        described: Sequence[Described],
        now: datetime,
    ) -> tuple[list[Job | Exception | None], Claimed]:
        jobs, claimed = self._database.store.exchange(ends, wanted, described, now=now)
        return [self._after(end, job) for end, job in zip(ends, jobs, strict=True)], claimed

    def _after(self, end: AttemptEnd, job: Job | None) -> Job | Exception | None:
        try:
            return self._after_end(end, job)
        except Exception as error:  # all of the group is stored, and its other members must hear of it
            return error
