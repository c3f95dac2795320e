"""Loads what a server and its workers load when they start, in the process that `forked.py` forks them from."""

import sys
from importlib import import_module

from downloader.engines import worker
from downloader.ytdlp import tools as toolchain

for name in (
    "downloader_main",
    "downloader.engines.worker_process",
    "downloader.server.wsgi",
    "downloader.web.app",
    "downloader.queue.services",
    "portal.blueprint",
):
    import_module(name)
import_module("sqlalchemy.dialects.sqlite")
toolchain.ffmpeg()  # remembers what it finds
before = set(sys.modules)
worker.load()
# It keeps these from workers, but a server may need them.
for name in set(sys.modules) - before:
    if sys.modules[name] is None:
        del sys.modules[name]
