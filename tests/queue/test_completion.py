"""What becomes of a job when its attempt has ended: retries, second rounds, storage that fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from downloader.errors import ErrorCode
from downloader.jobs import FINAL_STATES, Job
from downloader.models import Media, Outcome
from downloader.queue.storage import CHECK_INTERVAL_SECONDS
from tests.queue_world import World, bring_back, open_world, take_away, tiktok, until_running, world, youtube

__all__ = ["open_world", "world"]  # fixtures


async def test_a_passing_failure_is_tried_again_after_a_pause_until_attempts_are_used_up(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    for attempt in (1, 2):
        await world.engine.until(lambda engine: bool(engine.running))
        world.engine.fail(tiktok(1), "network")
        waiting = await world.until(job, lambda job: job.state == "waiting")
        assert (waiting.counted_attempts, waiting.error_code) == (attempt, "network")
        assert waiting.next_attempt_at is not None
        await world.forward((waiting.next_attempt_at - world.clock()).total_seconds())
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "network")
    assert (await world.until(job, lambda job: job.state == "failed")).counted_attempts == 3
    assert [attempt.error_code for attempt in await world.queue.attempts(job.id)] == ["network"] * 3


@pytest.mark.parametrize("code", ["private", "removed", "platform_changed", "internal"])
async def test_a_lasting_failure_is_not_tried_again(world: World, code: ErrorCode) -> None:
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), code)
    failed = await world.until(job, lambda job: job.state == "failed")
    assert (failed.counted_attempts, failed.error_code) == (1, code)


@pytest.mark.parametrize(
    "code", ["storage_unavailable", "disk_full", "internal", "file_missing", "not_a_video", "timeout"]
)
async def test_what_a_disk_failed_costs_no_attempt_and_goes_on_when_it_is_back(
    open_world: Callable[..., Any], code: ErrorCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.operations.COOLDOWN_CHECK_INTERVAL_SECONDS", 0.1)
    world: World = await open_world(max_attempts=1)
    [job] = await until_running(world, tiktok(1))
    take_away(world)
    world.engine.fail(tiktok(1), code)
    queued = await world.until(job, lambda job: job.state != "running")
    assert (queued.state, queued.counted_attempts) == ("queued", 0)
    assert queued.error_code == (code if code == "disk_full" else "storage_unavailable")
    assert [attempt.result for attempt in await world.queue.attempts(job.id)] == ["interrupted"]
    [other] = await world.submit(youtube(1))
    await world.forward(CHECK_INTERVAL_SECONDS)
    # A request that waits is answered with what there is.
    [answer] = await asyncio.wait_for(world.queue.wait(await world.queue.submit([tiktok(2)])), 30)
    assert answer.state == "queued"
    assert len(world.engine.started) == 1
    assert "it is not a folder" in (world.scheduler.status().storage_error or "")

    bring_back(world)
    await world.forward(CHECK_INTERVAL_SECONDS)
    await world.engine.until(lambda engine: {tiktok(1), youtube(1)} <= engine.links())
    assert world.scheduler.status().storage_error is None
    for link, each in ((tiktok(1), job), (youtube(1), other)):
        world.engine.succeed(link)
        assert (await world.until(each, lambda job: job.state in FINAL_STATES)).state == "succeeded"


async def test_a_job_that_alone_cannot_be_stored_is_tried_again_without_end_but_not_for_ever(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its work folder belongs to another user, say: the disk itself is well."""
    monkeypatch.setattr("downloader.queue.completion.MAX_STORAGE_FAILURES", 2)
    world: World = await open_world(max_attempts=2)
    [job] = await until_running(world, tiktok(1))
    seen = []
    while True:
        world.engine.fail(tiktok(1), "storage_unavailable")
        now = await world.until(job, lambda job: job.state != "running")
        seen.append((now.state, now.counted_attempts, now.error_code))
        if now.state in FINAL_STATES:
            break
        assert now.next_attempt_at is not None
        assert now.next_attempt_at > world.clock()
        await world.forward((now.next_attempt_at - world.clock()).total_seconds())
        await world.engine.until(lambda engine: bool(engine.running))
    code = "storage_unavailable"
    assert seen == [("waiting", 0, code), ("waiting", 0, code), ("waiting", 1, code), ("failed", 2, code)]


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
    assert (again.counted_attempts, again.final_attempt) == (2, True)
    # Dead in the middle of it, no close: that does not count.
    world = await open_world(max_attempts=9)
    await world.engine.until(lambda engine: bool(engine.running))
    assert (await world.queue.job(job.id)).counted_attempts == 2
    world.engine.fail(tiktok(1), code)
    ended = await world.until(job, lambda job: job.state in FINAL_STATES)
    assert (ended.state, ended.error_code) == ("failed", code)
    # By hand it has all its attempts again.
    await world.queue.retry([job.id])
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "network")
    assert (await world.until(job, lambda job: job.state in {"waiting", "failed"})).state == "waiting"


async def test_a_second_round_waits_for_the_cooldown_of_its_platform(open_world: Callable[..., Any]) -> None:
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
    failed, cooling = (await world.queue.submit([tiktok(1), youtube(1)], retry_failed_once=True)).jobs
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "network")
    await world.until(failed, lambda job: job.state == "failed")
    await asyncio.gather(*world.scheduler.attempts.tasks.values())
    assert [job.id for job in await world.queue.cancel([cooling.id])] == [cooling.id]
    await world.engine.until(lambda engine: bool(engine.running))
    assert (await world.queue.job(failed.id)).final_attempt


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
    await asyncio.gather(*world.scheduler.attempts.tasks.values())
    assert part.exists()
    await until_tried_again(world, job, tiktok(1))
    world.engine.fail(tiktok(1), "network")
    await world.until(job, lambda job: job.state == "failed")
    await asyncio.gather(*world.scheduler.attempts.tasks.values())
    assert not part.exists()


async def test_waiting_requests_get_no_second_round(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(max_attempts=1)
    waiting = asyncio.create_task(world.queue.wait(await world.queue.submit([tiktok(1)])))
    await world.engine.until(lambda engine: bool(engine.running))
    world.engine.fail(tiktok(1), "network")
    [job] = await asyncio.wait_for(waiting, 30)
    assert job.state == "failed"
    assert (await world.queue.job(job.id)).state == "failed"


async def test_an_end_that_cannot_be_stored_is_stored_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.completion.STORE_RETRY_SECONDS", 0.01)
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    exchange, faults = world.store.exchange, iter([OSError("disk"), OSError("disk")])

    def flaky(*args: Any, **kwargs: Any) -> Any:
        if fault := next(faults, None):
            raise fault
        return exchange(*args, **kwargs)

    world.store.exchange = flaky  # type: ignore[method-assign]
    world.engine.succeed(tiktok(1))
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).state == "succeeded"


async def test_a_success_that_was_cancelled_meanwhile_leaves_no_file(world: World) -> None:
    path = world.settings.raw_dir / "1.mp4"
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    path.write_bytes(b"x")
    world.store.cancel([job.id], now=world.clock())  # the scheduler has not heard of it when the end comes
    world.engine.running[tiktok(1)].set_result(Outcome(True, str(path), None, media=Media(files=(str(path),))))
    await asyncio.wait_for(asyncio.gather(*world.scheduler.attempts.tasks.values()), 30)
    assert (await world.queue.job(job.id)).state == "cancelled"
    assert not path.exists()


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_set_before_an_end_is_stored_changes_no_wait(
    world: World, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    monkeypatch.setattr("downloader.queue.completion.STORE_RETRY_SECONDS", 0.01)
    [limited] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    world.clock.forward(5)
    exchange, faults = world.store.exchange, iter([OSError("away")])

    def flaky(*args: Any, **kwargs: Any) -> Any:
        if fault := next(faults, None):
            world.clock.set(hours * 3600)
            raise fault
        return exchange(*args, **kwargs)

    world.store.exchange = flaky  # type: ignore[method-assign]
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    after = await world.until(limited, lambda job: job.state == "waiting")
    assert after.next_attempt_at is not None
    assert 30 <= (after.next_attempt_at - world.clock()).total_seconds() <= 33
    assert after.elapsed_seconds == 5
    [cooldown] = world.store.cooldowns()
    assert cooldown.cooling_until == world.clock() + timedelta(seconds=30)


async def test_a_clock_that_is_set_twice_while_an_end_waits_for_the_first_changes_no_duration(world: World) -> None:
    [job] = await world.submit(tiktok(1))
    await world.engine.until(lambda engine: bool(engine.running))
    shift, entered, go = world.store.shift_times, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> None:
        world.store.shift_times = shift  # type: ignore[method-assign]
        entered.set()
        assert go.wait(30)
        shift(*args, **kwargs)

    world.store.shift_times = slow  # type: ignore[method-assign]
    world.clock.forward(5)
    world.clock.set(-7200)
    noticing = asyncio.create_task(world.queue.counts())
    assert await asyncio.to_thread(entered.wait, 30)
    world.engine.succeed(tiktok(1))
    while tiktok(1) in world.engine.running or world.scheduler.attempts.running:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.clock.set(-7200)
    go.set()
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).elapsed_seconds == 5
    await noticing
