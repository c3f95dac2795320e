"""Downloads many links at once: one coroutine per link, gathered; each ends as a record, even if it fails."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from os import PathLike
from typing import TYPE_CHECKING, Any

from downloader.insta_downloader import download_instagram_video
from downloader.limiter import ConcurrencyLimiter
from downloader.models import Outcome
from downloader.platform_detector import Link, parse_link, read_link
from downloader.platforms import PLATFORMS, PlatformType
from downloader.records import Record
from downloader.tiktok_downloader import download_tiktok_video
from downloader.twitter_downloader import download_twitter_video
from downloader.util.daemon_thread import in_thread
from downloader.util.languages import language_codes
from downloader.youtube_downloader import download_youtube_video
from downloader.ytdlp.client import FetchContext, fetch, fetch_context

if TYPE_CHECKING:
    from downloader.settings import Settings

log = logging.getLogger(__name__)

Wrapper = Callable[[str, str], tuple[bool, str | None, str | None]]


class DownloadSession:
    """What downloads share: the settings and a limiter."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limiter = ConcurrencyLimiter(total=settings.workers, per_platform=settings.platform_concurrency)


@cache
def _shared_session() -> DownloadSession:
    """Return the session of all library calls, so that its limits hold for the whole process."""
    # Imported here, because a worker must not load what reads the environment.
    from downloader.settings import default_settings

    return DownloadSession(default_settings())


async def download_single_video(
    url: str,
    output_dir: str | PathLike[str] | None = None,
    *,
    preset: str | None = None,
    subtitles: Sequence[str] = (),
    photos: bool | None = None,
    session: DownloadSession | None = None,
) -> dict[str, Any]:
    """Download the post behind *url*; return its record, also if that fails.

    Files go to *output_dir*, by default to the settings' folder (`./storage/raw`). *preset* says what to get, such as
    `720p` or `audio`; *subtitles* in which languages to get .srt files, such as `en` or `pt-BR`; *photos* whether its
    pictures are wanted too.

    Raises:
        ValueError: there is no such preset, or a language is no code of one.
    """
    [record] = await download_batch(
        [url], output_dir, preset=preset, subtitles=subtitles, photos=photos, session=session
    )
    return record


async def download_batch(
    urls: Sequence[str],
    output_dir: str | PathLike[str] | None = None,
    *,
    preset: str | None = None,
    subtitles: Sequence[str] = (),
    photos: bool | None = None,
    session: DownloadSession | None = None,
) -> list[dict[str, Any]]:
    """Download the posts behind *urls*, as many at once as the settings allow.

    *preset* says what to get of each: see `presets.PRESETS`; *photos* whether pictures are wanted too. By default both
    are those of the settings. *subtitles* are codes of languages to get .srt files in.

    Raises:
        ValueError: there is no such preset, or a language is no code of one.

    Returns:
        A record (see `records.Record`) for each URL, in the order given. Each post is downloaded once, whatever its
        links look like; but a short link is followed only while it is downloaded, and may repeat a post. An
        exception becomes its link's record and is never raised.
    """
    session = session or _shared_session()
    preset = session.settings.default_preset if preset is None else preset
    presets = session.settings.presets
    if not isinstance(preset, str) or preset not in presets:
        raise ValueError(f"There is no preset {preset!r}. There are: {', '.join(presets)}.")
    urls = [url if isinstance(url, str) else repr(url) for url in urls]  # what is not a string becomes a failed record
    target = str(session.settings.raw_dir if output_dir is None else output_dir)
    links = [parse_link(url) for url in urls]
    settings = session.settings.for_downloads()
    context = FetchContext(
        settings=settings,
        preset=preset,
        subtitles=tuple(language_codes(subtitles)),
        photos=session.settings.photos if photos is None else photos,
    )
    posts: dict[tuple[PlatformType, str], Link] = {}
    for link in links:
        if link is not None:
            posts.setdefault(_post(link), link)
    downloads = (_download(link, target, context, session) for link in posts.values())
    results = await asyncio.gather(*downloads, return_exceptions=True)
    found = dict(zip(posts, results, strict=True))
    return [
        _as_record(url, link, None if link is None else found[_post(link)]).for_preset(presets[preset]).to_json()
        for url, link in zip(urls, links, strict=True)
    ]


def _post(link: Link) -> tuple[PlatformType, str]:
    """Return what is equal for all links to one post, as far as they tell without a request."""
    return link.platform, read_link(link.url).name or link.url


async def _download(link: Link, output_dir: str, context: FetchContext, session: DownloadSession) -> Record:
    permit = await session.limiter.acquire(link.platform)
    stop = threading.Event()
    started = time.monotonic()
    with fetch_context(replace(context, stop=stop)):
        # Released when the thread ends, which after a cancellation is later than this coroutine does.
        running = in_thread(wrapper_of(link.platform), link.url, output_dir, on_end=permit.release)
    try:
        outcome = Outcome.of(await running)
    finally:
        stop.set()
    return Record.from_outcome(link.url, link.platform, outcome, elapsed_seconds=time.monotonic() - started)


def wrapper_of(platform: PlatformType) -> Wrapper:
    """Return the function that downloads from *platform*; blocking, called as (url, output_dir)."""
    # Looked up by name in each call, so that tests can replace them; platforms that came later have none.
    wrappers: dict[PlatformType, Wrapper] = {
        "tiktok": download_tiktok_video,
        "instagram": download_instagram_video,
        "twitter": download_twitter_video,
        "youtube": download_youtube_video,
    }
    return wrappers.get(platform) or partial(fetch, PLATFORMS[platform])


def _as_record(url: str, link: Link | None, result: Record | BaseException | None) -> Record:
    if isinstance(result, Record):
        return result.for_url(url)
    if link is None:
        return Record.from_outcome(url, "unknown", Outcome.failed("unsupported_platform", "unknown"))
    platform = link.platform
    if isinstance(result, asyncio.CancelledError):
        return Record.from_outcome(url, platform, Outcome.failed("interrupted", platform))
    log.error("download crashed", extra={"platform": platform, "url": url}, exc_info=result)
    detail = f"{type(result).__name__}: {result}"
    return Record.from_outcome(url, platform, Outcome.failed("internal", platform, detail))
