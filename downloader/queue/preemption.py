"""How long a download may be silent before it makes room for others; pure logic, times are handed in.

A sign of life is an answered request or a byte. See docs/adr/0002-silent-downloads.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from downloader.platforms import PlatformType

#: Silent for this long, a download takes no part of the total any more, so that other platforms go on at once.
SILENT_SECONDS = 0.5

#: Silent for this long, it steps back, once, for others of its platform: three times what is usual there, once that is
#: known.
QUIET_SECONDS = 3.0
SHORTEST_QUIET_SECONDS, LONGEST_QUIET_SECONDS = 1.0, 15.0
QUIET_FACTOR = 3.0

#: How much a new observation counts against all that came before.
_WEIGHT = 0.2


@dataclass(slots=True)
class Signs:
    """The signs of life of one download."""

    last_at: datetime
    longest_silence_seconds: float = 0.0
    begun: bool = False  #: bytes of media have come: from here on the engine's watchdog alone judges it

    def note(self, now: datetime, *, begun: bool) -> None:
        """Take note of a sign of life."""
        self.longest_silence_seconds = max(self.longest_silence_seconds, (now - self.last_at).total_seconds())
        self.last_at = now
        self.begun = self.begun or begun

    def silent_at(self) -> datetime | None:
        """Return when it counts as silent if nothing comes; None: never."""
        return None if self.begun else self.last_at + timedelta(seconds=SILENT_SECONDS)


class SilenceRules:
    """What is usual at each platform, learned from downloads that came out well."""

    def __init__(self) -> None:
        self._usual_seconds: dict[PlatformType, float] = {}

    def quiet_seconds(self, platform: PlatformType) -> float:
        """Return how long a download of *platform* may be silent before it steps back."""
        usual = self._usual_seconds.get(platform)
        if usual is None:
            return QUIET_SECONDS
        return min(max(QUIET_FACTOR * usual, SHORTEST_QUIET_SECONDS), LONGEST_QUIET_SECONDS)

    def quiet_at(self, platform: PlatformType, signs: Signs) -> datetime | None:
        """Return when a download of *platform* steps back if nothing comes; None: never."""
        return None if signs.begun else signs.last_at + timedelta(seconds=self.quiet_seconds(platform))

    def learn(self, platform: PlatformType, signs: Signs) -> None:
        """Take note of how silent a download was that came out well."""
        seconds = signs.longest_silence_seconds
        usual = self._usual_seconds.get(platform, seconds)
        self._usual_seconds[platform] = (1 - _WEIGHT) * usual + _WEIGHT * seconds
