"""Finds the post behind a link: by the link alone, or by following it where it is a short one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from downloader.errors import DownloadFailed, ErrorCode, NotAPost
from downloader.models import Platform, PlatformType
from downloader.post_links import THINGS, read_link

# yt_dlp is imported where it is used, as in `ytdlp.client`.

#: The user agents that short links are opened with, where it matters. yt-dlp's own TikTokVM sends the same.
_USER_AGENTS: Mapping[PlatformType, str] = {"tiktok": "facebookexternalhit/1.1"}

#: What a redirect to the login page means, where that is not `login_required`: see `ytdlp.errors`.
_LOGIN_PAGE_MEANS: Mapping[PlatformType, ErrorCode] = {"instagram": "rate_limited"}

_NO_SUCH_METHOD = (405, 501)


def what_to_fetch(platform: Platform, url: str) -> str:
    """Return *url* in the one spelling of its post or short link, by the link alone; as it is where it is unknown.

    Platforms make new forms of links, which yt-dlp may know already.

    Raises:
        NotAPost: it is something else.
    """
    reading = read_link(url)
    if reading.kind == "mistyped":
        raise NotAPost(
            f"This {platform.label} link has no valid post id: copy the whole link again, and nothing else.",
            detail="no id of a post in the link",
        )
    if reading.kind in ("collection", "other") and reading.thing != "unknown":
        raise _leads_to(platform, reading.thing)
    if reading.kind != "unknown" and reading.platform != platform.name:
        raise _leads_to(platform, "elsewhere")
    return reading.canonical or url


def followed(urlopen: Callable[[Any], Any], platform: Platform, url: str) -> str:
    """Return the link of the post that *url* leads to, asked for by *urlopen*, yt-dlp's; itself where it is not short.

    Raises:
        NotAPost: it leads to something else.
        DownloadFailed: it leads nowhere any more, or to the login page.
        Exception: yt-dlp's own, where the request fails.
    """
    if read_link(url).kind != "short":
        return url
    reached = _open(urlopen, platform, url)
    found = read_link(reached)
    if found.kind == "post" and found.platform == platform.name:
        assert found.canonical is not None
        return found.canonical
    detail = f"redirected to {reached}"
    if found.kind in ("short", "other") and read_link(reached.partition("?")[0]).thing == "login":
        code = _LOGIN_PAGE_MEANS.get(platform.name, "login_required")
        raise DownloadFailed(code, platform_label=platform.label, detail=detail, walled=code == "rate_limited")
    if found.platform == platform.name and found.thing in (None, "page", "unknown"):
        # To the home page, a page of errors, or nowhere: so platforms answer for what is gone.
        raise DownloadFailed("removed", platform_label=platform.label, detail=detail)
    raise _leads_to(platform, found.thing or "elsewhere", detail=detail)


def _open(urlopen: Callable[[Any], Any], platform: Platform, url: str) -> str:
    """Return where *url* leads in the end."""
    from yt_dlp.networking import HEADRequest, Request
    from yt_dlp.networking.exceptions import HTTPError

    agent = _USER_AGENTS.get(platform.name)
    headers = {} if agent is None else {"User-Agent": agent}
    try:
        response = urlopen(HEADRequest(url, headers=headers))
    except HTTPError as error:
        if error.status not in _NO_SUCH_METHOD:
            raise
        response = urlopen(Request(url, headers=headers))
    response.close()
    return str(response.url)


def _leads_to(platform: Platform, thing: str | None, *, detail: str = "no post at such a link") -> NotAPost:
    words = THINGS[thing or "page"]
    return NotAPost(
        f"This {platform.label} link leads to {words}, not to a single post: open the video itself and copy its link.",
        detail=detail,
    )
