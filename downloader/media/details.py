"""What a page says of its post, taken from yt-dlp's info and kept with the files.

Strangers wrote it, so all of it is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from downloader.models import Details, Media
from downloader.presets import KINDS, Kind, PresetKind
from downloader.util.typed import typed

MAX_TEXT = 500  #: characters of a title, of a name
MAX_URL = 2048
MAX_THUMBNAILS = 3

#: The years in which posts are published: anything else is a unit mixed up.
_YEARS = range(1990, 2100)

#: Fields of yt-dlp that may name the uploader, the best one first.
_UPLOADERS = ("uploader", "channel", "uploader_id")

_MAX_SIDE = 2**16
_MAX_BYTES = 2**50
_MAX_SECONDS = 10 * 366 * 86_400.0

#: As wide as the page shows a thumbnail, on a screen with two pixels for one.
_WIDE_ENOUGH = 320

#: Kinds of pictures that every browser shows, and kinds that we would refuse, or that are larger than need be.
_GOOD_NAMES = (".jpg", ".jpeg", ".png", ".webp")
_BAD_NAMES = (".svg", ".gif", ".heic", ".avif", ".image", ".awebp")


def details_of(info: Mapping[str, Any], kind: PresetKind = "video") -> Details:
    """Return what *info*, yt-dlp's before the download, says of a post of which *kind* is wanted."""
    is_picture = kind == "video"
    return Details(
        title=bounded_text(info.get("title")),
        uploader=uploader_of(info),
        uploaded_at=uploaded_at_of(info),
        duration_seconds=_seconds(info.get("duration")),
        width=_whole(info.get("width"), _MAX_SIDE) if is_picture else None,
        height=_whole(info.get("height"), _MAX_SIDE) if is_picture else None,
        size_bytes=_size_bytes(info),
        thumbnails=_thumbnails(info),
    )


def uploader_of(info: Mapping[str, Any]) -> str | None:
    """Return the name that people know the uploader by."""
    return next((name for field in _UPLOADERS if (name := bounded_text(info.get(field)))), None)


def uploaded_at_of(info: Mapping[str, Any]) -> datetime | None:
    """Return when the post was published; midnight, UTC, if only the day is known."""
    timestamp, day = info.get("timestamp"), info.get("upload_date")
    try:
        if isinstance(timestamp, int | float) and math.isfinite(timestamp):
            moment = datetime.fromtimestamp(timestamp, UTC)
        elif isinstance(day, str):
            moment = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.year in _YEARS else None


def bounded_text(value: object) -> str | None:
    """Return *value* if it is text, cut where it is too long; None if there is nothing in it."""
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def media_of(
    details: Details,
    post_id: str,
    title: str | None,
    duration_seconds: float | None,
    measured: tuple[int, int] | None = None,
) -> Media:
    """Return what is known of a download, without its files; *measured* is the width and height of the first one."""
    width, height = measured or (details.width, details.height)
    return Media(
        files=(),
        id=post_id,
        title=bounded_text(title),
        uploader=details.uploader,
        uploaded_at=details.uploaded_at,
        duration_seconds=duration_seconds,
        width=width,
        height=height,
        thumbnails=details.thumbnails,
    )


def media_json(about: Media) -> dict[str, Any]:
    """Return *about*, without its files, as JSON for `read_media`."""
    return {
        "kind": about.kind,
        "id": about.id,
        "title": about.title,
        "uploader": about.uploader,
        "uploaded_at": None if about.uploaded_at is None else about.uploaded_at.isoformat(),
        "duration_seconds": about.duration_seconds,
        "width": about.width,
        "height": about.height,
        "thumbnails": about.thumbnails,
        "subtitles": about.subtitles,
        "subtitles_missing": about.subtitles_missing,
        "pictures_missing": about.pictures_missing,
    }


def read_media(json: Mapping[str, Any]) -> Media:
    """Return the media of `media_json`. Raises ValueError, TypeError or KeyError for what it never wrote."""
    duration, uploaded_at = json["duration_seconds"], json.get("uploaded_at")
    return Media(
        files=(),
        id=typed(json["id"], str | None),
        title=typed(json["title"], str | None),
        # Older versions did not write the following, except for the duration.
        kind=_kind(json.get("kind", "video")),
        uploader=typed(json.get("uploader"), str | None),
        uploaded_at=None if uploaded_at is None else datetime.fromisoformat(uploaded_at).astimezone(UTC),
        duration_seconds=None if duration is None else float(duration),
        width=typed(json.get("width"), int | None),
        height=typed(json.get("height"), int | None),
        thumbnails=_texts(json.get("thumbnails", [])),
        subtitles=_texts(json.get("subtitles", [])),
        subtitles_missing=_texts(json.get("subtitles_missing", [])),
        pictures_missing=typed(json.get("pictures_missing"), str | None),
    )


def _kind(value: object) -> Kind:
    found = next((kind for kind in KINDS if kind == value), None)
    if found is None:
        raise ValueError(f"no kind of media: {value!r}")
    return found


def _texts(values: object) -> tuple[str, ...]:
    return tuple(typed(value, str) for value in typed(values, list))


def _whole(value: object, most: int) -> int | None:
    return value if type(value) is int and 0 < value <= most else None


def _seconds(value: object) -> float | None:
    if not isinstance(value, int | float) or not 0 <= value <= _MAX_SECONDS:
        return None
    return float(value)


def _size_bytes(info: Mapping[str, Any]) -> int | None:
    """Return the size of the chosen formats together, None unless the platform declares all of them."""
    if (info.get("n_entries") or 1) > 1:  # those of the post's other videos are not known yet
        return None
    sizes = [_whole(part.get("filesize"), _MAX_BYTES) for part in info.get("requested_formats") or (info,)]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _thumbnails(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return up to `MAX_THUMBNAILS` URLs: the smallest that is wide enough, the default one, then the others."""
    listed = info.get("thumbnails")
    found = [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
    wide = [each for each in found if isinstance(each.get("width"), int) and each["width"] >= _WIDE_ENOUGH]
    wide.sort(key=lambda each: (_rank(each.get("url")), each["width"]))
    by_chance = sorted((each.get("url") for each in reversed(found)), key=_rank)  # yt-dlp lists the best one last
    return _first_urls([*(each.get("url") for each in wide[:1]), info.get("thumbnail"), *by_chance])


def _rank(url: object) -> int:
    name = url.partition("?")[0].lower() if isinstance(url, str) else ""
    return 0 if name.endswith(_GOOD_NAMES) else 2 if name.endswith(_BAD_NAMES) else 1


def _first_urls(candidates: Iterable[object]) -> tuple[str, ...]:
    urls: dict[str, None] = {}
    for url in candidates:
        if isinstance(url, str) and len(url) <= MAX_URL and url.startswith(("https://", "http://")):
            urls[url] = None
            if len(urls) == MAX_THUMBNAILS:
                break
    return tuple(urls)
