"""Disk, quota or database in trouble: nothing new starts, and everyone is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from downloader.errors import StoreUnavailable
from downloader.jobs import FINAL_STATES, Event, Progress
from downloader.queue.storage import CHECK_INTERVAL_SECONDS, MEASURE_INTERVAL_SECONDS
from tests.queue_world import World, bring_back, open_world, take_away, tiktok, until_running, world

__all__ = ["open_world", "world"]  # fixtures


async def test_a_full_disk_begins_nothing_and_says_so(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(min_free_bytes=1 << 60)
    with world.queue.hub.subscribe() as changes:
        jobs = await world.submit(*(tiktok(number) for number in range(20)))
        kinds = set()
        while "queue_changed" not in kinds:
            change = await asyncio.to_thread(changes.get, 10)
            assert change is not None
            assert not isinstance(change, Progress)
            kinds.add(change.kind)
    assert world.scheduler.status().disk_low
    assert {(await world.queue.job(job.id)).state for job in jobs} == {"queued"}
    assert world.engine.started == []


async def test_a_disk_that_fails_is_told_of_and_so_is_its_return(open_world: Callable[..., Any]) -> None:
    world: World = await open_world()
    take_away(world)
    await world.forward(CHECK_INTERVAL_SECONDS)
    told: list[Any] = []
    with world.queue.hub.subscribe() as changes:
        for expected in (True, False):
            while not told or told[-1] is not expected:
                change = await asyncio.to_thread(changes.get, 10)
                assert change is not None
                if isinstance(change, Event) and change.kind == "queue_changed":
                    told.append(change.data["storage_error"] is not None)
            if expected:
                bring_back(world)
                await world.forward(CHECK_INTERVAL_SECONDS)
    assert told == [True, False]


async def test_a_disk_that_does_not_answer_holds_up_downloads_and_nothing_else(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.storage.CHECK_TIMEOUT_SECONDS", 0.1)
    world: World = await open_world()
    look, answers = world.scheduler.storage.disk.poll, threading.Event()

    def hang(now: Any) -> None:
        assert answers.wait(10)
        look(now)

    monkeypatch.setattr(world.scheduler.storage.disk, "poll", hang)
    await world.forward(CHECK_INTERVAL_SECONDS)
    [job] = await world.submit(tiktok(1))
    while world.scheduler.status().storage_error is None:
        await world.scheduler.storage.poll(thoroughly=True)
        await asyncio.sleep(0)
    assert "does not answer" in (world.scheduler.status().storage_error or "")
    assert (await world.queue.job(job.id)).state == "queued"
    assert world.engine.started == []
    monkeypatch.undo()
    answers.set()
    while world.scheduler.status().storage_error is not None:
        await world.scheduler.storage.poll(thoroughly=True)
        await asyncio.sleep(0)
    await world.forward(CHECK_INTERVAL_SECONDS)
    await world.engine.until(lambda engine: bool(engine.running))


async def test_a_database_that_is_gone_is_told_of_and_nothing_begins(world: World) -> None:
    [job] = await until_running(world, tiktok(1))
    database = world.settings.store_file
    assert database is not None
    database.rename(database.with_name("aside"))
    with pytest.raises(StoreUnavailable, match="was deleted"):
        await world.submit(tiktok(2))
    await world.scheduler.storage.poll(thoroughly=True)
    assert "was deleted" in (world.scheduler.status().database_error or "")
    world.engine.succeed(tiktok(1))
    assert (await world.queue.job(job.id)).state == "running"
    database.with_name("aside").rename(database)
    # Whatever was to be stored meanwhile is.
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).state == "succeeded"
    await world.forward(CHECK_INTERVAL_SECONDS)
    await until_running(world, tiktok(2))


async def test_a_full_storage_begins_nothing_says_so_and_goes_on_when_there_is_room(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.operations.COOLDOWN_CHECK_INTERVAL_SECONDS", 0.1)
    world: World = await open_world(max_storage_bytes=100)
    (world.settings.raw_dir / "old.mp4").write_bytes(bytes(100))
    world.scheduler.files_removed()  # whatever was there at the start: look now
    with world.queue.hub.subscribe() as changes:
        [job] = await world.submit(tiktok(1))
        change = None
        while not isinstance(change, Event) or change.kind != "queue_changed":
            change = await asyncio.to_thread(changes.get, 10)
            assert change is not None
    assert change.data == {"disk_low": False, "storage_full": True, "storage_error": None}
    assert world.scheduler.status().storage_full
    assert (await world.queue.job(job.id)).state == "queued"
    assert world.engine.started == []
    # A request that waits is answered with what there is.
    [answer] = await asyncio.wait_for(world.queue.wait(await world.queue.submit([tiktok(2)])), 10)
    assert answer.state == "queued"
    (world.settings.raw_dir / "old.mp4").unlink()
    await world.forward(MEASURE_INTERVAL_SECONDS)
    await world.engine.until(lambda engine: bool(engine.running))
    assert not world.scheduler.status().storage_full


async def test_a_fault_that_is_noticed_during_a_round_starts_nothing(world: World) -> None:
    due, asked, go = world.store.due, threading.Event(), threading.Event()

    def slow() -> Any:
        asked.set()
        assert go.wait(10)
        return due()

    [job] = await until_running(world, tiktok(1))
    world.store.due = slow  # type: ignore[method-assign]
    world.scheduler.wake()
    assert await asyncio.to_thread(asked.wait, 10)
    take_away(world)
    world.engine.fail(tiktok(1), "timeout")
    await world.until(job, lambda job: job.state == "queued")
    go.set()
    await world.until(job, lambda job: job.state == "queued" and job.attempt_number == 2)
    assert len(world.engine.started) == 1
    bring_back(world)
