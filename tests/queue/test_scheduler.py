"""What runs when, and what becomes of it: a real store, an engine by hand, a clock by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from downloader.errors import ErrorCode, NotFound, StoreUnavailable
from downloader.jobs import FINAL_STATES, Event, Job, Progress
from downloader.models import Media, Outcome
from downloader.queue.disk import LOOK_SECONDS
from downloader.queue.preemption import QUIET_SECONDS, SILENT_SECONDS
from downloader.queue.scheduler import PRUNE_SECONDS, STEP_BACK_SECONDS
from downloader.queue.space import MEASURE_SECONDS
from downloader.store.repository import Store
from tests.queue_world import World, open_world, tiktok, world, youtube

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


async def test_a_passing_failure_is_tried_again_after_a_pause_until_tries_are_used_up(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    for attempt in (1, 2):
        await world.engine.until(lambda engine: bool(engine.running))
        world.engine.fail(tiktok(1), "network")
        waiting = await world.until(job, lambda job: job.state == "waiting")
        assert (waiting.attempts, waiting.error_code) == (attempt, "network")
        assert waiting.next_attempt_at is not None
        await world.forward((waiting.next_attempt_at - world.clock()).total_seconds())
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "network")
    assert (await world.until(job, lambda job: job.state == "failed")).attempts == 3
    assert [attempt.error_code for attempt in await world.queue.attempts(job.id)] == ["network"] * 3


@pytest.mark.parametrize("code", ["private", "removed", "platform_changed", "internal"])
async def test_a_lasting_failure_is_not_tried_again(world: World, code: ErrorCode) -> None:
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), code)
    failed = await world.until(job, lambda job: job.state == "failed")
    assert (failed.attempts, failed.error_code) == (1, code)


async def test_a_fault_of_the_engine_fails_one_job_and_no_other(world: World) -> None:
    job, _ = await world.submit(tiktok(1), tiktok(2))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    world.engine.crash(tiktok(1))
    assert (await world.until(job, lambda job: job.state == "failed")).error_code == "internal"
    assert world.engine.links() == {tiktok(2)}


async def test_a_rate_limit_stops_its_platform_at_once_and_no_other(world: World) -> None:
    jobs = await world.submit(*(tiktok(number) for number in range(6)), youtube(1))
    await world.engine.until(lambda engine: len(engine.running) == 5)
    world.engine.fail(tiktok(0), "rate_limited", retry_after_seconds=30)
    await world.until(jobs[0], lambda job: job.state == "waiting")
    for job in jobs[1:4]:
        # The others were ended too: a platform at rest gets no request at all. It costs them no try.
        assert (await world.until(job, lambda job: job.state == "queued")).attempts == 0
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


async def test_a_rest_outlives_a_restart(open_world: Callable[..., Any]) -> None:
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
    assert second.scheduler.governor.cooling_until("tiktok", second.clock()) is not None
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
    assert (again.state, again.attempts) == ("queued", 0)
    await world.engine.until(lambda engine: bool(engine.running))


async def test_a_job_cancelled_and_retried_before_a_claim_gets_to_it_runs(world: World) -> None:
    claim, claiming, go = world.store.claim, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        claiming.set()
        assert go.wait(10)
        return claim(*args, **kwargs)

    world.store.claim = slow  # type: ignore[method-assign]
    [job] = await world.submit(tiktok(1))
    await asyncio.to_thread(claiming.wait, 10)
    await world.queue.cancel([job.id])
    await world.queue.retry([job.id])
    go.set()
    await world.engine.until(lambda engine: bool(engine.running))


async def test_progress_says_which_try_of_which_batch_it_is(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    with world.queue.hub.subscribe() as changes:
        world.engine.on_progress[tiktok(1)](Progress(job_id=job.id, phase="extracting"))
        told = await asyncio.to_thread(changes.get, 10)
    assert told == Progress(job_id=job.id, phase="extracting", attempt=1, batch_id=job.batch_id)


async def test_old_events_are_removed(open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.scheduler.KEPT_EVENTS", 3)
    world: World = await open_world()
    await world.scheduler.set_paused(True)
    for number in range(10):
        await world.submit(tiktok(number))
    with world.queue.hub.subscribe():
        await world.forward(PRUNE_SECONDS + 1)
        await world.scheduler.set_paused(False)
        await world.engine.until(lambda engine: len(engine.running) == 4)
    oldest = (await world.queue.events_since(0))[0].id
    assert oldest > 5


async def test_a_paused_queue_begins_nothing(world: World) -> None:
    await world.scheduler.set_paused(True)
    [job] = await world.submit(tiktok(1))
    await world.forward(100)
    assert (await world.queue.job(job.id)).state == "queued"
    assert world.scheduler.status().paused
    await world.scheduler.set_paused(False)
    await world.engine.until(lambda engine: bool(engine.running))


async def test_what_ran_when_the_process_died_runs_again(open_world: Callable[..., Any]) -> None:
    dead: World = await open_world()
    [job] = await dead.submit(tiktok(1))
    await dead.engine.until(lambda engine: bool(engine.running))
    # No close: the store is left as a killed process leaves it.
    alive: World = await open_world()
    await alive.engine.until(lambda engine: bool(engine.running))
    again = await alive.queue.job(job.id)
    assert (again.state, again.attempts) == ("running", 1)
    assert [attempt.result for attempt in await alive.queue.attempts(job.id)] == ["interrupted", "running"]


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


async def test_a_stop_puts_running_jobs_back(open_world: Callable[..., Any]) -> None:
    world: World = await open_world()
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    waiting = asyncio.create_task(world.queue.wait(await world.queue.submit([tiktok(2)])))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    await world.queue.close(0)
    assert sorted(world.engine.cancelled) == [tiktok(1), tiktok(2)]
    [answer] = await asyncio.wait_for(waiting, 10)
    assert answer.state == "queued"
    store = Store.open(world.settings.store_url)
    assert (store.job(job.id).state, store.job(job.id).attempts) == ("queued", 0)
    store.close()


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


@pytest.mark.parametrize(
    "code", ["storage_unavailable", "disk_full", "internal", "file_missing", "not_a_video", "timeout"]
)
async def test_what_a_disk_failed_costs_no_try_and_goes_on_when_it_is_back(
    open_world: Callable[..., Any], code: ErrorCode
) -> None:
    world: World = await open_world(max_attempts=1)
    [job] = await until_running(world, tiktok(1))
    take_away(world)
    world.engine.fail(tiktok(1), code)
    queued = await world.until(job, lambda job: job.state != "running")
    assert (queued.state, queued.attempts) == ("queued", 0)
    assert queued.error_code == (code if code == "disk_full" else "storage_unavailable")
    assert [attempt.result for attempt in await world.queue.attempts(job.id)] == ["interrupted"]
    [other] = await world.submit(youtube(1))
    await world.forward(LOOK_SECONDS)
    # A request that waits is answered with what there is.
    [answer] = await asyncio.wait_for(world.queue.wait(await world.queue.submit([tiktok(2)])), 10)
    assert answer.state == "queued"
    assert len(world.engine.started) == 1
    assert "it is no folder" in (world.scheduler.status().storage_error or "")

    bring_back(world)
    await world.forward(LOOK_SECONDS)
    await world.engine.until(lambda engine: {tiktok(1), youtube(1)} <= engine.links())
    assert world.scheduler.status().storage_error is None
    for link, each in ((tiktok(1), job), (youtube(1), other)):
        world.engine.succeed(link)
        assert (await world.until(each, lambda job: job.state in FINAL_STATES)).state == "succeeded"


async def test_what_a_platform_says_stands_whatever_the_disk_does(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(max_attempts=1)
    jobs = await until_running(world, tiktok(1), youtube(1))
    take_away(world)
    world.engine.fail(tiktok(1), "private")
    world.engine.fail(youtube(1), "network")
    for job, code in zip(jobs, ("private", "network"), strict=True):
        failed = await world.until(job, lambda job: job.state in FINAL_STATES)
        assert (failed.state, failed.error_code) == ("failed", code)


async def test_a_disk_that_fails_is_told_of_and_so_is_its_return(open_world: Callable[..., Any]) -> None:
    world: World = await open_world()
    take_away(world)
    await world.forward(LOOK_SECONDS)
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
                await world.forward(LOOK_SECONDS)
    assert told == [True, False]


async def test_a_job_that_alone_cannot_be_stored_is_tried_again_without_end_but_not_for_ever(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its work folder belongs to another user, say: the disk itself is well."""
    monkeypatch.setattr("downloader.queue.scheduler.PATIENT_TRIES", 2)
    world: World = await open_world(max_attempts=2)
    [job] = await until_running(world, tiktok(1))
    seen = []
    while True:
        world.engine.fail(tiktok(1), "storage_unavailable")
        now = await world.until(job, lambda job: job.state != "running")
        seen.append((now.state, now.attempts, now.error_code))
        if now.state in FINAL_STATES:
            break
        assert now.next_attempt_at is not None
        assert now.next_attempt_at > world.clock()
        await world.forward((now.next_attempt_at - world.clock()).total_seconds())
        await world.engine.until(lambda engine: bool(engine.running))
    code = "storage_unavailable"
    assert seen == [("waiting", 0, code), ("waiting", 0, code), ("waiting", 1, code), ("failed", 2, code)]


async def test_a_disk_that_does_not_answer_holds_up_downloads_and_nothing_else(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.scheduler.LOOK_PATIENCE_SECONDS", 0.1)
    world: World = await open_world()
    look, answers = world.scheduler._disk.look, threading.Event()

    def hang(now: Any) -> None:
        assert answers.wait(10)
        look(now)

    monkeypatch.setattr(world.scheduler._disk, "look", hang)
    await world.forward(LOOK_SECONDS)
    [job] = await world.submit(tiktok(1))
    while world.scheduler.status().storage_error is None:
        await world.scheduler.look(thoroughly=True)
        await asyncio.sleep(0)
    assert "does not answer" in (world.scheduler.status().storage_error or "")
    assert (await world.queue.job(job.id)).state == "queued"
    assert world.engine.started == []
    monkeypatch.undo()
    answers.set()
    while world.scheduler.status().storage_error is not None:
        await world.scheduler.look(thoroughly=True)
        await asyncio.sleep(0)
    await world.forward(LOOK_SECONDS)
    await world.engine.until(lambda engine: bool(engine.running))


async def test_a_file_that_went_to_another_disk_is_no_success(open_world: Callable[..., Any]) -> None:
    """The disk was unmounted: what is below its mount point will be hidden when it is back."""
    world: World = await open_world(max_attempts=1)
    [job] = await until_running(world, tiktok(1))
    world.scheduler._disk.mounts.add(world.settings.work_dir)  # which is no mount point
    path = world.settings.raw_dir / "1.mp4"
    path.write_bytes(b"x")
    media = Media(files=(str(path),), size_bytes=1)
    world.engine.running[tiktok(1)].set_result(Outcome(True, str(path), None, media=media))
    back = await world.until(job, lambda job: job.state != "running")
    assert (back.state, back.attempts, back.error_code) == ("waiting", 0, "storage_unavailable")
    assert not path.exists()


async def test_a_database_that_is_gone_is_told_of_and_nothing_begins(world: World) -> None:
    [job] = await until_running(world, tiktok(1))
    database = world.settings.store_file
    assert database is not None
    database.rename(database.with_name("aside"))
    with pytest.raises(StoreUnavailable, match="was deleted"):
        await world.submit(tiktok(2))
    await world.scheduler.look(thoroughly=True)
    assert "was deleted" in (world.scheduler.status().database_error or "")
    world.engine.succeed(tiktok(1))
    assert (await world.queue.job(job.id)).state == "running"
    database.with_name("aside").rename(database)
    # Whatever was to be stored meanwhile is.
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).state == "succeeded"
    await world.forward(LOOK_SECONDS)
    await until_running(world, tiktok(2))


async def test_a_full_storage_begins_nothing_says_so_and_goes_on_when_there_is_room(
    open_world: Callable[..., Any],
) -> None:
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
    await world.forward(MEASURE_SECONDS)
    await world.engine.until(lambda engine: bool(engine.running))
    assert not world.scheduler.status().storage_full


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
                assert await asyncio.to_thread(changes.get, 10)


async def test_what_ended_long_ago_is_deleted_with_its_files(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(retention_days=0.5, max_attempts=1)
    old = await finished(world, 1)
    [failed] = await world.submit(tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(2), "network")
    await world.until(failed, lambda job: job.state == "failed")
    await world.forward(6 * 3600)
    young = await finished(world, 3)
    again = await finished(world, 1)  # the same post, so the same file
    [waiting] = await world.submit(tiktok(4))
    await world.forward(6 * 3600 + 1)
    await gone(world, old, failed)
    assert (await world.queue.job(young.id)).state == "succeeded"
    assert Path(again.files[0]).exists()
    assert (await world.queue.job(waiting.id)).state in {"queued", "running"}
    await world.forward(6 * 3600)
    await gone(world, young, again)
    assert list(world.settings.raw_dir.iterdir()) == []


async def test_after_a_month_off_all_of_it_goes_in_portions(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("downloader.queue.retention.PORTION", 2)
    first: World = await open_world()
    jobs = [await finished(first, number) for number in range(5)]
    await first.queue.close(0)
    caplog.set_level("INFO", "downloader.queue.retention")
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


async def test_silent_downloads_make_room_once_for_those_that_wait(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=2)
    jobs = await world.submit(*(tiktok(number) for number in range(4)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    await world.forward(QUIET_SECONDS + 0.1)
    await world.engine.until(lambda engine: tiktok(2) in engine.running and tiktok(3) in engine.running)
    stepped = await world.queue.job(jobs[0].id)
    assert (stepped.state, stepped.attempts) == ("waiting", 0)
    # They come back when the others are done, and are then left their full time.
    for number in (2, 3):
        world.engine.succeed(tiktok(number))
    await world.forward(STEP_BACK_SECONDS)
    await world.engine.until(lambda engine: engine.links() == {tiktok(0), tiktok(1)})
    await world.submit(tiktok(5))
    started = len(world.engine.started)
    await world.forward(QUIET_SECONDS * 3)
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
    world: World = await open_world(platform_concurrency=1)
    first, _ = await world.submit(tiktok(1), tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.on_progress[tiktok(1)](Progress(job_id=first.id, phase="downloading", downloaded_bytes=1))
    await world.forward(QUIET_SECONDS * 10)
    [other] = await world.submit(youtube(1))
    await world.engine.until(lambda engine: youtube(1) in engine.running)
    assert world.engine.links() == {tiktok(1), youtube(1)}
    assert [progress.downloaded_bytes for progress in world.scheduler.progress()] == [1]
    assert other.state == "queued"


async def test_waiting_returns_each_link_in_order_once_final(world: World) -> None:
    submission = await world.queue.submit([tiktok(1), "https://netflix.com", tiktok(2), tiktok(1)])
    waiting = asyncio.create_task(world.queue.wait(submission))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    world.engine.succeed(tiktok(2))
    world.engine.fail(tiktok(1), "private")
    jobs = await asyncio.wait_for(waiting, 10)
    assert [job.state for job in jobs] == ["failed", "failed", "succeeded", "failed"]
    assert [job.error_code for job in jobs] == ["private", "unsupported_platform", None, "private"]


async def test_nothing_is_looked_up_while_nothing_can_change(open_world: Callable[..., Any]) -> None:
    """A silent download that would help nobody must not keep the scheduler spinning."""
    world: World = await open_world(platform_concurrency=1)
    await world.submit(tiktok(1), tiktok(2), youtube(1))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    await world.forward(QUIET_SECONDS + 1)
    await world.engine.until(lambda engine: tiktok(2) in engine.running)
    looks = 0
    due = world.store.due

    def counted() -> Any:
        nonlocal looks
        looks += 1
        return due()

    world.store.due = counted  # type: ignore[method-assign]
    await world.forward(QUIET_SECONDS * 5)
    for _ in range(50):  # each takes as long as one more look would
        await world.queue.counts()
    assert looks <= 6


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
    assert world.scheduler.governor.running("tiktok") == 0


async def test_a_cancel_before_the_first_step_loses_no_place(world: World) -> None:
    """A task that is cancelled before it ever ran does not run at all, not even its `finally`."""
    for number in range(30):
        [job] = await world.submit(tiktok(number))
        for _ in range(number):
            await asyncio.sleep(0)
        await world.queue.cancel([job.id])
        assert (await world.queue.job(job.id)).state == "cancelled"
    await asyncio.gather(*world.scheduler._tasks.values())
    assert world.scheduler.governor.running("tiktok") == 0
    await world.submit(tiktok(99))
    await world.engine.until(lambda engine: tiktok(99) in engine.running)


async def test_an_attempt_interrupted_before_its_first_step_is_put_back(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    start = world.scheduler._start

    def start_and_interrupt(job: Job, now: Any) -> None:
        start(job, now)
        world.scheduler._interrupt_platform("tiktok")
        world.scheduler._start = start  # type: ignore[method-assign]

    world.scheduler._start = start_and_interrupt  # type: ignore[method-assign]
    await world.engine.until(lambda engine: bool(engine.running))
    assert [attempt.result for attempt in await world.queue.attempts(job.id)] == ["interrupted", "running"]


async def test_what_was_claimed_as_its_platform_went_to_rest_is_put_back(world: World) -> None:
    [first] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    claim, claimed, go = world.store.claim, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        jobs = claim(*args, **kwargs)
        claimed.set()
        assert go.wait(10)
        return jobs

    world.store.claim = slow  # type: ignore[method-assign]
    [second] = await world.submit(tiktok(2))
    await asyncio.to_thread(claimed.wait, 10)
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    await world.until(first, lambda job: job.state == "waiting")
    go.set()
    assert (await world.until(second, lambda job: job.state == "queued")).attempts == 0
    assert [work.link for work in world.engine.started] == [tiktok(1)]
    assert world.scheduler.governor.running("tiktok") == 0


async def test_a_stop_waits_for_ends_that_are_being_stored(open_world: Callable[..., Any]) -> None:
    world: World = await open_world()
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    finish, entered, go = world.store.finish, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        entered.set()
        assert go.wait(10)
        return finish(*args, **kwargs)

    world.store.finish = slow  # type: ignore[method-assign]
    world.engine.succeed(tiktok(1))
    await asyncio.to_thread(entered.wait, 10)
    closing = asyncio.create_task(world.queue.close(0))
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait_for(closing, 10)
    store = Store.open(world.settings.store_url)
    assert store.job(job.id).state == "succeeded"
    store.close()


async def test_a_waiter_is_answered_where_its_job_is_cancelled_and_deleted(world: World) -> None:
    submission = await world.queue.submit([tiktok(1)])
    waiting = asyncio.create_task(world.queue.wait(submission))
    await world.engine.until(lambda engine: bool(engine.running))
    cancelling = asyncio.create_task(world.queue.cancel([submission.jobs[0].id]))
    while not await world.queue.delete([submission.jobs[0].id], with_files=False):
        await asyncio.sleep(0)
    await cancelling
    [job] = await asyncio.wait_for(waiting, 10)
    assert job.state == "cancelled"


async def test_waiting_ends_where_the_queue_is_paused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.operations.REST_LOOK_SECONDS", 0.01)
    await world.scheduler.set_paused(True)
    [job] = await asyncio.wait_for(world.queue.wait(await world.queue.submit([tiktok(2)])), 10)
    assert job.state == "queued"


async def test_a_clock_set_back_stops_nothing(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(min_free_bytes=1 << 60)
    await world.submit(tiktok(1))
    while not world.scheduler._disk.low:
        await asyncio.sleep(0)
    world.scheduler._disk._min_free_bytes = 0
    world.clock.set(-3600)
    world.scheduler.wake()
    await world.engine.until(lambda engine: bool(engine.running))


# The second round


async def submit_for_two_rounds(world: World, *urls: str) -> list[Job]:
    jobs = list((await world.queue.submit(urls, retry_failed_once=True)).jobs)
    await world.engine.until(lambda engine: len(engine.running) == len(urls))
    return jobs


async def until_tried_again(world: World, job: Job, link: str) -> Job:
    """Let the pause of *job* pass; return it running."""
    waiting = await world.until(job, lambda job: job.state == "waiting")
    assert waiting.next_attempt_at is not None
    await world.forward((waiting.next_attempt_at - world.clock()).total_seconds())
    await world.engine.until(lambda engine: link in engine.running)
    return await world.queue.job(job.id)


async def test_what_failed_of_a_batch_is_tried_once_more_when_all_has_ended(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(max_attempts=1)
    first, lasting, last = await submit_for_two_rounds(world, tiktok(1), tiktok(2), youtube(1))
    world.engine.fail(tiktok(1), "network")
    world.engine.fail(tiktok(2), "private")
    for job in (first, lasting):
        await world.until(job, lambda job: job.state == "failed")
    world.engine.fail(youtube(1), "timeout")
    for job in (first, last):
        waiting = await world.until(job, lambda job: job.state == "waiting")
        assert waiting.next_attempt_at is not None
        pause_seconds = (waiting.next_attempt_at - world.clock()).total_seconds()
        assert 1 <= pause_seconds <= 2
    assert (await world.queue.batch(first.batch_id)).counts == {"failed": 1, "waiting": 2}
    assert (await world.queue.batch(first.batch_id)).second_round_at == world.clock()

    await world.forward(2)
    await world.engine.until(lambda engine: engine.links() == {tiktok(1), youtube(1)})
    world.engine.succeed(tiktok(1))
    world.engine.fail(youtube(1), "timeout")
    assert (await world.until(first, lambda job: job.state in FINAL_STATES)).state == "succeeded"
    # It failed in a way that may pass, a second time: final is final.
    assert (await world.until(last, lambda job: job.state in FINAL_STATES)).state == "failed"
    assert (await world.queue.batch(first.batch_id)).counts == {"failed": 2, "succeeded": 1}


@pytest.mark.parametrize("code", ["network", "disk_full"])
async def test_the_one_further_try_stays_one_where_more_are_allowed_since_a_restart(
    open_world: Callable[..., Any], code: ErrorCode
) -> None:
    before: World = await open_world(max_attempts=1)
    [job] = await submit_for_two_rounds(before, tiktok(1))
    before.engine.fail(tiktok(1), "network")
    await before.until(job, lambda job: job.state == "waiting")
    await before.queue.close(0)

    world: World = await open_world(max_attempts=9)
    again = await until_tried_again(world, job, tiktok(1))
    assert (again.attempts, again.last_try) == (2, True)
    # Dead in the middle of it, no close: that does not count.
    world = await open_world(max_attempts=9)
    await world.engine.until(lambda engine: bool(engine.running))
    assert (await world.queue.job(job.id)).attempts == 2
    world.engine.fail(tiktok(1), code)
    ended = await world.until(job, lambda job: job.state in FINAL_STATES)
    assert (ended.state, ended.error_code) == ("failed", code)
    # By hand it has all its tries again.
    await world.queue.retry([job.id])
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "network")
    assert (await world.until(job, lambda job: job.state in {"waiting", "failed"})).state == "waiting"


async def test_a_second_round_gives_a_resting_platform_its_rest(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(max_attempts=1)
    [limited, other] = await submit_for_two_rounds(world, tiktok(1), youtube(1))
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=50)
    await world.until(limited, lambda job: job.state == "failed")
    world.engine.fail(youtube(1), "network")
    waits = [await world.until(job, lambda job: job.state == "waiting") for job in (limited, other)]
    pauses = [(job.next_attempt_at - world.clock()).total_seconds() for job in waits if job.next_attempt_at is not None]
    assert 51 <= pauses[0] <= 52
    assert 1 <= pauses[1] <= 2


async def test_the_second_round_begins_where_a_cancel_ended_the_batch(open_world: Callable[..., Any]) -> None:
    """The scheduler is asleep then, until a platform has rested: nothing runs that could wake it."""
    world: World = await open_world(max_attempts=1)
    world.store.on_batch_end(lambda job, now: now)
    [limited] = await world.submit(youtube(9))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(youtube(9), "rate_limited", retry_after_seconds=900)
    await world.until(limited, lambda job: job.state == "failed")
    failed, resting = (await world.queue.submit([tiktok(1), youtube(1)], retry_failed_once=True)).jobs
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "network")
    await world.until(failed, lambda job: job.state == "failed")
    await asyncio.gather(*world.scheduler._tasks.values())
    assert [job.id for job in await world.queue.cancel([resting.id])] == [resting.id]
    await world.engine.until(lambda engine: bool(engine.running))
    assert (await world.queue.job(failed.id)).last_try


async def test_a_batch_that_is_cancelled_has_no_second_round(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(max_attempts=1)
    failed, last = await submit_for_two_rounds(world, tiktok(1), youtube(1))
    world.engine.fail(tiktok(1), "network")
    await world.until(failed, lambda job: job.state == "failed")
    assert [job.id for job in await world.queue.cancel_batch(last.batch_id)] == [last.id]
    assert world.engine.cancelled == [youtube(1)]
    batch = await world.queue.batch(last.batch_id)
    assert batch.counts == {"failed": 1, "cancelled": 1}
    assert not batch.retry_failed_once


async def test_what_is_put_back_as_it_fails_keeps_its_unfinished_files(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(max_attempts=1)
    [job] = await submit_for_two_rounds(world, tiktok(1))
    part = world.settings.work_dir / job.id / "1.mp4.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x")
    world.engine.fail(tiktok(1), "network")
    await world.until(job, lambda job: job.state == "waiting")
    await asyncio.gather(*world.scheduler._tasks.values())
    assert part.exists()
    await until_tried_again(world, job, tiktok(1))
    world.engine.fail(tiktok(1), "network")
    await world.until(job, lambda job: job.state == "failed")
    await asyncio.gather(*world.scheduler._tasks.values())
    assert not part.exists()


async def test_waiting_requests_get_no_second_round(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(max_attempts=1)
    waiting = asyncio.create_task(world.queue.wait(await world.queue.submit([tiktok(1)])))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "network")
    [job] = await asyncio.wait_for(waiting, 10)
    assert job.state == "failed"
    assert (await world.queue.job(job.id)).state == "failed"


async def test_a_database_that_fails_is_said_in_a_sentence(world: World) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise OSError("disk I/O error")

    world.store.submit = broken  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="database"):
        await world.queue.submit([tiktok(1)])


async def test_an_end_that_cannot_be_stored_is_stored_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.scheduler.STORE_RETRY_SECONDS", 0.01)
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    finish, faults = world.store.finish, iter([OSError("disk"), OSError("disk")])

    def flaky(*args: Any, **kwargs: Any) -> Any:
        if fault := next(faults, None):
            raise fault
        return finish(*args, **kwargs)

    world.store.finish = flaky  # type: ignore[method-assign]
    world.engine.succeed(tiktok(1))
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).state == "succeeded"


async def test_a_success_that_was_cancelled_meanwhile_leaves_no_file(world: World) -> None:
    path = world.settings.raw_dir / "1.mp4"
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    path.write_bytes(b"x")
    world.store.cancel([job.id], now=world.clock())  # the scheduler has not heard of it when the end comes
    world.engine.running[tiktok(1)].set_result(Outcome(True, str(path), None, media=Media(files=(str(path),))))
    await asyncio.wait_for(asyncio.gather(*world.scheduler._tasks.values()), 10)
    assert (await world.queue.job(job.id)).state == "cancelled"
    assert not path.exists()


async def test_waiting_ends_where_the_platform_rests_for_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.operations.REST_LOOK_SECONDS", 0.01)
    [limited] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=900)
    await world.until(limited, lambda job: job.state == "waiting")
    [job] = await asyncio.wait_for(world.queue.wait(await world.queue.submit([tiktok(2)])), 10)
    assert job.state == "queued"


async def test_waiting_ends_where_the_next_try_is_far_off(world: World) -> None:
    waiting = asyncio.create_task(world.queue.wait(await world.queue.submit([tiktok(1)])))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=900)
    [job] = await asyncio.wait_for(waiting, 10)
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
    monkeypatch.setattr("downloader.queue.scheduler.STORE_RETRY_SECONDS", 0.01)
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
    await asyncio.wait_for(asyncio.gather(*world.scheduler._tasks.values()), 10)
    done, after = world.store.job(job.id), world.store.job(failed.id)
    assert (done.state, done.elapsed_seconds) == ("succeeded", 0)
    assert before.next_attempt_at is not None
    assert after.next_attempt_at == before.next_attempt_at - timedelta(hours=2)


@pytest.mark.parametrize("deed", ["set again", "database away", "ended by hand"])
async def test_a_cooldown_is_stored_as_it_is_whatever_happens_while_it_is_moved(world: World, deed: str) -> None:
    await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    await asyncio.wait_for(asyncio.gather(*world.scheduler._tasks.values()), 10)
    save, entered, go = world.store.save_platform_rest, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> None:
        world.store.save_platform_rest = save  # type: ignore[method-assign]
        entered.set()
        assert go.wait(10)
        if deed == "database away":
            raise OSError("away")
        save(*args, **kwargs)

    world.store.save_platform_rest = slow  # type: ignore[method-assign]
    world.clock.set(-7200)
    noticing: list[asyncio.Task[Any]] = [asyncio.create_task(world.queue.counts())]
    await asyncio.to_thread(entered.wait, 10)
    if deed == "set again":
        world.clock.set(-7200)
        noticing.append(asyncio.create_task(world.queue.counts()))
    elif deed == "ended by hand":
        noticing.append(asyncio.create_task(world.scheduler.end_rest("tiktok")))
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait_for(asyncio.gather(*noticing, return_exceptions=True), 10)
    await world.queue.counts()
    kept = world.store.platform_rests()["tiktok"]
    assert kept == world.scheduler.governor.rest("tiktok")
    assert kept.cooling_until == (None if deed == "ended by hand" else world.clock() + timedelta(seconds=30))


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_set_before_an_end_is_stored_changes_no_wait(
    world: World, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    monkeypatch.setattr("downloader.queue.scheduler.STORE_RETRY_SECONDS", 0.01)
    [limited] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    world.clock.forward(5)
    finish, faults = world.store.finish, iter([OSError("away")])

    def flaky(*args: Any, **kwargs: Any) -> Any:
        if fault := next(faults, None):
            world.clock.set(hours * 3600)
            raise fault
        return finish(*args, **kwargs)

    world.store.finish = flaky  # type: ignore[method-assign]
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    after = await world.until(limited, lambda job: job.state == "waiting")
    assert after.next_attempt_at is not None
    assert 30 <= (after.next_attempt_at - world.clock()).total_seconds() <= 33
    assert after.elapsed_seconds == 5
    assert world.store.platform_rests()["tiktok"].cooling_until == world.clock() + timedelta(seconds=30)


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_set_during_a_claim_changes_no_duration(world: World, hours: int) -> None:
    world.scheduler.governor._interval_seconds = 10
    loop, claim, seconds = asyncio.get_running_loop(), world.store.claim, list[float]()

    def slow(*args: Any, **kwargs: Any) -> Any:
        world.store.claim = claim  # type: ignore[method-assign]
        claimed = claim(*args, **kwargs)
        world.clock.set(hours * 3600)
        asyncio.run_coroutine_threadsafe(world.queue.counts(), loop).result(10)  # which notices
        return claimed

    world.store.claim = slow  # type: ignore[method-assign]
    world.scheduler.on_attempt = lambda *told: seconds.append(told[2])
    jobs = await world.submit(tiktok(1), tiktok(2))
    await world.engine.until(lambda engine: bool(engine.running))
    world.clock.forward(5)
    world.engine.succeed(tiktok(1))
    assert (await world.until(jobs[0], lambda job: job.state in FINAL_STATES)).elapsed_seconds == 5
    assert seconds == [5]
    await world.forward(10)
    await world.engine.until(lambda engine: tiktok(2) in engine.running)


async def test_a_clock_that_is_set_twice_while_an_end_waits_for_the_first_changes_no_duration(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    shift, entered, go = world.store.shift_times, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> None:
        world.store.shift_times = shift  # type: ignore[method-assign]
        entered.set()
        assert go.wait(10)
        shift(*args, **kwargs)

    world.store.shift_times = slow  # type: ignore[method-assign]
    world.clock.forward(5)
    world.clock.set(-7200)
    noticing = asyncio.create_task(world.queue.counts())
    assert await asyncio.to_thread(entered.wait, 10)
    world.engine.succeed(tiktok(1))
    while tiktok(1) in world.engine.running or world.scheduler._running:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.clock.set(-7200)
    go.set()
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).elapsed_seconds == 5
    await noticing


# Limits and login pages


def walled(world: World, link: str) -> None:
    world.engine.running[link].set_result(Outcome(False, None, "x", error_code="rate_limited", walled=True))


async def running(world: World, link: str) -> None:
    await world.engine.until(lambda engine: link in engine.running)


def instagram(number: int) -> str:
    return f"https://www.instagram.com/p/{number}/"


async def test_the_login_page_of_one_post_slows_no_other(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(platform_concurrency=2)
    jobs = await world.submit(*(instagram(number) for number in range(4)))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    walled(world, instagram(0))
    waiting = await world.until(jobs[0], lambda job: job.state == "waiting")
    assert waiting.error_code == "rate_limited"
    assert world.scheduler.governor.cooling_until("instagram", world.clock()) is None
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
    assert world.scheduler.governor.cooling_until("instagram", world.clock()) is not None
    assert (await world.queue.job(jobs[7].id)).state == "queued"


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
