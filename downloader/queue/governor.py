"""Limits each platform so that it keeps answering: caps, spacing, cooldown after a rate limit; for one way out.

Pure logic: knows no event loop, no clock and no database. Times are handed in; what must outlive the process comes out
as `CooldownState` and goes back in with `restore`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from downloader.jobs import LONGEST_ASKED_SECONDS, CooldownState
from downloader.platforms import PlatformType

#: The first cooldown, where the platform does not say how long; each further rate limit in a row doubles it.
FIRST_COOLDOWN_SECONDS = 60.0
MAX_COOLDOWN_SECONDS = 3600.0

#: A platform shows its login page to addresses that ask too often, and for posts that are for members only. Met by so
#: many different posts, with none let through in between, it is a limit.
WALLS_THAT_ARE_A_LIMIT = 3

#: Of so many posts that met a login page it is remembered.
_MOST_WALLED = 1000

#: Starts are spaced by the interval times 1 ± this, so that they don't look like a machine's.
SPACING_JITTER = 0.3


@dataclass(slots=True)
class _Platform:
    cap: float
    running: int = 0
    extracting: int = 0  #: of these: read the page
    permitted: int = 0  #: of these: may download media, or do
    cooling_until: datetime | None = None
    strikes: int = 0
    next_start_at: datetime | None = None
    limited: set[str] = field(default_factory=set)  #: posts that met a limit since the last success
    #: posts that met a login page; True: others of the platform were let through since
    walled: dict[str, bool] = field(default_factory=dict)


#: What a login page means: the platform limits this address, it keeps this post to its members, or that is open.
Wall = Literal["limit", "post", "open"]


class Governor:
    """Decides how many downloads each platform may start now, by one way out.

    Attributes:
        egress: the name of the way out.
        total: downloads at once, of all platforms together.
    """

    def __init__(
        self,
        platforms: Iterable[PlatformType],
        *,
        total: int,
        per_platform: int,
        ahead: int = 0,
        interval_seconds: float = 0.0,
        random: Random | None = None,
        egress: str = "",
    ) -> None:
        """Allow *total* at once and *per_platform* of one, with starts of one *interval_seconds* apart.

        While media come, pages of *ahead* further posts of a platform may be read: from either kind of its servers,
        that is never more than *per_platform* at once.
        """
        self.egress = egress
        self.total = total
        self._per_platform = per_platform
        self._ahead = ahead
        self._interval_seconds = interval_seconds
        self._random = random or Random()
        self._platforms = {name: _Platform(cap=float(per_platform)) for name in platforms}

    # What may start

    def room(self, platform: PlatformType, now: datetime) -> int:
        """Return how many downloads *platform* may start now, its share of the total not regarded."""
        if self.next_change(platform, now) is not None:
            return 0
        state = self._platforms[platform]
        cap = int(state.cap)
        free = max(0, min(cap + min(self._ahead, cap) - state.running, cap - state.extracting))
        return min(free, 1) if self._interval_seconds else free

    def allot(self, wanting: Iterable[PlatformType], now: datetime, *, silent: int = 0) -> Mapping[PlatformType, int]:
        """Share out what is left of the total among the platforms *wanting* to start: one each in turn, in order.

        Of what runs, *silent* downloads take no part of the total (at most as many as that is): they wait for an
        address that does not answer. They do count at their platform, whose cap is never passed.
        """
        running = sum(state.running for state in self._platforms.values())
        extracting = sum(state.extracting for state in self._platforms.values())
        most = self.total + min(self._ahead, self.total)
        left = min(most - running, self.total - extracting) + min(silent, self.total)
        rooms = {platform: self.room(platform, now) for platform in wanting}
        shares = dict.fromkeys(rooms, 0)
        while left > 0 and any(rooms.values()):
            for platform in rooms:
                if left > 0 and rooms[platform] > 0:
                    rooms[platform] -= 1
                    shares[platform] += 1
                    left -= 1
        return {platform: share for platform, share in shares.items() if share}

    def next_change(self, platform: PlatformType, now: datetime) -> datetime | None:
        """Return when time alone will next give *platform* room, or None where it will not."""
        state = self._platforms[platform]
        return _ahead(state.cooling_until, now) or _ahead(state.next_start_at, now)

    def cooling_until(self, platform: PlatformType, now: datetime) -> datetime | None:
        """Return until when *platform* cools down, or None where it does not."""
        return _ahead(self._platforms[platform].cooling_until, now)

    def cap(self, platform: PlatformType) -> int:
        """Return how many downloads *platform* is allowed at once at present."""
        return int(self._platforms[platform].cap)

    def running(self, platform: PlatformType) -> int:
        """Return how many downloads of *platform* run."""
        return self._platforms[platform].running

    # What happens

    def started(self, platform: PlatformType, now: datetime) -> None:
        """Note that a download started."""
        state = self._platforms[platform]
        state.running += 1
        state.extracting += 1
        if self._interval_seconds:
            jitter = 1 + self._random.uniform(-SPACING_JITTER, SPACING_JITTER)
            state.next_start_at = now + timedelta(seconds=self._interval_seconds * jitter)

    def permit(self, platform: PlatformType, *, silent: int = 0) -> bool:
        """Return whether one more download of *platform* may fetch media, which then counts until `released`.

        *silent* as in `allot`.
        """
        state = self._platforms[platform]
        permitted = sum(each.permitted for each in self._platforms.values())
        if state.permitted >= int(state.cap) or permitted >= self.total + min(silent, self.total):
            return False
        state.permitted += 1
        return True

    def released(self, platform: PlatformType) -> None:
        """Note that a download with a permit asks its platform for nothing more."""
        self._platforms[platform].permitted -= 1

    def extracted(self, platform: PlatformType) -> None:
        """Note that a download has read its page."""
        self._platforms[platform].extracting -= 1

    def let_through(self, platform: PlatformType) -> None:
        """Note that a post was shown: what met a login page before did not meet it for asking too often."""
        walled = self._platforms[platform].walled
        walled.update(dict.fromkeys(walled, True))

    def judge_wall(self, platform: PlatformType, post: str) -> Wall:
        """Return what it means that *post* met a login page, which might be a rate limit."""
        walled = self._platforms[platform].walled
        others = sum(not let_through for other, let_through in walled.items() if other != post)
        if walled.get(post) and not others:
            return "post"
        walled[post] = False
        if len(walled) > _MOST_WALLED:
            del walled[next(iter(walled))]
        return "limit" if others + 1 >= WALLS_THAT_ARE_A_LIMIT else "open"

    def ended(
        self,
        platform: PlatformType,
        now: datetime,
        *,
        post: str = "",
        succeeded: bool = False,
        limited: bool = False,
        retry_after_seconds: float | None = None,
        extracting: bool = True,
        permitted: bool = False,
    ) -> CooldownState | None:
        """Note that the download of *post* ended; return what is to be remembered where that changed, else None.

        *extracting*, *permitted*: there was no `extracted`, and no `released`, for it yet.
        *limited*: it met a rate limit, for which the platform asked to wait *retry_after_seconds*, or did not say.
        """
        state = self._platforms[platform]
        state.running -= 1
        state.extracting -= extracting
        state.permitted -= permitted
        before = self.cooldown(platform)
        if limited:
            self._cool_down(state, post, now, retry_after_seconds)
        elif succeeded:
            state.strikes = 0
            state.limited.clear()
            # As many successes as the cap is high raise it by one.
            state.cap = min(float(self._per_platform), state.cap + 1 / int(state.cap))
        after = self.cooldown(platform)
        return after if after != before else None

    def limit(
        self, platform: PlatformType, now: datetime, *, post: str, retry_after_seconds: float | None
    ) -> CooldownState | None:
        """Note that *post* met a rate limit by another way out, which holds for this one too; return as `ended`."""
        before = self.cooldown(platform)
        self._cool_down(self._platforms[platform], post, now, retry_after_seconds)
        after = self.cooldown(platform)
        return after if after != before else None

    def _cool_down(self, state: _Platform, post: str, now: datetime, retry_after_seconds: float | None) -> None:
        # Several downloads meet the same limit at once, or one post meets it at each of its attempts: that counts once.
        first = _ahead(state.cooling_until, now) is None and post not in state.limited
        if first:
            state.cap = max(1.0, float(int(state.cap) // 2))
        state.limited.add(post)
        if retry_after_seconds is None:
            # A wait that the platform names is no strike: it says itself how long is enough.
            state.strikes += first
            doublings = min(max(state.strikes - 1, 0), 20)
            retry_after_seconds = min(FIRST_COOLDOWN_SECONDS * 2**doublings, MAX_COOLDOWN_SECONDS)
        until = now + timedelta(seconds=min(retry_after_seconds, LONGEST_ASKED_SECONDS))
        state.cooling_until = until if state.cooling_until is None else max(until, state.cooling_until)

    def end_cooldown(self, platform: PlatformType) -> CooldownState:
        """Let *platform* start again at once; return what is to be remembered."""
        self._platforms[platform].cooling_until = None
        return self.cooldown(platform)

    def shift(self, step: timedelta) -> list[CooldownState]:
        """Move all times by *step*, by which the clock was set; return what is to be remembered where that changed."""
        moved = []
        for name, state in self._platforms.items():
            if state.next_start_at is not None:
                state.next_start_at += step
            if state.cooling_until is not None:
                state.cooling_until += step
                moved.append(self.cooldown(name))
        return moved

    # What outlives the process

    def cooldown(self, platform: PlatformType) -> CooldownState:
        """Return what is to be remembered of *platform*."""
        state = self._platforms[platform]
        return CooldownState(
            platform=platform,
            egress=self.egress,
            cap=state.cap,
            cooling_until=state.cooling_until,
            strikes=state.strikes,
        )

    def restore(self, cooldown: CooldownState) -> None:
        """Continue from a stored state; a cap above today's setting is cut to it."""
        if cooldown.platform not in self._platforms:
            return
        state = self._platforms[cooldown.platform]
        state.cap = min(float(self._per_platform), max(1.0, cooldown.cap))
        state.cooling_until = cooldown.cooling_until
        state.strikes = cooldown.strikes


def _ahead(at: datetime | None, now: datetime) -> datetime | None:
    return at if at is not None and now < at else None
