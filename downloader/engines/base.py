"""Where attempts run: the seam between the queue and threads, worker processes, or machines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from downloader.jobs import Progress, Work
from downloader.models import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """How an engine is."""

    workers: int  #: that could run something now
    busy: int
    restarts: int  #: since the start, of workers that died or were killed
    asleep: bool = False  #: there are no workers because there is nothing to do; they come when there is


class Engine(Protocol):
    """Runs attempts, as many at once as it is asked to; all methods are called on the service's event loop."""

    async def start(self) -> None:
        """Make ready; return when the first attempt would start without delay, or sooner."""

    async def run(self, work: Work, on_progress: Callable[[Progress], None]) -> Outcome:
        """Run one attempt and return its outcome; call *on_progress* on the event loop, at most 4 times a second.

        Never raises for what a platform, a link, a disk or a worker does wrong: a worker that dies, or in which no
        byte moved for the stall timeout, is an Outcome too (`interrupted`, `timeout`). Cancelling the coroutine ends
        the attempt at once, with all its child processes; what was downloaded stays in `work.work_dir`. One that
        succeeds in that moment may still return: its files are there.
        """

    def health(self) -> EngineHealth:
        """Return how it is."""

    async def close(self) -> None:
        """End everything that runs, at once."""
