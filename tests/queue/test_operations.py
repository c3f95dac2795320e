"""Submitting, waiting, deleting: the queue as requests use it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from downloader.errors import StoreUnavailable
from downloader.jobs import Job
from downloader.models import Media, Outcome
from downloader.presets import PRESETS, Wanted
from tests.queue_world import World, open_world, tiktok, world

__all__ = ["open_world", "world"]  # fixtures


async def test_waiting_returns_each_link_in_order_once_final(world: World) -> None:
    submission = await world.queue.submit([tiktok(1), "https://netflix.com", tiktok(2), tiktok(1)])
    waiting = asyncio.create_task(world.queue.wait(submission))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    world.engine.succeed(tiktok(2))
    world.engine.fail(tiktok(1), "private")
    jobs = await asyncio.wait_for(waiting, 30)
    assert [job.state for job in jobs] == ["failed", "failed", "succeeded", "failed"]
    assert [job.error_code for job in jobs] == ["private", "unsupported_platform", None, "private"]


async def test_every_attempt_of_a_job_gets_its_preset(world: World) -> None:
    [job] = (await world.queue.submit([tiktok(1)], Wanted(preset=PRESETS["mp3"]))).jobs
    assert (job.preset, job.kind) == ("mp3", "audio")
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "private")
    await world.until(job, lambda job: job.state == "failed")
    await world.queue.retry([job.id])
    await world.engine.until(lambda engine: len(engine.started) == 2)
    await world.submit(tiktok(2))
    await world.engine.until(lambda engine: len(engine.started) == 3)
    assert [(work.link, work.preset) for work in world.engine.started] == [
        (tiktok(1), "mp3"),
        (tiktok(1), "mp3"),
        (tiktok(2), "video"),
    ]


async def test_what_is_held_starts_with_a_retry(world: World) -> None:
    submission = await world.queue.submit([tiktok(1), "https://netflix.com"], hold=True)
    held, unsupported = submission.jobs
    assert (held.is_held, held.state, unsupported.is_held) == (True, "failed", False)
    assert unsupported.error_code == "unsupported_platform"
    await world.submit(tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    assert [work.link for work in world.engine.started] == [tiktok(2)]
    [job] = await world.queue.retry([held.id])
    assert (job.is_held, job.error) == (False, None)
    await world.engine.until(lambda engine: len(engine.started) == 2)
    await world.queue.cancel([held.id])
    assert not (await world.queue.job(held.id)).is_held


async def test_a_waiter_is_answered_where_its_job_is_cancelled_and_deleted(world: World) -> None:
    submission = await world.queue.submit([tiktok(1)])
    waiting = asyncio.create_task(world.queue.wait(submission))
    await world.engine.until(lambda engine: bool(engine.running))
    cancelling = asyncio.create_task(world.queue.cancel([submission.jobs[0].id]))
    while not await world.queue.delete([submission.jobs[0].id], with_files=False):
        await asyncio.sleep(0)
    await cancelling
    [job] = await asyncio.wait_for(waiting, 30)
    assert job.state == "cancelled"


async def test_waiting_ends_where_the_queue_is_paused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.operations.COOLDOWN_CHECK_INTERVAL_SECONDS", 0.01)
    await world.scheduler.set_paused(True)
    [job] = await asyncio.wait_for(world.queue.wait(await world.queue.submit([tiktok(2)])), 30)
    assert job.state == "queued"


async def test_a_database_that_fails_is_said_in_a_sentence(world: World) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise OSError("disk I/O error")

    world.store.submit = broken  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="database"):
        await world.queue.submit([tiktok(1)])


async def test_waiting_ends_where_the_platform_cools_for_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.operations.COOLDOWN_CHECK_INTERVAL_SECONDS", 0.01)
    [limited] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=900)
    await world.until(limited, lambda job: job.state == "waiting")
    [job] = await asyncio.wait_for(world.queue.wait(await world.queue.submit([tiktok(2)])), 30)
    assert job.state == "queued"


async def test_waiting_ends_where_the_next_try_is_far_off(world: World) -> None:
    waiting = asyncio.create_task(world.queue.wait(await world.queue.submit([tiktok(1)])))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=900)
    [job] = await asyncio.wait_for(waiting, 30)
    assert (job.state, job.error_code) == ("waiting", "rate_limited")


async def done_with_files(world: World, url: str, *files: str) -> Job:
    [job] = await world.submit(url)
    await world.engine.until(lambda engine: url in engine.running)
    world.engine.running[url].set_result(Outcome(True, files[0], None, media=Media(files=files)))
    return await world.until(job, lambda job: job.state == "succeeded")


async def test_deleting_a_record_spares_a_file_that_another_has(world: World) -> None:
    path = world.settings.raw_dir / "1.mp4"
    path.write_bytes(b"x")
    first, second = [await done_with_files(world, tiktok(number), str(path)) for number in range(2)]
    await world.queue.delete([first.id], with_files=True)
    assert path.exists()
    await world.queue.delete([second.id], with_files=True)
    assert not path.exists()


async def test_deleting_never_leaves_the_storage_folder(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.write_bytes(b"x")
    link = world.settings.raw_dir / "link.mp4"
    link.symlink_to(outside)
    way_out = f"{world.settings.raw_dir}/../../precious"
    job = await done_with_files(world, tiktok(1), str(outside), "../../precious", str(link), way_out)
    assert len(await world.queue.delete([job.id], with_files=True)) == 1
    assert outside.exists()
