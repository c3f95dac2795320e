"""Hooks that yt-dlp calls during a download: they check what is planned and what has arrived."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from downloader.errors import DownloadFailed
from downloader.media.check import NotPlayable, check_part
from downloader.media.limits import MediaLimits
from downloader.media.photos import check_picture_size
from downloader.ytdlp.plain_files import plain_kind
from downloader.ytdlp.progress import ProgressMeter

#: Protocols that yt-dlp downloads itself, by requests that we see; it leaves all others to external programs.
_NATIVE_PROTOCOLS = frozenset(
    {"http", "https", "m3u8_native", "http_dash_segments", "http_dash_segments_generator", "f4m", "ism", "mhtml"}
)

#: Subtitles, which only an operator's own options ask for.
_TEXT_PARTS = frozenset({"vtt", "srt", "ass", "lrc", "ttml", "srv1", "srv2", "srv3", "json3", "json"})


def interruptible_backoff(pauses: Mapping[str, Any], stop: threading.Event) -> dict[str, Any]:
    """Return *pauses*, yt-dlp's `retry_sleep_functions`, as ones that end at once when *stop* is set."""

    def wait(pause: Any, n: int) -> float:
        if stop.wait(pause(n=n) if callable(pause) else float(pause)):
            raise DownloadFailed("interrupted")
        return 0.0

    return {name: partial(wait, pause) for name, pause in pauses.items()}


def check_arrived(progress: Mapping[str, Any]) -> None:
    """Check every finished part before ffmpeg is given it; raise DownloadFailed `not_a_video` for what is no media.

    Of a picture, which ffmpeg is not given, only the size is checked; raises `too_large`.
    """
    name = progress.get("filename")
    if plain_kind(progress.get("info_dict") or {}) == "picture":
        check_picture_size(max(progress.get("downloaded_bytes") or 0, progress.get("total_bytes") or 0))
        return
    if progress.get("status") != "finished" or not isinstance(name, str):
        return
    path = Path(name)
    # A video can have such an extension too; but only a video has formats.
    is_text = path.suffix.lstrip(".") in _TEXT_PARTS and "format_id" not in (progress.get("info_dict") or {})
    if is_text or not path.is_file():
        return
    try:
        check_part(path)
    except NotPlayable as error:
        path.unlink()  # another attempt would take it for a finished part
        raise DownloadFailed("not_a_video", detail=str(error)) from error


def preflight(
    limits: MediaLimits,
    meter: ProgressMeter,
    describe: Callable[[Mapping[str, Any]], None],
    await_permit: Callable[[], None],
) -> Any:
    """Return a post-processor that inspects each planned download before it starts.

    It refuses what exceeds *limits* and what external programs would fetch, tells *meter* what is to come, and calls
    *describe* with yt-dlp's info, then *await_permit*.
    """
    from yt_dlp.postprocessor.common import PostProcessor

    class Preflight(PostProcessor):  # type: ignore[misc]  # yt-dlp comes without types
        def run(self, info: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
            self.inspect(info)
            return [], info

        def inspect(self, info: Mapping[str, Any]) -> None:
            _refuse_other_protocols(info)
            limits.check_plan(info)
            meter.plan(info)
            describe(info)
            await_permit()

    return Preflight()


def _refuse_other_protocols(info: Mapping[str, Any]) -> None:
    for part in info.get("requested_formats") or (info,):
        if (protocol := part.get("protocol")) not in _NATIVE_PROTOCOLS:
            raise DownloadFailed("blocked_address", detail=f"a download by {protocol} was refused: it needs a program")
