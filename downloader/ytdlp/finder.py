"""Finds the post behind a link: by the link alone, or by following it if it is a short one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from downloader.errors import DownloadFailed, IsCollection, NotAPost
from downloader.platform_detector import LinkTarget, read_link
from downloader.platforms import DESTINATIONS, Platform

# yt_dlp is imported where it is used, as in `ytdlp.client`.

_METHOD_NOT_SUPPORTED = (405, 501)


def canonical_url(platform: Platform, url: str) -> str:
    """Return the canonical URL of the post or short link at *url*, which is not requested.

    A link in an unknown form is returned as it is: platforms invent new forms, and yt-dlp may know them already. Raises
    NotAPost if it leads to something else.
    """
    target = read_link(url)
    if target.kind == "mistyped":
        raise NotAPost(
            f"This {platform.label} link has no valid post id: copy the whole link again, and nothing else.",
            detail="no id of a post in the link",
        )
    if target.kind in ("collection", "other") and target.destination != "unknown":
        raise _not_a_post(platform, target)
    if target.kind != "unknown" and target.platform != platform.name:
        raise _elsewhere(platform)
    return target.canonical_url or url


def follow(urlopen: Callable[[Any], Any], platform: Platform, url: str) -> str:
    """Return the URL of the post that the short link *url* redirects to; any other link is returned as it is.

    *urlopen* is yt-dlp's.

    Raises:
        IsCollection: it leads to a collection.
        NotAPost: it leads to something else.
        DownloadFailed: the post is gone, or it leads to the login page.
        Exception: yt-dlp's own, where the request fails.
    """
    if read_link(url).kind != "short":
        return url
    reached = _final_url(urlopen, platform, url)
    target, detail = read_link(reached), f"redirected to {reached}"
    if target.kind == "post" and target.platform == platform.name and target.canonical_url is not None:
        return target.canonical_url
    if _is_login_page(reached, target):
        code = platform.login_redirect_means
        raise DownloadFailed(code, detail=detail, walled=code == "rate_limited")
    if target.platform == platform.name and target.destination in (None, "page", "unknown"):
        # To the home page, an error page or nowhere: this is how platforms answer for posts that are gone.
        raise DownloadFailed("removed", detail=detail)
    if target.platform != platform.name or target.destination is None:
        raise _elsewhere(platform, detail=detail)
    raise _not_a_post(platform, target, detail=detail)


def collection_at(platform: Platform, url: str) -> LinkTarget:
    """Return the collection at *url*. Raises NotAPost if there is none, or it cannot be listed."""
    target = read_link(url)
    if target.kind != "collection" or target.platform != platform.name:
        canonical_url(platform, url)
        raise NotAPost(f"This {platform.label} link leads to no collection.", detail="no collection at such a link")
    if target.canonical_url is None:
        raise _not_a_post(platform, target)
    return target


def _is_login_page(url: str, target: LinkTarget) -> bool:
    # Its parameters may hold the link to return to, which `read_link` takes for the target.
    return target.kind in ("short", "other") and read_link(url.partition("?")[0]).destination == "login"


def _final_url(urlopen: Callable[[Any], Any], platform: Platform, url: str) -> str:
    """Return where *url* redirects to in the end."""
    from yt_dlp.networking import HEADRequest, Request
    from yt_dlp.networking.exceptions import HTTPError

    agent = platform.short_link_user_agent
    headers = {} if agent is None else {"User-Agent": agent}
    try:
        response = urlopen(HEADRequest(url, headers=headers))
    except HTTPError as error:
        if error.status not in _METHOD_NOT_SUPPORTED:
            raise
        response = urlopen(Request(url, headers=headers))
    response.close()
    return str(response.url)


_NO_POST = "no post at such a link"


def _elsewhere(platform: Platform, *, detail: str = _NO_POST) -> NotAPost:
    return _not_a_post(
        platform, LinkTarget(kind="other", platform=platform.name, destination="elsewhere"), detail=detail
    )


def _not_a_post(platform: Platform, target: LinkTarget, *, detail: str = _NO_POST) -> NotAPost:
    told = f"This {platform.label} link leads to {DESTINATIONS[target.destination or 'page']}, not to a single post"
    if target.collection_id is not None and target.canonical_url is not None:
        return IsCollection(
            f"{told}: send it with `expand` to get its videos, or copy the link of one of them.",
            link=target.canonical_url,
            detail=detail,
        )
    if target.kind == "collection":
        told += ", and its videos can't be listed"
    return NotAPost(f"{told}: open the video itself and copy its link.", detail=detail)
