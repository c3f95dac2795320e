"""Downloads many links at once: one coroutine per link, gathered; each ends as a record, whatever happens to it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from os import PathLike
from typing import TYPE_CHECKING, Any

from downloader.daemon_thread import in_thread
from downloader.errors import ErrorCode, is_retryable, sentence
from downloader.insta_downloader import download_instagram_video
from downloader.limiter import Gate
from downloader.models import Outcome
from downloader.platform_detector import parse_link
from downloader.platforms import PLATFORMS, PlatformType
from downloader.records import Record
from downloader.tiktok_downloader import download_tiktok_video
from downloader.twitter_downloader import download_twitter_video
from downloader.youtube_downloader import download_youtube_video
from downloader.ytdlp.client import FetchContext, fetch, fetch_context, remove_leftovers, warm_up

if TYPE_CHECKING:
    from downloader.settings import Settings

log = logging.getLogger(__name__)

Wrapper = Callable[[str, str], tuple[bool, str | None, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchestra:
    """What all downloads of one service share: its settings, its caps, and a way to stop them all."""

    settings: Settings
    gate: Gate
    running: set[asyncio.Task[Record]] = field(default_factory=set)

    @classmethod
    def from_settings(cls, settings: Settings) -> Orchestra:
        """Return a new one, as *settings* say."""
        return cls(
            settings=settings,
            gate=Gate(total=settings.workers, per_platform=settings.platform_concurrency),
        )

    def interrupt(self) -> None:
        """End every download now, each with the record of an interrupted one; call it on their event loop."""
        for task in tuple(self.running):
            task.cancel()


@cache
def _shared_orchestra() -> Orchestra:
    """Return the one that library calls share, so that its caps hold for the whole process."""
    # Here, because a worker, which has no orchestra, must not load what reads the environment.
    from downloader.settings import default_settings

    return Orchestra.from_settings(default_settings())


async def download_single_video(
    url: str, output_dir: str | PathLike[str] | None = None, *, orchestra: Orchestra | None = None
) -> dict[str, Any]:
    """Download the video behind *url*; return its record, also where that failed.

    Files go to *output_dir*, by default where the settings say (`./storage/raw`).
    """
    [record] = await download_batch([url], output_dir, orchestra=orchestra)
    return record


async def download_batch(
    urls: Sequence[str], output_dir: str | PathLike[str] | None = None, *, orchestra: Orchestra | None = None
) -> list[dict[str, Any]]:
    """Download the videos behind *urls*, as many at once as the settings allow.

    Returns:
        A record (see `models.Record`) for each URL, in the order given. A link that occurs twice is downloaded once
        and answered twice. Nothing that happens to one of them is raised.
    """
    orchestra = orchestra or _shared_orchestra()
    urls = [url if isinstance(url, str) else repr(url) for url in urls]  # what is no string is nobody's link
    target = str(orchestra.settings.raw_dir if output_dir is None else output_dir)
    keys = [_key(url) for url in urls]
    tasks: dict[str, asyncio.Task[Record]] = {}
    for key, url in zip(keys, urls, strict=True):
        if key not in tasks:
            task = asyncio.ensure_future(_download(url, target, orchestra))
            orchestra.running.add(task)
            task.add_done_callback(orchestra.running.discard)
            tasks[key] = task
    ended = await asyncio.gather(*tasks.values(), return_exceptions=True)
    results = dict(zip(tasks, ended, strict=True))
    return [_as_record(url, results[key]).to_json() for key, url in zip(keys, urls, strict=True)]


__all__ = [
    "Orchestra",
    "download_batch",
    "download_single_video",
    "remove_leftovers",
    "warm_up_engine",
    "wrapper_of",
]


def warm_up_engine() -> None:
    """Load what the first download would otherwise have to wait for; blocking, about half a second."""
    warm_up(tuple(PLATFORMS.values()))


def _key(url: str) -> str:
    """Return what two spellings of one link have in common."""
    link = parse_link(url)
    return url if link is None else link.url


async def _download(url: str, output_dir: str, orchestra: Orchestra) -> Record:
    link = parse_link(url)
    if link is None:
        return _failed(url, "unknown", "unsupported_platform")
    slot = await orchestra.gate.acquire(link.platform)
    stop = threading.Event()
    started = time.monotonic()
    with fetch_context(FetchContext(settings=orchestra.settings, stop=stop)):
        # The slot comes back when the thread ends, which after a cancellation is later than this coroutine does.
        running = in_thread(wrapper_of(link.platform), link.url, output_dir, on_end=slot.release)
    try:
        outcome = Outcome.of(await running)
    finally:
        stop.set()
    return Record.from_outcome(url, link.platform, outcome, elapsed_seconds=time.monotonic() - started)


def wrapper_of(platform: PlatformType) -> Wrapper:
    """Return the function that downloads from *platform*; blocking, called as (url, output_dir)."""
    # Looked up by name at every call, so that a test can replace them.
    wrappers: dict[PlatformType, Wrapper] = {
        "tiktok": download_tiktok_video,
        "instagram": download_instagram_video,
        "twitter": download_twitter_video,
        "youtube": download_youtube_video,
    }
    return wrappers.get(platform) or partial(fetch, PLATFORMS[platform])


def _as_record(url: str, result: Record | BaseException) -> Record:
    if isinstance(result, Record):
        return result.for_url(url)
    link = parse_link(url)
    platform: PlatformType = "unknown" if link is None else link.platform
    if isinstance(result, asyncio.CancelledError):
        return _failed(url, platform, "interrupted")
    log.error("download crashed", extra={"platform": platform, "url": url}, exc_info=result)
    return _failed(url, platform, "internal", detail=f"{type(result).__name__}: {result}")


def _failed(url: str, platform: PlatformType, code: ErrorCode, *, detail: str | None = None) -> Record:
    label = PLATFORMS[platform].label if platform in PLATFORMS else "the platform"
    return Record(
        url=url,
        success=False,
        error=sentence(code, label),
        platform=platform,
        error_code=code,
        retryable=is_retryable(code),
        detail=detail,
    )
