"""Serves the thumbnails of jobs, as what their own bytes say that they are."""

from __future__ import annotations

from hashlib import blake2b

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from downloader.media.pictures import CONTENT_TYPES, Picture
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.routes import Routes
from downloader.web.slots import Slots

#: Requests that may wait for a thumbnail to be fetched at once. Each holds a server thread.
MAX_WAITING = 32
BUSY = "Too many thumbnails are being fetched: try again in a moment."

_NO_THUMBNAIL = "This job has no thumbnail: the post has none, or it could not be fetched."

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, max-age=86400",
}


def create_thumbnails_api(services: Services) -> Routes:
    """Return the route to thumbnails."""
    routes = Routes(Blueprint("thumbnails", __name__, url_prefix="/api/v1"), tag="files")
    slots = Slots(MAX_WAITING, BUSY, retry_after_seconds=5)
    pictures = dict.fromkeys(CONTENT_TYPES.values())

    @routes.route("GET", "/jobs/<string(minlength=8):job_id>/thumbnail", {200: pictures, 304: {}})
    async def send_thumbnail(job_id: str) -> Response:
        """Send the thumbnail of a job's post; it is fetched when it is first asked for."""
        found, may_fetch = await services.acall(_kept, job_id)
        if may_fetch:
            with slots.slot():
                found = await services.acall(_fetched, job_id)
        if found is None:
            raise NotFound(_NO_THUMBNAIL)
        picture, data = found
        response = Response(data, content_type=picture.content_type, headers=_HEADERS)
        response.set_etag(blake2b(data, digest_size=16).hexdigest())
        response.make_conditional(request.environ)
        return response

    return routes


async def _kept(queue: JobQueue, job_id: str) -> tuple[tuple[Picture, bytes] | None, bool]:
    """Return the thumbnail that is there, and whether it may be fetched otherwise."""
    job = await queue.job(job_id)
    kept = await queue.thumbnails.kept(job)
    return kept, kept is None and queue.thumbnails.may_fetch(job)


async def _fetched(queue: JobQueue, job_id: str) -> tuple[Picture, bytes] | None:
    return await queue.thumbnails.get(await queue.job(job_id))
