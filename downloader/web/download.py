"""The contract's routes: service info, platform detection, and downloads that wait for their results."""

from __future__ import annotations

import json
import time
from typing import Any

from flask import Blueprint, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue

from downloader.platform_detector import detect_platform
from downloader.queue.feed import records_as_they_end
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.compat.cobalt import service_info
from downloader.web.login import wants_page
from downloader.web.openapi import DESCRIPTION, JSON, NAME
from downloader.web.requests import BatchRequest, DownloadRequest, SingleRequest
from downloader.web.responses import Detected, DownloadRecord, Downloads, ServiceInfo
from downloader.web.routes import Routes, client_gone, stream
from downloader.web.slots import Slots

NDJSON = "application/x-ndjson"

#: Requests that may wait for downloads at once. Each holds a server thread, even after its client has disconnected, and
#: other requests need threads too.
MAX_WAITING_REQUESTS = 48
BUSY = "Too many requests are waiting for downloads: try again in a moment, or send one batch."


def create_waiting_slots() -> Slots:
    """Return the slots of all requests that wait for downloads."""
    return Slots(MAX_WAITING_REQUESTS, BUSY, retry_after_seconds=30)


def create_download_api(services: Services, version: str, slots: Slots) -> Routes:
    """Return the routes that wait for downloads, in one of *slots*, and the service info."""
    routes = Routes(Blueprint("download", __name__), tag="downloads", takes_any_query=True)
    settings = services.settings
    started_at = time.time()

    @routes.route("GET", "/", {200: {JSON: ServiceInfo}, 302: {}})
    async def index() -> ServiceInfo | ResponseReturnValue:
        """Return information about the service, or redirect a browser to the dashboard."""
        if wants_page():
            return redirect(url_for("portal.dashboard"))
        return ServiceInfo(
            app=NAME,
            version=version,
            description=DESCRIPTION,
            dashboard=url_for("portal.dashboard"),
            documentation=url_for("docs.show_docs"),
            routes=["POST /detect-platform", "POST /download", "POST /download/batch", "POST /api/v1/batches"],
            **(service_info(version, started_at) if settings.compat else {}),
        )

    @routes.route("POST", "/detect-platform", Detected)
    async def detect(body: SingleRequest) -> Detected:
        """Detect the platform of a URL."""
        return Detected(url=body.url, platform=detect_platform(body.url))

    @routes.route("POST", "/download", DownloadRecord)
    async def download(body: DownloadRequest) -> ResponseReturnValue:
        """Download one URL and return its record when it is done."""
        wanted = body.wanted(settings)
        with slots.slot():
            [record] = await services.download([body.url], wanted)
        return jsonify(_below(request.script_root, record))

    @routes.route("POST", "/download/batch", {200: {JSON: Downloads, NDJSON: DownloadRecord}})
    async def download_batch(body: BatchRequest) -> ResponseReturnValue:
        """Download several URLs and return their records in order when all are done.

        With `Accept: application/x-ndjson`, each record is sent on a line of its own as soon as its job ends.
        """
        body.refuse_more_than(settings.max_batch_urls)
        wanted = body.wanted(settings)
        with slots.slot() as slot:
            if request.accept_mimetypes.best_match([JSON, NDJSON]) != NDJSON:
                records = await services.download(body.urls, wanted)
                return jsonify(downloads=[_below(request.script_root, record) for record in records])
            submission = await services.acall(JobQueue.submit, body.urls, wanted)
            ended = records_as_they_end(services, submission, body.urls, client_gone())
            root = request.script_root
            return slot.hold_until_sent(stream((json.dumps(_below(root, each)) + "\n" for each in ended), NDJSON))

    return routes


def _below(root: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return *record* with its addresses below *root*."""
    path = record["thumbnail_url"]
    return {**record, "thumbnail_url": f"{root}{path}"} if path else record
