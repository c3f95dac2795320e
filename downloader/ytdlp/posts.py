"""Corrects what yt-dlp's extractors take for a part of a post, where the platform shows it otherwise.

Each function takes yt-dlp's class and returns one to use in its place; itself, where it is that of another yt-dlp and
lacks the methods that would be overridden.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

# yt-dlp comes without types, hence the ignored errors.

# The cards that play something; others show a link.
_CARDS_WITH_VIDEO = re.compile(r"player|broadcast|audiospace|unified|amplify|video")


@cache
def own_videos_first(base: Any) -> Any:
    """Have a tweet's own videos, GIFs included, taken for the tweet's, and no others.

    Where it has none, those of the tweet that it quotes are taken, as that one's. `/photo/2` is where people happened
    to be; `/video/2` counts the tweet's own media, and where that one is a picture, it means the tweet.
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
    """Have a TikTok post of pictures said to be without a video, whether it has a sound or not."""
    if not hasattr(base, "_extract_web_formats"):
        return base

    class TikTokIE(base):  # type: ignore[misc]
        def _extract_web_formats(self, aweme_detail: Mapping[str, Any]) -> Any:
            formats = super()._extract_web_formats(aweme_detail)
            if aweme_detail.get("imagePost") and all(each.get("vcodec") == "none" for each in formats):
                self.raise_no_formats("There is no video in this post", expected=True)
            return formats

    return TikTokIE


#: By yt-dlp's names.
CORRECTIONS: Mapping[str, Callable[[Any], Any]] = {"Twitter": own_videos_first, "TikTok": no_video_in_pictures}


def _media(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # Of an embedded tweet yt-dlp has put the media of both together; here they are still apart, and not there at all
    # where it has none.
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
