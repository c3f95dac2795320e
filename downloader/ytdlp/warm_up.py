"""Loads and exercises what downloads need, so that the first one does not pay for it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import closing

from downloader.media import decoder
from downloader.platforms import Platform
from downloader.ytdlp.extractors import extractors_of
from downloader.ytdlp.lean import make_lean
from downloader.ytdlp.options import warm_up_options
from downloader.ytdlp.transport import Transport

log = logging.getLogger(__name__)


def warm_up(platforms: Iterable[Platform]) -> None:
    """Import what downloads need, compile the extractors' patterns, and run a made-up extraction: half a second."""
    decoder.library()
    for platform in platforms:
        for extractor in extractors_of(platform):
            extractor.suitable("https://example.invalid/")
            extractor()  # replaces the lazy class, which has only a name and patterns
        _warm_up_extraction(platform)


def _warm_up_extraction(platform: Platform) -> None:
    """Have yt-dlp process a made-up post, without a request or a file; the first time takes 50 ms."""
    import yt_dlp

    video = {"format_id": "0", "ext": "mp4", "vcodec": "h264", "acodec": "aac", "url": "https://example.invalid/0.mp4"}
    post = {"id": "0", "title": "", "extractor": platform.name, "formats": [video, {**video, "format_id": "1"}]}
    try:
        with yt_dlp.YoutubeDL(warm_up_options(platform), auto_init=False) as ydl:
            with closing(Transport("http://127.0.0.1:9")) as transport:
                transport.install(ydl)
            make_lean(ydl)
            ydl.prepare_filename(ydl.process_ie_result(post, download=False))
    except Exception as error:  # another version may require more of a post: then the first download takes longer
        log.debug("the warm-up failed", exc_info=error)
