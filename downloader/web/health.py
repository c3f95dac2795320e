"""Is it alive, is it ready, how is it doing: for whoever watches the service."""

from __future__ import annotations

import asyncio

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from downloader.queue import metrics
from downloader.queue.services import Services


def create_health_api(services: Services) -> Blueprint:
    """Return the routes that look at *services*."""
    api = Blueprint("health", __name__)

    @api.get("/healthz")
    def alive() -> ResponseReturnValue:
        """Answer as long as the process answers at all; asks nothing of anyone."""
        return {"status": "ok"}

    @api.get("/readyz")
    async def ready() -> ResponseReturnValue:
        """Tell whether a download would start now: database, disk and workers."""
        checks = await services.check()
        is_ready = all(check == "ok" for check in checks.values())
        return {"status": "ok" if is_ready else "not ready", "checks": checks}, 200 if is_ready else 503

    @api.get("/metrics")
    async def figures() -> ResponseReturnValue:
        """Answer figures in Prometheus' format."""
        text = await asyncio.to_thread(services.render_metrics)
        return Response(text, content_type=metrics.CONTENT_TYPE)

    return api
