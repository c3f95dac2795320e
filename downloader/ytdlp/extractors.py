"""Gives yt-dlp the extractors of one platform, without making the list of all 1,800."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from downloader.errors import DownloadFailed
from downloader.platforms import Platform
from downloader.ytdlp.posts import CORRECTIONS

# yt_dlp is imported where it is used, as in `ytdlp.client`.


def extractors_of(platform: Platform) -> list[Any]:
    """Return yt-dlp's classes for *platform*, in the order in which it declares them."""
    # First the package, as everywhere: two threads that begin at its different ends lock each other out.
    import yt_dlp  # noqa: F401

    found = {name: _extractor(platform, f"{name}IE") for name in platform.extractors}
    return [CORRECTIONS[name](extractor) if name in CORRECTIONS else extractor for name, extractor in found.items()]


def add_extractors(ydl: Any, platform: Platform, url: str) -> None:
    """Give *ydl* the platform's extractors and no others, least of all the generic one.

    Raises:
        DownloadFailed: none of them would take *url*.
    """
    extractors = extractors_of(platform)
    if not any(extractor.suitable(url) for extractor in extractors):
        raise DownloadFailed("invalid_url", platform_label=platform.label, detail="no video at such a link")
    for extractor in extractors:
        # An instance: given a class, yt-dlp looks for another by its name, among all of them.
        ydl.add_info_extractor(extractor())


def _extractor(platform: Platform, name: str) -> Any:
    """Return yt-dlp's class *name*, or what a plugin has put in its place.

    Not by yt-dlp's own `get_info_extractor`, if it can be: that makes the list of all 1,800 first, 7 MB.
    """
    try:
        from yt_dlp.globals import extractors as of_plugins

        known = of_plugins.value.get(name)
        # A lazy class makes instances of the class it stands for, also where it was subclassed: no use to CORRECTIONS.
        if known is not None and known.__module__ != "yt_dlp.extractor.lazy_extractors":
            return known
        return getattr(import_module(f"yt_dlp.extractor.{platform.name}"), name)
    except (ImportError, AttributeError):
        from yt_dlp.extractor import get_info_extractor

        return get_info_extractor(name.removesuffix("IE"))
