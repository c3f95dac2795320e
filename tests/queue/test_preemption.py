"""Silent downloads make room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from downloader.jobs import Job, Progress
from downloader.queue.completion import PREEMPTED_PAUSE_SECONDS
from downloader.queue.preemption import PREEMPT_AFTER_SECONDS, SILENT_SECONDS
from tests.queue_world import World, open_world, tiktok, world, youtube

__all__ = ["open_world", "world"]  # fixtures


async def test_silent_downloads_make_room_once_for_those_that_wait(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=2)
    jobs = await world.submit(*(tiktok(number) for number in range(4)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    await world.forward(PREEMPT_AFTER_SECONDS + 0.1)
    await world.engine.until(lambda engine: tiktok(2) in engine.running and tiktok(3) in engine.running)
    stepped = await world.queue.job(jobs[0].id)
    assert (stepped.state, stepped.counted_attempts) == ("waiting", 0)
    # They come back when the others are done, and are then left their full time.
    for number in (2, 3):
        world.engine.succeed(tiktok(number))
    await world.forward(PREEMPTED_PAUSE_SECONDS)
    await world.engine.until(lambda engine: engine.links() == {tiktok(0), tiktok(1)})
    await world.submit(tiktok(5))
    started = len(world.engine.started)
    await world.forward(PREEMPT_AFTER_SECONDS * 3)
    world.engine.succeed(tiktok(0))
    await world.engine.until(lambda engine: tiktok(5) in engine.running)
    assert tiktok(1) in world.engine.links()
    assert len(world.engine.started) == started + 1


async def test_silent_downloads_do_not_keep_other_platforms_waiting(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(workers=2, platform_concurrency=2)
    await world.submit(tiktok(0), tiktok(1), youtube(0), tiktok(2))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    first = world.engine.links()
    await world.forward(SILENT_SECONDS)
    await world.engine.until(lambda engine: len(engine.running) > 2)
    assert youtube(0) in world.engine.links()
    assert len([link for link in world.engine.links() if "tiktok" in link]) <= 2
    assert first <= world.engine.links()  # nothing was ended for it


async def test_a_download_in_which_bytes_move_never_makes_room(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=1, pages_ahead=0)
    first, _ = await world.submit(tiktok(1), tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.on_progress[tiktok(1)](Progress(job_id=first.id, phase="downloading", downloaded_bytes=1))
    await world.forward(PREEMPT_AFTER_SECONDS * 10)
    [other] = await world.submit(youtube(1))
    await world.engine.until(lambda engine: youtube(1) in engine.running)
    assert world.engine.links() == {tiktok(1), youtube(1)}
    assert [progress.downloaded_bytes for progress in world.scheduler.progress()] == [1]
    assert other.state == "queued"


async def media_wait(world: World) -> list[Job]:
    """Start four downloads of a platform whose cap is 2: the media of 0 and 1 come, 2 is silent, 3 awaits a permit."""
    jobs = await world.submit(*(tiktok(number) for number in range(4)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    for number in (0, 1):
        show(world, jobs[number], downloaded_bytes=1)
    await world.engine.until(lambda engine: len(engine.running) == 4)
    show(world, jobs[3])
    return jobs


def show(world: World, job: Job, downloaded_bytes: int = 0) -> None:
    assert job.link is not None
    progress = Progress(job_id=job.id, phase="downloading", downloaded_bytes=downloaded_bytes)
    world.engine.on_progress[job.link](progress)


async def test_whose_page_is_read_gets_a_permit_before_one_that_is_silent(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=2)
    jobs = await media_wait(world)
    world.engine.succeed(tiktok(0))
    await world.until(jobs[0], lambda job: job.state == "succeeded")
    assert world.engine.permitted == [jobs[3].id]


@pytest.mark.parametrize("shown", [False, True])
async def test_a_silent_download_makes_room_for_one_that_awaits_a_permit(
    open_world: Callable[..., Any], shown: bool
) -> None:
    """Also one whose media never begin to come, after it has waited for a permit itself."""
    world: World = await open_world(platform_concurrency=2)
    [job] = await world.submit(tiktok(9))
    await world.engine.until(lambda engine: bool(engine.running))
    jobs = await world.submit(*(tiktok(number) for number in range(3)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    show(world, job, downloaded_bytes=1)
    show(world, jobs[0], downloaded_bytes=1)
    await world.engine.until(lambda engine: len(engine.running) == 4)
    if shown:
        show(world, jobs[1])
    world.engine.succeed(tiktok(0))
    await world.until(jobs[0], lambda job: job.state == "succeeded")
    assert world.engine.permitted == [jobs[1].id]
    show(world, jobs[2])
    await world.forward(PREEMPT_AFTER_SECONDS - 0.1)
    show(world, jobs[2])
    await world.forward(0.2)
    await world.until(jobs[1], lambda job: job.state == "waiting")
    assert world.engine.permitted == [jobs[1].id, jobs[2].id]


async def test_what_awaits_a_permit_is_not_silent(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=2)
    await media_wait(world)
    await world.submit(tiktok(4))
    await world.forward(PREEMPT_AFTER_SECONDS * 10)
    await world.engine.until(lambda engine: tiktok(4) in engine.running)
    assert world.engine.links() == {tiktok(0), tiktok(1), tiktok(3), tiktok(4)}
