"""Health, readiness and metrics, for machines that watch the service."""

from __future__ import annotations

import asyncio

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from downloader.queue import metrics
from downloader.queue.services import Services


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
