"""An attempt that runs: since when, how active it is, and why we ended it, if we did."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from downloader.jobs import Job, Progress
from downloader.models import Outcome

#: Silent for this long, a download no longer counts in the total, so that other platforms can start at once.
SILENT_SECONDS = 0.5

EndReason = Literal["cancelled", "interrupted", "preempted"]


@dataclass(slots=True)
class Activity:
    """When a download was last active: a request was answered, or a byte came."""

    last_at: datetime
    longest_silence_seconds: float = 0.0
    receiving: bool = False  #: media bytes have come: from here on only the engine's stall watch judges it

    def note(self, now: datetime, *, receiving: bool) -> None:
        """Note that it is active."""
        self.longest_silence_seconds = max(self.longest_silence_seconds, (now - self.last_at).total_seconds())
        self.last_at = now
        self.receiving = self.receiving or receiving

    def silent_at(self) -> datetime | None:
        """Return when it counts as silent if nothing comes; None: never."""
        return None if self.receiving else self.last_at + timedelta(seconds=SILENT_SECONDS)


@dataclass(eq=False, slots=True)
class RunningAttempt:
    """An attempt from its start until its end is stored."""

    job: Job
    started_at: datetime
    activity: Activity
    disk_faults: int  #: as of its start
    run: asyncio.Task[Outcome] | None = None  #: the only part that may be cancelled; storing its end may not
    progress: Progress | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None  #: set: we ended it

    def end_early(self, reason: EndReason) -> None:
        """Cancel it. One that has ended is left as it is, and one that is ending too, unless it was cancelled."""
        assert self.run is not None  # from `start` on
        if (self.end_reason is None and self.run.cancel()) or (self.end_reason is not None and reason == "cancelled"):
            self.end_reason = reason

    def shift(self, step: timedelta) -> None:
        """Move its times by *step*, by which the clock was set."""
        self.started_at += step
        self.activity.last_at += step
        if self.ended_at is not None:
            self.ended_at += step

    @property
    def asks_no_more(self) -> bool:
        """Whether it sends no more requests to its platform."""
        return self.progress is not None and self.progress.phase in ("merging", "checking")
