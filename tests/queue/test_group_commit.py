"""Ends and claims that are stored together: what of one fails with another, and what does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from downloader.jobs import FINAL_STATES, AttemptEnd, Job
from downloader.queue.storage import CHECK_INTERVAL_SECONDS
from tests.queue_world import World, bring_back, open_world, take_away, tiktok, until_running, world

__all__ = ["open_world", "world"]  # fixtures


class Groups:
    """What of a world's store is exchanged together: how many ends, how many places to fill."""

    def __init__(self, world: World, before: Callable[[Sequence[AttemptEnd]], object] = lambda ends: None) -> None:
        """Call *before* with the ends of each group."""
        self.sizes: list[tuple[int, int]] = []
        exchange = world.store.exchange

        def noted(ends: Sequence[AttemptEnd], wanted: Any, *others: Any, **times: Any) -> Any:
            self.sizes.append((len(ends), sum(map(len, wanted.values()))))
            before(ends)
            return exchange(ends, wanted, *others, **times)

        world.store.exchange = noted  # type: ignore[method-assign]


async def all_final(world: World, jobs: Sequence[Job]) -> list[Job]:
    return [await world.until(job, lambda job: job.state in FINAL_STATES) for job in jobs]


async def test_ends_are_stored_together_and_with_the_claim_that_they_make_room_for(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WINDOW_SECONDS", "MIN_WINDOW_SECONDS"):
        monkeypatch.setattr(f"downloader.queue.group_commit.{name}", 3600)
    world: World = await open_world(workers=3, platform_concurrency=3)
    jobs = await world.submit(*(tiktok(number) for number in range(1, 6)))
    await world.engine.until(lambda engine: len(engine.running) == 3)
    groups = Groups(world)
    await world.scheduler.set_paused(True)  # no claim, until all ends wait for one
    for number in (1, 2, 3):
        world.engine.succeed(tiktok(number))
    while len(world.scheduler._completion.group._waiting) < 3:
        await asyncio.sleep(0)
    await world.scheduler.set_paused(False)
    await all_final(world, jobs[:3])
    await world.engine.until(lambda engine: len(engine.started) == 5)
    assert groups.sizes == [(3, 3)]


async def test_what_ends_while_a_group_is_stored_is_the_next_group(world: World) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(_: Sequence[AttemptEnd]) -> None:
        entered.set()
        assert go.wait(30)

    jobs = await until_running(world, *(tiktok(number) for number in range(1, 4)))
    groups = Groups(world, slow)
    world.engine.succeed(tiktok(1))
    assert await asyncio.to_thread(entered.wait, 30)
    world.engine.succeed(tiktok(2))
    world.engine.succeed(tiktok(3))
    while len(world.scheduler.attempts._ending) < 3:
        await asyncio.sleep(0)
    go.set()
    await all_final(world, jobs)
    assert groups.sizes == [(1, 0), (2, 0)]


async def test_an_end_that_cannot_be_stored_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its group are stored all the same, and it is tried again by itself."""
    monkeypatch.setattr("downloader.queue.completion.STORE_RETRY_SECONDS", 0.01)
    jobs = await until_running(world, *(tiktok(number) for number in range(1, 4)))
    bad, asked = jobs[1].id, 0
    may_be_stored = asyncio.Event()

    def refuse(ends: Sequence[AttemptEnd]) -> None:
        nonlocal asked
        if bad in {end.job_id for end in ends} and not may_be_stored.is_set():
            asked += 1
            raise ValueError("no database can store this")

    Groups(world, refuse)
    for number in (1, 2, 3):
        world.engine.succeed(tiktok(number))
    await all_final(world, [jobs[0], jobs[2]])
    assert (await world.queue.job(bad)).state == "running"
    may_be_stored.set()
    assert [job.attempt_number for job in await all_final(world, jobs)] == [1, 1, 1]
    assert asked >= 2


async def test_a_claim_is_made_although_an_end_cannot_be_stored_with_it(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.completion.STORE_RETRY_SECONDS", 0.01)
    world: World = await open_world(workers=1)
    [first, second] = await world.submit(tiktok(1), tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    away = True

    def refuse(ends: Sequence[AttemptEnd]) -> None:
        if ends and away:
            raise ConnectionError("gone")

    Groups(world, refuse)
    world.engine.succeed(tiktok(1))
    await world.engine.until(lambda engine: tiktok(2) in engine.running)
    assert (await world.queue.job(first.id)).state == "running"
    away = False
    await all_final(world, [first])
    assert (await world.queue.job(second.id)).state == "running"


async def test_jobs_claimed_with_an_end_run_although_what_follows_that_end_fails(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the group is stored by then."""
    monkeypatch.setattr("downloader.queue.completion.STORE_RETRY_SECONDS", 0.01)
    world: World = await open_world(workers=1)
    [first, _] = await world.submit(tiktok(1), tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    find, faults = world.store.job, iter([ConnectionError("gone")])

    def broken(job_id: str) -> Job:
        if fault := next(faults, None):
            raise fault
        return find(job_id)

    world.store.cancel([first.id], now=world.clock())  # not heard of: its end finds it cancelled, and asks
    world.store.job = broken  # type: ignore[method-assign]
    world.engine.succeed(tiktok(1))
    await world.engine.until(lambda engine: tiktok(2) in engine.running)
    assert world.engine.links() == {tiktok(2)}


async def test_the_last_that_runs_waits_for_no_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.group_commit.WINDOW_SECONDS", 3600)
    [job] = await until_running(world, tiktok(1))
    world.engine.succeed(tiktok(1))
    await all_final(world, [job])


async def test_what_was_about_to_be_claimed_when_the_disk_failed_has_no_attempt(world: World) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(_: Sequence[AttemptEnd]) -> None:
        entered.set()
        assert go_on.wait(30)

    await until_running(world, tiktok(1))
    await world.scheduler.set_paused(True)
    [job] = await world.submit(tiktok(2))
    Groups(world, slow)
    world.engine.succeed(tiktok(1))
    assert await asyncio.to_thread(entered.wait, 30)
    await world.scheduler.set_paused(False)
    while not world.scheduler._completion.group._waiting:
        await asyncio.sleep(0)
    take_away(world)
    await world.scheduler.storage.poll(thoroughly=True)
    go_on.set()
    await world.until_told({"disk_low": False, "storage_full": False, "storage_error": world.scheduler.storage.fault})
    assert await world.queue.attempts(job.id) == []
    bring_back(world)
    await world.forward(CHECK_INTERVAL_SECONDS)
    await world.engine.until(lambda engine: tiktok(2) in engine.running)
