"""What yt-dlp is told: our defaults, the platform's wishes, the operator's settings, in this order."""

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
from downloader.ytdlp import tools as toolchain
from downloader.ytdlp.lean import MIN_BLOCK_BYTES

log = logging.getLogger(__name__)

# yt-dlp's own preset "mp4": what plays everywhere, at the best quality that does.
_FORMAT_SORT = ["vcodec:h264", "lang", "quality", "res", "fps", "hdr:12", "acodec:aac"]

_COMMON_OPTIONS: Mapping[str, Any] = {
    "format": "bv*+ba/b",
    "format_sort": _FORMAT_SORT,
    "merge_output_format": "mp4",
    "postprocessors": [{"key": "FFmpegVideoRemuxer", "preferedformat": "mp4"}],
    "skip_unavailable_fragments": False,  # the default makes a success of half a video
    "noplaylist": True,
    "quiet": True,
    "noprogress": True,
    "color": "never",
    "cachedir": False,  # a cache in the user's home would be shared with whatever else runs there
    "updatetime": False,  # a file's time says when it arrived
    # The first block's; see `ytdlp.lean` for the others. None is smaller than Python's own write buffer, which they
    # therefore pass by: what was read is in the file at once.
    "buffersize": MIN_BLOCK_BYTES,
    # Else yt-dlp writes its line of progress, which nobody sees, for each of them: that takes longer than the download.
    "progress_delta": 3600,
}

#: What yt-dlp has ffmpeg do to a file that has just arrived, as it calls these steps.
_FFMPEG_STEPS = (
    *("merger", "videoremuxer", "videoconvertor", "extractaudio", "embedsubtitle", "embedthumbnail", "metadata"),
    *("copystream", "fixupstretched", "fixupm4a", "fixupm3u8", "fixuptimestamp", "fixupduration", "fixupduplicatemoov"),
)

#: The demuxers that ffmpeg may then choose from, by what a file says: none of them opens another file, as those of
#: playlists do, which can hide behind what we look at. The second line is what yt-dlp itself adds: subtitles, chapters.
_ONE_FILE_DEMUXERS = ",".join((
    *("mov", "matroska", "flv", "ogg", "mpegts", "mp3", "aac", "flac", "wav"),
    *("srt", "webvtt", "ass", "lrc", "ffmetadata"),
))  # fmt: skip

_NAME_TEMPLATE = "%(playlist_index|1)s-%(id).60B-%(format_id).40B.%(ext)s"

#: A post holds at most this many videos; the bound is for links that turn out to be something else.
_MAX_VIDEOS_PER_POST = 50

_MAX_RETRY_PAUSE_SECONDS = 8.0


def ytdlp_options(platform: Platform, settings: DownloadSettings, work_dir: Path, *, proxy: str) -> dict[str, Any]:
    """Return the options for downloading from *platform* into *work_dir*, by *proxy*; all but the hooks."""
    retries = settings.retries + platform.extra_retries
    ffmpeg = toolchain.ffmpeg()
    limits = MediaLimits.of(settings)
    options: dict[str, Any] = {
        **_COMMON_OPTIONS,
        # The Python API's default is no retry at all.
        "retries": retries,
        "fragment_retries": retries,
        # Extractors ask again at several addresses by themselves; more rounds only make a dead one take longer.
        "extractor_retries": min(retries, 1),
        "file_access_retries": retries,
        "retry_sleep_functions": dict.fromkeys(("http", "fragment", "extractor", "file_access"), _retry_pause),
        "socket_timeout": settings.socket_timeout_seconds * platform.patience,
        "ffmpeg_location": None if ffmpeg is None else ffmpeg.path,
        "cookiefile": _cookies(settings, platform),
        **platform.options,
        **settings.ytdlp_options,
        "playlist_items": f"1:{_MAX_VIDEOS_PER_POST}",
        # With the format, so that one attempt does not go on with what another began of a different one.
        "outtmpl": f"{_as_template(work_dir)}/{_NAME_TEMPLATE}",
        "logger": _Log(platform),
        "proxy": proxy,
        # ffmpeg knows nothing of our checks: it may read what was downloaded, and fetch nothing.
        "external_downloader_args": {"ffmpeg_i": ["-protocol_whitelist", "file"]},
        "enable_file_urls": False,  # yt-dlp's default too: a platform's page could name any file of this machine
        "postprocessor_args": _ffmpeg_args(limits, settings.ytdlp_options.get("postprocessor_args")),
        "match_filter": partial(_wanted, limits),
    }
    return {name: value for name, value in options.items() if value is not None}


def _ffmpeg_args(limits: MediaLimits, theirs: Any) -> dict[str, list[str]]:
    """Return what ffmpeg is told beside yt-dlp's own arguments: one file in, *limits* on what is made, *theirs*."""
    args = {name.lower(): value for name, value in theirs.items()} if isinstance(theirs, Mapping) else {}
    if isinstance(theirs, list):
        args["default"] = theirs
    ours: dict[str, list[str]] = {}
    for step in _FFMPEG_STEPS:
        exact = f"{step}+ffmpeg"
        ours[f"{exact}_i"] = ["-format_whitelist", _ONE_FILE_DEMUXERS, *args.get(f"{exact}_i", ())]
        if limits.file_bytes is not None:
            # A film's index can name the same bytes a thousand times.
            ours[f"{exact}_o1"] = ["-fs", str(limits.file_bytes + 1), *_for_output(args, step)]
    return args | ours


def _for_output(args: Mapping[str, list[str]], step: str) -> list[str]:
    """Return those of *args* that yt-dlp would take for the output of *step*: the ones by the most exact name."""
    exact = f"{step}+ffmpeg"
    for names in ((f"{exact}_o1",), (f"{exact}_o",), (exact,), (step, "ffmpeg"), ("default",)):
        if found := [args[name] for name in names if name in args]:
            return [argument for each in found for argument in each]
    return []


def warm_up_options(platform: Platform) -> dict[str, Any]:
    """Return of those options what takes neither settings nor a place to work in."""
    return {**_COMMON_OPTIONS, **platform.options, "logger": _Log(platform), "outtmpl": f"./{_NAME_TEMPLATE}"}


def _retry_pause(n: int) -> float:
    """Return the seconds to wait before repeating a request for the *n*-th time, from 0."""
    return float(min(0.25 * 2**n, _MAX_RETRY_PAUSE_SECONDS))


def _as_template(path: Path) -> str:
    return path.as_posix().replace("%", "%%")


def _cookies(settings: DownloadSettings, platform: Platform) -> io.StringIO | None:
    """Return a copy of the platform's cookies, and none of other sites: yt-dlp writes back to what it is given.

    In memory: of a file's name it would take $HOME for a variable.
    """
    try:
        file = _shelf(settings, platform).read(platform.name)
    except (CookiesRefused, OSError) as fault:  # what needs no login can be had all the same
        log.warning("cookies not used", extra={"platform": platform.name, "detail": str(fault)})
        return None
    if file is None:
        return None
    if file.bad:
        # yt-dlp would write them, values and all, to stderr.
        log.warning("cookie lines left out", extra={"platform": platform.name, "lines": file.bad_lines})
    return io.StringIO(to_netscape(file.cookies))


def cookie_fault(settings: DownloadSettings, platform: Platform) -> str | None:
    """Return a sentence on why the cookies that are there for *platform* do not log in; None where they do."""
    state = _shelf(settings, platform).state(platform.name)
    if state.condition == "expired":
        return f"The cookies for {platform.label} that are there have expired."
    return None if state.condition == "none" or state.logged_in else state.sentence


def _shelf(settings: DownloadSettings, platform: Platform) -> CookieStore:
    return CookieStore(settings.cookies_folder, {platform.name: platform})


def _wanted(limits: MediaLimits, info: Mapping[str, Any], *, incomplete: bool) -> str | None:
    """Return why a video is to be passed over, or None; refuse one that cannot be had yet, or is too long."""
    # A running broadcast has no end: it would hold its slot for hours.
    if info.get("live_status") == "is_live" or info.get("is_live"):
        raise DownloadFailed("not_yet_available", detail="a live broadcast that is still running")
    limits.check_duration(info.get("duration"))
    # A picture between the videos of one post: to yt-dlp a video without formats, which would fail them all.
    if incomplete and info.get("formats") == [] and not info.get("url"):
        return "a picture"
    return None


class _Log:
    """yt-dlp's messages, in our log: they hold signed addresses, so only for those who ask for them."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def debug(self, message: str) -> None:
        log.debug("yt-dlp: %s", message, extra={"platform": self._platform.name})
        if "File is larger than max-filesize" in message:
            # It says so, goes on without the file, and fails later for another reason.
            raise DownloadFailed("too_large", platform_label=self._platform.label, detail=message.strip())
        if "extraction will be delegated to ffmpeg" in message:
            # Which may fetch nothing, and would be told the cookies where everyone on this machine can read them.
            raise DownloadFailed("platform_changed", platform_label=self._platform.label, detail=message.strip())

    info = warning = error = debug
