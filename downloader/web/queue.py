"""The queue, its platforms, machines and tools: status, pause, resume, cooldowns, statistics and versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flask import Blueprint

from downloader.jobs import JobState, Machine
from downloader.platforms import PlatformType
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.queue.statistics import PlatformView
from downloader.web.queries import StatisticsQuery
from downloader.web.queue_responses import Machines, PlatformRecord, Platforms, QueueRecord, StatisticsReport, Tools
from downloader.web.routes import Routes, known_platform
from downloader.ytdlp import tools


def create_queue_api(services: Services) -> Routes:
    """Return the routes for the queue, its platforms, machines and tools."""
    routes = Routes(Blueprint("queue", __name__, url_prefix="/api/v1"), tag="queue")

    @routes.route("GET", "/queue", QueueRecord)
    async def show_queue() -> dict[str, Any]:
        """Show whether new downloads start, and the number of jobs in each state."""
        return await services.acall(_queue_record)

    @routes.route("POST", "/queue/pause", QueueRecord)
    async def pause_queue() -> dict[str, Any]:
        """Start no new downloads; running ones continue."""
        return await services.acall(_set_paused, True)

    @routes.route("POST", "/queue/resume", QueueRecord)
    async def resume_queue() -> dict[str, Any]:
        """Start new downloads again."""
        return await services.acall(_set_paused, False)

    @routes.route("GET", "/platforms", Platforms)
    async def list_platforms() -> dict[str, list[PlatformView]]:
        """Show each platform's limits and its results in the last hour."""
        return {"platforms": await services.acall(JobQueue.platforms)}

    @routes.route("POST", "/platforms/<name>/end-cooldown", PlatformRecord)
    async def end_cooldown(name: str) -> PlatformView:
        """End a platform's cooldown, so that its downloads start again; return its new state."""
        return await services.acall(_end_cooldown, known_platform(name))

    @routes.route("GET", "/machines", Machines)
    async def list_machines() -> dict[str, Any]:
        """Show the machines that run downloads for this server."""
        machines = await services.acall(_machines)
        return {"machines": [{"name": machine.id, **asdict(machine)} for machine in machines]}

    @routes.route("GET", "/statistics", StatisticsReport)
    async def show_statistics(query: StatisticsQuery) -> dict[str, Any]:
        """Show successes, failures, sizes, durations and errors of each platform in the last hours."""
        statistics = await services.acall(JobQueue.statistics, query.hours)
        return {**asdict(statistics.span), "platforms": statistics.platforms}

    @routes.route("GET", "/tools", Tools)
    def show_tools() -> dict[str, Any]:
        """Show the versions of yt-dlp, ffmpeg and the JavaScript runtime, and whether yt-dlp needs an update."""
        return {"ytdlp": tools.ytdlp_release(), "ffmpeg": tools.ffmpeg(), "javascript": tools.js_runtime()}

    return routes


async def _set_paused(queue: JobQueue, paused: bool) -> dict[str, Any]:
    await queue.scheduler.set_paused(paused)
    return await _queue_record(queue)


async def _end_cooldown(queue: JobQueue, platform: PlatformType) -> PlatformView:
    await queue.scheduler.end_cooldown(platform)
    [view] = [view for view in await queue.platforms() if view.platform == platform]
    return view


async def _machines(queue: JobQueue) -> Sequence[Machine]:
    return queue.scheduler.engine.machines()


async def _queue_record(queue: JobQueue) -> dict[str, Any]:
    await queue.scheduler.storage.poll()
    status = queue.scheduler.status()
    totals = sum(map(Counter, (await queue.counts()).values()), Counter[JobState]())
    return {**asdict(status), "storage_error": status.fault, "counts": totals}
