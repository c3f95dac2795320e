"""Attempts that run; the silent ones are preempted so that others can start. See docs/adr/0002-silent-downloads.md."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from downloader.jobs import Job, Progress
from downloader.models import Details, Outcome
from downloader.platforms import PlatformType
from downloader.queue.governor import Governor

#: Silent for this long, a download no longer counts in the total, so that other platforms can start at once.
SILENT_SECONDS = 0.5

#: Silent for this long, a download is preempted, once, for others of its platform: three times what is usual there,
#: once that is known.
PREEMPT_AFTER_SECONDS = 3.0
MIN_PREEMPT_AFTER_SECONDS, MAX_PREEMPT_AFTER_SECONDS = 1.0, 15.0
USUAL_FACTOR = 3.0

#: How much a new observation counts against all that came before.
_WEIGHT = 0.2

#: "left": it continues without this server.
EndReason = Literal["cancelled", "interrupted", "preempted", "left"]


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
    governor: Governor  #: of its way out
    started_at: datetime
    activity: Activity
    disk_faults: int  #: as of its start
    extracting: bool = True  #: counts so at the governor
    permitted: bool = False  #: holds a permit of the governor's
    run: asyncio.Task[Outcome] | None = None  #: the only part that may be cancelled; storing its end may not
    progress: Progress | None = None
    details: Details | None = None  #: once its page is read
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

    @property
    def needs_permit(self) -> bool:
        """Whether it may not download its media yet."""
        return not (self.permitted or self.asks_no_more or self.end_reason or self.job.kind == "collection")

    @property
    def awaits_permit(self) -> bool:
        """Whether that is all it waits for: its page is read."""
        return self.needs_permit and not self.extracting

    @property
    def silent_at(self) -> datetime | None:
        """When it counts as silent if nothing comes; None: never."""
        at = self.activity.silent_at()
        return None if at is None or self.awaits_permit else at


class Preemption:
    """Ends silent downloads early, each job's once, where that lets one start that is held up.

    How long a download may be silent is learned, per platform, from those that succeeded.
    """

    def __init__(self, running: Mapping[str, RunningAttempt], workers: int, *, fleet: bool) -> None:
        """Watch *running*, of which *workers* count in the total. Machines of a *fleet* take no more than they say."""
        self._running = running
        self._workers = workers
        self._fleet = fleet
        self._usual_seconds: dict[PlatformType, float] = {}
        self._preempted: set[str] = set()  #: ids of jobs
        self.held_up: set[PlatformType] = set()  #: platforms with jobs that are due, for which others leave no room

    def learn(self, platform: PlatformType, activity: Activity) -> None:
        """Learn from a download that succeeded how silent it was."""
        seconds = activity.longest_silence_seconds
        usual = self._usual_seconds.get(platform, seconds)
        self._usual_seconds[platform] = (1 - _WEIGHT) * usual + _WEIGHT * seconds

    def silent(self, now: datetime) -> int:
        """Return how many downloads wait for an answer, and have for a while: that leave their places to others."""
        if self._fleet:
            return 0
        times = (attempt.silent_at for attempt in self._running.values())
        return sum(at is not None and at <= now for at in times)

    def make_room(self, now: datetime) -> None:
        """Preempt what has been silent for too long, if that helps one that is held up or awaits a permit."""
        for attempt in tuple(self._running.values()):
            at = self._preempt_at(attempt)
            if at is not None and at <= now and self._would_help(attempt):
                attempt.end_early("preempted")
                if attempt.end_reason == "preempted":
                    self._preempted.add(attempt.job.id)

    def times(self) -> Iterable[datetime | None]:
        """Return when what runs becomes silent, or is to be preempted, while that may help another."""
        if self.held_up or self._awaiting():
            for attempt in self._running.values():
                yield attempt.silent_at
                yield self._preempt_at(attempt)

    def forget(self, job_id: str) -> None:
        """Allow the job to be preempted once more: it is final, or starts from the beginning."""
        self._preempted.discard(job_id)

    def _preempt_at(self, attempt: RunningAttempt) -> datetime | None:
        """Return when *attempt* is preempted if nothing comes; None: never."""
        if attempt.end_reason is not None or attempt.job.id in self._preempted or attempt.silent_at is None:
            return None
        return attempt.activity.last_at + timedelta(seconds=self._patience_seconds(attempt.job.platform))

    def _patience_seconds(self, platform: PlatformType) -> float:
        usual = self._usual_seconds.get(platform)
        if usual is None:
            return PREEMPT_AFTER_SECONDS
        return min(max(USUAL_FACTOR * usual, MIN_PREEMPT_AFTER_SECONDS), MAX_PREEMPT_AFTER_SECONDS)

    def _awaiting(self) -> set[PlatformType]:
        return {attempt.job.platform for attempt in self._running.values() if attempt.awaits_permit}

    def _would_help(self, attempt: RunningAttempt) -> bool:
        platform = attempt.job.platform
        if platform in self.held_up or (attempt.permitted and platform in self._awaiting()):
            return True
        return bool(self.held_up) and len(self._running) >= 2 * self._workers
