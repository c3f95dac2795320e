"""Serves the media files of jobs, whole or by range."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO
from zlib import adler32

from flask import Blueprint, Response, request, send_file
from werkzeug.exceptions import NotFound
from werkzeug.wsgi import wrap_file

from downloader.jobs import Job
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.queries import FileQuery
from downloader.web.routes import Routes

#: Followed by the job's id.
FILES_PATH = "/api/v1/files/"

#: Independent of the machine's own tables.
CONTENT_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".mka": "audio/x-matroska",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".srt": "application/x-subrip",
    ".heic": "image/heic",
    ".avif": "image/avif",
}

#: What browsers show; everything else is sent as an attachment.
_SHOWN = ("video/", "audio/", "image/")

#: A single range: from a to b, from a on, or the last n bytes.
_RANGE = re.compile(r"bytes\s*=\s*(?:([0-9]{1,30})-([0-9]{0,30})|-([0-9]{1,30}))\s*", re.IGNORECASE)

_ANYTHING = {"*/*": None}

#: Never follow a link that may have replaced the file since it was checked, nor block on a pipe; on Windows, do not
#: convert line ends.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))

_GONE = "This file no longer exists: it was moved or deleted. Send the link again to download it."


def create_files_api(services: Services) -> Routes:
    """Return the route to media files."""
    routes = Routes(Blueprint("files", __name__), tag="files")

    @routes.route(
        "GET",
        f"{FILES_PATH}<job_id>",
        {200: _ANYTHING, 206: _ANYTHING, 304: {}},
        errors={
            412: "The file does not match `If-Match` or `If-Unmodified-Since`.",
            416: "The file does not have the requested `Range`.",
        },
    )
    async def send_media(job_id: str, query: FileQuery) -> Response:
        """Send a media file of a job, or the requested `Range` of it."""
        job = await services.acall(JobQueue.job, job_id)
        path = media_path(job, query.index, services.settings.raw_dir)
        return send_media_file(path, as_attachment=query.download)

    return routes


def send_media_file(path: Path, *, as_attachment: bool, name: str | None = None) -> Response:
    """Return a response with the file at *path*, or the requested `Range` of it, to be saved as *name*."""
    content_type = CONTENT_TYPES.get(path.suffix.lower(), "application/octet-stream")
    _normalize_range(path)
    as_attachment = as_attachment or not content_type.startswith(_SHOWN)
    response = _sent(path, name or path.name, mimetype=content_type, as_attachment=as_attachment)
    response.headers["Content-Security-Policy"] = "sandbox"
    return response


def media_path(job: Job, index: int, raw_dir: Path) -> Path:
    """Return the real path of the *index*-th file of *job*, which is always within *raw_dir*.

    Raises:
        werkzeug.exceptions.NotFound: there is no such file, or it no longer exists.
    """
    if not job.files:
        raise NotFound(f"This job has no files: it is {job.state}.")
    if index >= len(job.files):
        raise NotFound(f"This job has no file {index}: it has {len(job.files)}, numbered from 0.")
    return real_path(job.files[index], raw_dir)


def real_path(file: str, raw_dir: Path) -> Path:
    """Return the real path of *file*, as the store has it, which is always within *raw_dir*.

    Raises:
        werkzeug.exceptions.NotFound: it no longer exists.
    """
    try:
        path = Path(file).resolve(strict=True)
        if path.is_relative_to(raw_dir.resolve()) and path.is_file():
            return path
    except (OSError, RuntimeError, ValueError):  # gone; a link to itself; a NUL in its name
        pass
    raise NotFound(_GONE)


def _normalize_range(path: Path) -> None:
    """Drop a `Range` header that does not name a single range, so that the whole file is sent.

    Unknown units and malformed ranges must be ignored (RFC 9110, 14.2), but Werkzeug refuses them. Multiple ranges are
    ignored too, because no player requests them.
    """
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is None or (asked[1] and asked[2] and int(asked[1]) > int(asked[2])):
        request.environ.pop("HTTP_RANGE", None)
    elif asked[3] and int(asked[3]) > path.stat().st_size:
        # A suffix longer than the file means all of it, but Werkzeug refuses it.
        request.environ["HTTP_RANGE"] = "bytes=0-"


def _sent(path: Path, name: str, *, mimetype: str, as_attachment: bool) -> Response:
    """Return a response with the file at *path*, called *name*, conditional and by range."""
    try:
        file = os.fdopen(os.open(path, _FLAGS), "rb")
    except OSError:
        raise NotFound(_GONE) from None
    seen = os.fstat(file.fileno())
    try:
        if not stat.S_ISREG(seen.st_mode):
            raise NotFound(_GONE)
        response = send_file(
            file,
            mimetype=mimetype,
            as_attachment=as_attachment,
            # No control characters in the header; our own names have none, but a file moved there may.
            download_name=re.sub(r"[\x00-\x1f\x7f]", "_", name),
            conditional=False,
            etag=f"{seen.st_mtime_ns}-{seen.st_size}-{adler32(os.fsencode(path))}",
            last_modified=seen.st_mtime,
        )
        response.content_length = seen.st_size
        response.make_conditional(request.environ, accept_ranges=True, complete_length=seen.st_size)
    except BaseException:
        file.close()
        raise
    _send_without_thread(response, file)
    return response


def _send_without_thread(response: Response, file: BinaryIO) -> None:
    """Let our server send a range of *file* without holding a thread, as it does for a whole file.

    Werkzeug would read it in the request's thread, which a paused player would hold for hours.
    """
    if response.status_code != 206 or "waitress.client_disconnected" not in request.environ:
        return
    start = response.content_range.start
    assert start is not None
    file.seek(start)
    # waitress stops at Content-Length.
    response.response = wrap_file(request.environ, file)
