"""The routes that wait until the work is done, and what the whole API says when something goes wrong."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack

from flask import Blueprint, Flask, Response, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from downloader.errors import (
    CookiesNotWritable,
    DownloaderError,
    IdempotencyConflict,
    IllegalTransition,
    NotFound,
    RequestRefused,
    ServiceBusy,
    StartRefused,
    StoreUnavailable,
)
from downloader.platform_detector import detect_platform
from downloader.queue.operations import JobQueue
from downloader.queue.records import records_as_they_end
from downloader.queue.services import Services
from downloader.web.openapi import JSON
from downloader.web.requests import BatchRequest, SingleRequest, parse_batch, parse_single
from downloader.web.responses import Detected, DownloadRecord, Downloads, ServiceInfo
from downloader.web.routes import Routes, client_gone, stream

log = logging.getLogger(__name__)

NAME = "Batch Video Downloader"
NDJSON = "application/x-ndjson"
DESCRIPTION = "Give it links from TikTok, Instagram, Twitter/X and YouTube, get playable files."


#: Requests that may wait for downloads at once. Each holds one of the server's threads, also when its client has gone,
#: and the rest of the service must always find one.
MAX_WAITING_REQUESTS = 48
BUSY_RETRY_SECONDS = 30


def create_api(services: Services, version: str) -> Routes:
    """Return the routes that use *services* and wait until their work is done."""
    routes = Routes(Blueprint("api", __name__), tag="downloads", takes_any_query=True)
    places = threading.BoundedSemaphore(MAX_WAITING_REQUESTS)

    def place() -> ExitStack:
        """Return one of the places to wait in; closing it gives it back."""
        if not places.acquire(blocking=False):
            raise ServiceBusy
        taken = ExitStack()
        taken.callback(places.release)
        return taken

    @routes.get("/", {200: ServiceInfo, 302: {}})
    async def index() -> ServiceInfo | ResponseReturnValue:
        """Tell what this is; send a browser to the dashboard."""
        if _wants_html():
            return redirect(url_for("portal.dashboard"))
        return ServiceInfo(
            app=NAME,
            version=version,
            description=DESCRIPTION,
            dashboard=url_for("portal.dashboard"),
            documentation=url_for("docs.show_docs"),
            routes=["POST /detect-platform", "POST /download", "POST /download/batch", "POST /api/v1/batches"],
        )

    @routes.post("/detect-platform", Detected, body=SingleRequest, parse_body=parse_single)
    async def detect(body: str) -> Detected:
        """Answer which platform owns a URL."""
        return Detected(url=body, platform=detect_platform(body))

    @routes.post("/download", DownloadRecord, body=SingleRequest, parse_body=parse_single)
    async def download(body: str) -> ResponseReturnValue:
        """Download one URL; answer its record when that is done."""
        with place():
            [record] = await services.download([body])
        return record

    @routes.post(
        "/download/batch",
        {200: {JSON: Downloads, NDJSON: DownloadRecord}},
        body=BatchRequest,
        parse_body=lambda body: parse_batch(body, max_urls=services.settings.max_batch_urls),
    )
    async def download_batch(body: list[str]) -> ResponseReturnValue:
        """Download many URLs; answer their records, in order, when all are done.

        With `Accept: application/x-ndjson` each record is sent, on a line of its own, as soon as its job ends.
        """
        with place() as taken:
            if request.accept_mimetypes.best_match([JSON, NDJSON]) != NDJSON:
                return {"downloads": await services.download(body)}
            submission = await services.acall(JobQueue.submit, body)
            records = records_as_they_end(services, submission, body, client_gone())
            response = stream((json.dumps(record) + "\n" for record in records), NDJSON)
            response.call_on_close(taken.pop_all().close)  # only then is its thread free
            return response

    return routes


def add_error_answers(app: Flask) -> None:
    """Have *app* answer every error with `{"error": sentence}`, never with a page or a stack trace."""
    handlers: dict[type[Exception], Callable[..., ResponseReturnValue]] = {
        RequestRefused: _refused,
        StartRefused: _not_now,
        ServiceBusy: _busy,
        StoreUnavailable: _not_now,
        HTTPException: _http_error,
        Exception: _crashed,
    }
    for kind, handler in handlers.items():
        app.register_error_handler(kind, handler)


def _wants_html() -> bool:
    best = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return best == "text/html"


#: What is not here is 400.
_REFUSAL_STATUSES: dict[type[RequestRefused], int] = {
    NotFound: 404,
    CookiesNotWritable: 409,
    IdempotencyConflict: 409,
    IllegalTransition: 409,
}


def _refused(error: RequestRefused) -> ResponseReturnValue:
    return {"error": str(error)}, _REFUSAL_STATUSES.get(type(error), 400)


def _not_now(error: StartRefused | StoreUnavailable) -> ResponseReturnValue:
    return {"error": str(error)}, 503, {"Retry-After": "5"}


def _busy(error: ServiceBusy) -> ResponseReturnValue:
    return {"error": str(error)}, 503, {"Retry-After": str(BUSY_RETRY_SECONDS)}


_HTTP_SENTENCES = {
    404: "There is nothing at this address: GET / lists what there is.",
    405: "This address does not take that method: GET / lists what there is.",
    416: "The file has no such part: ask for one that begins before its end.",
    413: "The request is too large: send fewer URLs at once, or raise DOWNLOADER_MAX_REQUEST_BYTES.",
}


def _http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if isinstance(error, RequestEntityTooLarge):
        status = 413
    # Ours come with a sentence; Werkzeug's own words are for those who know what it is.
    own = error.description if error.description != type(error).description else None
    answer: Response = jsonify(error=own or _HTTP_SENTENCES.get(status) or error.description or error.name)
    answer.status_code = status
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "Content-Range", "WWW-Authenticate"):
            answer.headers[name] = value
    return answer


_CRASHED = "Something went wrong inside this server: its log has the cause; please report it."


def _crashed(error: Exception) -> ResponseReturnValue:
    log.error("request crashed", exc_info=error)
    text = str(error) if isinstance(error, DownloaderError) else _CRASHED
    return {"error": text}, 500
