"""Doubles for seams that have a real implementation elsewhere in the tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from downloader.engines.base import Engine, EngineHealth
from downloader.errors import RETRYABLE, ErrorCode, sentence
from downloader.jobs import Machine, Progress, Work
from downloader.models import Media, Outcome
from downloader.queue.clock import ClockWatch


class FakeClock:
    """Time that moves only when it is told to, and a clock that can be set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.elapsed_seconds = 0.0

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.elapsed_seconds += seconds

    def set(self, seconds: float) -> None:
        """Set the clock forward, or back; no time passes."""
        self.now += timedelta(seconds=seconds)

    def watch(self) -> ClockWatch:
        return ClockWatch(self, lambda: self.elapsed_seconds)


class HandEngine(Engine):
    """An engine whose attempts end when, and as, the test says."""

    def __init__(self, places: Mapping[str, int] | None = None, adopted: Mapping[str, int] | None = None) -> None:
        """With *places*: a fleet that can take so many attempts by each way out, and runs those *adopted* already."""
        self.places = places
        self.adopted = adopted or {}
        self.fleet: list[Machine] = []
        self.running: dict[str, asyncio.Future[Outcome]] = {}
        self.on_progress: dict[str, Callable[[Progress], None]] = {}
        self.on_resolved: dict[str, Callable[[str], None]] = {}
        self.started: list[Work] = []
        self.cancelled: list[str] = []
        self.permitted: list[str] = []  #: jobs that were started without a permit, and got one
        self.proceeding: list[str] = []  #: jobs whose links were resolved, and that may be fetched
        self.closed = False
        self._changed = asyncio.Condition()

    async def start(self) -> None: ...

    async def run(
        self, work: Work, on_progress: Callable[[Progress], None], on_resolved: Callable[[str], None] | None = None
    ) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.running[work.link] = future
        self.on_progress[work.link] = on_progress
        if on_resolved is not None:
            self.on_resolved[work.link] = on_resolved
        self.started.append(work)
        await self._tell()
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled.append(work.link)
            raise
        finally:
            del self.running[work.link]

    def permit(self, job_id: str) -> None:
        self.permitted.append(job_id)

    def proceed(self, job_id: str) -> None:
        self.proceeding.append(job_id)

    def health(self) -> EngineHealth:
        return EngineHealth(workers=8, busy=len(self.running), restarts=0)

    async def close(self) -> None:
        self.closed = True

    def capacity(self) -> Mapping[str, int] | None:
        return self.places

    async def adopt(self) -> Mapping[str, int]:
        return self.adopted

    def machines(self) -> Sequence[Machine]:
        return self.fleet

    # For tests

    async def until(self, condition: Callable[[HandEngine], bool]) -> None:
        """Wait until *condition* holds, looked at whenever an attempt starts."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def resize(self, **places: int) -> None:
        """Let machines come and go."""
        self.places = places
        self.on_capacity()

    def by_egress(self) -> dict[str, int]:
        """Return how many run now by each way out."""
        latest = {work.link: work.egress for work in self.started}
        return dict(Counter(latest[link] for link in self.running))

    def links(self) -> set[str]:
        """Return what runs now."""
        return set(self.running)

    def succeed(self, link: str) -> None:
        """End an attempt well."""
        media = Media(files=(f"/raw/{link[-1]}.mp4",), id=link[-1], title="t", size_bytes=10)
        self.running[link].set_result(Outcome(True, media.files[0], None, media=media))

    def fail(self, link: str, code: ErrorCode, *, retry_after_seconds: float | None = None) -> None:
        """End an attempt badly."""
        assert code in RETRYABLE or retry_after_seconds is None
        self.running[link].set_result(
            Outcome(False, None, sentence(code), error_code=code, retry_after_seconds=retry_after_seconds)
        )

    def crash(self, link: str) -> None:
        """Raise what an engine never should."""
        self.running[link].set_exception(RuntimeError("engine fault"))
