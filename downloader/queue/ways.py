"""The ways out that downloads take to the platforms, each with a governor of its own: platforms limit addresses.

A server without a fleet has one, named "". Those of a fleet open and close as its machines come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from downloader.jobs import CooldownState
from downloader.platforms import PlatformType
from downloader.queue.governor import Governor


class Ways:
    """What concerns all ways out together, by their names."""

    def __init__(self, make: Callable[..., Governor], places: Mapping[str, int]) -> None:
        """Have *make* make the governor of each way, called with `egress` and `total`; open those in *places*."""
        self._make = make
        self._governors: dict[str, Governor] = {}
        self.resize(places)

    def of(self, egress: str) -> Governor:
        """Return the governor of a way, which is closed until `resize` opens it."""
        if egress not in self._governors:
            # A new dict, as other threads may be reading the old one.
            self._governors = {**self._governors, egress: self._make(egress=egress, total=0)}
        return self._governors[egress]

    def resize(self, places: Mapping[str, int]) -> bool:
        """Have each way take so many downloads at once, and the others none; return whether any was opened."""
        opened = False
        for governor in [self.of(egress) for egress in {**self._governors, **places}]:
            total = places.get(governor.egress, 0)
            opened = opened or total > governor.total == 0
            governor.total = total
        return opened

    def all(self) -> Sequence[Governor]:
        """Return the governors of all ways that are known, closed ones included."""
        return tuple(self._governors.values())

    def _open(self) -> Sequence[Governor]:
        """Return the governors of open ways; of all where none is open."""
        every = self.all()
        return [governor for governor in every if governor.total] or every

    # What may start

    def allot(
        self, wanting: Sequence[PlatformType], now: datetime, *, silent: int = 0
    ) -> Mapping[PlatformType, Sequence[str]]:
        """Return for each of the platforms *wanting* to start by which ways it may, each named as often as it may.

        See `Governor.allot`. Ways by which less of the platform runs come first.
        """
        shares: dict[PlatformType, list[tuple[int, str]]] = {}
        for governor in self.all():
            for platform, share in governor.allot(wanting, now, silent=silent).items():
                running = governor.running(platform)
                shares.setdefault(platform, []).extend((running + each, governor.egress) for each in range(share))
        return {platform: [egress for _, egress in sorted(share)] for platform, share in shares.items()}

    def next_changes(self, platform: PlatformType, now: datetime) -> list[datetime | None]:
        """Return for each way when time alone will next give *platform* room there, None where it will not."""
        return [governor.next_change(platform, now) for governor in self._open()]

    def other(self, platform: PlatformType, now: datetime, *, but: Iterable[str]) -> bool:
        """Tell whether *platform* may be asked by a way that is open, none of those named *but*."""
        others = (governor for governor in self.all() if governor.total and governor.egress not in but)
        return any(governor.cooling_until(platform, now) is None for governor in others)

    # What is told of a platform

    def cooling_until(self, platform: PlatformType, now: datetime) -> datetime | None:
        """Return until when *platform* cools down on all ways, or None where it does not on one."""
        times = [governor.cooling_until(platform, now) for governor in self._open()]
        known = [at for at in times if at is not None]
        return min(known) if known and len(known) == len(times) else None

    def cap(self, platform: PlatformType) -> int:
        """Return how many downloads *platform* is allowed at once at present, by all ways."""
        return sum(governor.cap(platform) for governor in self._open())

    def running(self, platform: PlatformType) -> int:
        """Return how many downloads of *platform* run."""
        return sum(governor.running(platform) for governor in self.all())

    # What is remembered

    def restore(self, cooldown: CooldownState) -> None:
        """Continue from a stored state."""
        self.of(cooldown.egress).restore(cooldown)

    def shift(self, step: timedelta) -> list[CooldownState]:
        """See `Governor.shift`."""
        return [state for governor in self.all() for state in governor.shift(step)]
