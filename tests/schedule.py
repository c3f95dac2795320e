"""The order in which several workers of pytest-xdist run the tests."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from math import ceil

import pytest

#: What takes seconds to start, so that one worker runs all tests that use it.
SHARED = {"browser", "rabbitmq"}

#: How long a test of each kind takes on average, in seconds.
SLOW, SHARING, PROGRAM = 4.5, 3.0, 0.4


def spread(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return *items* in an order that keeps *workers* busy; each begins with an equal part of it, from the left.

    Parts begin with what takes long, and end with thousands of tests of milliseconds, which workers without any take
    from the others. Half of the workers get the slow tests, because these also measure, and disturb each other; the
    last gets those of the shared programs, and the files of all others are dealt out to the one that has least to do.
    """
    parts: list[list[pytest.Item]] = [[] for _ in range(workers)]
    seconds = [0.0] * workers

    def give(part: int, tests: list[pytest.Item], each: float) -> None:
        parts[part] += tests
        seconds[part] += each * len(tests)

    kinds: dict[str, list[pytest.Item]] = {"slow": [], "sharing": [], "program": [], "quick": []}
    for item in items:
        kinds[_kind(item)].append(item)
    quick = deque(kinds["quick"])

    for number in range(busy := ceil(workers / 2)):
        give(number, kinds["slow"][number::busy], SLOW)
    give(-1, kinds["sharing"], SHARING)
    for _, file in groupby(kinds["program"], key=lambda item: item.path):
        give(seconds.index(min(seconds)), list(file), PROGRAM)
    for number, part in enumerate(parts):
        room = len(items) * (number + 1) // workers - len(items) * number // workers - len(part)
        part += (quick.popleft() for _ in range(min(max(room, 0), len(quick))))
    return [item for part in parts for item in part] + [*quick]


def _kind(item: pytest.Item) -> str:
    if item.get_closest_marker("slow"):
        return "slow"
    if not SHARED.isdisjoint(getattr(item, "fixturenames", ())):
        return "sharing"
    return "program" if item.get_closest_marker("integration") else "quick"
