"""The words of a client start quickly: they load nothing of the server."""

from __future__ import annotations

import subprocess
import sys

from tests.real_server import REPOSITORY

NOT_FOR_CLIENTS = {"alembic", "av", "flask", "multiprocessing", "pydantic", "sqlalchemy", "tqdm", "waitress", "yt_dlp"}


def test_a_client_loads_nothing_of_the_server() -> None:
    code = (
        "import sys, downloader_main;"
        "status = downloader_main.main(['list', '--server', 'http://127.0.0.1:1']); print(status, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    status, *modules = done.stdout.split()
    assert status == "3"
    assert "downloader.cli.get" in modules
    assert NOT_FOR_CLIENTS.isdisjoint(modules)
