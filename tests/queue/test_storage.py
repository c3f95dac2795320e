"""Disk, quota or database in trouble: nothing new starts, and everyone is told."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from downloader.errors import StoreUnavailable
from downloader.jobs import FINAL_STATES, Event, Progress
from downloader.queue.storage import CHECK_INTERVAL_SECONDS, MEASURE_INTERVAL_SECONDS, DiskWatch, QuotaWatch
from tests.fakes import FakeClock
from tests.mounts import remount, tmpfs
from tests.queue_world import World, bring_back, open_world, take_away, tiktok, until_running, world

__all__ = ["open_world", "world"]  # fixtures


async def test_a_full_disk_begins_nothing_and_says_so(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(min_free_bytes=1 << 60)
    with world.queue.hub.subscribe() as changes:
        jobs = await world.submit(*(tiktok(number) for number in range(20)))
        kinds = set()
        while "queue_changed" not in kinds:
            change = await asyncio.to_thread(changes.get, 30)
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
                change = await asyncio.to_thread(changes.get, 30)
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
        assert answers.wait(30)
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
            change = await asyncio.to_thread(changes.get, 30)
            assert change is not None
    assert change.data == {"disk_low": False, "storage_full": True, "storage_error": None}
    assert world.scheduler.status().storage_full
    assert (await world.queue.job(job.id)).state == "queued"
    assert world.engine.started == []
    # A request that waits is answered with what there is.
    [answer] = await asyncio.wait_for(world.queue.wait(await world.queue.submit([tiktok(2)])), 30)
    assert answer.state == "queued"
    (world.settings.raw_dir / "old.mp4").unlink()
    await world.forward(MEASURE_INTERVAL_SECONDS)
    await world.engine.until(lambda engine: bool(engine.running))
    assert not world.scheduler.status().storage_full


async def test_a_fault_that_is_noticed_during_a_round_starts_nothing(world: World) -> None:
    due, asked, go = world.store.due, threading.Event(), threading.Event()

    def slow() -> Any:
        asked.set()
        assert go.wait(30)
        return due()

    [job] = await until_running(world, tiktok(1))
    world.store.due = slow  # type: ignore[method-assign]
    world.scheduler.wake()
    assert await asyncio.to_thread(asked.wait, 30)
    take_away(world)
    world.engine.fail(tiktok(1), "timeout")
    await world.until(job, lambda job: job.state == "queued")
    go.set()
    await world.until_told({"disk_low": False, "storage_full": False, "storage_error": world.scheduler.storage.fault})
    assert len(await world.queue.attempts(job.id)) == len(world.engine.started) == 1
    bring_back(world)


async def test_a_fault_that_is_noticed_during_a_claim_starts_nothing(world: World) -> None:
    exchange, claimed, go = world.store.exchange, threading.Event(), threading.Event()

    def slow(*what: Any, **times: Any) -> Any:
        exchanged = exchange(*what, **times)
        claimed.set()
        assert go.wait(30)
        return exchanged

    world.store.exchange = slow  # type: ignore[method-assign]
    [job] = await world.submit(tiktok(1))
    assert await asyncio.to_thread(claimed.wait, 30)
    take_away(world)
    await world.scheduler.storage.poll(thoroughly=True)
    go.set()
    assert (await world.until(job, lambda job: job.state != "running")).state == "queued"
    assert world.engine.started == []
    bring_back(world)
    await world.forward(CHECK_INTERVAL_SECONDS)
    await world.engine.until(lambda engine: tiktok(1) in engine.running)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Path]:
    """Return a storage folder on a file system of its own."""
    with tmpfs(tmp_path / "storage", size="2m") as folder:
        yield folder


class Watch:
    """A watch over a storage folder, and its clock."""

    def __init__(self, storage: Path, min_free_bytes: int = 0) -> None:
        self.raw, self.work = storage / "raw", storage / "work"
        self.clock = FakeClock()
        self.disk = DiskWatch(self.raw, self.work, min_free_bytes)

    def later(self) -> str | None:
        """Return what is wrong at the next look."""
        self.clock.forward(CHECK_INTERVAL_SECONDS)
        assert self.disk.is_due(self.clock())
        self.disk.poll(self.clock())
        assert not self.disk.is_due(self.clock())
        return self.disk.fault

    def doubted(self) -> str | None:
        """Return what is wrong at a look that was asked for."""
        self.disk.doubt()
        assert self.disk.is_due(self.clock())
        self.disk.poll(self.clock())
        return self.disk.fault

    def left(self) -> list[Path]:
        return [*self.raw.iterdir(), *self.work.iterdir()]


@pytest.fixture
def watch(storage: Path) -> Watch:
    watch = Watch(storage)
    assert watch.later() is None
    assert (watch.disk.low, watch.disk.faults) == (False, 0)
    assert watch.disk.free_bytes == shutil.disk_usage(storage).free
    return watch


def test_a_storage_that_is_read_only_is_noticed_until_it_can_be_written(watch: Watch, storage: Path) -> None:
    remount(storage, "ro")
    assert "Read-only file system" in (watch.later() or "")
    assert "Read-only file system" in (watch.doubted() or "")
    assert watch.disk.faults == 2
    remount(storage, "rw")
    assert watch.later() is None
    assert watch.left() == []


def test_a_full_disk_is_low_whatever_may_be_free_of_it(watch: Watch, storage: Path) -> None:
    filler = storage / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(4 << 20))
    assert watch.doubted() is None
    assert watch.disk.low
    assert watch.later() is None
    assert watch.disk.low  # tried again
    filler.unlink()
    assert watch.later() is None
    assert not watch.disk.low
    assert watch.left() == []


def test_the_disk_with_less_room_counts(tmp_path: Path, storage: Path) -> None:
    with tmpfs(storage / "raw", size="1m"):
        watch = Watch(storage, min_free_bytes=1_500_000)
        assert watch.later() is None
        assert watch.disk.low
        assert watch.disk.free_bytes <= 1 << 20


@pytest.mark.parametrize("name", ["raw", "work"])
def test_a_folder_that_was_deleted_is_made_again(watch: Watch, storage: Path, name: str) -> None:
    (storage / name).rmdir()
    assert watch.later() is None
    assert (storage / name).is_dir()
    assert watch.disk.faults == 1  # who was at work there has failed, through no fault of its own


def test_a_storage_folder_that_is_gone_is_not_made_again(watch: Watch, tmp_path: Path) -> None:
    watch = Watch(tmp_path / "deleted" / "storage")
    (tmp_path / "deleted" / "storage").mkdir(parents=True)
    assert watch.later() is None
    shutil.rmtree(tmp_path / "deleted")
    assert "No such file" in (watch.later() or "")
    assert not (tmp_path / "deleted").exists()


def test_nothing_is_made_where_a_disk_should_be_mounted(watch: Watch, storage: Path) -> None:
    subprocess.run(["umount", storage], check=True)
    try:
        for fault in (watch.later(), watch.doubted()):
            assert f"{storage}: it is not mounted any more" in (fault or "")
        assert list(storage.iterdir()) == []
        assert not watch.disk.is_mounted()
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", storage], check=True)
    assert watch.later() is None
    assert watch.disk.is_mounted()


def test_a_link_to_another_disk_is_followed_there(tmp_path: Path, storage: Path) -> None:
    (tmp_path / "here").mkdir()
    (storage / "videos").mkdir()
    (tmp_path / "here" / "raw").symlink_to(storage / "videos")
    watch = Watch(tmp_path / "here")
    assert watch.later() is None
    (storage / "videos").rmdir()
    assert "it is not a folder" in (watch.later() or "")
    assert list(storage.iterdir()) == []
    (storage / "videos").mkdir()
    assert watch.later() is None


@pytest.mark.parametrize("name", ["raw", "work"])
def test_what_nothing_but_a_write_can_tell_is_noticed_when_something_failed(
    watch: Watch, storage: Path, name: str
) -> None:
    """Permissions, for one; nothing but an immutable folder keeps out root."""
    if subprocess.run(["chattr", "+i", storage / name], check=False, capture_output=True).returncode:
        pytest.skip("this file system knows no immutable folders")
    try:
        assert watch.later() is None
        assert f"{storage / name}: Operation not permitted" in (watch.doubted() or "")
        assert f"{storage / name}: Operation not permitted" in (watch.later() or "")
    finally:
        subprocess.run(["chattr", "-i", storage / name], check=True)
    assert watch.later() is None


def test_between_two_looks_there_is_none(watch: Watch) -> None:
    assert not watch.disk.is_due(watch.clock())
    watch.clock.forward(CHECK_INTERVAL_SECONDS - 0.1)
    assert not watch.disk.is_due(watch.clock())
    watch.clock.forward(-3600)  # a clock that was set back
    assert watch.disk.is_due(watch.clock())


def test_it_is_full_at_the_limit_and_has_room_again_when_something_went(tmp_path: Path) -> None:
    clock, raw, work = FakeClock(), tmp_path / "raw", tmp_path / "work"
    (work / "job").mkdir(parents=True)
    raw.mkdir()
    (raw / "a.mp4").write_bytes(bytes(6000))
    (work / "job" / "b.part").write_bytes(bytes(3000))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "large").write_bytes(bytes(50_000))
    (raw / "folder").symlink_to(outside)  # not followed; it has a few bytes itself
    watch = QuotaWatch((raw, work, tmp_path / "nowhere"), 10_000)
    assert not watch.poll(clock())
    assert not watch.full
    watch.arrived(1000)
    assert watch.poll(clock())
    assert watch.full
    (raw / "a.mp4").unlink()
    assert not watch.poll(clock())  # not measured yet
    watch.measure_soon()
    assert watch.poll(clock())
    assert not watch.full
    (raw / "c.mp4").write_bytes(bytes(9000))
    clock.forward(MEASURE_INTERVAL_SECONDS)
    assert watch.poll(clock())


def test_without_a_limit_nothing_is_measured(tmp_path: Path) -> None:
    watch = QuotaWatch((tmp_path,), None)
    watch.arrived(10**15)
    assert not watch.poll(FakeClock()())
    assert not watch.full
