"""A fleet: ways out that open and close with its machines, attempts that outlive the server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from downloader.jobs import FINAL_STATES, Job
from downloader.queue.completion import MAX_HANDED_OVER
from downloader.queue.scheduler import NO_MACHINE
from tests.fakes import HandEngine
from tests.queue_world import World, open_world, running, tiktok, world, youtube

__all__ = ["open_world", "world"]  # fixtures


async def test_jobs_are_spread_over_the_ways_within_their_places(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(engine=HandEngine({"a": 2, "b": 3}), workers=1, platform_concurrency=2)
    await world.submit(*(tiktok(number) for number in range(6)), youtube(1), youtube(2))
    await world.engine.until(lambda engine: len(engine.running) == 5)
    assert world.engine.by_egress() == {"a": 2, "b": 3}
    assert len([link for link in world.engine.links() if "tiktok" in link]) == 3
    assert {work.attempt for work in world.engine.started} == {1}
    assert all(work.may_download for work in world.engine.started)
    # Silent ones leave no places to others: each machine takes what it said.
    await world.submit(*(youtube(number) for number in range(3, 6)))
    await world.forward(0.6)
    for _ in range(20):
        await world.queue.counts()  # as long as a round takes, and longer
    assert len(world.engine.running) == 5


async def test_a_limited_way_hands_its_jobs_to_another_at_once(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(engine=HandEngine({"a": 2, "b": 2}), max_attempts=1)
    jobs = await world.submit(*(tiktok(number) for number in range(4)))
    await world.engine.until(lambda engine: len(engine.running) == 4)
    by_a = [work.link for work in world.engine.started if work.egress == "a"]
    by_b = [work.link for work in world.engine.started if work.egress == "b"]
    world.engine.fail(by_a[0], "rate_limited", retry_after_seconds=30)
    limited, ended = (next(job for job in jobs if job.url == link) for link in by_a)
    for job in (limited, ended):
        assert (await world.until(job, lambda job: job.state == "queued")).counted_attempts == 0
    assert world.engine.links() == set(by_b)  # the other way was left alone
    # Its places are what is left: the job that met the limit comes last.
    for link, following in zip(by_b, (by_a[1], by_a[0]), strict=True):
        world.engine.succeed(link)
        await running(world, following)
    assert world.engine.by_egress() == {"b": 2}
    assert (await world.queue.job(limited.id)).counted_attempts == 1

    # All ways cool down: now an attempt counts, and it waits for the first that may be asked again.
    [view] = [view for view in await world.queue.platforms() if view.platform == "tiktok"]
    assert view.cooling_until is None
    await world.forward(5)
    world.engine.fail(by_a[0], "rate_limited", retry_after_seconds=60)
    assert (await world.until(limited, lambda job: job.state in FINAL_STATES)).error_code == "rate_limited"
    [view] = [view for view in await world.queue.platforms() if view.platform == "tiktok"]
    assert view.cooling_until is not None
    assert (view.cooling_until - world.clock()).total_seconds() == 25
    await world.forward(24)
    [other] = await world.submit(youtube(1))
    await running(world, youtube(1))
    assert (await world.queue.job(ended.id)).state == "queued"
    await world.forward(1)
    await running(world, by_a[1])
    assert world.engine.started[-1].egress == "a"
    assert other.platform == "youtube"


async def test_an_account_is_limited_by_all_ways(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(engine=HandEngine({"a": 1, "b": 1}))
    world.settings.cookies_folder.mkdir()
    (world.settings.cookies_folder / "tiktok.txt").write_text("not looked into")
    jobs = await world.submit(tiktok(1), tiktok(2), youtube(1))
    await world.engine.until(lambda engine: len(engine.running) == 2)
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=30)
    limited = await world.until(jobs[0], lambda job: job.state == "waiting")
    assert limited.counted_attempts == 1
    assert (await world.until(jobs[1], lambda job: job.state == "queued")).counted_attempts == 0
    await running(world, youtube(1))
    assert world.engine.links() == {youtube(1)}
    assert [cooldown.egress for cooldown in world.store.cooldowns()] == ["", "a", "b"]
    world.engine.succeed(youtube(1))
    await world.forward(30)
    await running(world, tiktok(2))


def has_started(number: int, engine: HandEngine) -> bool:
    return len(engine.started) == number


def is_past(attempt: int, job: Job) -> bool:
    return job.attempt_number > attempt or job.state != "running"


async def test_a_post_that_meets_limits_everywhere_is_given_up(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(engine=HandEngine({"a": 1, "b": 1}), max_attempts=2)
    [job] = await world.submit(tiktok(1))
    for number in range(1, MAX_HANDED_OVER + 3):
        await world.engine.until(partial(has_started, number))
        world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=1)
        await world.until(job, partial(is_past, number))
        await world.forward(10)  # the other way may be asked each time
    now = await world.until(job, lambda job: job.state in FINAL_STATES)
    assert (now.state, now.counted_attempts) == ("failed", 2)


async def test_without_machines_nothing_starts_and_everyone_is_told(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(engine=HandEngine({}))
    jobs = await world.submit(tiktok(1), tiktok(2), tiktok(3))
    await world.until_told({"machines_error": NO_MACHINE})
    assert world.scheduler.status().machines_error == NO_MACHINE
    assert world.scheduler.status().held_up
    assert world.engine.started == []

    world.engine.resize(a=2)
    await world.engine.until(lambda engine: len(engine.running) == 2)
    await world.until_told({"machines_error": None})
    assert not world.scheduler.status().held_up

    # What runs there goes on as far as the engine says; nothing more is sent.
    world.engine.resize(a=0)
    world.engine.succeed(tiktok(1))
    await world.until(jobs[0], lambda job: job.state == "succeeded")
    await world.until_told({"machines_error": NO_MACHINE})
    assert (await world.queue.job(jobs[2].id)).state == "queued"
    world.engine.resize(a=2)
    await running(world, tiktok(3))
    assert len(world.engine.started) == 3


async def test_what_waits_for_a_limited_way_is_taken_by_one_that_opens(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(engine=HandEngine({"a": 2}))
    [job] = await world.submit(tiktok(1))
    await running(world, tiktok(1))
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=600)
    assert (await world.until(job, lambda job: job.state == "waiting")).counted_attempts == 1
    world.engine.resize(a=2, b=1)
    await running(world, tiktok(1))
    assert world.engine.started[-1].egress == "b"
    assert (await world.queue.job(job.id)).counted_attempts == 1


async def test_a_stop_leaves_what_runs_and_the_next_server_follows_it(open_world: Callable[..., Any]) -> None:
    first: World = await open_world(engine=HandEngine({"a": 4}))
    jobs = await first.submit(*(tiktok(number) for number in range(1, 5)))
    await first.engine.until(lambda engine: len(engine.running) == 4)
    await first.queue.close(60)
    numbers = {job.id: 1 for job in jobs}
    followed, stale, gone, cancelled = jobs

    engine = HandEngine({"a": 2}, adopted={**numbers, stale.id: 7, gone.id: 0, "unknown": 1})
    second: World = await open_world(engine=engine)
    await engine.until(lambda engine: {tiktok(1), tiktok(4)} <= engine.links())
    found = await second.queue.job(followed.id)
    assert (found.state, found.attempt_number, found.counted_attempts) == ("running", 1, 1)
    assert {(work.link, work.attempt, work.egress) for work in engine.started[:2]} == {
        (tiktok(1), 1, "a"),
        (tiktok(4), 1, "a"),
    }
    assert second.ways.running("tiktok") == 2  # they count: no more are sent
    for job in (stale, gone):
        assert (await second.queue.job(job.id)).state == "queued"
    await second.queue.cancel([cancelled.id])
    assert engine.cancelled == [tiktok(4)]
    engine.succeed(tiktok(1))
    assert (await second.until(followed, lambda job: job.state in FINAL_STATES)).state == "succeeded"
    assert [attempt.result for attempt in await second.queue.attempts(followed.id)] == ["succeeded"]
    await engine.until(lambda engine: engine.links() == {tiktok(2), tiktok(3)})
    assert {(work.link, work.attempt) for work in engine.started[2:]} == {(tiktok(2), 2), (tiktok(3), 2)}


async def test_what_was_cancelled_before_it_could_be_followed_is_ended(open_world: Callable[..., Any]) -> None:
    first: World = await open_world(engine=HandEngine({"a": 1}))
    [job] = await first.submit(tiktok(1))
    await running(first, tiktok(1))
    await first.queue.close(0)

    class SlowEngine(HandEngine):
        async def start(self) -> None:  # the queue is open by then
            second.store.cancel([job.id], now=second.clock())

    engine = SlowEngine({"a": 1}, adopted={job.id: 1})
    second = World(first.settings.storage_dir, engine=engine)
    await second.queue.start()
    await engine.until(lambda engine: engine.started != [])
    while engine.running:
        await second.queue.counts()
    assert engine.cancelled == [tiktok(1)]
    assert (await second.queue.job(job.id)).state == "cancelled"
    await second.queue.close(0)


@pytest.mark.parametrize("ended", ["succeed", "go_on"])
async def test_what_ends_as_the_server_stops_is_stored(open_world: Callable[..., Any], ended: str) -> None:
    class ClosingEngine(HandEngine):
        async def close(self) -> None:
            if ended == "succeed":
                self.succeed(tiktok(1))
            await super().close()

    world: World = await open_world(engine=ClosingEngine({"a": 1}))
    [job] = await world.submit(tiktok(1))
    await running(world, tiktok(1))
    await world.queue.close(0)
    again: World = await open_world(engine=HandEngine({}, adopted={job.id: 1}))
    found = await again.queue.job(job.id)
    assert (found.state, found.attempt_number) == ("succeeded" if ended == "succeed" else "running", 1)
