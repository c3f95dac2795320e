"""A queue with everything of it in reach: a real store, an engine by hand, a clock by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from downloader.jobs import Job
from downloader.media.removal import MediaRemoval
from downloader.platforms import PlatformType
from downloader.queue.database import Database
from downloader.queue.governor import Governor
from downloader.queue.hub import EventHub
from downloader.queue.operations import JobQueue
from downloader.queue.scheduler import Scheduler
from downloader.queue.ways import Ways
from downloader.settings import Settings
from downloader.store.repository import Store
from tests.fakes import FakeClock, HandEngine
from tests.sqlite import make_database

PLATFORMS: tuple[PlatformType, ...] = ("tiktok", "instagram", "twitter", "youtube")


def tiktok(number: int) -> str:
    return f"https://www.tiktok.com/@ada/video/{number}"


def youtube(number: int) -> str:
    return f"https://youtu.be/{number}"


class World:
    """A queue with everything of it in reach."""

    def __init__(self, folder: Path, *, engine: HandEngine | None = None, **settings: Any) -> None:
        self.settings = Settings(storage_dir=folder, **{"min_free_bytes": 0, **settings})
        self.settings.raw_dir.mkdir(parents=True, exist_ok=True)
        self.clock = FakeClock()
        self.engine = engine or HandEngine()
        make_database(folder / "downloader.db")
        self.store = Store.open(self.settings.store_url, media_dir=self.settings.raw_dir)
        governor = partial(
            Governor,
            PLATFORMS,
            per_platform=self.settings.platform_concurrency,
            ahead=self.settings.pages_ahead if self.engine.places is None else 0,
            random=Random(1),
        )
        self.ways = Ways(governor, {"": self.settings.workers} if self.engine.places is None else {})
        self.governor = self.ways.of("")  # the only one without a fleet
        hub = EventHub()
        removal = MediaRemoval(self.settings.raw_dir, self.settings.work_dir, self.store.file_users)
        self.database = Database(self.store, self.ways, self.clock, self.clock.watch())
        self.scheduler = Scheduler(
            database=self.database,
            engine=self.engine,
            ways=self.ways,
            removal=removal,
            settings=self.settings,
            hub=hub,
            clock=self.clock,
            random=Random(1),
        )
        self.queue = JobQueue(
            database=self.database,
            scheduler=self.scheduler,
            ways=self.ways,
            hub=hub,
            removal=removal,
            clock=self.clock,
            labels={platform: str(platform) for platform in PLATFORMS},
        )

    async def submit(self, *urls: str) -> list[Job]:
        return list((await self.queue.submit(urls)).jobs)

    async def forward(self, seconds: float) -> None:
        """Let time pass, and the scheduler notice."""
        self.clock.forward(seconds)
        self.scheduler.wake()

    async def until(self, job: Job, condition: Callable[[Job], bool]) -> Job:
        """Wait for a stored change that makes *condition* true of *job*."""
        with self.queue.hub.subscribe() as changes:
            while not condition(now := await self.queue.job(job.id)):
                assert await asyncio.to_thread(changes.get, 30), now
        return now

    async def until_told(self, data: dict[str, Any]) -> None:
        """Wait until the latest event `queue_changed` has *data*."""
        with self.queue.hub.subscribe() as changes:
            while True:
                told = [event.data for event in await self.queue.events_since(0) if event.kind == "queue_changed"]
                if told[-1:] == [data]:
                    return
                assert await asyncio.to_thread(changes.get, 10), told


def take_away(world: World) -> None:
    """Make the storage unusable, so that root notices it too."""
    world.settings.raw_dir.rmdir()
    world.settings.raw_dir.write_bytes(b"no folder")


def bring_back(world: World) -> None:
    world.settings.raw_dir.unlink()
    world.settings.raw_dir.mkdir()


async def until_running(world: World, *urls: str) -> list[Job]:
    jobs = await world.submit(*urls)
    await world.engine.until(lambda engine: engine.links() >= set(urls))
    return jobs


async def running(world: World, link: str) -> None:
    await world.engine.until(lambda engine: link in engine.running)


@pytest.fixture
async def open_world(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    worlds: list[World] = []

    async def make(**settings: Any) -> World:
        world = World(tmp_path, **settings)
        worlds.append(world)
        await world.queue.start()
        return world

    yield make
    for world in worlds:
        if not world.engine.closed:
            await world.queue.close(0)


@pytest.fixture
async def world(open_world: Callable[..., Any]) -> World:
    world: World = await open_world()
    return world
