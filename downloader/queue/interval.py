"""Things that are done every so many seconds."""

from __future__ import annotations

from datetime import datetime


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
