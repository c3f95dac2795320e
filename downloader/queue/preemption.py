"""Preempts silent downloads so that others can start. See docs/adr/0002-silent-downloads.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from downloader.platforms import PlatformType
from downloader.queue.running import Activity, RunningAttempt

#: Silent for this long, a download is preempted, once, for others of its platform: three times what is usual there,
#: once that is known.
PREEMPT_AFTER_SECONDS = 3.0
MIN_PREEMPT_AFTER_SECONDS, MAX_PREEMPT_AFTER_SECONDS = 1.0, 15.0
USUAL_FACTOR = 3.0

#: How much a new observation counts against all that came before.
_WEIGHT = 0.2


class PreemptionPolicy:
    """How long a download may be silent, learned per platform from downloads that succeeded. Times are handed in."""

    def __init__(self) -> None:
        self._usual_seconds: dict[PlatformType, float] = {}

    def preempt_after_seconds(self, platform: PlatformType) -> float:
        """Return how long a download of *platform* may be silent before it is preempted."""
        usual = self._usual_seconds.get(platform)
        if usual is None:
            return PREEMPT_AFTER_SECONDS
        return min(max(USUAL_FACTOR * usual, MIN_PREEMPT_AFTER_SECONDS), MAX_PREEMPT_AFTER_SECONDS)

    def preempt_at(self, platform: PlatformType, activity: Activity) -> datetime | None:
        """Return when a download of *platform* is preempted if nothing comes; None: never."""
        if activity.receiving:
            return None
        return activity.last_at + timedelta(seconds=self.preempt_after_seconds(platform))

    def learn(self, platform: PlatformType, activity: Activity) -> None:
        """Learn from a download that succeeded how silent it was."""
        seconds = activity.longest_silence_seconds
        usual = self._usual_seconds.get(platform, seconds)
        self._usual_seconds[platform] = (1 - _WEIGHT) * usual + _WEIGHT * seconds


class Preemption:
    """Ends silent downloads early, each job's once, where that lets one start that is held up."""

    def __init__(self, running: Mapping[str, RunningAttempt], policy: PreemptionPolicy, workers: int) -> None:
        """Watch *running*, of which *workers* count in the total."""
        self._running = running
        self._policy = policy
        self._workers = workers
        self._preempted: set[str] = set()  #: ids of jobs
        self.held_up: set[PlatformType] = set()  #: platforms with jobs that are due, for which others leave no room

    def silent(self, now: datetime) -> int:
        """Return how many downloads wait for an answer, and have for a while."""
        times = (attempt.activity.silent_at() for attempt in self._running.values())
        return sum(at is not None and at <= now for at in times)

    def make_room(self, now: datetime) -> None:
        """Preempt what has been silent for too long, if that helps one that is held up."""
        for attempt in tuple(self._running.values()):
            at = self._preempt_at(attempt)
            if at is not None and at <= now and self._would_help(attempt.job.platform):
                attempt.end_early("preempted")
                if attempt.end_reason == "preempted":
                    self._preempted.add(attempt.job.id)

    def times(self) -> Iterable[datetime | None]:
        """Return when what runs becomes silent, or is to be preempted, while something is held up."""
        if self.held_up:
            for attempt in self._running.values():
                yield attempt.activity.silent_at()
                yield self._preempt_at(attempt)

    def forget(self, job_id: str) -> None:
        """Allow the job to be preempted once more: it is final, or starts from the beginning."""
        self._preempted.discard(job_id)

    def _preempt_at(self, attempt: RunningAttempt) -> datetime | None:
        if attempt.end_reason is not None or attempt.job.id in self._preempted:
            return None
        return self._policy.preempt_at(attempt.job.platform, attempt.activity)

    def _would_help(self, platform: PlatformType) -> bool:
        return platform in self.held_up or len(self._running) >= 2 * self._workers
