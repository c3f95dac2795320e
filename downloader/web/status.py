"""Health, readiness, metrics, statistics and tool versions."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from downloader.queue import metrics
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.requests import StatisticsQuery
from downloader.web.responses import StatisticsReport, Tools
from downloader.web.routes import Routes
from downloader.ytdlp import tools


def create_status_api(services: Services) -> Routes:
    """Return the routes for statistics and tool versions."""
    routes = Routes(Blueprint("status", __name__, url_prefix="/api/v1"), tag="queue")

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


def create_probes(services: Services) -> Blueprint:
    """Return the health, readiness and metrics endpoints."""
    probes = Blueprint("probes", __name__)

    @probes.get("/healthz")
    def alive() -> ResponseReturnValue:
        """Return 200 while the process runs; checks nothing else."""
        return {"status": "ok"}

    @probes.get("/readyz")
    async def ready() -> ResponseReturnValue:
        """Tell whether a download could start now: database, disk and workers."""
        checks = await services.check()
        is_ready = all(check == "ok" for check in checks.values())
        return {"status": "ok" if is_ready else "not ready", "checks": checks}, 200 if is_ready else 503

    @probes.get("/metrics")
    async def show_metrics() -> ResponseReturnValue:
        """Return Prometheus metrics."""
        text = await asyncio.to_thread(services.render_metrics)
        return Response(text, content_type=metrics.CONTENT_TYPE)

    return probes
