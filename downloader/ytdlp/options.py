"""yt-dlp's options: our defaults, then the platform's, the operator's, and the preset's."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from downloader.cookies.netscape import to_netscape
from downloader.cookies.store import CookieStore
from downloader.download_settings import DownloadSettings
from downloader.errors import CookiesRefused, DownloadFailed
from downloader.media.limits import MediaLimits
from downloader.platforms import Platform
from downloader.presets import DEFAULT_PRESET, PRESETS, Preset
from downloader.ytdlp import tools
from downloader.ytdlp.formats import format_options
from downloader.ytdlp.lean import MIN_BLOCK_BYTES, NAME_TEMPLATE

log = logging.getLogger(__name__)

# As yt-dlp's own preset "mp4": the best quality that plays everywhere.
_FORMAT_SORT = ["vcodec:h264", "lang", "quality", "res", "fps", "hdr:12", "acodec:aac"]

_COMMON_OPTIONS: Mapping[str, Any] = {
    "format": "bv*+ba/b",
    "format_sort": _FORMAT_SORT,
    "merge_output_format": "mp4",
    "postprocessors": [{"key": "FFmpegVideoRemuxer", "preferedformat": "mp4"}],
    "skip_unavailable_fragments": False,  # the default calls half a video a success
    "noplaylist": True,
    "allow_playlist_files": False,  # it would think of names for three
    "quiet": True,
    "noprogress": True,
    "color": "never",
    "cachedir": False,  # a cache in the user's home would be shared with other programs
    "updatetime": False,  # a file's time is when it was downloaded
    # Of the first block; see `ytdlp.lean` for the others. No block is smaller than Python's write buffer, so each goes
    # straight to the file.
    "buffersize": MIN_BLOCK_BYTES,
    # By default yt-dlp renders a progress line for each block, which takes longer than the download.
    "progress_delta": 3600,
}

#: The steps that yt-dlp runs ffmpeg for, by its names.
_FFMPEG_STEPS = (
    *("merger", "videoremuxer", "videoconvertor", "extractaudio", "embedsubtitle", "embedthumbnail", "metadata"),
    *("copystream", "fixupstretched", "fixupm4a", "fixupm3u8", "fixuptimestamp", "fixupduration", "fixupduplicatemoov"),
)

#: The demuxers ffmpeg may choose from in these steps. None of them opens other files, as playlists do, which can pass
#: our check of a file's first bytes. The second line is for what yt-dlp adds: subtitles, chapters.
_ONE_FILE_DEMUXERS = ",".join((
    *("mov", "matroska", "flv", "ogg", "mpegts", "mp3", "aac", "flac", "wav"),
    *("srt", "webvtt", "ass", "lrc", "ffmetadata"),
))  # fmt: skip

#: No post has more videos; the bound is for links that turn out to be something else.
MAX_VIDEOS_PER_POST = 50

_MAX_RETRY_PAUSE_SECONDS = 8.0


def ytdlp_options(
    platform: Platform,
    settings: DownloadSettings,
    work_dir: Path,
    *,
    proxy: str,
    preset: Preset = PRESETS[DEFAULT_PRESET],
) -> dict[str, Any]:
    """Return the options for getting *preset* from *platform* into *work_dir* through *proxy*, without hooks."""
    retries = settings.retries + platform.extra_retries
    ffmpeg = tools.ffmpeg()
    limits = MediaLimits.of(settings)
    options: dict[str, Any] = {
        **_COMMON_OPTIONS,
        # The Python API does not retry by default.
        "retries": retries,
        "fragment_retries": retries,
        # Extractors try several addresses by themselves; more rounds only delay the failure of a dead post.
        "extractor_retries": min(retries, 1),
        "file_access_retries": retries,
        "retry_sleep_functions": dict.fromkeys(("http", "fragment", "extractor", "file_access"), _retry_pause),
        "socket_timeout": settings.socket_timeout_seconds * platform.patience,
        "ffmpeg_location": None if ffmpeg is None else ffmpeg.path,
        "cookiefile": _cookies(settings, platform),
        **platform.options,
        **settings.ytdlp_options,
    }
    options |= format_options(preset, platform, options)
    options |= preset.ytdlp_options
    options |= {
        "playlist_items": f"1:{MAX_VIDEOS_PER_POST}",
        "outtmpl": f"{work_dir.as_posix().replace('%', '%%')}/{NAME_TEMPLATE}",
        "logger": _Log(platform),
        "proxy": proxy,
        # ffmpeg bypasses our checks of requests: it may read downloaded files, but fetch nothing.
        "external_downloader_args": {"ffmpeg_i": ["-protocol_whitelist", "file"]},
        "enable_file_urls": False,  # yt-dlp's default; a platform's page could name any file of this machine
        "postprocessor_args": _ffmpeg_args(limits, options.get("postprocessor_args")),
        "match_filter": partial(_skip_reason, limits),
    }
    return {name: value for name, value in options.items() if value is not None}


def _ffmpeg_args(limits: MediaLimits, theirs: Any) -> dict[str, list[str]]:
    """Return arguments for ffmpeg beside yt-dlp's own: only the input file, output within *limits*, then *theirs*."""
    args = {name.lower(): value for name, value in theirs.items()} if isinstance(theirs, Mapping) else {}
    if isinstance(theirs, list):
        args["default"] = theirs
    ours: dict[str, list[str]] = {}
    for step in _FFMPEG_STEPS:
        exact = f"{step}+ffmpeg"
        ours[f"{exact}_i"] = ["-format_whitelist", _ONE_FILE_DEMUXERS, *args.get(f"{exact}_i", ())]
        if limits.file_bytes is not None:
            # A film's index can reference the same bytes a thousand times.
            ours[f"{exact}_o1"] = ["-fs", str(limits.file_bytes + 1), *_for_output(args, step)]
    return args | ours


def _for_output(args: Mapping[str, list[str]], step: str) -> list[str]:
    """Return those of *args* that yt-dlp would use for the output of *step*: the ones with the most specific name."""
    exact = f"{step}+ffmpeg"
    for names in ((f"{exact}_o1",), (f"{exact}_o",), (exact,), (step, "ffmpeg"), ("default",)):
        if found := [args[name] for name in names if name in args]:
            return [argument for each in found for argument in each]
    return []


def warm_up_options(platform: Platform) -> dict[str, Any]:
    """Return the part of the options that needs neither settings nor a work folder."""
    return {**_COMMON_OPTIONS, **platform.options, "logger": _Log(platform), "outtmpl": f"./{NAME_TEMPLATE}"}


def _retry_pause(n: int) -> float:
    """Return how many seconds to wait before retry *n*, counted from 0."""
    return float(min(0.25 * 2**n, _MAX_RETRY_PAUSE_SECONDS))


def _cookies(settings: DownloadSettings, platform: Platform) -> io.StringIO | None:
    """Return the platform's cookies, without those of other sites, as a copy that yt-dlp may write back to.

    In memory, because yt-dlp expands variables such as $HOME in file names.
    """
    try:
        file = CookieStore(settings.cookies_folder).read(platform.name)
    except (CookiesRefused, OSError) as fault:  # public posts still work
        log.warning("cookies not used", extra={"platform": platform.name, "detail": str(fault)})
        return None
    if file is None:
        return None
    if file.bad:
        # yt-dlp would print them, values included, to stderr.
        log.warning("cookie lines left out", extra={"platform": platform.name, "lines": file.bad_lines})
    return io.StringIO(to_netscape(file.cookies))


def cookie_fault(settings: DownloadSettings, platform: Platform) -> str | None:
    """Return a sentence on why the stored cookies for *platform* do not log in; None if they do, or there are none."""
    state = CookieStore(settings.cookies_folder).state(platform.name)
    if state.condition == "expired":
        return f"The stored cookies for {platform.label} have expired."
    return None if state.condition == "none" or state.logged_in else state.sentence


def _skip_reason(limits: MediaLimits, info: Mapping[str, Any], *, incomplete: bool) -> str | None:
    """Return why a video is to be skipped, or None. Raises DownloadFailed for a live broadcast and a too long video."""
    # A running broadcast has no end: it would occupy a worker for hours.
    if info.get("live_status") == "is_live" or info.get("is_live"):
        raise DownloadFailed("not_yet_available", detail="a live broadcast that is still running")
    limits.check_duration(info.get("duration"))
    # A picture among a post's videos: to yt-dlp a video without formats, which would fail the whole post.
    if incomplete and info.get("formats") == [] and not info.get("url"):
        return "a picture"
    return None


class _Log:
    """Passes yt-dlp's messages to our log, at level DEBUG because they contain signed URLs."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def debug(self, message: str) -> None:
        log.debug("yt-dlp: %s", message, extra={"platform": self._platform.name})
        if "File is larger than max-filesize" in message:
            # yt-dlp continues without the file, and fails later for another reason.
            raise DownloadFailed("too_large", detail=message.strip())
        if "extraction will be delegated to ffmpeg" in message:
            # ffmpeg may fetch nothing, and its command line would show the cookies to every user of this machine.
            raise DownloadFailed("platform_changed", detail=message.strip())

    info = warning = error = debug
