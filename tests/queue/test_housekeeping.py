"""What is cleaned up between downloads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downloader.errors import NotFound
from downloader.jobs import FINAL_STATES, Job
from downloader.models import Media, Outcome
from downloader.queue.housekeeping import PRUNE_INTERVAL_SECONDS
from tests.queue_world import World, open_world, tiktok, world

__all__ = ["open_world", "world"]  # fixtures


async def test_old_events_are_removed(open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.housekeeping.KEPT_EVENTS", 3)
    world: World = await open_world()
    await world.scheduler.set_paused(True)
    for number in range(10):
        await world.submit(tiktok(number))
    with world.queue.hub.subscribe():
        await world.forward(PRUNE_INTERVAL_SECONDS + 1)
        await world.scheduler.set_paused(False)
        await world.engine.until(lambda engine: len(engine.running) == 4)
    oldest = (await world.queue.events_since(0))[0].id
    assert oldest > 5


async def test_unfinished_files_of_jobs_that_are_done_with_go_at_the_next_start(
    open_world: Callable[..., Any],
) -> None:
    dead: World = await open_world()
    done, waiting = await dead.submit(tiktok(1), tiktok(2))
    await dead.engine.until(lambda engine: len(engine.running) == 2)
    dead.engine.fail(tiktok(1), "private")
    await dead.until(done, lambda job: job.state == "failed")
    folders = [dead.settings.work_dir / name for name in (done.id, waiting.id, "deleted-job")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "1.mp4.part").write_bytes(b"x")
    await open_world()
    assert [folder.exists() for folder in folders] == [False, True, False]


async def finished(world: World, number: int) -> Job:
    """Submit a job and have it succeed, with a file."""
    [job] = await world.submit(tiktok(number))
    await world.engine.until(lambda engine: tiktok(number) in engine.running)
    path = world.settings.raw_dir / f"{number}.mp4"
    path.write_bytes(b"x")
    media = Media(files=(str(path),), size_bytes=1)
    world.engine.running[tiktok(number)].set_result(Outcome(True, str(path), None, media=media))
    return await world.until(job, lambda job: job.state in FINAL_STATES)


async def gone(world: World, *jobs: Job) -> None:
    """Wait until *jobs* are deleted."""
    with world.queue.hub.subscribe() as changes:
        for job in jobs:
            while True:
                try:
                    await world.queue.job(job.id)
                except NotFound:
                    break
                assert await asyncio.to_thread(changes.get, 30)


async def test_what_ended_long_ago_is_deleted_with_its_files(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(retention_days=0.5, max_attempts=1)
    old = await finished(world, 1)
    [failed] = await world.submit(tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(2), "network")
    await world.until(failed, lambda job: job.state == "failed")
    await world.forward(6 * 3600)
    young = await finished(world, 3)
    [again] = await world.submit(tiktok(1))  # the same post, so the same file
    assert again.reused
    [waiting] = await world.submit(tiktok(4))
    await world.forward(6 * 3600 + 1)
    await gone(world, old, failed)
    assert (await world.queue.job(young.id)).state == "succeeded"
    assert Path(again.files[0]).exists()
    assert (await world.queue.job(waiting.id)).state in {"queued", "running"}
    await world.forward(6 * 3600)
    await gone(world, young, again)
    assert list(world.settings.raw_dir.iterdir()) == []


async def test_what_is_about_to_be_deleted_is_not_reused(open_world: Callable[..., Any]) -> None:
    """Its files are deleted before its record: a job that comes in between would have succeeded without any."""
    world: World = await open_world(retention_days=0.5)
    first, second = [await finished(world, number) for number in (1, 2)]
    await world.forward(12 * 3600 - 90)
    [early] = await world.submit(tiktok(1))
    await world.forward(60)
    [late] = await world.submit(tiktok(2))
    assert (early.reused, late.reused) == (True, False)
    await world.forward(700)
    await gone(world, first, second)
    assert Path(early.files[0]).exists()


async def test_after_a_month_off_all_of_it_goes_in_portions(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("downloader.queue.housekeeping.PORTION", 2)
    first: World = await open_world()
    jobs = [await finished(first, number) for number in range(5)]
    await first.queue.close(0)
    caplog.set_level("INFO", "downloader.queue.housekeeping")
    second = World(first.settings.storage_dir, retention_days=30)
    second.clock.forward(31 * 86_400)
    await second.queue.start()
    try:
        await gone(second, *jobs)
        assert list(second.settings.raw_dir.iterdir()) == []
    finally:
        await second.queue.close(0)
    deleted = [record for record in caplog.records if record.getMessage() == "old jobs deleted"]
    assert [(record.__dict__["jobs"], record.__dict__["files"]) for record in deleted] == [(2, 2), (2, 2), (1, 1)]


async def test_without_a_term_nothing_is_deleted(world: World) -> None:
    job = await finished(world, 1)
    await world.forward(100 * 365 * 86_400)
    await finished(world, 2)
    assert (await world.queue.job(job.id)).files
