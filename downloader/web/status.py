"""Health, readiness, metrics, statistics and tool versions."""

from __future__ import annotations

import asyncio

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from downloader.queue import metrics
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.requests import StatisticsQuery
from downloader.web.responses import StatisticsReport, ToolRecord, Tools, YtdlpRecord
from downloader.web.routes import Routes
from downloader.ytdlp import tools


def create_status_api(services: Services) -> Routes:
    """Return the routes for statistics and tool versions."""
    routes = Routes(Blueprint("status", __name__, url_prefix="/api/v1"), tag="queue")

    @routes.get("/statistics", StatisticsReport, query=StatisticsQuery)
    async def show_statistics(query: StatisticsQuery) -> StatisticsReport:
        """Show successes, failures, sizes, durations and errors of each platform in the last hours."""
        return StatisticsReport.of(await services.acall(JobQueue.statistics, query.hours))

    @routes.get("/tools", Tools)
    def show_tools() -> Tools:
        """Show the versions of yt-dlp, ffmpeg and the JavaScript runtime, and whether yt-dlp needs an update."""
        ffmpeg, javascript = tools.ffmpeg(), tools.js_runtime()
        return Tools(
            ytdlp=YtdlpRecord.model_validate(tools.ytdlp_release()),
            ffmpeg=ToolRecord.model_validate(ffmpeg) if ffmpeg else None,
            javascript=ToolRecord.model_validate(javascript) if javascript else None,
        )

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
