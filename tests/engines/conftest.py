"""Fixtures for the tests of the engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from downloader.engines.pool import PoolLimits
from downloader.engines.processes import ProcessEngine
from downloader.engines.threads import ThreadEngine
from downloader.settings import Settings
from tests.engines.helpers import LARGE_BYTES, HangingFfmpeg, Kind
from tests.simulator.client import Simulator

StartEngine = Callable[..., Awaitable[Any]]


@pytest.fixture
async def start_engine(make_settings: Callable[..., Settings]) -> AsyncIterator[StartEngine]:
    """Return what starts an engine; it is closed at the end of the test."""
    engines: list[ThreadEngine | ProcessEngine] = []

    async def start(
        kind: Kind = "processes", *, max_attempts: int = 2, limits: Mapping[str, int] | None = None, **overrides: Any
    ) -> ThreadEngine | ProcessEngine:
        settings = make_settings(**overrides).for_downloads()
        defaults = {"attempts": max_attempts, "attempts_per_process": 4, "processes": 7}
        pool_limits = PoolLimits(**{**defaults, **(limits or {})})
        engine = ThreadEngine(settings) if kind == "threads" else ProcessEngine(settings, pool_limits)
        engines.append(engine)
        await engine.start()
        return engine

    yield start
    for engine in engines:
        await engine.close()


@pytest.fixture
def full_speed(simulator: Simulator) -> Iterator[Simulator]:
    """Return the simulator, whose pace is reset at the end."""
    yield simulator
    simulator.configure(media_bytes_per_second=0)


@pytest.fixture
def large(simulator: Simulator) -> Iterator[Simulator]:
    """Return a simulator with larger media, compared with which socket buffers are small."""
    with Simulator(media_bytes=LARGE_BYTES) as large, large.trusted():
        yield large


@pytest.fixture
def hanging_ffmpeg(tmp_path: Path, ffmpeg: str) -> Iterator[HangingFfmpeg]:
    stub = HangingFfmpeg(tmp_path / "ffmpeg", ffmpeg)
    yield stub
    stub.close()
