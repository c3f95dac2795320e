"""Has stored what attempts tell of their posts: of all that run together, and not of one that ends at once."""

from __future__ import annotations

import asyncio
import logging

from downloader.jobs import Described
from downloader.models import Details
from downloader.queue.group_commit import GroupCommit
from downloader.queue.preemption import RunningAttempt

log = logging.getLogger(__name__)

#: How long the first one waits: a short download ends before, and its end carries what it told.
DELAY_SECONDS = 0.4

#: What was told in the meantime is stored with it, except for the newest: those may end before their turn comes.
MIN_AGE_SECONDS = 0.2

#: How long to wait if they could not be stored.
RETRY_SECONDS = 5.0


class DetailsLane:
    """To be used on one event loop."""

    def __init__(self, group: GroupCommit) -> None:
        """Have them stored by *group*."""
        self._group = group
        self._told_at: dict[RunningAttempt, float] = {}  #: by the loop's clock, oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._storing: asyncio.Task[None] | None = None

    def learn(self, attempt: RunningAttempt, details: Details) -> None:
        """Note what *attempt* told; it is stored within half a second, unless the attempt ends before."""
        attempt.details = details
        self._told_at[attempt] = asyncio.get_running_loop().time()
        self._set_timer()

    def forget(self, attempt: RunningAttempt) -> None:
        """Note that *attempt* ended: its end carries its details."""
        self._told_at.pop(attempt, None)

    async def close(self) -> None:
        """Store nothing more; wait for what is being stored."""
        self._told_at.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._storing is not None:
            await asyncio.wait({self._storing})

    def _set_timer(self, at_least_seconds: float = 0.0) -> None:
        if self._timer is not None or self._storing is not None or not self._told_at:
            return
        loop = asyncio.get_running_loop()
        first = next(iter(self._told_at.values()))
        self._timer = loop.call_at(max(first + DELAY_SECONDS, loop.time() + at_least_seconds), self._begin)

    def _begin(self) -> None:
        self._timer = None
        before = asyncio.get_running_loop().time() - MIN_AGE_SECONDS
        due = [attempt for attempt, told_at in self._told_at.items() if told_at <= before]
        if due:
            self._storing = asyncio.create_task(self._store(due), name="store details")
        else:
            self._set_timer()

    async def _store(self, due: list[RunningAttempt]) -> None:
        # Which of them still run is known when their turn has come.
        def described() -> list[Described]:
            return [_described(attempt) for attempt in due if attempt in self._told_at]

        pause_seconds = 0.0
        try:
            await self._group.describe(described)
            for attempt in due:
                self._told_at.pop(attempt, None)
        except Exception:
            log.warning("what attempts told could not be stored", exc_info=True)
            pause_seconds = RETRY_SECONDS
        finally:
            self._storing = None
            self._set_timer(pause_seconds)


def _described(attempt: RunningAttempt) -> Described:
    assert attempt.details is not None
    return Described(job_id=attempt.job.id, attempt=attempt.job.attempt_number, details=attempt.details)
