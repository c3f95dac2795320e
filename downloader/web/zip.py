"""All files of a batch as one zip, made while it is sent."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound, ServiceUnavailable

from downloader.jobs import FINAL_STATES, Batch, Job
from downloader.media.zip import MediaZip, ZipBroken
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.files import media_path
from downloader.web.routes import Routes, stream

log = logging.getLogger(__name__)

ZIP = "application/zip"

#: Zips that may be sent at once. Each holds one of the server's threads for as long as its client takes.
MAX_ZIPS = 32
BUSY_RETRY_SECONDS = 30


def create_zip_api(services: Services) -> Routes:
    """Return the route that saves batches of *services* whole."""
    routes = Routes(Blueprint("zip", __name__, url_prefix="/api/v1"), tag="batches")
    places = threading.BoundedSemaphore(MAX_ZIPS)

    # Not async: a zip is made in the server's thread, which an event loop would only stand in.
    @routes.get(
        "/batches/<batch_id>/zip",
        {200: {ZIP: None}},
        refusals={404: "There is no such batch, or nothing of it to save: nothing succeeded, or its files are gone."},
    )
    def send_zip(batch_id: str) -> Response:
        """Save all files of a batch as one zip.

        They are stored in it as they are; what was moved or deleted since is left out. `Content-Length` is right: a
        download that ends before it broke off, for want of a file that went away meanwhile, and must be begun anew.
        """
        batch, jobs = services.call(_batch_with_jobs, batch_id)
        found = _zip_of(jobs, services.settings.raw_dir)
        chunks: Iterator[bytes] = iter(())
        if request.method != "HEAD":
            if not places.acquire(blocking=False):
                raise ServiceUnavailable(
                    "As many zips as this server makes at once are being made: try again in a while, or save the files"
                    " one by one.",
                    retry_after=BUSY_RETRY_SECONDS,
                )
            chunks = _until_it_breaks(found.chunks(), batch.id)
        response = stream(chunks, ZIP)
        if request.method != "HEAD":
            # Not in the generator: one that was never begun never gets to its end either.
            response.call_on_close(places.release)
        response.content_length = found.size_bytes
        name = f"videos-{batch.created_at:%Y-%m-%d}-{batch.id}.zip"
        response.headers.set("Content-Disposition", "attachment", filename=name)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Accept-Ranges"] = "none"
        return response

    return routes


async def _batch_with_jobs(queue: JobQueue, batch_id: str) -> tuple[Batch, list[Job]]:
    return await queue.batch(batch_id), [job for _, job in await queue.batch_jobs(batch_id)]


def _zip_of(jobs: Iterable[Job], raw_dir: Path) -> MediaZip:
    """Return the zip of all files of *jobs* that are there, each once.

    Raises:
        werkzeug.exceptions.NotFound: there are none.
    """
    jobs = tuple(jobs)
    paths: dict[Path, None] = {}  # two jobs of one post share its file
    for job in jobs:
        for index in range(len(job.files)):
            try:
                paths[media_path(job, index, raw_dir)] = None
            except NotFound:
                continue
    if found := MediaZip(paths):
        return found
    if any(job.files for job in jobs):
        raise NotFound("The files of this batch are not there any more: they were moved or deleted.")
    if any(job.state not in FINAL_STATES for job in jobs):
        raise NotFound("Nothing of this batch has succeeded yet, so there is nothing to save: try again later.")
    raise NotFound("Nothing of this batch has succeeded, so there is nothing to save.")


def _until_it_breaks(chunks: Generator[bytes], batch_id: str) -> Iterator[bytes]:
    """Yield *chunks* until they end or a file fails.

    Then fewer bytes than `Content-Length` were sent: the server closes the connection, and the client notices. That a
    client has gone, the server notices with the next chunk, and closes this.
    """
    try:
        with closing(chunks):  # and with them the file that is being read
            yield from chunks
    except ZipBroken as error:
        log.warning("a zip broke off", extra={"batch_id": batch_id, "detail": str(error)})
