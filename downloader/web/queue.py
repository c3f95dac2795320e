"""The queue and its platforms: status, pause, resume and cooldowns."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from flask import Blueprint

from downloader.errors import NotFound
from downloader.jobs import JobState, PlatformView
from downloader.platforms import PlatformType
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.responses import PlatformRecord, Platforms, QueueRecord, StateCounts
from downloader.web.routes import Routes


def create_queue_api(services: Services) -> Routes:
    """Return the routes for the queue and its platforms."""
    routes = Routes(Blueprint("queue", __name__, url_prefix="/api/v1"), tag="queue")

    @routes.get("/queue", QueueRecord)
    async def show_queue() -> QueueRecord:
        """Show whether new downloads start, and the number of jobs in each state."""
        return await services.acall(_queue_record)

    @routes.post("/queue/pause", QueueRecord)
    async def pause_queue() -> QueueRecord:
        """Start no new downloads; running ones continue."""
        return await services.acall(_set_paused, True)

    @routes.post("/queue/resume", QueueRecord)
    async def resume_queue() -> QueueRecord:
        """Start new downloads again."""
        return await services.acall(_set_paused, False)

    @routes.get("/platforms", Platforms)
    async def list_platforms() -> Platforms:
        """Show each platform's limits and its results in the last hour."""
        return Platforms(platforms=[_platform_record(view) for view in await services.acall(JobQueue.platforms)])

    @routes.post("/platforms/<name>/end-cooldown", PlatformRecord)
    async def end_cooldown(name: str) -> PlatformRecord:
        """End a platform's cooldown, so that its downloads start again; return its new state."""
        platform = next((platform for platform in services.platforms if platform == name), None)
        if platform is None:
            raise NotFound("platform")
        return _platform_record(await services.acall(_end_cooldown, platform))

    return routes


async def _set_paused(queue: JobQueue, paused: bool) -> QueueRecord:
    await queue.scheduler.set_paused(paused)
    return await _queue_record(queue)


async def _end_cooldown(queue: JobQueue, platform: PlatformType) -> PlatformView:
    await queue.scheduler.end_cooldown(platform)
    [view] = [view for view in await queue.platforms() if view.platform == platform]
    return view


async def _queue_record(queue: JobQueue) -> QueueRecord:
    await queue.scheduler.storage.poll()
    status = queue.scheduler.status()
    totals: Counter[JobState] = Counter()
    for counts in (await queue.counts()).values():
        totals.update(counts)
    return QueueRecord(
        paused=status.paused,
        disk_low=status.disk_low,
        storage_full=status.storage_full,
        storage_error=status.fault,
        free_bytes=status.free_bytes,
        counts=StateCounts.model_validate(totals),
    )


def _platform_record(view: PlatformView) -> PlatformRecord:
    ended = view.succeeded_last_hour + view.failed_last_hour
    return PlatformRecord(**asdict(view), success_rate_last_hour=view.succeeded_last_hour / ended if ended else None)
