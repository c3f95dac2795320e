"""Imported once by the fork server, so that every worker starts with yt-dlp loaded and warm."""

from __future__ import annotations

import gc

from downloader.engines import worker  # noqa: F401 -- with all that it imports
from downloader.platforms import PLATFORMS
from downloader.ytdlp.warm_up import warm_up

warm_up(PLATFORMS.values())
# Objects loaded by now live forever. A collection in a worker that skips them does not copy their pages.
gc.freeze()
