"""The operator's cookies over HTTP: sent in, asked about and deleted; never sent out."""

from __future__ import annotations

import asyncio
import json

from flask import Blueprint
from werkzeug.exceptions import RequestEntityTooLarge

from downloader.cookies.netscape import decode
from downloader.errors import NotFound
from downloader.platforms import PlatformType
from downloader.queue.services import Services
from downloader.web.queries import CookieUpload
from downloader.web.requests import parse_object
from downloader.web.responses import CookieList, CookieRecord
from downloader.web.routes import Routes

#: What one platform's cookies may be; real ones take a few thousand bytes.
MAX_COOKIE_BYTES = 1024**2


def create_cookies_api(services: Services) -> Routes:
    """Return the routes to the cookies of *services*."""
    routes = Routes(Blueprint("cookies", __name__, url_prefix="/api/v1"), tag="cookies")

    def known(name: str) -> PlatformType:
        found = next((platform for platform in services.platforms if platform == name), None)
        if found is None:
            raise NotFound("platform")
        return found

    @routes.get("/cookies", CookieList)
    async def list_cookies() -> CookieList:
        """Tell of each platform's cookies how many there are and when they expire; never what they are."""
        states = await asyncio.to_thread(services.cookies.states)
        return CookieList(cookies=[CookieRecord.of(state) for state in states])

    @routes.put(
        "/cookies/<platform>",
        CookieRecord,
        body=CookieUpload,
        parse_bytes=_cookie_text,
        refusals={
            409: "The folder of cookies cannot be written.",
            413: "It is larger than 1 MB.",
        },
    )
    async def put_cookies(platform: str, body: str) -> CookieRecord:
        """Keep cookies for a platform, in place of those that were there.

        A file in Netscape format (cookies.txt), sent as it is (`curl -T`) or as the string `cookies` of a JSON object.
        Lines of other sites are dropped and counted; bad ones of the platform's own are left out and named by number.
        """
        return CookieRecord.of(await asyncio.to_thread(services.cookies.put, known(platform), body))

    @routes.delete("/cookies/<platform>", CookieRecord, refusals={409: "The folder of cookies cannot be written."})
    async def delete_cookies(platform: str) -> CookieRecord:
        """Delete the cookies of a platform; answer what there is then."""
        name = known(platform)
        await asyncio.to_thread(services.cookies.remove, name)
        return CookieRecord.of(await asyncio.to_thread(services.cookies.state, name))

    return routes


def _cookie_text(body: bytes) -> str:
    """Return the cookies of a request's *body*: the file itself, or JSON that holds it."""
    if len(body) > MAX_COOKIE_BYTES:
        raise RequestEntityTooLarge("These are more than 1 MB of cookies: export those of the platform alone.")
    text = decode(body)
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # A list, or an object with a list of them, is what some extensions export: there is a sentence for it.
    ours = isinstance(sent, dict) and "cookies" in sent and not isinstance(sent["cookies"], list)
    return parse_object(CookieUpload, sent).cookies if ours else text
