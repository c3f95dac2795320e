"""The interface between the queue and whatever runs its attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from downloader.jobs import Machine, Progress, Work
from downloader.models import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """The state of an engine."""

    workers: int  #: ready to run an attempt, or running one
    busy: int  #: attempts under way
    restarts: int  #: workers that died or were killed since the start
    asleep: bool = False  #: stopped for lack of work; the next attempt wakes it


class AttemptLost(Exception):
    """An attempt ended with the machine that ran it, and for no other reason; str() says how."""


class Engine(Protocol):
    """Runs attempts, any number at once.

    All methods are called on the service's event loop, in its thread: `start` once, before any `run`, and `close` once,
    after the last. Those with a body are for engines on other machines.
    """

    #: Called, on the loop, when `capacity` has changed.
    on_capacity: Callable[[], None] = staticmethod(lambda: None)

    async def start(self) -> None:
        """Prepare to run; return once an attempt could start without delay, or earlier.

        Workers that cannot be started are logged; `run` returns their fault as an outcome.
        """

    async def run(
        self, work: Work, on_progress: Callable[[Progress], None], on_resolved: Callable[[str], None] | None = None
    ) -> Outcome:
        """Run one attempt and return its outcome; call *on_progress* on the event loop when it starts, then at most 4
        times a second, and with each page of a collection.

        Once a short link was followed, *on_resolved* is called with the link of its post, and nothing more is requested
        until `proceed`; without *on_resolved* the attempt just continues.

        Never raises for a fault of a platform, a link, a disk or a worker: those are outcomes. A worker that dies gives
        `interrupted`, an attempt that makes no progress for the stall timeout gives `timeout`.

        Raises:
            AttemptLost: its machine is gone, or stopping. What it downloaded may have been lost too.
            asyncio.CancelledError: the coroutine was cancelled. The attempt and all its child processes have been
                ended; what it downloaded so far stays in `work.work_dir`. An attempt that succeeds at the same moment
                returns its outcome instead, as its files are in place.
        """

    def permit(self, job_id: str) -> None:
        """Let the attempt of this job, whose work said `may_download=False`, download its media."""

    def proceed(self, job_id: str) -> None:
        """Let the attempt of this job, whose short link was followed, fetch its post."""

    def health(self) -> EngineHealth:
        """Return the current state."""

    async def close(self) -> None:
        """End every running attempt as `interrupted`, at once."""

    def capacity(self) -> Mapping[str, int] | None:
        """Return how many attempts each way out can take at once, by its name; None: the settings say it."""
        return None

    async def adopt(self) -> Mapping[str, int]:
        """Before `start`: return the attempts that an earlier server sent and that still run, or ended meanwhile: the
        number of each, by job. `run` with such a work follows that attempt instead of starting another.
        """
        return {}

    def machines(self) -> Sequence[Machine]:
        """Return the machines of the fleet that were heard from, those that are silent now included."""
        return ()
