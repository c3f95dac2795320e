"""How platforms are treated: caps, spacing, cooldown after a rate limit; all with a handed-in clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.jobs import CooldownState
from downloader.platforms import PlatformType
from downloader.queue.governor import (
    FIRST_COOLDOWN_SECONDS,
    MAX_COOLDOWN_SECONDS,
    SPACING_JITTER,
    WALLS_THAT_ARE_A_LIMIT,
    Governor,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL: tuple[PlatformType, ...] = ("tiktok", "instagram", "twitter", "youtube")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def made(*, total: int = 8, per_platform: int = 4, ahead: int = 0, interval_seconds: float = 0.0) -> Governor:
    return Governor(
        ALL, total=total, per_platform=per_platform, ahead=ahead, interval_seconds=interval_seconds, random=Random(1)
    )


def start(governor: Governor, platform: PlatformType, count: int = 1, now: datetime = NOW) -> None:
    for _ in range(count):
        governor.started(platform, now)


def test_a_platform_starts_no_more_than_its_cap() -> None:
    governor = made()
    assert governor.room("tiktok", NOW) == 4
    start(governor, "tiktok", 3)
    assert governor.room("tiktok", NOW) == 1
    assert governor.room("youtube", NOW) == 4


def test_what_is_left_is_shared_in_turn() -> None:
    governor = made(total=5)
    assert governor.allot(["tiktok", "youtube"], NOW) == {"tiktok": 3, "youtube": 2}
    assert governor.allot(["youtube", "tiktok", "twitter"], NOW) == {"youtube": 2, "tiktok": 2, "twitter": 1}
    start(governor, "instagram", 4)
    assert governor.allot(["tiktok", "youtube"], NOW) == {"tiktok": 1}
    start(governor, "youtube")
    assert governor.allot(["tiktok", "youtube"], NOW) == {}


def test_silent_downloads_leave_the_total_to_the_others_but_not_their_platforms_cap() -> None:
    governor = made(total=4, per_platform=4)
    start(governor, "tiktok", 4)
    assert governor.allot(["tiktok", "youtube"], NOW) == {}
    assert governor.allot(["tiktok", "youtube"], NOW, silent=3) == {"youtube": 3}
    start(governor, "youtube", 4)
    assert governor.allot(["twitter"], NOW, silent=8) == {}  # never more than twice the total


def test_pages_are_read_ahead_while_media_come() -> None:
    governor = made(per_platform=4, ahead=2)
    assert governor.room("tiktok", NOW) == 4  # at first they all read their pages
    start(governor, "tiktok", 4)
    assert [governor.permit("tiktok") for _ in range(5)] == [True] * 4 + [False]
    assert governor.room("tiktok", NOW) == 0
    governor.extracted("tiktok")
    assert governor.room("tiktok", NOW) == 1
    for _ in range(3):
        governor.extracted("tiktok")
    assert governor.allot(["tiktok"], NOW) == {"tiktok": 2}
    start(governor, "tiktok", 2)
    assert governor.room("tiktok", NOW) == 0
    governor.released("tiktok")
    assert governor.permit("tiktok")
    assert governor.room("tiktok", NOW) == 0
    governor.ended("tiktok", NOW, succeeded=True, extracting=False)
    assert governor.room("tiktok", NOW) == 1


def test_no_more_pages_are_read_ahead_than_the_cap_is_high() -> None:
    governor = made(per_platform=1, ahead=4)
    start(governor, "tiktok")
    assert governor.permit("tiktok")
    governor.extracted("tiktok")
    assert governor.room("tiktok", NOW) == 1
    start(governor, "tiktok")
    governor.extracted("tiktok")
    assert governor.room("tiktok", NOW) == 0


def test_permits_of_all_platforms_share_the_total() -> None:
    governor = made(total=2, per_platform=2, ahead=1)
    assert governor.permit("tiktok")
    assert governor.permit("youtube")
    assert not governor.permit("twitter")
    assert governor.permit("twitter", silent=1)
    governor.released("tiktok")
    assert not governor.permit("tiktok")


def test_starts_are_spaced() -> None:
    governor = made(interval_seconds=10)
    assert governor.room("tiktok", NOW) == 1
    start(governor, "tiktok")
    assert governor.room("tiktok", NOW) == 0
    at = governor.next_change("tiktok", NOW)
    assert at is not None
    assert after(10 * (1 - SPACING_JITTER)) <= at <= after(10 * (1 + SPACING_JITTER))
    assert governor.room("tiktok", at) == 1
    assert governor.room("youtube", NOW) == 1


def test_a_rate_limit_rests_the_platform_as_long_as_it_asked() -> None:
    governor = made()
    start(governor, "tiktok", 2)
    state = governor.ended("tiktok", NOW, limited=True, retry_after_seconds=30)
    assert state == CooldownState(platform="tiktok", cap=2.0, cooling_until=after(30), strikes=0)
    assert governor.room("tiktok", after(29.9)) == 0
    assert governor.next_change("tiktok", NOW) == after(30)
    assert governor.room("tiktok", after(30)) == 1  # two less the one that still runs
    assert governor.room("youtube", NOW) == 4


def test_without_a_word_from_the_platform_the_rest_grows() -> None:
    governor = made()
    now, waits = NOW, []
    for number in range(9):
        start(governor, "youtube", now=now)
        state = governor.ended("youtube", now, post=str(number), limited=True)
        assert state is not None
        assert state.cooling_until is not None
        waits.append((state.cooling_until - now).total_seconds())
        now = state.cooling_until
    assert waits[:4] == [FIRST_COOLDOWN_SECONDS * 2**number for number in range(4)]
    assert waits[-1] == MAX_COOLDOWN_SECONDS
    assert governor.cap("youtube") == 1


def test_downloads_that_meet_one_limit_together_count_once() -> None:
    governor = made()
    start(governor, "tiktok", 4)
    governor.ended("tiktok", NOW, limited=True, retry_after_seconds=30)
    governor.ended("tiktok", after(1), limited=True, retry_after_seconds=60)
    state = governor.cooldown("tiktok")
    assert (state.strikes, state.cap, state.cooling_until) == (0, 2.0, after(61))
    governor.ended("tiktok", after(2), limited=True, retry_after_seconds=1)
    assert governor.cooldown("tiktok").cooling_until == after(61)  # never shortened


def limited_for(governor: Governor, post: str, now: datetime, retry_after_seconds: float | None = None) -> float:
    """Have *post* meet a rate limit; return the seconds for which the platform then cools down."""
    start(governor, "instagram", now=now)
    governor.ended("instagram", now, post=post, limited=True, retry_after_seconds=retry_after_seconds)
    until = governor.cooling_until("instagram", now)
    assert until is not None
    return (until - now).total_seconds()


def test_a_wait_that_the_platform_names_is_no_strike() -> None:
    governor = made()
    waits = [
        limited_for(governor, str(number), after(number * 4000), retry_after_seconds)
        for number, retry_after_seconds in enumerate([2, 2, None, 2, None, 2])
    ]
    assert waits == [2, 2, FIRST_COOLDOWN_SECONDS, 2, 2 * FIRST_COOLDOWN_SECONDS, 2]


def test_one_post_counts_once_until_another_succeeds() -> None:
    governor = made()
    assert [limited_for(governor, "a", after(number * 4000)) for number in range(4)] == [FIRST_COOLDOWN_SECONDS] * 4
    assert governor.cap("instagram") == 2
    assert limited_for(governor, "b", after(16_000)) == 2 * FIRST_COOLDOWN_SECONDS
    start(governor, "instagram", now=after(20_000))
    governor.ended("instagram", after(20_000), post="c", succeeded=True)
    assert limited_for(governor, "a", after(20_000)) == FIRST_COOLDOWN_SECONDS


def test_a_login_page_is_a_limit_where_several_posts_in_a_row_meet_it() -> None:
    governor = made()
    walls = [governor.judge_wall("instagram", str(number)) for number in range(WALLS_THAT_ARE_A_LIMIT)]
    assert walls == ["open"] * (WALLS_THAT_ARE_A_LIMIT - 1) + ["limit"]
    assert governor.judge_wall("tiktok", "0") == "open"


def test_a_login_page_is_the_posts_own_where_others_are_let_through() -> None:
    governor = made()
    for number in range(WALLS_THAT_ARE_A_LIMIT * 2):  # never that many without one that is let through
        assert governor.judge_wall("instagram", str(number)) == "open"
        governor.let_through("instagram")
    assert governor.judge_wall("instagram", "0") == "post"


def test_the_same_post_again_tells_nothing_new() -> None:
    governor = made()
    assert [governor.judge_wall("instagram", "a") for _ in range(5)] == ["open"] * 5
    governor.let_through("instagram")
    # Another has just met one too: perhaps it is a limit after all.
    assert governor.judge_wall("instagram", "b") == "open"
    assert governor.judge_wall("instagram", "a") == "open"


def test_what_met_login_pages_does_not_grow_without_end() -> None:
    governor = made()
    for number in range(3000):
        governor.judge_wall("instagram", str(number))
        governor.let_through("instagram")
    assert len(governor._platforms["instagram"].walled) <= 1000


def test_a_clock_that_is_set_changes_no_wait() -> None:
    governor = made(interval_seconds=10)
    start(governor, "tiktok")
    governor.ended("tiktok", NOW, limited=True, retry_after_seconds=30)
    at = governor.next_change("tiktok", NOW)
    for hours in (-2, 5):
        step = timedelta(hours=hours)
        [state] = governor.shift(step)
        now = NOW + step
        assert state.cooling_until == governor.cooling_until("tiktok", now) == now + timedelta(seconds=30)
        assert governor.next_change("tiktok", now) == now + timedelta(seconds=30)
        governor.shift(-step)
    assert governor.next_change("tiktok", NOW) == at


def test_a_cap_is_regained_step_by_step() -> None:
    governor = made()
    start(governor, "tiktok")
    governor.ended("tiktok", NOW, limited=True, retry_after_seconds=1)
    caps = []
    for _ in range(6):
        start(governor, "tiktok", now=after(5))
        governor.ended("tiktok", after(5), succeeded=True)
        caps.append(governor.cap("tiktok"))
    assert caps == [2, 3, 3, 3, 4, 4]
    assert governor.cooldown("tiktok").strikes == 0


def test_other_errors_change_nothing_to_remember() -> None:
    governor = made()
    start(governor, "tiktok")
    assert governor.ended("tiktok", NOW) is None
    assert governor.room("tiktok", NOW) == 4


def test_a_cooldown_outlives_the_process() -> None:
    first = made()
    start(first, "twitter")
    state = first.ended("twitter", NOW, limited=True, retry_after_seconds=30)
    assert state is not None
    second = made()
    second.restore(state)
    assert second.room("twitter", after(29)) == 0
    assert second.cooling_until("twitter", after(29)) == after(30)
    assert second.room("twitter", after(30)) == 2
    third = made(per_platform=1)  # the setting was lowered meanwhile
    third.restore(state)
    assert third.room("twitter", after(30)) == 1


def test_a_rest_can_be_ended_by_hand() -> None:
    governor = made()
    start(governor, "twitter")
    governor.ended("twitter", NOW, limited=True)
    assert governor.end_cooldown("twitter").cooling_until is None
    assert governor.room("twitter", NOW) == 2


@pytest.mark.parametrize("interval_seconds", [0.0, 0.5])
@pytest.mark.parametrize("ahead", [0, 2])
@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(ALL),
            st.sampled_from(["start", "shown", "fetched", "ok", "limit", "fail"]),
            st.floats(0, 50),
        ),
        max_size=200,
    )
)
@pytest.mark.thorough
def test_no_sequence_passes_a_cap_or_starts_a_cooling_platform(
    interval_seconds: float, ahead: int, moves: list[tuple[PlatformType, str, float]]
) -> None:
    governor = made(total=6, per_platform=3, ahead=ahead, interval_seconds=interval_seconds)
    running: list[_Download] = []
    now = NOW
    for platform, move, seconds in moves:
        now += timedelta(seconds=seconds)
        if move == "start":
            for name, count in governor.allot(ALL, now).items():
                assert governor.cooling_until(name, now) is None
                start(governor, name, count, now)
                running += [_Download(name, permitted=governor.permit(name)) for _ in range(count)]
        elif own := [each for each in running if each.platform == platform]:
            _move(governor, own[0], move, now)
            if move in ("ok", "limit", "fail"):
                running.remove(own[0])
            for each in running:
                each.permitted = each.permitted or (not each.fetched and governor.permit(each.platform))
        for name in ALL:
            own = [each for each in running if each.platform == name]
            assert governor.running(name) == len(own) <= 3 + ahead
            assert sum(each.extracting for each in own) <= 3
            assert sum(each.permitted for each in own) <= 3
        assert len(running) <= 6 + ahead
        assert sum(each.permitted for each in running) <= 6
        assert all(1 <= governor.cap(name) <= 3 for name in ALL)


@dataclass(eq=False)
class _Download:
    platform: PlatformType
    permitted: bool
    extracting: bool = True
    fetched: bool = False


def _move(governor: Governor, download: _Download, move: str, now: datetime) -> None:
    if move == "shown" and download.extracting:
        download.extracting = False
        governor.extracted(download.platform)
    elif move == "fetched" and download.permitted and not download.extracting:
        download.permitted, download.fetched = False, True
        governor.released(download.platform)
    elif move in ("ok", "limit", "fail"):
        governor.ended(
            download.platform,
            now,
            succeeded=move == "ok",
            limited=move == "limit",
            extracting=download.extracting,
            permitted=download.permitted,
        )
