"""cobalt's HTTP API: a link is downloaded by our queue, and fetched from here by a signed link.

cobalt answers within a second and passes on what it receives; here the file is sent when it is whole. So a request
waits for a while, and is then answered with a link whose `GET` waits for the rest.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any, cast, get_args

from flask import Blueprint, Response, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable, Unauthorized

from downloader.access.keys import sent_key
from downloader.access.links import SIGNATURE_CHARACTERS, LinkSigner
from downloader.errors import RequestRefused, sentence
from downloader.jobs import FINAL_STATES, Job
from downloader.platform_detector import detect_platform
from downloader.platforms import PLATFORMS
from downloader.presets import Wanted
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.records import Record
from downloader.settings import Settings
from downloader.web.compat.cobalt_errors import CobaltError, failed
from downloader.web.compat.cobalt_names import file_name
from downloader.web.compat.cobalt_request import SaveRequest, Style
from downloader.web.files import CONTENT_TYPES, media_path, send_media_file
from downloader.web.routes import client_gone, json_body
from downloader.web.slots import Slots

#: The version of cobalt's API that is answered here.
VERSION = "11.7.1"

#: How long `POST /` waits for a download. cobalt's own page gives up after 20 seconds.
WAIT_SECONDS = 15.0

#: How long a link works once its file is there, and how long one that waits for it.
LIFETIME = timedelta(hours=1)
WAITING_LIFETIME = timedelta(days=1)

#: How often a link that waits looks whether its client has left.
GONE_CHECK_SECONDS = 1.0

#: How soon a link may be asked again whose download has not ended after all.
RETRY_SECONDS = 60

MAX_BODY_BYTES = 1024

_PLAIN_JSON = re.compile("application/json(; charset=utf-8)?")
_ID = re.compile(rf"([a-z2-7]{{16}})\.([0-9]{{1,4}})\.({'|'.join(get_args(Style))})")
_EXPIRY = re.compile("[0-9]{13}")
_SIGNATURE = re.compile(f"[A-Za-z0-9_-]{{{SIGNATURE_CHARACTERS}}}")


def service_info(version: str, started_at: float) -> dict[str, Any]:
    """Return what `GET /` tells a client of cobalt, beside our own words."""
    return {
        "cobalt": {
            "version": VERSION,
            "url": request.url_root,
            "startTime": str(int(started_at * 1000)),
            "services": list(PLATFORMS),
        },
        "git": {"commit": version, "branch": "main", "remote": "batch-video-downloader"},
    }


def create_cobalt(services: Services, waiting: Slots) -> Blueprint:
    """Return the routes of cobalt but `GET /`; requests that wait take places of *waiting*.

    Raises:
        StartRefused: the secret of links cannot be stored in the storage folder.
    """
    cobalt = Blueprint("cobalt", __name__)
    settings = services.settings
    signer = LinkSigner(settings.storage_dir)
    cobalt.register_error_handler(CobaltError, lambda error: (error.to_json(), 400))
    cobalt.after_request(_in_their_words)

    @cobalt.post("/")
    async def save() -> ResponseReturnValue:
        """Download a link; answer with links to its files."""
        if fault := _header_fault():
            raise fault
        asked = _parse_body()
        wanted = _wanted(asked, settings)
        with waiting.slot():
            job, has_ended = await services.acall(_download, asked.url, wanted)
        if has_ended:
            return _answer(job, asked, signer, settings)
        return _tunnel(job, 0, asked.filename_style, signer, WAITING_LIFETIME)

    @cobalt.get("/tunnel")
    async def tunnel() -> Response:
        """Send the file that a signed link names, once it is there."""
        job_id, index, style = _checked_link(signer)
        job = await services.acall(JobQueue.job, job_id)
        if job.finished_at is not None and job.finished_at + LIFETIME < datetime.now(UTC):
            raise NotFound("This link is over: send yours again.")
        if request.args.get("p"):  # does it work?
            return Response()
        if job.state not in FINAL_STATES:
            with waiting.slot():
                job = await services.acall(_ended, job_id, client_gone())
        if job.state not in FINAL_STATES:
            raise ServiceUnavailable(Record.reply(job, job.url).error, retry_after=RETRY_SECONDS)
        if job.state != "succeeded":
            raise NotFound(Record.reply(job, job.url).error)
        path = media_path(job, index, settings.raw_dir)
        return send_media_file(path, as_attachment=True, name=_name(job, index, style))

    return cobalt


# The request


def _header_fault() -> CobaltError | None:
    for header, code in (("Accept", "header.accept"), ("Content-Type", "header.content_type")):
        if not _PLAIN_JSON.fullmatch(request.headers.get(header, "")):
            return CobaltError(code, f"The header {header} must be application/json.")
    return None


def _parse_body() -> SaveRequest:
    request.max_content_length = MAX_BODY_BYTES
    try:
        body = json_body()
        if isinstance(body, dict) and not body.get("url"):
            raise CobaltError("link.missing", "URL is required")
        return SaveRequest.parse(body)
    except RequestRefused as refusal:
        raise CobaltError("invalid_body", str(refusal)) from refusal


def _wanted(asked: SaveRequest, settings: Settings) -> Wanted:
    platform = detect_platform(asked.url)
    if platform == "unknown":
        raise CobaltError("link.invalid", sentence("unsupported_platform"))
    try:
        return asked.wanted(platform, settings)
    except RequestRefused as refusal:
        raise CobaltError("invalid_body", str(refusal)) from refusal


async def _download(queue: JobQueue, url: str, wanted: Wanted) -> tuple[Job, bool]:
    """Return the job of *url* after a while, and whether there is no more to wait for."""
    submission = await queue.submit([url], wanted)
    waiting = asyncio.create_task(queue.wait(submission))
    try:
        if (await asyncio.wait({waiting}, timeout=WAIT_SECONDS))[0]:
            return waiting.result()[0], True
        return await queue.job(submission.jobs[0].id), False
    finally:
        waiting.cancel()


async def _ended(queue: JobQueue, job_id: str, gone: Callable[[], bool]) -> Job:
    """Return a job once there is no more to wait for, or its client is *gone*, so that its place is free."""
    waiting = asyncio.create_task(queue.wait_for(job_id))
    try:
        while not gone():
            if (await asyncio.wait({waiting}, timeout=GONE_CHECK_SECONDS))[0]:
                return waiting.result()
        return await queue.job(job_id)
    finally:
        waiting.cancel()


def _checked_link(signer: LinkSigner) -> tuple[str, int, Style]:
    """Return the job, the number of its file and the style of its name that a signed link has.

    Raises:
        werkzeug.exceptions.HTTPException: 400, it is malformed; 401, not signed by us; 404, over.
    """
    link = {name: request.args.get(name, "") for name in ("id", "exp", "sig")}
    parts = _ID.fullmatch(link["id"])
    if parts is None or not _EXPIRY.fullmatch(link["exp"]) or not _SIGNATURE.fullmatch(link["sig"]):
        raise BadRequest("This link is not complete: use it as it was answered.")
    if not signer.is_signed(link["sig"], link["id"], link["exp"]):
        raise Unauthorized("The signature of this link is wrong: use it as it was answered.")
    if int(link["exp"]) < time.time() * 1000:
        raise NotFound("This link is over: send yours again.")
    return parts[1], int(parts[2]), cast(Style, parts[3])


# The answer


def _answer(job: Job, asked: SaveRequest, signer: LinkSigner, settings: Settings) -> dict[str, Any]:
    """Return the files of *job*, whose download has ended."""
    record = Record.reply(job, asked.url)
    media = [index for index, file in enumerate(job.files) if PurePath(file).suffix.lower() != ".srt"]
    if job.state != "succeeded" or not media:
        raise failed(
            "file_missing" if record.success else record.error_code or "interrupted",
            record.error or "The archive names this post, so it was not downloaded.",
            job.platform,
            seconds=job.duration_seconds,
            max_seconds=settings.max_duration_seconds,
        )
    tunnels = {index: _tunnel(job, index, asked.filename_style, signer, LIFETIME) for index in media}
    if len(media) == 1:
        return tunnels[media[0]]
    kinds = {index: _kind(job.files[index]) for index in media}
    picker = [{"type": kinds[index], "url": tunnels[index]["url"]} for index in media if kinds[index] != "audio"]
    sound = next((tunnels[index] for index in media if kinds[index] == "audio"), None)
    audio = {} if sound is None else {"audio": sound["url"], "audioFilename": sound["filename"]}
    return {"status": "picker", "picker": picker, **audio}


def _tunnel(job: Job, index: int, style: Style, signer: LinkSigner, lifetime: timedelta) -> dict[str, Any]:
    id, expiry = f"{job.id}.{index}.{style}", str(int((time.time() + lifetime.total_seconds()) * 1000))
    url = url_for("cobalt.tunnel", _external=True, id=id, exp=expiry, sig=signer.sign(id, expiry))
    return {"status": "tunnel", "url": url, "filename": _name(job, index, style)}


def _name(job: Job, index: int, style: Style) -> str:
    """Return what the file is called; until it is there, what it probably will be."""
    expected = {"mp3": "mp3"}.get(job.preset, "m4a" if job.kind == "audio" else "mp4")
    extension = PurePath(job.files[index]).suffix[1:] if job.files else expected
    return file_name(job, style, extension, number=index + 1 if len(job.files) > 1 else None)


def _kind(file: str) -> str:
    suffix = PurePath(file).suffix.lower()
    kind = CONTENT_TYPES.get(suffix, "video/").partition("/")[0]
    return "gif" if suffix == ".gif" else {"image": "photo"}.get(kind, kind)


def _in_their_words(response: Response) -> Response:
    """Say in cobalt's words what the guard or the server refused, but not to pages of other origins."""
    status = response.status_code
    if request.method != "POST" or (status not in (401, 413, 429) and status < 500):
        return response
    message = response.get_json()["error"]
    error = _header_fault() if status in (401, 429) else None  # those are told first
    if error is not None:
        status = 400
    elif status == 401:
        has_key = sent_key(request.headers.get("Authorization", "")) is not None
        status, error = 400, CobaltError("auth.key.not_found" if has_key else "auth.key.missing", message)
    elif status == 413:
        status, error = 400, CobaltError("invalid_body", f"The request may have {MAX_BODY_BYTES} bytes.")
    elif status == 429:
        error = CobaltError("rate_exceeded", message, limit=int(response.headers["Retry-After"]))
    else:
        error = CobaltError("capacity" if status == 503 else "generic", message)
    response.status_code = status
    response.set_data(json.dumps(error.to_json()))
    return response
