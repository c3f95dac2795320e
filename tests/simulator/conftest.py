"""What the tests of the simulator share: its own checks after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.client import Simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Iterator[Simulator]:
    """Return the simulator, with its counts at zero; a test must neither break it nor ask it for an unknown host."""
    running_simulator.reset()
    running_simulator.configure(latency_ms=0, media_bytes_per_second=0)
    yield running_simulator
    stats = running_simulator.stats()
    assert (stats.errors, stats.unknown_hosts) == ((), {})
