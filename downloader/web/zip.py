"""All files of a batch, or of some jobs, as one zip, streamed while it is made."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from downloader.jobs import FINAL_STATES, Job
from downloader.media.zip import MediaZip, ZipBroken
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.files import media_path
from downloader.web.queries import ZipQuery
from downloader.web.routes import Routes, stream
from downloader.web.slots import Slots

log = logging.getLogger(__name__)

ZIP = "application/zip"

#: Zips that may be sent at once. Each holds a server thread until its client has read it.
MAX_ZIPS = 32
BUSY = "Too many zips are being downloaded: try again in a moment, or save the files one by one."


def create_zip_api(services: Services) -> Routes:
    """Return the route to a batch's zip."""
    routes = Routes(Blueprint("zip", __name__, url_prefix="/api/v1"), tag="batches")
    slots = Slots(MAX_ZIPS, BUSY, retry_after_seconds=30)

    # Not async: a zip is made in the server's thread, so an event loop would be of no use.
    @routes.route(
        "GET",
        "/batches/<batch_id>/zip",
        {200: {ZIP: None}},
        errors={404: "There is no such batch, or it has no files: nothing succeeded, or they were moved or deleted."},
    )
    def send_zip(batch_id: str) -> Response:
        """Send all files of a batch as one zip.

        The files are stored uncompressed, in the folders that they are in; moved or deleted ones are left out.
        `Content-Length` is exact: a download that ends early was interrupted, because a file disappeared while it was
        sent, and must be restarted.
        """
        batch, sent = services.call(JobQueue.batch, batch_id), services.call(JobQueue.batch_jobs, batch_id)
        name = f"videos-{batch.created_at:%Y-%m-%d}-{batch.id}"
        return _response([job for _, job in sent], services.settings.raw_dir, slots, name)

    @routes.route(
        "GET",
        "/jobs/zip",
        {200: {ZIP: None}},
        errors={404: "None was named, one does not exist, or none of them has files."},
    )
    def send_jobs_zip(query: ZipQuery) -> Response:
        """Send all files of the given jobs as one zip, as for a batch."""
        jobs = [services.call(JobQueue.job, job_id) for job_id in dict.fromkeys(query.ids)]
        if not jobs:
            raise NotFound("Say whose files to save: /api/v1/jobs/zip?ids=<id>,<id>.")
        name = f"videos-{jobs[0].created_at:%Y-%m-%d}-{jobs[0].id}"
        return _response(jobs, services.settings.raw_dir, slots, name)

    return routes


def _response(jobs: Sequence[Job], raw_dir: Path, slots: Slots, name: str) -> Response:
    found = _zip_of(jobs, raw_dir)
    if request.method == "HEAD":
        response = stream(iter(()), ZIP)
    else:
        with slots.slot() as slot:
            response = slot.hold_until_sent(stream(_until_broken(found.chunks(), jobs[0].batch_id), ZIP))
    response.content_length = found.size_bytes
    response.headers.set("Content-Disposition", "attachment", filename=f"{name}.zip")
    response.headers["Accept-Ranges"] = "none"
    return response


def _zip_of(jobs: Sequence[Job], raw_dir: Path) -> MediaZip:
    """Return the zip of all existing files of *jobs*, each once.

    Raises:
        werkzeug.exceptions.NotFound: there are none.
    """
    paths: dict[Path, None] = {}  # two jobs for the same post share its file
    for job in jobs:
        for index in range(len(job.files)):
            try:
                paths[media_path(job, index, raw_dir)] = None
            except NotFound:
                continue
    if found := MediaZip(paths, raw_dir.resolve()):
        return found
    if any(job.files for job in jobs):
        raise NotFound("These files no longer exist: they were moved or deleted.")
    if any(job.state not in FINAL_STATES for job in jobs):
        raise NotFound("None of these downloads has succeeded yet, so there is nothing to save: try again later.")
    raise NotFound("None of these downloads has succeeded, so there is nothing to save.")


def _until_broken(chunks: Generator[bytes], batch_id: str) -> Iterator[bytes]:
    """Yield *chunks* until they end or a file cannot be read.

    In that case the response is shorter than its `Content-Length`, so the server closes the connection and the client
    notices. When the client disconnects, the server notices at the next chunk and closes this generator.
    """
    try:
        with closing(chunks):  # and with them the file being read
            yield from chunks
    except ZipBroken as error:
        log.warning("zip interrupted", extra={"batch_id": batch_id, "detail": str(error)})
