"""Ways out: several governors as one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

import pytest

from downloader.jobs import CooldownState
from downloader.platforms import PlatformType
from downloader.queue.governor import Governor
from downloader.queue.ways import Ways

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL: tuple[PlatformType, ...] = ("tiktok", "instagram", "twitter", "youtube")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def made(**places: int) -> Ways:
    return Ways(partial(Governor, ALL, per_platform=4, random=Random(1)), places)


def start(ways: Ways, platform: PlatformType, egress: str, number: int) -> None:
    for _ in range(number):
        ways.of(egress).started(platform, NOW)


def limited(ways: Ways, platform: PlatformType, egress: str, seconds: float) -> None:
    start(ways, platform, egress, 1)
    ways.of(egress).ended(platform, NOW, limited=True, retry_after_seconds=seconds)


@pytest.mark.parametrize(
    ("places", "running", "shares"),
    [
        ({"": 3}, {}, {"tiktok": ["", ""], "youtube": [""]}),
        # In turn, so that few jobs are spread over all ways.
        ({"a": 2, "b": 4}, {}, {"tiktok": ["a", "b", "b"], "youtube": ["a", "b", "b"]}),
        ({"a": 9, "b": 3}, {"a": 3}, {"tiktok": ["b", "b", "a"], "youtube": ["a", "b", "a", "a", "a"]}),
        ({"a": 9, "b": 0}, {"a": 4}, {"youtube": ["a", "a", "a", "a"]}),
        ({}, {}, {}),
    ],
)
def test_each_way_shares_out_its_own_places(
    places: dict[str, int], running: dict[str, int], shares: dict[str, list[str]]
) -> None:
    ways = made(**places)
    for egress, number in running.items():
        start(ways, "tiktok", egress, number)
    assert ways.allot(["tiktok", "youtube"], NOW) == shares


def test_a_platform_cools_down_when_it_does_on_all_ways() -> None:
    ways = made(a=4, b=4)
    limited(ways, "tiktok", "a", 30)
    assert ways.cooling_until("tiktok", NOW) is None
    assert ways.other("tiktok", NOW, but={"a"})
    assert not ways.other("tiktok", NOW, but={"b"})
    assert ways.allot(["tiktok"], NOW) == {"tiktok": ["b"] * 4}
    assert sorted(map(str, ways.next_changes("tiktok", NOW))) == sorted([str(after(30)), "None"])
    limited(ways, "tiktok", "b", 10)
    assert ways.cooling_until("tiktok", NOW) == after(10)
    assert not ways.other("tiktok", NOW, but={"a"})
    assert ways.allot(["tiktok"], NOW) == {}
    assert ways.allot(["tiktok"], after(10)) == {"tiktok": ["b", "b"]}
    assert (ways.cap("tiktok"), ways.cap("youtube")) == (4, 8)


def test_ways_close_and_open_with_their_places_and_keep_what_they_know() -> None:
    ways = made(a=2, b=2)
    limited(ways, "tiktok", "a", 30)
    start(ways, "youtube", "b", 2)
    assert not ways.resize({"a": 2})
    assert ways.cooling_until("tiktok", NOW) == after(30)  # by the only way that is left
    assert not ways.other("tiktok", NOW, but=())
    assert ways.running("youtube") == 2
    assert not ways.resize({})
    assert ways.allot(ALL, NOW) == {}
    assert ways.resize({"b": 3, "c": 1})
    assert ways.allot(["youtube"], NOW) == {"youtube": ["c", "b"]}
    assert not ways.resize({"a": 0, "b": 1, "c": 1})
    assert ways.resize({"a": 1})
    assert ways.cooling_until("tiktok", NOW) == after(30)


def test_what_is_remembered_of_a_way_outlives_the_process_and_a_clock_that_is_set() -> None:
    ways = made(a=4)
    limited(ways, "tiktok", "a", 30)
    state = ways.of("a").cooldown("tiktok")
    assert state == CooldownState(platform="tiktok", egress="a", cap=2.0, cooling_until=after(30))
    again = made(b=4)
    again.restore(state)
    assert again.cooling_until("tiktok", NOW) is None
    again.resize({"a": 4})
    [moved] = again.shift(timedelta(hours=1))
    assert moved.egress == "a"
    assert again.cooling_until("tiktok", NOW) == after(3630)
