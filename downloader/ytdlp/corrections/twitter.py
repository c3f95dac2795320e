"""Twitter/X: which of a tweet's media, and of those of the tweet that it quotes, a link means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from downloader.ytdlp.plain_files import plain_file

#: Cards that play something; others show a link.
_CARDS_WITH_VIDEO = re.compile(r"player|broadcast|audiospace|unified|amplify|video")

#: The size of a picture that serves as the thumbnail.
_THUMBNAILS: Mapping[str, Any] = {"small": {}}


@cache
def own_media_first(base: Any) -> Any:
    """Take a tweet's own videos, GIFs and pictures; without any, those of the tweet that it quotes, under its id.

    `/photo/2` only says which picture was open, so it means the whole tweet; `/video/2` counts the tweet's own media,
    and means the whole tweet where that one is a picture.
    """
    if not hasattr(base, "_extract_status"):
        return base

    class TwitterIE(base):  # type: ignore[misc]
        wanted = "video"
        photos = False

        def _real_extract(self, url: str) -> Any:
            id, number = self._match_valid_url(url).group("id", "index")
            status = super()._extract_status(id)
            quoted = _quoted(status)
            photos = self.photos and self.wanted != "audio"
            if not _has_media(status, photos) and _has_media(quoted, photos) and quoted.get("id_str"):
                return self.url_result(f"https://x.com/i/status/{quoted['id_str']}")
            media = _media(status)
            videos = [_as_video(each) if photos or _is_video(each) else each for each in media]
            self._own = {**status, "quoted_status": None, "extended_entities": {"media": videos}}
            chosen = () if number is None or "/photo/" in url else media[int(number) - 1 : int(number)]
            if any(map(_is_video, chosen)):
                return super()._real_extract(f"https://x.com/i/status/{id}/video/{number}")
            post = super()._real_extract(f"https://x.com/i/status/{id}")
            return _with_pictures(post, media) if photos else post

        def _extract_status(self, twid: str) -> Any:
            return self._own

    return TwitterIE


def _with_pictures(post: Any, media: Sequence[Mapping[str, Any]]) -> Any:
    """Return *post*, extracted as if all of *media* were videos, with the pictures that some of them are."""
    # After the tweet's media comes what a card plays.
    entries = list(post["entries"]) if post.get("_type") == "playlist" else [post]
    for number, (entry, each) in enumerate(zip(entries, media, strict=False), start=1):
        if not _is_video(each):
            entry |= plain_file("picture", f"{entry['display_id']}_{number}", partial(_address, each))
    return {**post, "entries": entries} if post.get("_type") == "playlist" else entries[0]


def _address(picture: Mapping[str, Any]) -> str:
    """Return where the picture is as it was uploaded; without a name it would be a smaller one."""
    return str(picture["media_url_https"]) + "?name=orig"


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


def _has_media(status: Mapping[str, Any], photos: bool) -> bool:
    card = (status.get("card") or {}).get("name") or ""
    media = _media(status)
    return bool(media if photos else [*filter(_is_video, media)]) or _plays(card)


def _plays(card: str) -> bool:
    return _CARDS_WITH_VIDEO.search(card.split(":")[-1]) is not None


def _is_video(media: Mapping[str, Any]) -> bool:
    return media.get("type") != "photo"


def _as_video(media: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a GIF as a video; a picture too, as one without formats."""
    if _is_video(media):
        return {**media, "type": "video"}
    # No more of it than is needed, lest its form be a reason to fail for the tweet's videos.
    address = media.get("media_url_https")
    return {"type": "video", "media_url": address if isinstance(address, str) else None, "sizes": _THUMBNAILS}
