"""Imported once by the process that forks workers, so that each of them begins with yt-dlp loaded and warm."""

from __future__ import annotations

import gc

# The worker too, for all that it imports.
from downloader import batch_downloader
from downloader.engines import worker  # noqa: F401

batch_downloader.warm_up_engine()
# What is loaded now is never garbage: a collection in a worker need not touch it, and so not copy its pages.
gc.freeze()
