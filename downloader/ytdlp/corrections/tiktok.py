"""TikTok: a slideshow is its pictures and its sound; yt-dlp knows only the sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from downloader.ytdlp.plain_files import plain_file


@cache
def slideshows(base: Any) -> Any:
    """Take the pictures of a slideshow, then its sound; report `no_video` if pictures are not wanted.

    If only sound is wanted, a slideshow is a video without a picture.
    """
    if not hasattr(base, "_extract_web_formats") or not hasattr(base, "_parse_aweme_video_web"):
        return base

    class TikTokIE(base):  # type: ignore[misc]
        wanted = "video"
        photos = False

        def _parse_aweme_video_web(self, aweme_detail: Any, *args: Any, **kwargs: Any) -> Any:
            parse = partial(super()._parse_aweme_video_web, aweme_detail, *args)
            pictures = _pictures(aweme_detail) if self.photos and self.wanted != "audio" else ()
            if kwargs.get("extract_flat") or not pictures:
                return parse(**kwargs)
            post = parse(extract_flat=True)  # without formats, which a slideshow doesn't have
            files = [
                plain_file("picture", f"{post['id']}_{number}", partial(_address, picture))
                for number, picture in enumerate(pictures, start=1)
            ]
            if sound := (aweme_detail.get("music") or {}).get("playUrl"):
                files.append(plain_file("sound", f"{post['id']}_sound", partial(self._proto_relative_url, sound)))
            post["thumbnails"] = post.get("thumbnails") or [{"url": files[0]["url"]}]
            entries = [{**post, "display_id": post["id"], **file} for file in files]
            return {"_type": "playlist", "id": post["id"], "title": post.get("title"), "entries": entries}

        def _extract_web_formats(self, aweme_detail: Mapping[str, Any]) -> Any:
            formats = super()._extract_web_formats(aweme_detail)
            is_sound = all(each.get("vcodec") == "none" for each in formats)
            if aweme_detail.get("imagePost") and is_sound and not (formats and self.wanted == "audio"):
                self.raise_no_formats("There is no video in this post", expected=True)
            return formats

    return TikTokIE


def _pictures(post: Mapping[str, Any]) -> Sequence[Any]:
    if not (slides := post.get("imagePost")):
        return ()
    found = slides.get("images") if isinstance(slides, Mapping) else None
    return found if isinstance(found, Sequence) and found else (None,)  # one that will not be found


def _address(picture: Any) -> str:
    # The others are the same picture at other hosts.
    return picture["imageURL"]["urlList"][0]  # type: ignore[no-any-return]
