"""yt-dlp's extractors of one platform, without loading all 1,800, and corrected where they mistake what a post holds.

A correction takes yt-dlp's class and returns one to use instead; or the class itself, if that of another yt-dlp version
lacks the methods to override.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from downloader.errors import DownloadFailed
from downloader.platforms import Platform
from downloader.presets import PresetKind
from downloader.ytdlp.corrections import instagram, tiktok, twitter

# yt_dlp is imported where it is used, as in `ytdlp.client`; it comes without types, hence the ignored errors.

#: By yt-dlp's names of extractors.
CORRECTIONS: Mapping[str, Callable[[Any], Any]] = {
    "TikTok": tiktok.slideshows,
    "Instagram": instagram.pictures,
    "InstagramStory": instagram.one_of_a_story,
    "Twitter": twitter.own_media_first,
}
#: The same for those that list collections.
LISTINGS: Mapping[str, Callable[[Any], Any]] = {"InstagramStory": instagram.links_of_a_story}


def extractors_of(platform: Platform) -> list[Any]:
    """Return yt-dlp's classes for *platform*, in the order in which it declares them."""
    # First the package: two threads that start importing at different ends of it deadlock.
    import yt_dlp  # noqa: F401

    found = {name: _extractor(platform, f"{name}IE") for name in platform.extractors}
    return [CORRECTIONS[name](extractor) if name in CORRECTIONS else extractor for name, extractor in found.items()]


def add_extractors(ydl: Any, platform: Platform, url: str, kind: PresetKind = "video", *, photos: bool = False) -> None:
    """Add the platform's extractors to *ydl*, and no others, to find media of *kind*, and with *photos* pictures too.

    Raises:
        DownloadFailed: none of them accepts *url*.
    """
    extractors = extractors_of(platform)
    if not any(extractor.suitable(url) for extractor in extractors):
        raise DownloadFailed("invalid_url", detail="no video at such a link")
    for extractor in extractors:
        # An instance: given a class, yt-dlp would look it up among all extractors by name.
        instance = extractor()
        instance.wanted, instance.photos = kind, photos
        ydl.add_info_extractor(instance)


def add_collection_extractors(ydl: Any, platform: Platform) -> None:
    """Add to *ydl* the extractors that list the platform's collections, and no others."""
    import yt_dlp  # noqa: F401 -- first the package, as above

    for name in platform.collection_extractors:
        extractor = _extractor(platform, f"{name}IE")
        ydl.add_info_extractor(LISTINGS.get(name, lambda same: same)(extractor)())


def _extractor(platform: Platform, name: str) -> Any:
    """Return yt-dlp's class *name*, or a plugin's replacement.

    yt-dlp's own `get_info_extractor` is the fallback: it loads all 1,800 classes first, 7 MB.
    """
    try:
        from yt_dlp.globals import extractors as plugins

        known = plugins.value.get(name)
        # A lazy class makes instances of the class it stands for, also where it was subclassed: no use to CORRECTIONS.
        if known is not None and known.__module__ != "yt_dlp.extractor.lazy_extractors":
            return known
        return getattr(import_module(f"yt_dlp.extractor.{platform.name}"), name)
    except (ImportError, AttributeError):
        from yt_dlp.extractor import get_info_extractor

        return get_info_extractor(name.removesuffix("IE"))
