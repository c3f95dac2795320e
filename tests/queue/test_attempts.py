"""Attempts while they run, and how their ends are judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from downloader.jobs import FINAL_STATES, Job, Phase, Progress
from downloader.models import Media, Outcome
from tests.queue_world import World, open_world, running, take_away, tiktok, until_running, world, youtube

__all__ = ["open_world", "world"]  # fixtures


async def test_a_fault_of_the_engine_fails_one_job_and_no_other(world: World) -> None:
    job, _ = await world.submit(tiktok(1), tiktok(2))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    world.engine.crash(tiktok(1))
    assert (await world.until(job, lambda job: job.state == "failed")).error_code == "internal"
    assert world.engine.links() == {tiktok(2)}


async def test_progress_says_which_attempt_of_which_batch_it_is(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    with world.queue.hub.subscribe() as changes:
        world.engine.on_progress[tiktok(1)](Progress(job_id=job.id, phase="extracting"))
        told = await asyncio.to_thread(changes.get, 30)
    assert told == Progress(job_id=job.id, phase="extracting", attempt=1, batch_id=job.batch_id)


async def test_what_a_platform_says_stands_whatever_the_disk_does(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(max_attempts=1)
    jobs = await until_running(world, tiktok(1), youtube(1))
    take_away(world)
    world.engine.fail(tiktok(1), "private")
    world.engine.fail(youtube(1), "network")
    for job, code in zip(jobs, ("private", "network"), strict=True):
        failed = await world.until(job, lambda job: job.state in FINAL_STATES)
        assert (failed.state, failed.error_code) == ("failed", code)


async def test_a_file_that_went_to_another_disk_is_no_success(open_world: Callable[..., Any]) -> None:
    """The disk was unmounted: what is below its mount point will be hidden when it is back."""
    world: World = await open_world(max_attempts=1)
    [job] = await until_running(world, tiktok(1))
    world.scheduler.storage.disk.mounts.add(world.settings.work_dir)  # which is no mount point
    path = world.settings.raw_dir / "1.mp4"
    path.write_bytes(b"x")
    media = Media(files=(str(path),), size_bytes=1)
    world.engine.running[tiktok(1)].set_result(Outcome(True, str(path), None, media=media))
    back = await world.until(job, lambda job: job.state != "running")
    assert (back.counted_attempts, back.error_code) == (0, "storage_unavailable")
    assert back.state in {"waiting", "queued"}  # queued: the scheduler has noticed it too
    assert not path.exists()


async def test_a_cancel_before_the_first_step_loses_no_place(world: World) -> None:
    """A task that is cancelled before it ever ran does not run at all, not even its `finally`."""
    for number in range(30):
        [job] = await world.submit(tiktok(number))
        for _ in range(number):
            await asyncio.sleep(0)
        await world.queue.cancel([job.id])
        assert (await world.queue.job(job.id)).state == "cancelled"
    await asyncio.gather(*world.scheduler.attempts.tasks.values())
    assert world.governor.running("tiktok") == 0
    await world.submit(tiktok(99))
    await world.engine.until(lambda engine: tiktok(99) in engine.running)


async def test_an_attempt_interrupted_before_its_first_step_is_put_back(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    start = world.scheduler.attempts.start

    def start_and_interrupt(job: Job, now: Any) -> None:
        start(job, now)
        world.scheduler.attempts.interrupt_platform("tiktok", world.governor)
        world.scheduler.attempts.start = start  # type: ignore[method-assign]

    world.scheduler.attempts.start = start_and_interrupt  # type: ignore[method-assign]
    await world.engine.until(lambda engine: bool(engine.running))
    assert [attempt.result for attempt in await world.queue.attempts(job.id)] == ["interrupted", "running"]


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_download_takes_as_long_as_it_takes_whatever_the_clock_says(world: World, hours: int) -> None:
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    world.clock.forward(3)
    world.clock.set(hours * 3600)
    world.clock.forward(2)
    world.engine.succeed(tiktok(1))
    done = await world.until(job, lambda job: job.state in FINAL_STATES)
    [attempt] = await world.queue.attempts(job.id)
    assert done.elapsed_seconds == 5
    assert attempt.ended_at is not None
    assert (attempt.ended_at - attempt.started_at).total_seconds() == 5
    [view] = [view for view in await world.queue.platforms() if view.platform == "tiktok"]
    assert view.mean_seconds_last_hour == 5


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_set_during_a_claim_changes_no_duration(world: World, hours: int) -> None:
    world.governor._interval_seconds = 10
    loop, exchange, seconds = asyncio.get_running_loop(), world.store.exchange, list[float]()

    def slow(*args: Any, **kwargs: Any) -> Any:
        world.store.exchange = exchange  # type: ignore[method-assign]
        claimed = exchange(*args, **kwargs)
        world.clock.set(hours * 3600)
        asyncio.run_coroutine_threadsafe(world.queue.counts(), loop).result(30)  # which notices
        return claimed

    world.store.exchange = slow  # type: ignore[method-assign]
    world.scheduler.attempts.on_attempt = lambda *told: seconds.append(told[2])
    jobs = await world.submit(tiktok(1), tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    world.clock.forward(5)
    world.engine.succeed(tiktok(1))
    assert (await world.until(jobs[0], lambda job: job.state in FINAL_STATES)).elapsed_seconds == 5
    assert seconds == [5]
    await world.forward(10)
    await world.engine.until(lambda engine: tiktok(2) in engine.running)


# Limits and login pages


def walled(world: World, link: str) -> None:
    world.engine.running[link].set_result(Outcome(False, None, "x", error_code="rate_limited", walled=True))


def instagram(number: int) -> str:
    return f"https://www.instagram.com/p/{number}/"


async def test_the_login_page_of_one_post_slows_no_other(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=2)
    jobs = await world.submit(*(instagram(number) for number in range(4)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    walled(world, instagram(0))
    waiting = await world.until(jobs[0], lambda job: job.state == "waiting")
    assert waiting.error_code == "rate_limited"
    assert world.governor.cooling_until("instagram", world.clock()) is None
    for number in (1, 2, 3):
        await running(world, instagram(number))
        world.engine.succeed(instagram(number))
        await world.until(jobs[number], lambda job: job.state == "succeeded")
    # Others were let through, so it is this post that needs a login: nothing to try again.
    await world.forward(100)
    await world.engine.until(lambda engine: instagram(0) in engine.running)
    walled(world, instagram(0))
    failed = await world.until(jobs[0], lambda job: job.state in FINAL_STATES)
    assert (failed.state, failed.error_code) == ("failed", "login_required")


async def test_login_pages_of_several_posts_in_a_row_are_a_limit(world: World) -> None:
    jobs = await world.submit(*(instagram(number) for number in range(8)))
    await world.engine.until(lambda engine: len(engine.running) == 4)
    for number in range(3):
        walled(world, instagram(number))
        await world.until(jobs[number], lambda job: job.state == "waiting")
    assert world.governor.cooling_until("instagram", world.clock()) is not None
    assert (await world.queue.job(jobs[7].id)).state == "queued"


def show(world: World, job: Job, link: str, phase: Phase = "downloading") -> None:
    world.engine.on_progress[link](Progress(job_id=job.id, phase=phase))


async def test_pages_are_read_ahead_and_their_media_wait_for_their_turn(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=2, pages_ahead=1)
    jobs = await world.submit(*(tiktok(number) for number in range(5)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    assert [work.may_download for work in world.engine.started] == [True, True]
    show(world, jobs[0], tiktok(0))
    await running(world, tiktok(2))
    assert not world.engine.started[2].may_download
    show(world, jobs[1], tiktok(1))
    show(world, jobs[2], tiktok(2))  # its page is read, and it waits
    assert world.engine.permitted == []
    show(world, jobs[0], tiktok(0), "checking")  # asks its platform for nothing more
    assert world.engine.permitted == [jobs[2].id]
    world.engine.succeed(tiktok(0))
    await running(world, tiktok(3))
    assert not world.engine.started[3].may_download
    world.engine.fail(tiktok(1), "private")
    await running(world, tiktok(4))
    assert world.engine.permitted == [jobs[2].id, jobs[3].id]


async def test_without_pages_ahead_as_many_run_as_may_download(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=2, pages_ahead=0)
    jobs = await world.submit(*(tiktok(number) for number in range(4)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    for number in range(2):
        show(world, jobs[number], tiktok(number))
    world.engine.succeed(tiktok(0))
    await running(world, tiktok(2))
    assert [work.may_download for work in world.engine.started] == [True, True, True]


async def test_a_permit_goes_to_another_when_the_one_that_has_it_is_cancelled(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=1, pages_ahead=1)
    jobs = await world.submit(tiktok(0), tiktok(1))
    await running(world, tiktok(0))
    show(world, jobs[0], tiktok(0))
    await running(world, tiktok(1))
    await world.queue.cancel([jobs[0].id])
    assert world.engine.permitted == [jobs[1].id]


async def test_an_attempt_that_is_being_ended_gets_no_permit(open_world: Callable[..., Any]) -> None:
    """Or it would begin its media just as its platform says that this is too much."""
    world: World = await open_world(platform_concurrency=2, pages_ahead=2)
    jobs = await world.submit(*(tiktok(number) for number in range(4)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    for number in range(2):
        show(world, jobs[number], tiktok(number))
    await world.engine.until(lambda engine: len(engine.running) == 4)
    world.engine.fail(tiktok(0), "rate_limited")
    await world.until(jobs[3], lambda job: job.state == "queued")
    assert world.engine.permitted == []


async def test_a_cancelled_batch_gets_no_permits(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=2, pages_ahead=2)
    jobs = await world.submit(*(tiktok(number) for number in range(4)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    for number in range(2):
        show(world, jobs[number], tiktok(number))
    await world.engine.until(lambda engine: len(engine.running) == 4)
    await world.queue.cancel([job.id for job in jobs])
    assert world.engine.permitted == []
