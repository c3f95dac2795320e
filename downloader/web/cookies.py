"""The operator's cookies: store, inspect and delete, but never read back."""

from __future__ import annotations

import asyncio
import json

from flask import Blueprint
from werkzeug.exceptions import RequestEntityTooLarge

from downloader.cookies.netscape import decode
from downloader.cookies.store import CookieState
from downloader.queue.services import Services
from downloader.web.requests import CookieUpload
from downloader.web.responses import CookieList, CookieRecord
from downloader.web.routes import Routes, known_platform

#: For one platform; real ones take a few thousand bytes.
MAX_COOKIE_BYTES = 1024**2


def create_cookies_api(services: Services) -> Routes:
    """Return the routes for cookies."""
    routes = Routes(Blueprint("cookies", __name__, url_prefix="/api/v1"), tag="cookies")

    @routes.route("GET", "/cookies", CookieList)
    async def list_cookies() -> dict[str, list[CookieState]]:
        """Show the number and expiry of each platform's cookies, never the cookies themselves."""
        return {"cookies": await asyncio.to_thread(services.cookies.states)}

    @routes.route(
        "PUT",
        "/cookies/<platform>",
        CookieRecord,
        parse_bytes=_cookie_upload,
        errors={409: "The cookies folder cannot be written.", 413: "The file is larger than 1 MB."},
    )
    async def put_cookies(platform: str, body: CookieUpload) -> CookieState:
        """Store cookies for a platform, replacing existing ones.

        Takes a cookies.txt file in Netscape format, either as it is (`curl -T`) or as the string `cookies` of a JSON
        object. Lines for other sites are dropped and counted; malformed lines are left out and reported by number.
        """
        return await asyncio.to_thread(services.cookies.put, known_platform(platform), body.cookies)

    @routes.route("DELETE", "/cookies/<platform>", CookieRecord, errors={409: "The cookies folder cannot be written."})
    async def delete_cookies(platform: str) -> CookieState:
        """Delete a platform's cookies; return the new state."""
        name = known_platform(platform)
        await asyncio.to_thread(services.cookies.remove, name)
        return await asyncio.to_thread(services.cookies.state, name)

    return routes


def _cookie_upload(body: bytes) -> CookieUpload:
    """Return the cookie file in a request *body*: the file itself, or JSON that contains it."""
    if len(body) > MAX_COOKIE_BYTES:
        raise RequestEntityTooLarge("The cookies are larger than 1 MB: export only those of the platform.")
    text = decode(body)
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        sent = None
    # Some browser extensions export a JSON list, or an object with one: the parser has an error message for that.
    ours = isinstance(sent, dict) and "cookies" in sent and not isinstance(sent["cookies"], list)
    return CookieUpload.parse(sent) if ours else CookieUpload.model_construct(cookies=text)
