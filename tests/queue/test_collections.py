"""Collections as the queue takes them apart: stored before they end, not preempted, waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from downloader.errors import StoreUnavailable
from downloader.jobs import Entry, Job, JobFilter, Page, Progress
from downloader.models import Outcome
from downloader.presets import PRESETS, Expand, Wanted
from downloader.queue import collections
from downloader.queue.operations import PATIENCE_SECONDS
from tests.queue_world import World, open_world, running, tiktok, world

__all__ = ["open_world", "world"]  # fixtures

LINK = "https://www.tiktok.com/@ada"
WANTED = Wanted(expand=Expand(limit=10), preset=PRESETS["mp3"], folder="Garden", subtitles=("en",), photos=False)


async def begun(world: World) -> Job:
    """Submit a collection; return it once it is read."""
    [job] = (await world.queue.submit([f"{LINK}?lang=en"], WANTED)).jobs
    await running(world, LINK)
    return job


def tell(world: World, job: Job, *numbers: int, position: int, **page: Any) -> None:
    """Report a page."""
    entries = tuple(Entry(url=tiktok(number), platform="tiktok", title="Part") for number in numbers)
    listed = Page(entries=entries, position=position, **page)
    world.engine.on_progress[LINK](Progress(job_id=job.id, phase="extracting", page=listed))


async def entries(world: World, job: Job) -> list[Job]:
    return (await world.queue.jobs(JobFilter(parent_id=job.id)))[0][::-1]


def is_final(job: Job) -> bool:
    return job.state in ("succeeded", "failed", "cancelled")


async def test_a_collection_is_read_as_it_was_asked_for_and_its_entries_are_wanted_likewise(world: World) -> None:
    job = await begun(world)
    [work] = world.engine.started
    assert (job.kind, job.link, work.expand, work.listed) == ("collection", LINK, WANTED.expand, 0)
    tell(world, job, 1, 2, position=2, found=240, title="Ada")
    world.engine.running[LINK].set_result(Outcome(True, detail="Some are missing."))
    job = await world.until(job, is_final)
    assert (job.state, job.listed, job.found, job.title, job.detail) == (
        "succeeded", 2, 240, "Ada", "Some are missing."
    )  # fmt: skip
    for each in await entries(world, job):
        wanted = (each.kind, each.preset, each.folder, each.wanted_subtitles, each.photos, each.title)
        assert wanted == ("audio", "mp3", "Garden", ("en",), False, "Part")
    await running(world, tiktok(1))
    await running(world, tiktok(2))


async def test_a_short_link_that_leads_to_a_collection_is_taken_apart_at_the_cost_of_no_attempt(world: World) -> None:
    short = "https://vm.tiktok.com/ZM1/"
    submission = await world.queue.submit([short, tiktok(3)], WANTED)
    waiting = asyncio.create_task(world.queue.wait(submission))
    job, plain = submission.jobs
    assert (job.kind, plain.expand) == ("audio", None)
    await running(world, short)
    world.engine.on_resolved[short](LINK)
    await running(world, LINK)
    assert (world.engine.proceeding, world.engine.cancelled) == ([], [short])
    tell(world, job, 1, 2, position=2)
    world.engine.running[LINK].set_result(Outcome(True))
    for number in (1, 2, 3):
        await running(world, tiktok(number))
        world.engine.succeed(tiktok(number))
    job = (await asyncio.wait_for(waiting, 30))[0]
    assert (job.kind, job.url, job.listed, job.counted_attempts) == ("collection", short, 2, 1)
    assert len(job.files) == 2


async def test_entries_download_while_the_list_is_read(world: World) -> None:
    job = await begun(world)
    tell(world, job, 1, position=1)
    await running(world, tiktok(1))
    assert LINK in world.engine.running


async def test_all_pages_are_stored_before_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job, store, failures = await begun(world), world.store, [1, 2]
    add_entries = store.add_entries

    def failing(*args: Any, **kwargs: Any) -> bool:
        if failures:
            failures.pop()
            raise OSError("the database is away")
        return add_entries(*args, **kwargs)

    monkeypatch.setattr(collections, "STORE_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(store, "add_entries", failing)
    for number in range(5):
        tell(world, job, number + 1, position=number + 1)
    world.engine.running[LINK].set_result(Outcome(True))
    job = await world.until(job, is_final)
    assert (job.state, job.listed) == ("succeeded", 5)
    assert [each.link for each in await entries(world, job)] == [tiktok(number) for number in range(1, 6)]


async def test_the_next_attempt_continues_after_what_is_stored(world: World) -> None:
    job = await begun(world)
    tell(world, job, 1, 2, position=2)
    world.engine.fail(LINK, "server_error")
    job = await world.until(job, lambda job: job.state == "waiting")
    assert (job.listed, job.error_code) == (2, "server_error")
    await world.forward(3600)
    await running(world, LINK)
    first, again = (work for work in world.engine.started if work.link == LINK)
    assert (first.listed, again.listed) == (0, 2)


async def test_a_list_takes_no_permit_and_is_not_preempted_once_it_has_pages(open_world: Any) -> None:
    world: World = await open_world(platform_concurrency=1, workers=1, pages_ahead=0)
    job = await begun(world)
    assert not world.engine.started[0].may_download
    tell(world, job, 1, position=1)
    await world.until(job, lambda job: job.listed == 1)
    for _ in range(10):
        await world.forward(30)
        await asyncio.to_thread(world.store.last_event_id)
    assert world.engine.cancelled == world.engine.permitted == []


async def test_a_waiting_request_gets_a_collection_when_its_entries_are_final(world: World) -> None:
    submission = await world.queue.submit([LINK], WANTED)
    [job] = submission.jobs
    waiting = asyncio.create_task(world.queue.wait(submission))
    await running(world, LINK)
    tell(world, job, 1, 2, position=2, found=2)
    world.engine.running[LINK].set_result(Outcome(True))
    await running(world, tiktok(1))
    await running(world, tiktok(2))
    world.engine.succeed(tiktok(1))
    assert not waiting.done()
    world.engine.succeed(tiktok(2))
    [ended] = await asyncio.wait_for(waiting, 30)
    assert ended.entries is not None
    assert (ended.state, ended.entries.done, ended.files) == ("succeeded", 2, ("/raw/1.mp4", "/raw/2.mp4"))


async def test_a_waiting_request_does_not_wait_for_entries_that_are_far_off(world: World) -> None:
    submission = await world.queue.submit([LINK], WANTED)
    [job] = submission.jobs
    waiting = asyncio.create_task(world.queue.wait(submission))
    await running(world, LINK)
    tell(world, job, 1, position=1, found=1)
    world.engine.running[LINK].set_result(Outcome(True))
    await running(world, tiktok(1))
    world.engine.fail(tiktok(1), "rate_limited", retry_after_seconds=PATIENCE_SECONDS * 3)
    [ended] = await asyncio.wait_for(waiting, 30)
    assert (ended.state, ended.listed) == ("succeeded", 1)


async def test_a_waiting_request_is_answered_when_the_service_stops(world: World) -> None:
    submission = await world.queue.submit([LINK], WANTED)
    waiting = asyncio.create_task(world.queue.wait(submission))
    await running(world, LINK)
    tell(world, submission.jobs[0], 1, position=1)
    world.engine.running[LINK].set_result(Outcome(True))
    await running(world, tiktok(1))
    await world.queue.close(0)
    try:
        [ended] = await asyncio.wait_for(waiting, 30)
    except StoreUnavailable:
        return
    assert ended.listed == 1


async def test_without_expand_and_where_nothing_can_be_listed_a_link_is_a_post(world: World) -> None:
    [plain] = await world.submit(LINK)
    [other] = (await world.queue.submit(["https://x.com/ada", "https://youtu.be/dQw4w9WgXcQ"], WANTED)).jobs[:1]
    assert (plain.kind, plain.expand, other.kind, other.expand) == ("video", None, "audio", None)
