"""The media files of jobs: whole or in parts, and nothing but those."""

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

#: Where the media of a job are; its id follows.
FILES_PATH = "/api/v1/files/"

#: By name alone, whatever the machine's own tables say; all else is only ever saved, never shown.
CONTENT_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
}

#: One part of the file: from here to there, from here on, or so much of its end.
_RANGE = re.compile(r"bytes\s*=\s*(?:([0-9]{1,30})-([0-9]{0,30})|-([0-9]{1,30}))\s*", re.IGNORECASE)

_ANYTHING = {"*/*": None}

#: How a file is opened. Not through a link, which may have taken its place since it was looked at, nor waiting for
#: anyone; as no text, where there is a difference.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))

_GONE = "This file is not there any more: it was moved or deleted. Retry the job to have it again."


def create_files_api(services: Services) -> Routes:
    """Return the route to the media of *services*."""
    routes = Routes(Blueprint("files", __name__), tag="files")

    @routes.get(
        f"{FILES_PATH}<job_id>",
        {200: _ANYTHING, 206: _ANYTHING, 304: {}},
        query=FileQuery,
        refusals={
            412: "The file is not as `If-Match` or `If-Unmodified-Since` wants it.",
            416: "The file has no such part as `Range` asks for.",
        },
    )
    async def send_media(job_id: str, query: FileQuery) -> Response:
        """Send a media file of a job, whole or the part that `Range` asks for."""
        job = await services.acall(JobQueue.job, job_id)
        path = media_path(job, query.index, services.settings.raw_dir)
        content_type = CONTENT_TYPES.get(path.suffix.lower(), "application/octet-stream")
        _tidy_range(path)
        response = _sent(
            path,
            mimetype=content_type,
            as_attachment=query.download or content_type == "application/octet-stream",
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "sandbox"
        return response

    return routes


def media_path(job: Job, index: int, raw_dir: Path) -> Path:
    """Return the *index*-th file of *job*; nothing but a file within *raw_dir*, whatever links or `..` lead to it.

    Raises:
        werkzeug.exceptions.NotFound: there is none, or not any more.
    """
    if not job.files:
        raise NotFound(f"This job has no file: it is {job.state}.")
    if index >= len(job.files):
        raise NotFound(f"This job has no file {index}: it has {len(job.files)}, counted from 0.")
    try:
        path = Path(job.files[index]).resolve(strict=True)
        if path.is_relative_to(raw_dir.resolve()) and path.is_file():
            return path
    except (OSError, RuntimeError, ValueError):  # gone; a link to itself; a NUL in its name
        pass
    raise NotFound(_GONE)


def _tidy_range(path: Path) -> None:
    """Take from the request a `Range` that asks for no single part of a file: all of it is the right answer then.

    Other units and what cannot be read are to be ignored (RFC 9110, 14.2), where Werkzeug refuses them; so are several
    parts at once, which no player asks for.
    """
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is None or (asked[1] and asked[2] and int(asked[1]) > int(asked[2])):
        request.environ.pop("HTTP_RANGE", None)
    elif asked[3] and int(asked[3]) > path.stat().st_size:
        request.environ["HTTP_RANGE"] = "bytes=0-"  # its end, more than there is: all of it, which Werkzeug refuses


def _sent(path: Path, *, mimetype: str, as_attachment: bool) -> Response:
    """Return the file at *path* as an answer, with what a client needs to ask for parts of it and for changes."""
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
            # Nothing that ends a header; our own names have none of it, what somebody moved there may.
            download_name=re.sub(r"[\x00-\x1f\x7f]", "_", path.name),
            conditional=False,
            etag=f"{seen.st_mtime_ns}-{seen.st_size}-{adler32(os.fsencode(path))}",
            last_modified=seen.st_mtime,
        )
        response.content_length = seen.st_size
        response.make_conditional(request.environ, accept_ranges=True, complete_length=seen.st_size)
    except BaseException:
        file.close()
        raise
    _let_go_of_the_thread(response, file)
    return response


def _let_go_of_the_thread(response: Response, file: BinaryIO) -> None:
    """Have our server send a part of *file* as it sends a whole one: by itself.

    Werkzeug would read it bit by bit in the request's thread, which a player that has paused would hold for hours.
    """
    if response.status_code != 206 or "waitress.client_disconnected" not in request.environ:
        return
    start = response.content_range.start
    assert start is not None
    file.seek(start)
    # It ends where Content-Length says.
    response.response = wrap_file(request.environ, file)
