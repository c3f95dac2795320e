"""Every attempt's end is stored exactly once, whatever else happens in that moment."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from downloader.errors import StoreUnavailable
from downloader.jobs import FINAL_STATES, Job, Phase, Progress, Work
from downloader.media.outcome import OUTCOME_NAME
from downloader.models import Media, Outcome
from downloader.presets import Wanted
from downloader.queue.housekeeping import ORPHAN_CHECK_INTERVAL_SECONDS
from downloader.queue.preemption import PREEMPT_AFTER_SECONDS
from tests.fakes import HandEngine
from tests.queue_world import World, open_world, tiktok, world, youtube

__all__ = ["open_world", "world"]  # fixtures

pytestmark = pytest.mark.thorough


def fetched(work: Work) -> Outcome:
    """Leave what a worker leaves that has just moved its file into place; return its outcome."""
    folder, number = Path(work.work_dir), work.link.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(work.output_dir, f"{number}.mp4")
    move = {"from": "1.mp4", "to": path.name, "size_bytes": 1, "replaces": path.exists()}
    outcome = {"moves": [move], "id": "1", "title": None, "duration_seconds": None}
    (folder / OUTCOME_NAME).write_text(json.dumps(outcome))
    path.write_bytes(b"x")
    return Outcome(True, str(path), None, media=Media(files=(str(path),), id="1", size_bytes=1))


def work_of(world: World, link: str) -> Work:
    return next(work for work in reversed(world.engine.started) if work.link == link)


def succeed(world: World, link: str) -> None:
    world.engine.running[link].set_result(fetched(work_of(world, link)))


async def running(world: World, *links: str) -> list[Job]:
    jobs = await world.submit(*links)
    await world.engine.until(lambda engine: set(links) <= engine.links())
    return jobs


def files(world: World) -> list[str]:
    return sorted(path.name for path in world.settings.raw_dir.iterdir())


async def all_ends(world: World) -> None:
    """Wait until the end of every attempt is stored that has one."""
    await asyncio.wait_for(asyncio.gather(*world.scheduler.attempts.tasks.values()), 30)


@pytest.mark.parametrize("limit_first", [False, True])
@pytest.mark.parametrize("ticks", range(8))
async def test_a_success_beside_a_rate_limit_is_stored(world: World, ticks: int, limit_first: bool) -> None:
    first, second = await running(world, tiktok(1), tiktok(2))
    request = asyncio.create_task(world.queue.wait(await world.queue.submit([youtube(1)])))
    await world.engine.until(lambda engine: youtube(1) in engine.running)
    second_end = world.engine.running[tiktok(2)]
    for deed in ("limit", "succeed") if limit_first else ("succeed", "limit"):
        if deed == "limit":
            world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=1)
        elif not second_end.done():  # not ended by now, for the limit's sake
            succeed(world, tiktok(2))
        for _ in range(ticks):
            await asyncio.sleep(0)
    await world.until(first, lambda job: job.state == "waiting")
    ended = await world.until(second, lambda job: job.state != "running")
    if ended.state == "queued":  # it was ended, and is asked for once more
        await world.forward(10)
        await world.engine.until(lambda engine: tiktok(2) in engine.running)
        succeed(world, tiktok(2))
    assert (await world.until(second, lambda job: job.state in FINAL_STATES)).files
    succeed(world, youtube(1))
    await asyncio.wait_for(request, 30)


@pytest.mark.parametrize("end", ["succeed", "fail"])
@pytest.mark.parametrize("ticks", range(8))
async def test_a_cancel_beside_the_end_leaves_nothing(world: World, ticks: int, end: str) -> None:
    [job] = await running(world, tiktok(1))
    if end == "succeed":
        succeed(world, tiktok(1))
    else:
        world.engine.fail(tiktok(1), "private")
    for _ in range(ticks):
        await asyncio.sleep(0)
    await world.queue.cancel([job.id])
    await all_ends(world)
    after = await world.queue.job(job.id)
    assert after.state in FINAL_STATES
    assert files(world) == ([] if after.state != "succeeded" else ["1.mp4"])
    assert not (world.settings.work_dir / job.id).exists()


async def test_a_success_whose_word_came_too_late_for_a_cancel_leaves_no_file(world: World) -> None:
    [job] = await running(world, tiktok(1))
    fetched(work_of(world, tiktok(1)))  # its file is in place, and the engine has not heard of it
    await world.queue.cancel([job.id])
    await all_ends(world)
    assert files(world) == []
    assert not (world.settings.work_dir / job.id).exists()


async def test_a_cancelled_job_that_waits_leaves_none_of_the_files_that_it_had_in_place(world: World) -> None:
    [job] = await running(world, tiktok(1))
    fetched(work_of(world, tiktok(1)))
    world.engine.fail(tiktok(1), "network")
    await world.until(job, lambda job: job.state == "waiting")
    assert files(world) == ["1.mp4"]
    await world.queue.cancel([job.id])
    assert files(world) == []


async def test_the_file_of_another_job_with_the_same_post_stays(world: World) -> None:
    [job] = await running(world, tiktok(1))
    succeed(world, tiktok(1))
    await world.until(job, lambda job: job.state == "succeeded")
    [again] = (await world.queue.submit([tiktok(1)], Wanted(again=True))).jobs
    await world.engine.until(lambda engine: tiktok(1) in engine.running)
    fetched(work_of(world, tiktok(1)))
    await world.queue.cancel([again.id])
    await all_ends(world)
    assert files(world) == ["1.mp4"]


@pytest.mark.parametrize("heard", [False, True])
async def test_a_file_that_a_deleted_record_left_stays_although_it_was_replaced(world: World, heard: bool) -> None:
    [job] = await running(world, tiktok(1))
    succeed(world, tiktok(1))
    await world.until(job, lambda job: job.state == "succeeded")
    await world.queue.delete([job.id], with_files=False)
    [again] = await running(world, tiktok(1))
    outcome = fetched(work_of(world, tiktok(1)))
    if heard:
        world.engine.running[tiktok(1)].set_result(outcome)
    await world.queue.cancel([again.id])
    await all_ends(world)
    # A success that was reported may be stored before the cancel is.
    assert (await world.queue.job(again.id)).state in ({"cancelled", "succeeded"} if heard else {"cancelled"})
    assert files(world) == ["1.mp4"]
    assert not (world.settings.work_dir / again.id).exists()


async def test_a_file_that_was_there_before_and_is_not_replaced_yet_stays(world: World) -> None:
    [job] = await running(world, tiktok(1))
    work = work_of(world, tiktok(1))
    fetched(work)
    Path(work.work_dir, "1.mp4").write_bytes(b"x")  # checked, and still to be moved
    await world.queue.cancel([job.id])
    await all_ends(world)
    assert files(world) == ["1.mp4"]


async def test_a_job_that_nothing_runs_is_put_back_with_an_error_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it was lost: here the database did what it was asked for, and broke off before it said so."""
    exchange, faults = world.store.exchange, iter([ConnectionError("gone")])

    def flaky(*args: Any, **kwargs: Any) -> Any:
        jobs, claimed = exchange(*args, **kwargs)
        if claimed.jobs and (fault := next(faults, None)):
            raise fault
        return jobs, claimed

    world.store.exchange = flaky  # type: ignore[method-assign]
    [job] = await world.submit(tiktok(1))
    await world.until(job, lambda job: job.state == "running")
    assert ORPHAN_CHECK_INTERVAL_SECONDS <= 30  # within a minute, and a look may come just before
    world.scheduler.housekeeper.orphans_checked_at -= ORPHAN_CHECK_INTERVAL_SECONDS
    world.scheduler.wake()
    await world.engine.until(lambda engine: bool(engine.running))
    assert [attempt.result for attempt in await world.queue.attempts(job.id)] == ["interrupted", "running"]
    [record] = [record for record in caplog.records if "orphaned jobs" in record.getMessage()]
    assert (record.levelno, record.__dict__["jobs"]) == (logging.ERROR, 1)


async def test_what_runs_or_is_being_stored_is_never_put_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    jobs = await running(world, tiktok(1), tiktok(2))
    exchange, held = world.store.exchange, asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*args: Any, **kwargs: Any) -> Any:
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(30)
        return exchange(*args, **kwargs)

    world.store.exchange = slow  # type: ignore[method-assign]
    succeed(world, tiktok(1))
    for _ in range(3):
        due = world.scheduler.housekeeper.orphans_checked_at - ORPHAN_CHECK_INTERVAL_SECONDS
        world.scheduler.housekeeper.orphans_checked_at = due
        world.scheduler.wake()
        while world.scheduler.housekeeper.orphans_checked_at == due:
            await asyncio.sleep(0)
    held.set()
    assert (await world.until(jobs[0], lambda job: job.state in FINAL_STATES)).attempt_number == 1
    assert (await world.queue.job(jobs[1].id)).state == "running"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_an_end_is_stored_although_counting_it_fails(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("tiktok")

    world.scheduler.attempts.on_attempt = broken
    [job] = await running(world, tiktok(1))
    succeed(world, tiktok(1))
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).state == "succeeded"
    assert "the end of an attempt was not counted" in caplog.text


async def test_an_end_that_was_stored_before_the_database_broke_off_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.completion.STORE_RETRY_SECONDS", 0.01)
    waiting = asyncio.create_task(world.queue.wait(await world.queue.submit([tiktok(1)])))
    await world.engine.until(lambda engine: bool(engine.running))
    exchange, faults = world.store.exchange, iter([ConnectionError("gone")])

    def flaky(*args: Any, **kwargs: Any) -> Any:
        ended = exchange(*args, **kwargs)
        if fault := next(faults, None):
            raise fault
        return ended

    world.store.exchange = flaky  # type: ignore[method-assign]
    succeed(world, tiktok(1))
    [job] = await asyncio.wait_for(waiting, 30)
    assert job.state == "succeeded"
    await all_ends(world)
    assert files(world) == ["1.mp4"]
    assert not (world.settings.work_dir / job.id).exists()


async def test_what_cannot_be_removed_after_an_end_does_not_undo_it(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("downloader.queue.completion.remove_work_dir", broken)
    [job] = await running(world, tiktok(1))
    succeed(world, tiktok(1))
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).state == "succeeded"
    await all_ends(world)
    assert files(world) == ["1.mp4"]
    assert "could not be removed" in caplog.text


async def test_a_waiting_request_outlives_a_database_that_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.operations.COOLDOWN_CHECK_INTERVAL_SECONDS", 0.01)
    waiting = asyncio.create_task(world.queue.wait(await world.queue.submit([tiktok(1)])))
    await world.engine.until(lambda engine: bool(engine.running))
    look, looks = world.store.job, asyncio.Queue[None]()
    loop = asyncio.get_running_loop()

    def away(_: str) -> Job:
        loop.call_soon_threadsafe(looks.put_nowait, None)
        raise ConnectionError("the server closed the connection unexpectedly")

    world.store.job = away  # type: ignore[assignment]
    for _ in range(3):
        await asyncio.wait_for(looks.get(), 30)
    world.store.job = look  # type: ignore[method-assign]
    succeed(world, tiktok(1))
    [job] = await asyncio.wait_for(waiting, 30)
    assert job.state == "succeeded"


async def test_a_cancel_that_comes_to_us_after_the_retry_ends_the_old_attempt_and_no_other(world: World) -> None:
    """The database is quicker than the thread that waits for its answer."""
    [job] = await running(world, tiktok(1))
    cancel, held = world.store.cancel, threading.Event()
    committed = threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        before = cancel(*args, **kwargs)
        committed.set()
        assert held.wait(30)
        return before

    world.store.cancel = slow  # type: ignore[method-assign]
    cancelling = asyncio.create_task(world.queue.cancel([job.id]))
    await asyncio.to_thread(committed.wait, 30)
    await world.queue.retry([job.id])
    await world.until(job, lambda job: job.state == "running")
    held.set()
    await asyncio.wait_for(cancelling, 30)
    await world.engine.until(lambda engine: len(engine.started) == 2)
    assert world.engine.cancelled == [tiktok(1)]
    succeed(world, tiktok(1))
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).state == "succeeded"
    assert [attempt.result for attempt in await world.queue.attempts(job.id)] == ["cancelled", "succeeded"]
    await all_ends(world)
    assert world.governor.running("tiktok") == 0


async def test_a_cancel_right_after_an_end_that_is_not_final_leaves_nothing(world: World) -> None:
    [job] = await running(world, tiktok(1))
    fetched(work_of(world, tiktok(1)))
    exchange, stored, held = world.store.exchange, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        ended = exchange(*args, **kwargs)
        stored.set()
        assert held.wait(30)
        return ended

    world.store.exchange = slow  # type: ignore[method-assign]
    world.engine.fail(tiktok(1), "network")
    await asyncio.to_thread(stored.wait, 30)
    cancelling = asyncio.create_task(world.queue.cancel([job.id]))
    await world.until(job, lambda job: job.state == "cancelled")
    held.set()
    await asyncio.wait_for(cancelling, 30)
    assert files(world) == []
    assert not (world.settings.work_dir / job.id).exists()


async def test_what_is_retried_while_its_work_is_removed_waits_for_that(world: World) -> None:
    [job] = await running(world, tiktok(1))
    fetched(work_of(world, tiktok(1)))
    world.engine.fail(tiktok(1), "network")
    await world.until(job, lambda job: job.state == "waiting")
    await all_ends(world)
    abandon, entered, held = world.scheduler.removal.abandon, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> None:
        entered.set()
        assert held.wait(30)
        abandon(*args, **kwargs)

    world.scheduler.removal.abandon = slow  # type: ignore[method-assign]
    cancelling = asyncio.create_task(world.queue.cancel([job.id]))
    assert await asyncio.to_thread(entered.wait, 30)
    await world.queue.retry([job.id])
    await world.until(job, lambda job: job.state == "running")
    assert len(world.engine.started) == 1
    held.set()
    await asyncio.wait_for(cancelling, 30)
    await world.engine.until(lambda engine: len(engine.started) == 2)
    succeed(world, tiktok(1))
    assert (await world.until(job, lambda job: job.state in FINAL_STATES)).state == "succeeded"
    await all_ends(world)
    assert files(world) == ["1.mp4"]


async def test_what_is_cancelled_as_it_is_claimed_again_is_not_begun(world: World) -> None:
    [job] = await running(world, tiktok(1))
    world.engine.fail(tiktok(1), "network")
    await world.until(job, lambda job: job.state == "waiting")
    exchange, claimed, go = world.store.exchange, threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        both = exchange(*args, **kwargs)
        claimed.set()
        assert go.wait(30)
        return both

    world.store.exchange = slow  # type: ignore[method-assign]
    await world.forward(10)
    assert await asyncio.to_thread(claimed.wait, 30)
    cancelling = asyncio.create_task(world.queue.cancel([job.id]))
    await world.until(job, lambda job: job.state == "cancelled")
    for _ in range(20):
        await asyncio.to_thread(lambda: None)  # the cancel is heard of
    go.set()
    await running(world, youtube(1))
    await asyncio.wait_for(cancelling, 30)
    assert [work.link for work in world.engine.started] == [tiktok(1), youtube(1)]


async def test_a_stop_answers_all_that_wait_although_the_database_is_away(world: World) -> None:
    submissions = [await world.queue.submit([link]) for link in (tiktok(1), tiktok(2))]
    waiting = [asyncio.create_task(world.queue.wait(submission)) for submission in submissions]
    await world.engine.until(lambda engine: len(engine.running) == 2)

    def away(*_: Any, **__: Any) -> Any:
        raise ConnectionError("the server closed the connection unexpectedly")

    world.store.job = world.store.exchange = away  # type: ignore[method-assign]
    with world.queue.hub.subscribe() as changes:
        await asyncio.wait_for(world.queue.close(0), 30)
        assert (await asyncio.wait({*waiting}, timeout=10))[1] == set()
        assert changes.closed
    assert [type(request.exception()) for request in waiting] == [StoreUnavailable] * 2


# Every order


class BusyEngine(HandEngine):
    """An engine by hand that succeeds at once by itself when there is nobody at hand any more."""

    by_itself = False

    async def run(
        self, work: Work, on_progress: Callable[[Progress], None], on_resolved: Callable[[str], None] | None = None
    ) -> Outcome:
        if self.by_itself:
            self.started.append(work)
            await asyncio.sleep(0)
            return fetched(work)
        return await super().run(work, on_progress)


Deed = Literal[
    "succeed", "fail", "limit", "named_limit", "wall", "cancel", "retry", "progress", "preempt", "tick", "stop"
]  # fmt: skip
DEEDS: tuple[Deed, ...] = get_args(Deed)
JOBS = 25


class Moment:
    """Does things to a world, many of them before its loop gets to do anything about it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs: list[Job] = []
        self.asked: list[asyncio.Task[Any]] = []
        self.stopped = False

    async def do(self, deed: Deed, number: int) -> None:
        world, engine = self.world, self.world.engine
        open_links = sorted(link for link, future in engine.running.items() if not future.done())
        link = open_links[number % len(open_links)] if open_links else None
        job = self.jobs[number % len(self.jobs)]
        if deed == "tick":
            for _ in range(number % 7):
                await asyncio.sleep(0)
        elif deed == "cancel":
            self.asked.append(asyncio.create_task(world.queue.cancel([job.id])))
        elif deed == "retry":
            self.asked.append(asyncio.create_task(world.queue.retry([job.id])))
        elif deed == "stop":
            self.stopped = number % 20 == 0
        elif link is None:
            return
        elif deed == "succeed":
            succeed(world, link)
        elif deed == "fail":
            engine.fail(link, "network" if number % 2 else "removed")
        elif deed == "limit":
            engine.fail(link, "rate_limited")
        elif deed == "named_limit":
            engine.fail(link, "rate_limited", retry_after_seconds=number % 90)
        elif deed == "wall":
            engine.running[link].set_result(Outcome(False, None, "x", error_code="rate_limited", walled=True))
        elif deed == "progress":
            phase: Phase = "checking" if number % 2 else "downloading"
            engine.on_progress[link](Progress(job_id=work_of(world, link).job_id, phase=phase))
        else:
            await world.forward(PREEMPT_AFTER_SECONDS + 0.1)


async def play(folder: Path, deeds: list[tuple[Deed, int]]) -> Counter[str]:
    engine = BusyEngine()
    world = World(folder, engine=engine, workers=6, platform_concurrency=4, max_attempts=2)
    await world.queue.start()
    moment = Moment(world)
    submission = await world.queue.submit(
        [tiktok(number) for number in range(JOBS // 2)] + [youtube(number) for number in range(JOBS // 2, JOBS)]
    )
    moment.jobs = list(submission.jobs)
    request = asyncio.create_task(world.queue.wait(submission))
    await world.engine.until(lambda engine: len(engine.running) == 6)
    for deed, number in deeds:
        await moment.do(deed, number)
        if moment.stopped:
            break
    if moment.stopped:
        await asyncio.wait_for(world.queue.close(0), 30)
        await asyncio.gather(*moment.asked, return_exceptions=True)
        states = {job.state for job in await asyncio.wait_for(request, 30)}
        assert "running" not in states
        stopped_at = world.clock()
        engine = BusyEngine()
        engine.by_itself = True
        world = World(folder, engine=engine, workers=6, platform_concurrency=4, max_attempts=2)
        world.clock.forward((stopped_at - world.clock()).total_seconds())
        await world.queue.start()
        request = asyncio.create_task(world.queue.wait(submission))
    else:
        engine.by_itself = True
        for link in sorted(engine.running):
            if not engine.running[link].done():
                succeed(world, link)
        await asyncio.wait_for(asyncio.gather(*moment.asked), 30)
    with world.queue.hub.subscribe() as changes:
        async with asyncio.timeout(30):
            while {job.state for _, job in await world.queue.batch_jobs(submission.batch.id)} - FINAL_STATES:
                await world.forward(4000)
                await asyncio.to_thread(changes.get, 0.02)
            await all_ends(world)
            await request
    found = Counter[str]()
    owned = set[str]()
    ended = [job for _, job in await world.queue.batch_jobs(submission.batch.id)]
    assert len(ended) == JOBS
    for job in ended:
        attempts = await world.queue.attempts(job.id)
        found.update({job.state: 1, "attempts": len(attempts)})
        owned.update(Path(path).name for path in job.files)
        results = [attempt.result for attempt in attempts]
        assert "running" not in results
        assert results.count("succeeded") == (job.state == "succeeded")
        assert not (world.settings.work_dir / job.id).exists()
    assert set(files(world)) == owned
    assert all(world.governor.running(platform) == 0 for platform in ("tiktok", "youtube"))
    await world.queue.close(0)
    return found


#: Of all examples together: what happened in them.
SEEN = Counter[str]()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_happens_in_one_moment_each_end_is_stored_once(caplog: pytest.LogCaptureFixture) -> None:
    SEEN.clear()

    @settings(max_examples=24, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 1000)), min_size=20, max_size=120))
    def each(deeds: list[tuple[Deed, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            SEEN.update(asyncio.run(play(Path(folder), deeds)))

    each()
    # The watchdog was not needed, and nothing crashed.
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    # `operations` reports the requests that came after the stop.
    scheduling = [each for each in faults if each.name != "downloader.queue.operations"]
    assert [record.getMessage() for record in scheduling] == []
    assert SEEN["attempts"] >= 600, SEEN
