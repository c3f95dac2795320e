"""What attempts tell of their posts while they run: stored soon, together, and never twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from downloader.jobs import FINAL_STATES, Described, Job, Progress
from downloader.models import Details
from tests.queue_world import World, open_world, running, tiktok, until_running, world

__all__ = ["open_world", "world"]  # fixtures

DETAILS = Details(
    title="Ada's garden",
    uploader="Ada",
    uploaded_at=datetime(2025, 10, 9, tzinfo=UTC),
    duration_seconds=12.0,
    width=320,
    height=240,
    size_bytes=1000,
    thumbnails=("https://cdn.example/a.jpg",),
)


def tell(world: World, job: Job, details: Details = DETAILS) -> None:
    world.engine.on_progress[job.url](Progress(job_id=job.id, phase="extracting", details=details))


class Told:
    """Counts the transactions in which details are stored, and what is in them."""

    def __init__(self, world: World) -> None:
        self.groups: list[list[str]] = []
        exchange = world.store.exchange

        def noted(ends: Any, wanted: Any, described: Any = (), **times: Any) -> Any:
            if described:
                self.groups.append([one.job_id for one in described])
            return exchange(ends, wanted, described, **times)

        world.store.exchange = noted  # type: ignore[method-assign]


async def test_details_are_in_the_record_and_in_an_event_while_the_job_runs(world: World) -> None:
    [job] = await until_running(world, tiktok(1))
    last = await world.queue.last_event_id()
    tell(world, job)
    described = await world.until(job, lambda job: job.title is not None)
    assert described.state == "running"
    assert {name: getattr(described, name) for name in Details.__slots__} == {
        name: getattr(DETAILS, name) for name in Details.__slots__
    }
    [event] = await world.queue.events_since(last)
    assert event.kind == "job_changed"
    assert event.data["state"] == "running"
    assert event.data["title"] == "Ada's garden"
    assert event.data["uploader"] == "Ada"
    assert event.data["duration_seconds"] == 12.0
    assert event.data["thumbnail_url"] == f"/api/v1/jobs/{job.id}/thumbnail"
    assert "cdn.example" not in str(event)


async def test_progress_is_published_without_them(world: World) -> None:
    [job] = await until_running(world, tiktok(1))
    with world.queue.hub.subscribe() as changes:
        tell(world, job)
        told = await asyncio.to_thread(changes.get, 30)
    assert isinstance(told, Progress)
    assert told.details is None
    assert [each.details for each in world.scheduler.progress()] == [None]


async def test_those_of_all_that_run_are_stored_together(
    open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.details.MIN_AGE_SECONDS", 0.0)
    world: World = await open_world(workers=4, platform_concurrency=4)
    jobs = await until_running(world, *(tiktok(number) for number in range(1, 5)))
    told = Told(world)
    for job in jobs:
        tell(world, job)
    for job in jobs:
        await world.until(job, lambda job: job.title is not None)
    [group] = told.groups
    assert sorted(group) == sorted(job.id for job in jobs)


async def test_a_job_that_ends_before_carries_them_with_its_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.details.DELAY_SECONDS", 3600)
    jobs = await until_running(world, tiktok(1), tiktok(2))
    told = Told(world)
    last = await world.queue.last_event_id()
    for job in jobs:
        tell(world, job)
    world.engine.succeed(tiktok(1))
    world.engine.fail(tiktok(2), "private")
    succeeded, failed = [await world.until(job, lambda job: job.state in FINAL_STATES) for job in jobs]
    assert (succeeded.title, succeeded.size_bytes) == ("t", 10)  # of the media: that is measured
    assert (succeeded.uploader, succeeded.thumbnails, succeeded.width) == ("Ada", DETAILS.thumbnails, 320)
    assert (failed.state, failed.title, failed.thumbnails) == ("failed", "Ada's garden", DETAILS.thumbnails)
    assert told.groups == []
    assert [event.kind for event in await world.queue.events_since(last)] == ["job_changed"] * 2


async def test_a_retried_job_keeps_them_and_tells_no_news(world: World) -> None:
    [job] = await until_running(world, tiktok(1))
    tell(world, job)
    await world.until(job, lambda job: job.title is not None)
    world.engine.fail(tiktok(1), "private")
    await world.until(job, lambda job: job.state == "failed")
    [again] = await world.queue.retry([job.id])
    assert (again.title, again.thumbnails) == (DETAILS.title, DETAILS.thumbnails)
    await running(world, tiktok(1))
    last = await world.queue.last_event_id()
    retried = await world.queue.job(job.id)
    one = Described(job_id=job.id, attempt=retried.attempt_number, details=DETAILS)
    world.store.exchange((), {}, [one], now=world.clock())
    assert await world.queue.last_event_id() == last


async def test_those_of_an_earlier_attempt_are_dropped(world: World) -> None:
    [job] = await until_running(world, tiktok(1))
    one = Described(job_id=job.id, attempt=0, details=DETAILS)
    world.store.exchange((), {}, [one, Described(job_id="gone", attempt=1, details=DETAILS)], now=world.clock())
    assert (await world.queue.job(job.id)).title is None


async def test_new_links_to_a_thumbnail_make_its_failures_forgotten(world: World) -> None:
    [job] = await until_running(world, tiktok(1))
    tell(world, job)
    await world.until(job, lambda job: job.title is not None)
    for _ in range(2):
        world.store.thumbnail_failed(job.id)
    tell(world, job, Details(title="same links", thumbnails=DETAILS.thumbnails))
    assert (await world.until(job, lambda job: job.title == "same links")).thumbnail_failures == 2
    tell(world, job, Details(thumbnails=("https://cdn.example/b.jpg",)))
    found = await world.until(job, lambda job: job.thumbnails != DETAILS.thumbnails)
    assert (found.thumbnail_failures, found.title) == (0, "same links")


async def test_they_are_stored_later_if_the_database_failed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.details.RETRY_SECONDS", 0.0)
    [job] = await until_running(world, tiktok(1))
    exchange, faults = world.store.exchange, [RuntimeError("the disk is away")]

    def failing(*args: Any, **times: Any) -> Any:
        if faults:
            raise faults.pop()
        return exchange(*args, **times)

    world.store.exchange = failing  # type: ignore[method-assign]
    tell(world, job)
    assert (await world.until(job, lambda job: job.title is not None)).state == "running"
    assert not faults
