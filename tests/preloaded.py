"""Loads what a server loads when it starts, in the process that `forked.py` forks servers from."""

from importlib import import_module

from downloader.ytdlp import tools as toolchain

for name in ("downloader_main", "downloader.web.app", "downloader.queue.services", "portal.blueprint"):
    import_module(name)
import_module("sqlalchemy.dialects.sqlite")
toolchain.ffmpeg()  # remembers what it finds
