"""yt-dlp's extractors of one platform, without loading all 1,800, and corrected where they mistake what a post holds.

A correction takes yt-dlp's class and returns one to use instead; or the class itself, if that of another yt-dlp version
lacks the methods to override.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from downloader.errors import DownloadFailed
from downloader.platforms import Platform
from downloader.presets import Kind

# yt_dlp is imported where it is used, as in `ytdlp.client`; it comes without types, hence the ignored errors.

#: Of the codes of posts.
_CODE_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

#: Cards that play something; others show a link.
_CARDS_WITH_VIDEO = re.compile(r"player|broadcast|audiospace|unified|amplify|video")


def extractors_of(platform: Platform) -> list[Any]:
    """Return yt-dlp's classes for *platform*, in the order in which it declares them."""
    # First the package: two threads that start importing at different ends of it deadlock.
    import yt_dlp  # noqa: F401

    found = {name: _extractor(platform, f"{name}IE") for name in platform.extractors}
    return [CORRECTIONS[name](extractor) if name in CORRECTIONS else extractor for name, extractor in found.items()]


def add_extractors(ydl: Any, platform: Platform, url: str, kind: Kind = "video") -> None:
    """Add the platform's extractors to *ydl*, and no others, to find media of *kind*.

    Raises:
        DownloadFailed: none of them accepts *url*.
    """
    extractors = extractors_of(platform)
    if not any(extractor.suitable(url) for extractor in extractors):
        raise DownloadFailed("invalid_url", detail="no video at such a link")
    for extractor in extractors:
        # An instance: given a class, yt-dlp would look it up among all extractors by name.
        instance = extractor()
        instance.wanted = kind
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


# Corrections


@cache
def own_videos_first(base: Any) -> Any:
    """Take a tweet's own videos, GIFs included; without any, those of the tweet that it quotes, under that one's id.

    `/photo/2` only says which picture was open, so it means the whole tweet; `/video/2` counts the tweet's own media,
    and means the whole tweet where that one is a picture.
    """
    if not hasattr(base, "_extract_status"):
        return base

    class TwitterIE(base):  # type: ignore[misc]
        def _real_extract(self, url: str) -> Any:
            id, number = self._match_valid_url(url).group("id", "index")
            status = super()._extract_status(id)
            quoted = _quoted(status)
            if not _has_video(status) and _has_video(quoted) and quoted.get("id_str"):
                return self.url_result(f"https://x.com/i/status/{quoted['id_str']}")
            media = [_gif_as_video(each) for each in _media(status)]
            self._own = {**status, "quoted_status": None, "extended_entities": {"media": media}}
            if number is None or "/photo/" in url or not any(map(_is_video, media[int(number) - 1 : int(number)])):
                return super()._real_extract(f"https://x.com/i/status/{id}")
            return super()._real_extract(f"https://x.com/i/status/{id}/video/{number}")

        def _extract_status(self, twid: str) -> Any:
            return self._own

    return TwitterIE


@cache
def no_video_in_pictures(base: Any) -> Any:
    """Report that a TikTok post of pictures has no video, also if it has sound, unless that is what is wanted."""
    if not hasattr(base, "_extract_web_formats"):
        return base

    class TikTokIE(base):  # type: ignore[misc]
        def _extract_web_formats(self, aweme_detail: Mapping[str, Any]) -> Any:
            formats = super()._extract_web_formats(aweme_detail)
            is_wanted = formats and getattr(self, "wanted", "video") == "audio"
            is_pictures = aweme_detail.get("imagePost") and all(each.get("vcodec") == "none" for each in formats)
            if is_pictures and not is_wanted:
                self.raise_no_formats("There is no video in this post", expected=True)
            return formats

    return TikTokIE


@cache
def one_of_a_story(base: Any) -> Any:
    """Find one item of a user's stories or of a highlight, which yt-dlp can only take as a whole."""
    if not hasattr(base, "_extract_product"):
        return base

    class InstagramStoryIE(base):  # type: ignore[misc]
        @classmethod
        def _match_id(cls, url: str) -> str:
            return re.split(r"[/=]", url.rstrip("/"))[-1]

        def _real_extract(self, url: str) -> Any:
            self._items: set[str | None] = set()
            wanted = story_code(self._match_id(url))
            whole = url.partition("?")[0] if "?" in url else url.rstrip("/").rpartition("/")[0] + "/"
            found = super()._real_extract(whole)
            for item in found["entries"]:
                if item.get("id") == wanted:
                    return item
            raise DownloadFailed(
                "no_video" if wanted in self._items else "removed", detail="not among the story's videos"
            )

        def _extract_product(self, *args: Any, **options: Any) -> Any:
            item = super()._extract_product(*args, **options)
            self._items.add(item.get("id"))
            return item

    return InstagramStoryIE


@cache
def links_of_a_story(base: Any) -> Any:
    """Give each item of a story or a highlight its link, which yt-dlp leaves out."""
    if not hasattr(base, "_extract_product"):
        return base

    class InstagramStoryIE(base):  # type: ignore[misc]
        def _real_extract(self, url: str) -> Any:
            found = super()._real_extract(url)
            link = f"{url}?story_media_id={{}}" if "/highlights/" in url else f"{url}{{}}/"
            entries = [{**item, "url": link.format(story_number(item["id"]))} for item in found["entries"]]
            return {**found, "entries": entries}

    return InstagramStoryIE


def story_code(number: str) -> str:
    """Return the code by which Instagram, and so yt-dlp, names the post with that *number*."""
    left, code = int(number), ""
    while left:
        left, digit = divmod(left, len(_CODE_DIGITS))
        code = _CODE_DIGITS[digit] + code
    return code


def story_number(code: str) -> str:
    """Return the number behind a *code*, see `story_code`."""
    number = 0
    for digit in code:
        number = number * len(_CODE_DIGITS) + _CODE_DIGITS.index(digit)
    return str(number)


#: By yt-dlp's names of extractors.
CORRECTIONS: Mapping[str, Callable[[Any], Any]] = {
    "Twitter": own_videos_first,
    "TikTok": no_video_in_pictures,
    "InstagramStory": one_of_a_story,
}
#: The same for those that list collections.
LISTINGS: Mapping[str, Callable[[Any], Any]] = {"InstagramStory": links_of_a_story}


def _media(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # For an embedded tweet, yt-dlp merges its media with those of the quoted one; `mediaDetails` has only its own, and
    # is missing where it has none.
    found = status.get("mediaDetails")
    if found is None and "quoted_tweet" not in status:
        found = (status.get("extended_entities") or {}).get("media")
    return [each for each in found or () if isinstance(each, Mapping)]


def _quoted(status: Mapping[str, Any]) -> Mapping[str, Any]:
    found = status.get("quoted_status") or status.get("quoted_tweet")
    return found if isinstance(found, Mapping) else {}


def _has_video(status: Mapping[str, Any]) -> bool:
    card = (status.get("card") or {}).get("name") or ""
    return any(map(_is_video, _media(status))) or _CARDS_WITH_VIDEO.search(card.split(":")[-1]) is not None


def _is_video(media: Mapping[str, Any]) -> bool:
    return media.get("type") != "photo"


def _gif_as_video(media: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**media, "type": "video"} if media.get("type") == "animated_gif" else media
