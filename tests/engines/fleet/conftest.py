"""A fleet for tests: a real broker, machines in processes of their own, and the server's engine in this one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from kombu import Connection

from downloader import __version__
from downloader.engines.fleet.engine import CeleryEngine
from downloader.engines.fleet.wire import REPORTS, attempts_queue
from downloader.jobs import Machine, Progress, Work
from downloader.models import Outcome
from downloader.platforms import PlatformType
from downloader.presets import Expand
from tests.conftest import simulated
from tests.rabbitmq import RabbitMQ
from tests.real_machine import RunningMachine
from tests.simulator.client import Simulator


class Following:
    """An attempt, and what was told of it."""

    def __init__(self, engine: CeleryEngine, work: Work) -> None:
        self.work = work
        self.told: list[Progress] = []
        self.links: list[str] = []
        self._news = asyncio.Event()
        self.task = asyncio.create_task(engine.run(work, self._note, self._resolved))
        self.task.add_done_callback(lambda _: self._news.set())

    async def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Return as soon as *condition* is true, which is looked at when something is told."""
        async with asyncio.timeout(seconds):
            while not condition():
                assert not self.task.done(), self.task
                self._news.clear()
                await self._news.wait()

    async def until_receiving(self) -> None:
        await self.until(lambda: any(progress.downloaded_bytes for progress in self.told))

    async def outcome(self, seconds: float = 30) -> Outcome:
        return await asyncio.wait_for(self.task, seconds)

    def _note(self, progress: Progress) -> None:
        self.told.append(progress)
        self._news.set()

    def _resolved(self, link: str) -> None:
        self.links.append(link)
        self._news.set()


class Fleet:
    """A broker, and what is connected to it."""

    def __init__(self, broker: RabbitMQ, simulator: Simulator, storage: Path) -> None:
        self.broker, self.simulator, self.storage = broker, simulator, storage
        for name in ("raw", "work"):
            (storage / name).mkdir(parents=True)
        with Connection(broker.url) as connection:
            for queue in (REPORTS, attempts_queue("")):
                queue(connection).delete()
        self._exits = contextlib.ExitStack()
        self._engines: list[CeleryEngine] = []

    def machine(self, name: str, **settings: str) -> RunningMachine:
        """Start a machine."""
        # The timeout is so long that what hangs does.
        wanted = {"DOWNLOADER_WORKERS": "4", "DOWNLOADER_SOCKET_TIMEOUT_SECONDS": "30", **settings}
        started = RunningMachine(self.simulator, self.storage, self.broker, name, **wanted)
        self._exits.callback(started.close)
        return started

    def engine(self) -> CeleryEngine:
        """Return the engine of a server; `start` or `adopt` connects it."""
        settings = simulated(self.simulator, self.storage, socket_timeout_seconds=30)
        self._engines.append(CeleryEngine(settings.for_downloads(), self.broker.url, version=__version__))
        return self._engines[-1]

    def work(
        self,
        scenario: str = "ok",
        serial: int = 0,
        platform: PlatformType = "tiktok",
        *,
        link: str | None = None,
        attempt: int = 1,
        expand: Expand | None = None,
        may_download: bool = True,
    ) -> Work:
        """Return an attempt that the simulator answers."""
        assert platform != "unknown"
        job = f"{platform}-{scenario.replace('_', '-')}-{serial}"
        return Work(
            job_id=job,
            platform=platform,
            link=link or self.simulator.url(platform, scenario, serial),
            output_dir=str(self.storage / "raw"),
            work_dir=str(self.storage / "work" / job),
            in_storage=True,
            expand=expand,
            may_download=may_download,
            attempt=attempt,
        )

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()
        self._exits.close()


async def until_machines(engine: CeleryEngine, condition: Callable[[dict[str, Machine]], object]) -> None:
    """Return as soon as *condition* is true of the machines that are alive, by name."""
    async with asyncio.timeout(40):
        while not condition({machine.id: machine for machine in engine.machines() if machine.is_alive}):
            await asyncio.sleep(0.05)


async def until_places(engine: CeleryEngine, places: int) -> None:
    """Return as soon as the fleet has so many places."""
    changed = asyncio.Event()
    engine.on_capacity = changed.set
    async with asyncio.timeout(40):
        while sum((engine.capacity() or {}).values()) != places:
            changed.clear()
            await changed.wait()


@pytest.fixture
async def fleet(rabbitmq: RabbitMQ, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(rabbitmq, simulator, tmp_path / "storage")
    yield fleet
    await fleet.close()
    simulator.configure(media_bytes_per_second=0)
