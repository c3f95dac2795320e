"""What runs when: a real store, an engine by hand, a clock by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from downloader.jobs import FINAL_STATES, Progress
from downloader.queue.preemption import PREEMPT_AFTER_SECONDS
from downloader.store.repository import Store
from tests.queue_world import World, open_world, running, tiktok, world, youtube

__all__ = ["open_world", "world"]  # fixtures


async def test_jobs_start_in_order_within_the_caps(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(workers=3, platform_concurrency=2)
    await world.submit(*(tiktok(number) for number in range(4)), youtube(1))
    await world.engine.until(lambda engine: len(engine.running) == 3)
    assert world.engine.links() == {tiktok(0), tiktok(1), youtube(1)}
    world.engine.succeed(tiktok(0))
    await world.engine.until(lambda engine: tiktok(2) in engine.running)
    assert tiktok(3) not in world.engine.links()


async def test_a_success_is_stored_with_its_media(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    assert (await world.queue.job(job.id)).state == "running"
    world.engine.succeed(tiktok(1))
    done = await world.until(job, lambda job: job.state in FINAL_STATES)
    assert (done.state, done.files, done.title, done.size_bytes) == ("succeeded", ("/raw/1.mp4",), "t", 10)


async def test_a_rate_limit_stops_its_platform_at_once_and_no_other(world: World) -> None:
    jobs = await world.submit(*(tiktok(number) for number in range(6)), youtube(1))
    await world.engine.until(lambda engine: len(engine.running) == 5)
    world.engine.fail(tiktok(0), "rate_limited", retry_after_seconds=30)
    await world.until(jobs[0], lambda job: job.state == "waiting")
    for job in jobs[1:4]:
        # The others were ended too: a platform that cools down gets no request at all. It costs them no attempt.
        assert (await world.until(job, lambda job: job.state == "queued")).counted_attempts == 0
    assert world.engine.links() == {youtube(1)}

    started = len(world.engine.started)
    await world.forward(29)
    [other] = await world.submit(youtube(2))
    await world.engine.until(lambda engine: youtube(2) in engine.running)
    assert [work.link for work in world.engine.started[started:]] == [youtube(2)]
    assert other.platform == "youtube"

    await world.forward(1.1)
    await world.engine.until(lambda engine: len(engine.running) == 4)
    assert len([link for link in world.engine.links() if "tiktok" in link]) == 2  # half the cap
    [view] = [view for view in await world.queue.platforms() if view.platform == "tiktok"]
    assert (view.cap, view.running, view.cooling_until) == (2, 2, None)


async def test_a_cooldown_outlives_a_restart(open_world: Callable[..., Any]) -> None:
    first: World = await open_world()
    [job] = await first.submit(tiktok(1))
    await first.engine.until(lambda engine: bool(engine.running))
    first.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    await first.until(job, lambda job: job.state == "waiting")
    await first.queue.close(0)

    second: World = await open_world()
    second.clock.forward(20)
    await second.submit(tiktok(2), youtube(1))
    await second.engine.until(lambda engine: bool(engine.running))
    assert second.engine.links() == {youtube(1)}
    assert second.governor.cooling_until("tiktok", second.clock()) is not None
    await second.forward(15)
    await second.engine.until(lambda engine: tiktok(2) in engine.running)


async def test_cancel_ends_a_running_job_and_frees_its_place(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(workers=1)
    first, second = await world.submit(tiktok(1), tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    [cancelled] = await world.queue.cancel([first.id])
    assert cancelled.state == "cancelled"
    assert world.engine.cancelled == [tiktok(1)]
    await world.engine.until(lambda engine: tiktok(2) in engine.running)
    assert (await world.queue.job(second.id)).state == "running"
    assert await world.queue.cancel([first.id]) == []


async def test_a_cancelled_job_can_be_retried(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    await world.queue.cancel([job.id])
    [again] = await world.queue.retry([job.id])
    assert (again.state, again.counted_attempts) == ("queued", 0)
    await world.engine.until(lambda engine: bool(engine.running))


async def test_a_job_cancelled_and_retried_before_a_claim_gets_to_it_runs(world: World) -> None:
    exchange, claiming, go = world.store.exchange, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        claiming.set()
        assert go.wait(30)
        return exchange(*args, **kwargs)

    world.store.exchange = slow  # type: ignore[method-assign]
    [job] = await world.submit(tiktok(1))
    await asyncio.to_thread(claiming.wait, 30)
    await world.queue.cancel([job.id])
    await world.queue.retry([job.id])
    go.set()
    await world.engine.until(lambda engine: bool(engine.running))


async def test_a_paused_queue_begins_nothing(world: World) -> None:
    await world.scheduler.set_paused(True)
    [job] = await world.submit(tiktok(1))
    await world.forward(100)
    assert (await world.queue.job(job.id)).state == "queued"
    assert world.scheduler.status().paused
    await world.scheduler.set_paused(False)
    await world.engine.until(lambda engine: bool(engine.running))


async def test_a_pause_during_a_round_stops_it_before_it_starts_anything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_room = world.scheduler.storage.has_room

    async def pause_meanwhile(now: datetime) -> bool:
        await world.scheduler.set_paused(True)
        return await has_room(now)

    monkeypatch.setattr(world.scheduler.storage, "has_room", pause_meanwhile)
    [job] = await world.submit(tiktok(1))
    while not world.scheduler.status().paused:
        await asyncio.sleep(0)
    for _ in range(50):  # long enough for the round to go on
        assert (await world.queue.job(job.id)).state == "queued"
    monkeypatch.undo()
    await world.scheduler.set_paused(False)
    await running(world, tiktok(1))
    assert [attempt.result for attempt in await world.queue.attempts(job.id)] == ["running"]


async def test_what_ran_when_the_process_died_runs_again(open_world: Callable[..., Any]) -> None:
    dead: World = await open_world()
    [job] = await dead.submit(tiktok(1))
    await dead.engine.until(lambda engine: bool(engine.running))
    # No close: the store is left as a killed process leaves it.
    alive: World = await open_world()
    await alive.engine.until(lambda engine: bool(engine.running))
    again = await alive.queue.job(job.id)
    assert (again.state, again.counted_attempts) == ("running", 1)
    assert [attempt.result for attempt in await alive.queue.attempts(job.id)] == ["interrupted", "running"]


async def test_a_stop_puts_running_jobs_back(open_world: Callable[..., Any]) -> None:
    world: World = await open_world()
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    waiting = asyncio.create_task(world.queue.wait(await world.queue.submit([tiktok(2)])))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    await world.queue.close(0)
    assert sorted(world.engine.cancelled) == [tiktok(1), tiktok(2)]
    [answer] = await asyncio.wait_for(waiting, 30)
    assert answer.state == "queued"
    store = Store.open(world.settings.store_url)
    assert (store.job(job.id).state, store.job(job.id).counted_attempts) == ("queued", 0)
    store.close()


async def test_nothing_is_looked_up_while_nothing_can_change(open_world: Callable[..., Any]) -> None:
    """A silent download that would help nobody must not keep the scheduler spinning."""
    world: World = await open_world(platform_concurrency=1)
    await world.submit(tiktok(1), tiktok(2), youtube(1))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    await world.forward(PREEMPT_AFTER_SECONDS + 1)
    await world.engine.until(lambda engine: tiktok(2) in engine.running)
    looks = 0
    due = world.store.due

    def counted() -> Any:
        nonlocal looks
        looks += 1
        return due()

    world.store.due = counted  # type: ignore[method-assign]
    await world.forward(PREEMPT_AFTER_SECONDS * 5)
    for _ in range(50):  # each takes as long as one more look would
        await world.queue.counts()
    assert looks <= 6


async def test_what_is_due_is_asked_for_once_and_not_for_each_job(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(workers=1)
    due, asked = world.store.due, 0

    def counted() -> Any:
        nonlocal asked
        asked += 1
        return due()

    await world.scheduler.set_paused(True)
    jobs = await world.submit(*(tiktok(number) for number in range(1, 9)))
    world.store.due = counted  # type: ignore[method-assign]
    await world.scheduler.set_paused(False)
    for number, job in enumerate(jobs, 1):
        await running(world, tiktok(number))
        world.engine.on_progress[tiktok(number)](Progress(job_id=job.id, phase="downloading"))
        await world.queue.counts()  # long enough for another look
        world.engine.succeed(tiktok(number))
        await world.until(job, lambda job: job.state in FINAL_STATES)
    assert asked <= 3  # before the first, after the last, and where the last look came too soon


async def test_a_job_cancelled_and_retried_at_once_runs_once_at_a_time(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    cancelling = asyncio.create_task(world.queue.cancel([job.id]))
    while (await world.queue.job(job.id)).state != "cancelled":
        await asyncio.sleep(0)
    await world.queue.retry([job.id])
    await cancelling
    await world.engine.until(lambda engine: len(engine.started) == 2)
    world.engine.succeed(tiktok(1))
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).state == "succeeded"
    assert world.governor.running("tiktok") == 0


async def test_what_was_claimed_as_its_platform_cooled_down_is_put_back(world: World) -> None:
    await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    exchange, claimed, go = world.store.exchange, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        both = exchange(*args, **kwargs)
        claimed.set()
        assert go.wait(30)
        return both

    world.store.exchange = slow  # type: ignore[method-assign]
    [second] = await world.submit(tiktok(2))
    await asyncio.to_thread(claimed.wait, 30)
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    while world.governor.cooling_until("tiktok", world.clock()) is None:
        await asyncio.sleep(0)
    go.set()
    assert (await world.until(second, lambda job: job.state == "queued")).counted_attempts == 0
    assert [work.link for work in world.engine.started] == [tiktok(1)]
    assert world.governor.running("tiktok") == 0


async def test_a_stop_waits_for_ends_that_are_being_stored(open_world: Callable[..., Any]) -> None:
    world: World = await open_world()
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    exchange, entered, go = world.store.exchange, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        entered.set()
        assert go.wait(30)
        return exchange(*args, **kwargs)

    world.store.exchange = slow  # type: ignore[method-assign]
    world.engine.succeed(tiktok(1))
    await asyncio.to_thread(entered.wait, 30)
    closing = asyncio.create_task(world.queue.close(0))
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait_for(closing, 30)
    store = Store.open(world.settings.store_url)
    assert store.job(job.id).state == "succeeded"
    store.close()


async def test_a_clock_set_back_stops_nothing(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(min_free_bytes=1 << 60)
    await world.submit(tiktok(1))
    while not world.scheduler.storage.disk.low:
        await asyncio.sleep(0)
    world.scheduler.storage.disk._min_free_bytes = 0
    world.clock.set(-3600)
    world.scheduler.wake()
    await world.engine.until(lambda engine: bool(engine.running))


async def test_after_a_cooldown_what_met_the_limit_comes_last(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=1)
    jobs = await world.submit(*(tiktok(number) for number in range(4)))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(0), "rate_limited", retry_after_seconds=2)
    await world.until(jobs[0], lambda job: job.state == "waiting")
    await world.forward(600)
    for number in (1, 2, 3, 0):
        await running(world, tiktok(number))
        world.engine.succeed(tiktok(number))
    assert [work.link for work in world.engine.started] == [tiktok(number) for number in (0, 1, 2, 3, 0)]
