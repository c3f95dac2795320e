"""Loads what a server and its workers load when they start, in the process that `forked.py` forks them from."""

import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from downloader import create_downloader_app
from downloader.engines import worker
from downloader.settings import Settings
from downloader.ytdlp import tools as toolchain
from tests.once import compute_once

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
compute_once()
with TemporaryDirectory() as folder:
    create_downloader_app(Settings(storage_dir=Path(folder))).extensions["downloader"].close(grace_seconds=0)
before = set(sys.modules)
worker.load()
# It keeps these from workers, but a server may need them.
for name in set(sys.modules) - before:
    if sys.modules[name] is None:
        del sys.modules[name]
