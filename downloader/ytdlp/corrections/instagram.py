"""Instagram: pictures, titles, and items of stories.

yt-dlp knows a picture only as the thumbnail of a video that is not there, and a story only as a whole. It calls nearly
all posts "Video by" and the uploader's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from downloader.errors import DownloadFailed
from downloader.ytdlp.plain_files import plain_file

#: What Instagram calls a picture; a video is 2.
_PICTURE = 1

#: What yt-dlp calls a post without a title.
_NO_TITLE = re.compile(r"(?:(?:Video|Post) by |$)")

#: Beside the picture as it is, some answers list it cut to a square.
_SAME_SHAPE = 0.02

#: Of the codes of posts.
_CODE_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@cache
def pictures(base: Any) -> Any:
    """Take a post's pictures too, in their places among its videos, all under the post's id."""
    if not hasattr(base, "_extract_product_media") or not hasattr(base, "_extract_product"):
        return base

    class InstagramIE(base):  # type: ignore[misc]
        wanted = "video"
        photos = False

        def _extract_product(self, *args: Any, **kwargs: Any) -> Any:
            post = super()._extract_product(*args, **kwargs)
            for part in post.get("entries") or ():
                part["display_id"] = post["id"]
                _name_by_caption(part)
            _name_by_caption(post)
            return post

        def _extract_product_media(self, product_media: Mapping[str, Any]) -> Any:
            found = super()._extract_product_media(product_media)
            is_picture = product_media.get("media_type") == _PICTURE and not found.get("formats")
            if not is_picture or not self.photos or self.wanted == "audio":
                return found
            file = plain_file("picture", found["id"], partial(_address, product_media))
            # yt-dlp fails for a single part of a post without formats.
            return {**found, **file, "formats": [{"url": file["url"]}]}

    return InstagramIE


def _name_by_caption(post: dict[str, Any]) -> None:
    """Call *post* by the first line of its caption, unless it has a title, which few have."""
    caption = str(post.get("description") or "").strip()
    if caption and _NO_TITLE.match(post.get("title") or ""):
        post["title"] = caption.splitlines()[0]


def _address(media: Mapping[str, Any]) -> str:
    """Return where the largest picture is that has the shape of the first one, which is the original."""
    sizes = media["image_versions2"]["candidates"]
    shape = _shape(sizes[0])
    same = [each for each in sizes if abs(_shape(each) - shape) <= _SAME_SHAPE]
    return max(same, key=lambda each: each["width"])["url"]  # type: ignore[no-any-return]


def _shape(size: Mapping[str, Any]) -> float:
    return float(size["width"] / size["height"])


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
