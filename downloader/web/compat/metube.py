"""MeTube's HTTP API: links are added to our queue, and listed as MeTube lists them.

Bodies are JSON whatever their Content-Type, since bookmarklets send text/plain; `web.guard` sees to whose they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from downloader.cookies.netscape import decode
from downloader.cookies.store import CookieStore
from downloader.errors import CookiesRefused, RequestRefused, sentence
from downloader.jobs import FINAL_STATES, UNFINISHED_STATES, Job, JobState
from downloader.platform_detector import detect_platform
from downloader.platforms import PLATFORMS
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.compat.metube_add import Add, parse_add
from downloader.web.compat.metube_history import list_items
from downloader.web.errors import refusal_status
from downloader.web.files import real_path, send_media_file
from downloader.web.requests import MAX_JOB_IDS
from downloader.web.routes import json_body
from downloader.ytdlp import tools

MAX_COOKIE_BYTES = 1_000_000

#: What a form adds to the file in it.
_FORM_BYTES = 10_000

_OK = {"status": "ok"}


def create_metube(services: Services, version: str) -> Blueprint:
    """Return the routes of MeTube."""
    metube = Blueprint("metube", __name__)
    metube.register_error_handler(RequestRefused, _refused)
    _add_queueing(metube, services)
    _add_cookies(metube, services.cookies)

    @metube.get("/history")
    async def history() -> ResponseReturnValue:
        """List what has ended, what has not, and what waits for `/start`."""
        return await services.acall(list_items, services.settings.raw_dir)

    @metube.get("/version")
    def show_version() -> ResponseReturnValue:
        """Show the versions of yt-dlp and of this server."""
        return {"yt-dlp": tools.ytdlp_release().version, "version": version}

    @metube.get("/presets")
    def presets() -> ResponseReturnValue:
        """List the presets, any of which `/add` takes as `ytdl_options_presets`."""
        return {"presets": list(services.settings.presets)}

    @metube.get("/download/<path:path>")
    @metube.get("/audio_download/<path:path>")
    async def download(path: str) -> Response:
        """Send a media file, which is named by its path below `raw/`."""
        raw_dir = services.settings.raw_dir
        # Others may keep files in that folder too: only what was downloaded is sent.
        if not await services.acall(JobQueue.file_users, str(raw_dir / path)):
            raise NotFound("There is no such file, or its record was deleted.")
        return send_media_file(real_path(str(raw_dir / path), raw_dir), as_attachment=False)

    return metube


def _add_queueing(metube: Blueprint, services: Services) -> None:
    @metube.post("/add")
    async def add() -> ResponseReturnValue:
        """Queue a link; with `auto_start` false, hold it until `/start`."""
        return await services.acall(_add, parse_add(_object(), services.settings))

    @metube.post("/cancel-add")
    def cancel_add() -> ResponseReturnValue:
        """Do nothing: a link is stored at once, and cancelled as a download."""
        return _OK

    @metube.post("/start")
    async def start() -> ResponseReturnValue:
        """Start what is held."""
        return await services.acall(_start, _urls(_object()))

    @metube.post("/retry")
    async def retry() -> ResponseReturnValue:
        """Queue a failed link again."""
        url = _object().get("id")
        if not isinstance(url, str) or not url:
            raise RequestRefused("id must be a link that was added.")
        return await services.acall(_retry, url)

    @metube.post("/delete")
    async def delete() -> ResponseReturnValue:
        """Cancel unfinished links, or delete the records of finished ones; files stay."""
        body = _object()
        urls, where = _urls(body), body.get("where")
        if where not in ("queue", "done"):
            raise RequestRefused("where must be queue or done.")
        return await services.acall(_cancel if where == "queue" else _clear, urls)


def _add_cookies(metube: Blueprint, cookies: CookieStore) -> None:
    @metube.get("/cookie-status")
    async def cookie_status() -> ResponseReturnValue:
        """Tell whether there are cookies of any platform."""
        states = await asyncio.to_thread(cookies.states)
        return {"status": "ok", "has_cookies": any(state.condition != "none" for state in states)}

    @metube.post("/upload-cookies")
    async def upload_cookies() -> ResponseReturnValue:
        """Store the cookies of a cookies.txt file, those of each platform."""
        if (request.content_length or 0) > MAX_COOKIE_BYTES + _FORM_BYTES:
            raise CookiesRefused("The cookies are larger than 1 MB: export only those of one platform.")
        file = request.files.get("cookies")
        content = b"" if file is None else file.read(MAX_COOKIE_BYTES + 1)
        if not content:
            raise CookiesRefused("Send a cookies.txt file as a form, in its field `cookies`.")
        if len(content) > MAX_COOKIE_BYTES:
            raise CookiesRefused("The cookies are larger than 1 MB: export only those of one platform.")
        return {"status": "ok", "msg": await asyncio.to_thread(_store_cookies, cookies, decode(content))}

    @metube.post("/delete-cookies")
    async def delete_cookies() -> ResponseReturnValue:
        """Delete the cookies of all platforms."""
        removed = await asyncio.to_thread(lambda: [name for name in PLATFORMS if cookies.remove(name)])
        if not removed:
            raise CookiesRefused("There are no cookies to delete.")
        return _OK


def _refused(error: RequestRefused) -> ResponseReturnValue:
    return {"status": "error", "msg": str(error), "error": str(error)}, refusal_status(error)


def _object() -> dict[str, Any]:
    body = json_body()
    if not isinstance(body, dict):
        raise RequestRefused('The request body must be a JSON object such as {"url": "https://..."}.')
    return body


def _urls(body: dict[str, Any]) -> list[str]:
    urls = body.get("ids")
    if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
        raise RequestRefused("ids must be a list of links that were added.")
    if len(urls) > MAX_JOB_IDS:
        raise RequestRefused(f"ids may have {MAX_JOB_IDS} links.")
    return urls


# On the queue


def _failed(why: str) -> dict[str, str]:
    return {"status": "error", "msg": why}


async def _add(queue: JobQueue, add: Add) -> dict[str, str]:
    if detect_platform(add.url) == "unknown":
        return _failed(sentence("unsupported_platform"))
    there = [*await queue.jobs_with_urls([add.url], UNFINISHED_STATES), *await _held(queue, [add.url])]
    if any((job.preset, job.folder) == (add.wanted.preset.name, add.wanted.folder) for job in there):
        if add.auto_start:
            await queue.retry([job.id for job in there if job.is_held])
        return {"status": "ok", "msg": f"Already in queue: {add.url}"}
    await queue.submit([add.url], add.wanted, hold=not add.auto_start)
    return _OK


async def _start(queue: JobQueue, urls: Collection[str]) -> dict[str, str]:
    await queue.retry([job.id for job in await _held(queue, urls)])
    return _OK


async def _retry(queue: JobQueue, url: str) -> dict[str, str]:
    failed = [job for job in await queue.jobs_with_urls([url], ("failed", "cancelled")) if not job.is_held]
    if not failed:
        return _failed("This link has not failed, or its record was deleted: add it again.")
    if not await queue.retry([failed[0].id]):
        return _failed("A retry would fail again: the platform of this link is not supported.")
    return _OK


async def _cancel(queue: JobQueue, urls: Collection[str]) -> dict[str, str]:
    await queue.cancel([job.id for job in await queue.jobs_with_urls(urls, UNFINISHED_STATES)])
    await queue.delete([job.id for job in await _held(queue, urls)], with_files=False)
    return _OK


async def _clear(queue: JobQueue, urls: Collection[str]) -> dict[str, str]:
    ended = [job for job in await queue.jobs_with_urls(urls, FINAL_STATES) if not job.is_held]
    await queue.delete([job.id for job in ended], with_files=False)
    return _OK


FAILED: tuple[JobState, ...] = ("failed",)


async def _held(queue: JobQueue, urls: Collection[str]) -> list[Job]:
    return [job for job in await queue.jobs_with_urls(urls, FAILED) if job.is_held]


def _store_cookies(cookies: CookieStore, text: str) -> str:
    """Store the cookies in *text*, those of each platform; return what was stored.

    Raises:
        CookiesRefused: there are none that can be used.
    """
    stored, refusals = [], []
    for name, platform in PLATFORMS.items():
        try:
            state = cookies.put(name, text)
            stored.append(f"{platform.label}: {state.report}")
        except CookiesRefused as refusal:
            refusals.append(refusal)
    if not stored:
        raise refusals[0]
    return " ".join(stored)
