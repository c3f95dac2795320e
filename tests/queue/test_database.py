"""A clock that is set: stored waits keep their length."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.queue_world import World, open_world, tiktok, world, youtube

__all__ = ["open_world", "world"]  # fixtures


# A clock that is set


@pytest.mark.parametrize("hours", [-2, 2, -24 * 365])
async def test_a_clock_that_is_set_changes_no_cooldown_and_no_wait(world: World, hours: int) -> None:
    [limited, failed] = await world.submit(tiktok(1), youtube(1))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    world.engine.fail(youtube(1), "network")
    for job in (limited, failed):
        before = await world.until(job, lambda job: job.state == "waiting")
    world.clock.set(hours * 3600)
    [view] = [view for view in await world.queue.platforms() if view.platform == "tiktok"]
    assert view.cooling_until == world.clock() + timedelta(seconds=30)
    assert before.next_attempt_at is not None
    after = await world.queue.job(failed.id)
    assert after.next_attempt_at == before.next_attempt_at + timedelta(hours=hours)
    await world.forward(29)
    await world.engine.until(lambda engine: engine.links() == {youtube(1)})
    await world.forward(4)  # the cooldown, and the pause of the job itself
    await world.engine.until(lambda engine: tiktok(1) in engine.running)


async def test_a_clock_set_back_while_no_server_ran_delays_nothing(open_world: Callable[..., Any]) -> None:
    first: World = await open_world()
    [limited, failed] = await first.submit(tiktok(1), youtube(1))
    await first.engine.until(lambda engine: len(engine.running) == 2)
    first.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    first.engine.fail(youtube(1), "network")
    for job in (limited, failed):
        await first.until(job, lambda job: job.state == "waiting")
    await first.queue.close(0)

    second = World(first.settings.storage_dir)
    second.clock.forward(-7200)
    await second.queue.start()
    try:
        [view] = [view for view in await second.queue.platforms() if view.platform == "tiktok"]
        assert view.cooling_until == second.clock() + timedelta(seconds=30)
        await second.forward(34)
        await second.engine.until(lambda engine: engine.links() == {tiktok(1), youtube(1)})
    finally:
        await second.queue.close(0)


async def test_a_clock_that_is_set_while_the_database_is_away_is_not_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.completion.STORE_RETRY_SECONDS", 0.01)
    [failed, job] = await world.submit(youtube(1), tiktok(1))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    world.engine.fail(youtube(1), "network")
    before = await world.until(failed, lambda job: job.state == "waiting")
    shift, faults = world.store.shift_times, iter([OSError("away")] * 3)

    def flaky(*args: Any, **kwargs: Any) -> None:
        if fault := next(faults, None):
            raise fault
        shift(*args, **kwargs)

    world.store.shift_times = flaky  # type: ignore[method-assign]
    world.clock.set(-7200)
    world.engine.succeed(tiktok(1))
    await asyncio.wait_for(asyncio.gather(*world.scheduler.attempts.tasks.values()), 30)
    done, after = world.store.job(job.id), world.store.job(failed.id)
    assert (done.state, done.elapsed_seconds) == ("succeeded", 0)
    assert before.next_attempt_at is not None
    assert after.next_attempt_at == before.next_attempt_at - timedelta(hours=2)


@pytest.mark.parametrize("deed", ["set again", "database away", "ended by hand"])
async def test_a_cooldown_is_stored_as_it_is_whatever_happens_while_it_is_moved(world: World, deed: str) -> None:
    await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    await asyncio.wait_for(asyncio.gather(*world.scheduler.attempts.tasks.values()), 30)
    save, entered, go = world.store.save_cooldown, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> None:
        world.store.save_cooldown = save  # type: ignore[method-assign]
        entered.set()
        assert go.wait(30)
        if deed == "database away":
            raise OSError("away")
        save(*args, **kwargs)

    world.store.save_cooldown = slow  # type: ignore[method-assign]
    world.clock.set(-7200)
    noticing: list[asyncio.Task[Any]] = [asyncio.create_task(world.queue.counts())]
    await asyncio.to_thread(entered.wait, 30)
    if deed == "set again":
        world.clock.set(-7200)
        noticing.append(asyncio.create_task(world.queue.counts()))
    elif deed == "ended by hand":
        noticing.append(asyncio.create_task(world.scheduler.end_cooldown("tiktok")))
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait_for(asyncio.gather(*noticing, return_exceptions=True), 30)
    await world.queue.counts()
    [kept] = world.store.cooldowns()
    assert kept == world.governor.cooldown("tiktok")
    assert kept.cooling_until == (None if deed == "ended by hand" else world.clock() + timedelta(seconds=30))
