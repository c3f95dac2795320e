"""What is due again, and whether the clock was set, so that waits that were promised keep their length."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_EPOCH = datetime.fromtimestamp(0, UTC)

#: Smaller steps change no wait that anyone would notice; a clock that is kept right by slewing makes none.
MIN_STEP_SECONDS = 1.0


def _elapsed_seconds() -> float:
    """Return the seconds since some moment, those included in which the machine was suspended, where that can be."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


class ClockWatch:
    """Compares the clock with one that cannot be set."""

    def __init__(self, clock: Callable[[], datetime], elapsed_seconds: Callable[[], float] = _elapsed_seconds) -> None:
        """Watch *clock* from now on, against *elapsed_seconds*."""
        self._clock = clock
        self._elapsed_seconds = elapsed_seconds
        self._offset = self._measured()

    def step(self) -> timedelta | None:
        """Return by how much the clock was set since the last call, less than 0 where back; None: it was not."""
        measured = self._measured()
        step = measured - self._offset
        if abs(step.total_seconds()) < MIN_STEP_SECONDS:
            return None
        self._offset = measured
        return step

    def _measured(self) -> timedelta:
        return self._clock() - _EPOCH - timedelta(seconds=self._elapsed_seconds())


class Every:
    """Tells when something is due again; the time is handed in."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._done_at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether it was never done, or not for so many seconds."""
        # Below 0: the clock was set back.
        return self._done_at is None or not 0 <= (now - self._done_at).total_seconds() < self.seconds

    def done(self, now: datetime) -> None:
        """Note that it was done."""
        self._done_at = now

    def expire(self) -> None:
        """Make it due at once."""
        self._done_at = None
