"""What a client of MeTube asks for, in the words of our queue.

What cannot be obeyed is refused with a sentence; defaults and empty values pass, and unknown fields are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from downloader.errors import RequestRefused
from downloader.presets import MAX_ENTRIES, Expand, Preset, Wanted
from downloader.settings import Settings
from downloader.web.compat.preset_choice import first_preset
from downloader.web.requests import checked_folder

_HEIGHTS = ("2160", "1440", "1080", "720", "480", "360", "240")
_AUDIO_QUALITIES = {"m4a": ("192", "128"), "mp3": ("320", "192", "128"), "opus": (), "wav": (), "flac": ()}
_CODECS = ("auto", "h264", "h265", "av1", "vp9")
_VIDEO_FORMATS = ("any", "mp4", "ios")
_TYPES = ("video", "audio", "captions", "thumbnail")
_MODES = ("prefer_manual", "prefer_auto", "manual_only", "auto_only")
_LANGUAGE = re.compile("[A-Za-z0-9-]{1,35}")

#: Fields that must be empty or false, and why.
_REFUSED = {
    "custom_name_prefix": "Names of files cannot be given a prefix: leave custom_name_prefix empty. The operator sets"
    " names with DOWNLOADER_NAME_TEMPLATE.",
    "split_by_chapters": "Videos cannot be split by chapters here: leave split_by_chapters off.",
    "sponsorblock": "Nothing can be cut out of videos here: leave sponsorblock off.",
    "clip_start": "Videos are downloaded whole: leave clip_start empty.",
    "clip_end": "Videos are downloaded whole: leave clip_end empty.",
    "ytdl_options_overrides": "Only the operator sets yt-dlp's options: leave ytdl_options_overrides empty.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """What `POST /add` asks for."""

    url: str
    wanted: Wanted
    auto_start: bool


def parse_add(body: Mapping[str, Any], settings: Settings) -> Add:
    """Return what *body* asks for.

    Raises:
        RequestRefused: it is malformed, or asks for something that cannot be had here.
    """
    sent = _today(body)
    url = str(sent.get("url") or "").strip()
    if not url or not sent.get("quality") or not sent.get("download_type"):
        raise RequestRefused("Send a url, and with a download_type a quality too.")
    for field, sentence in _REFUSED.items():
        if _is_set(sent.get(field)):
            raise RequestRefused(sentence)
    auto_start = sent.get("auto_start")
    if auto_start not in (None, True, False):
        raise RequestRefused("auto_start must be true or false.")
    return Add(
        url=url,
        wanted=Wanted(
            preset=_preset(sent, body, settings),
            folder=checked_folder(sent.get("folder") or ""),
            expand=Expand(limit=_limit(sent.get("playlist_item_limit"))),
            photos=settings.photos,
        ),
        auto_start=auto_start in (None, True),
    )


def _today(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *body* as clients send it today; the form without `download_type` is older."""
    if "download_type" in body:
        return body
    quality, format = _word(body, "quality", "best"), _word(body, "format", "any")
    if quality == "best_ios":
        quality, format = "best", "ios"
    if format in _AUDIO_QUALITIES:
        return {**body, "download_type": "audio", "format": format, "quality": quality, "codec": "auto"}
    if format in ("captions", "thumbnail"):
        return {**body, "download_type": format, "format": "", "quality": "best", "codec": "auto"}
    if quality == "audio":
        return {**body, "download_type": "audio", "format": "m4a", "quality": "best", "codec": "auto"}
    codec = _word(body, "video_codec", "auto")
    return {**body, "download_type": "video", "format": format, "quality": quality, "codec": codec}


def _preset(sent: Mapping[str, Any], body: Mapping[str, Any], settings: Settings) -> Preset:
    kind, quality = _word(sent, "download_type"), _word(sent, "quality")
    if kind not in _TYPES:
        raise _not_among("download_type", _TYPES)
    if _word(sent, "subtitle_mode", "prefer_manual") not in _MODES:
        raise _not_among("subtitle_mode", _MODES)
    if not _LANGUAGE.fullmatch(str(sent.get("subtitle_language") or "en")):
        raise RequestRefused("subtitle_language must be the code of a language, such as en or pt-BR.")
    if named := _named(sent):
        return first_preset(settings, named, asked=f"the preset {named}")
    if kind == "captions":
        raise RequestRefused("Subtitles come beside a video, not alone: send the link with our `subtitles` instead.")
    if kind == "thumbnail":
        raise RequestRefused("Thumbnails cannot be downloaded alone: choose video or audio.")
    if not (body.keys() & {"download_type", "quality", "format", "video_codec"}):
        return settings.presets[settings.default_preset]  # a bare link
    return _audio(sent, quality, settings) if kind == "audio" else _video(sent, quality, settings)


def _video(sent: Mapping[str, Any], quality: str, settings: Settings) -> Preset:
    codec = _word(sent, "codec", "auto")
    if _word(sent, "format", "any") not in _VIDEO_FORMATS:
        raise _not_among("format", (*_VIDEO_FORMATS, *_AUDIO_QUALITIES))
    if codec not in _CODECS:
        raise _not_among("codec", _CODECS)
    if quality not in ("best", "worst", *_HEIGHTS):
        raise _not_among("quality", ("best", *_HEIGHTS, "worst"))
    if codec not in ("auto", "h264"):
        raise RequestRefused(f"Videos are H.264 here, which plays everywhere: choose auto or h264 instead of {codec}.")
    if quality in ("best", "worst"):
        return first_preset(settings, {"best": "video", "worst": "smallest"}[quality], asked=quality)
    # H.264 ends at 1080p, so that the best of it is what was asked for.
    beyond = ("video",) if codec == "h264" and int(quality) > 1080 else ()
    return first_preset(settings, f"{quality}p", *beyond, asked=f"{quality}p")


def _audio(sent: Mapping[str, Any], quality: str, settings: Settings) -> Preset:
    format = _word(sent, "format")
    if format not in _AUDIO_QUALITIES:
        raise _not_among("format", tuple(_AUDIO_QUALITIES))
    if quality != "best" and quality not in _AUDIO_QUALITIES[format]:
        raise _not_among("quality", ("best", *_AUDIO_QUALITIES[format]))
    name = format if quality == "best" else f"{format}-{quality}"
    return first_preset(settings, name, *(("audio",) if name == "m4a" else ()), asked=f"sound as {name}")


def _named(sent: Mapping[str, Any]) -> str | None:
    """Return the preset that *sent* names: `GET /presets` lists ours."""
    names = sent.get("ytdl_options_presets") or sent.get("ytdl_options_preset") or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > 1:
        raise RequestRefused("ytdl_options_presets must be a list with one name of a preset, or none.")
    return names[0].strip() if names else None


def _limit(value: object) -> int:
    try:
        limit = int(str(value or 0))
    except ValueError:
        limit = -1
    if limit < 0:
        raise RequestRefused("playlist_item_limit must be a whole number; 0: no limit.")
    return min(limit or MAX_ENTRIES, MAX_ENTRIES)


def _is_set(value: object) -> bool:
    return value.strip() not in ("", "{}") if isinstance(value, str) else bool(value)


def _word(sent: Mapping[str, Any], field: str, default: str = "") -> str:
    return str(sent.get(field) or default).strip().lower()


def _not_among(field: str, values: tuple[str, ...]) -> RequestRefused:
    return RequestRefused(f"{field} must be one of {', '.join(values)}.")
