"""The operator's cookies: store, inspect and delete, but never read back."""

from __future__ import annotations

import asyncio
import json

from flask import Blueprint
from werkzeug.exceptions import RequestEntityTooLarge

from downloader.cookies.netscape import decode
from downloader.errors import NotFound
from downloader.platforms import PlatformType
from downloader.queue.services import Services
from downloader.web.requests import CookieUpload, parse_object
from downloader.web.responses import CookieList, CookieRecord
from downloader.web.routes import Routes

#: For one platform; real ones take a few thousand bytes.
MAX_COOKIE_BYTES = 1024**2


def create_cookies_api(services: Services) -> Routes:
    """Return the routes for cookies."""
    routes = Routes(Blueprint("cookies", __name__, url_prefix="/api/v1"), tag="cookies")

    def known(name: str) -> PlatformType:
        found = next((platform for platform in services.platforms if platform == name), None)
        if found is None:
            raise NotFound("platform")
        return found

    @routes.get("/cookies", CookieList)
    async def list_cookies() -> CookieList:
        """Show the number and expiry of each platform's cookies, never the cookies themselves."""
        states = await asyncio.to_thread(services.cookies.states)
        return CookieList(cookies=[CookieRecord.of(state) for state in states])

    @routes.put(
        "/cookies/<platform>",
        CookieRecord,
        body=CookieUpload,
        parse_bytes=_cookie_text,
        errors={409: "The cookies folder cannot be written.", 413: "The file is larger than 1 MB."},
    )
    async def put_cookies(platform: str, body: str) -> CookieRecord:
        """Store cookies for a platform, replacing existing ones.

        Takes a cookies.txt file in Netscape format, either as it is (`curl -T`) or as the string `cookies` of a JSON
        object. Lines for other sites are dropped and counted; malformed lines are left out and reported by number.
        """
        return CookieRecord.of(await asyncio.to_thread(services.cookies.put, known(platform), body))

    @routes.delete("/cookies/<platform>", CookieRecord, errors={409: "The cookies folder cannot be written."})
    async def delete_cookies(platform: str) -> CookieRecord:
        """Delete a platform's cookies; return the new state."""
        name = known(platform)
        await asyncio.to_thread(services.cookies.remove, name)
        return CookieRecord.of(await asyncio.to_thread(services.cookies.state, name))

    return routes


def _cookie_text(body: bytes) -> str:
    """Return the cookie file in a request *body*: the file itself, or JSON that contains it."""
    if len(body) > MAX_COOKIE_BYTES:
        raise RequestEntityTooLarge("The cookies are larger than 1 MB: export only those of the platform.")
    text = decode(body)
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # Some browser extensions export a JSON list, or an object with one: the parser has an error message for that.
    ours = isinstance(sent, dict) and "cookies" in sent and not isinstance(sent["cookies"], list)
    return parse_object(CookieUpload, sent).cookies if ours else text
