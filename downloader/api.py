"""The JSON API: parses, refuses, answers. The only module that knows HTTP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from downloader.errors import DownloaderError, RequestRefused, ServiceBusy, sentence
from downloader.platform_detector import detect_platform
from downloader.services import Services
from downloader.validation import parse_batch, parse_single

log = logging.getLogger(__name__)

NAME = "Batch Video Downloader"
DESCRIPTION = "Give it links from TikTok, Instagram, Twitter/X and YouTube, get playable files."


#: Requests that may wait for downloads at once. Each holds one of the server's threads, also when its client has gone,
#: and the rest of the service must always find one.
MAX_WAITING_REQUESTS = 48
BUSY_RETRY_SECONDS = 30


def create_api(services: Services, version: str) -> Blueprint:
    """Return the routes that use *services*."""
    api = Blueprint("api", __name__)
    places = threading.BoundedSemaphore(MAX_WAITING_REQUESTS)

    async def wait_for(urls: Sequence[str]) -> list[dict[str, Any]]:
        if not places.acquire(blocking=False):
            raise ServiceBusy
        try:
            return await services.download(urls)
        finally:
            places.release()

    @api.get("/")
    async def index() -> ResponseReturnValue:
        """Tell what this is; send a browser to the dashboard."""
        if _wants_html():
            return redirect(url_for("portal.dashboard"))
        return {
            "app": NAME,
            "version": version,
            "description": DESCRIPTION,
            "dashboard": url_for("portal.dashboard"),
            "routes": ["POST /detect-platform", "POST /download", "POST /download/batch"],
        }

    @api.post("/detect-platform")
    async def detect() -> ResponseReturnValue:
        """Answer which platform owns a URL."""
        url = parse_single(_json_body())
        return {"url": url, "platform": detect_platform(url)}

    @api.post("/download")
    async def download() -> ResponseReturnValue:
        """Download one URL; answer its record when that is done."""
        [record] = await wait_for([parse_single(_json_body())])
        return record

    @api.post("/download/batch")
    async def download_batch() -> ResponseReturnValue:
        """Download many URLs; answer their records, in order, when all are done."""
        urls = parse_batch(_json_body(), max_urls=services.settings.max_batch_urls)
        return {"downloads": await wait_for(urls)}

    return api


def add_error_answers(app: Flask) -> None:
    """Have *app* answer every error with `{"error": sentence}`, never with a page or a stack trace."""
    handlers: dict[type[Exception], Callable[..., ResponseReturnValue]] = {
        RequestRefused: _refused,
        ServiceBusy: _busy,
        HTTPException: _http_error,
        Exception: _crashed,
    }
    for kind, handler in handlers.items():
        app.register_error_handler(kind, handler)


def _wants_html() -> bool:
    best = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return best == "text/html"


def _json_body() -> object:
    """Return the request's body as JSON, whatever its Content-Type says; {} where there is no body."""
    if not request.get_data():
        return {}
    try:
        return request.get_json(force=True)
    except (BadRequest, RecursionError) as error:  # RecursionError: 100,000 brackets, one in the other
        raise RequestRefused(
            'The request\'s body is not JSON: send an object such as {"url": "https://..."}.'
        ) from error


def _refused(error: RequestRefused) -> ResponseReturnValue:
    return {"error": str(error)}, 400


def _busy(error: ServiceBusy) -> ResponseReturnValue:
    return {"error": str(error)}, 503, {"Retry-After": str(BUSY_RETRY_SECONDS)}


_HTTP_SENTENCES = {
    404: "There is nothing at this address: GET / lists what there is.",
    405: "This address does not take that method: GET / lists what there is.",
    413: "The request is too large: send fewer URLs at once, or raise DOWNLOADER_MAX_REQUEST_BYTES.",
}


def _http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if isinstance(error, RequestEntityTooLarge):
        status = 413
    answer: Response = jsonify(error=_HTTP_SENTENCES.get(status) or error.description or error.name)
    answer.status_code = status
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            answer.headers[name] = value
    return answer


def _crashed(error: Exception) -> ResponseReturnValue:
    log.error("request crashed", exc_info=error)
    text = str(error) if isinstance(error, DownloaderError) else sentence("internal", "this service")
    return {"error": text}, 500
