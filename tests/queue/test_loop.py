"""The service's loop: it ends with the service that it belongs to."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

from downloader import create_downloader_app
from downloader.queue.loop import ServiceLoop
from downloader.settings import Settings
from tests.waiting import until


def test_it_ends_with_its_owner() -> None:
    service_loop = ServiceLoop()
    service_loop.submit(asyncio.sleep(0)).result(30)
    loop = service_loop._started()
    assert loop.is_running()
    del service_loop
    gc.collect()
    until(loop.is_closed)


def test_it_does_not_keep_the_app_whose_request_started_it(tmp_path: Path) -> None:
    app = create_downloader_app(Settings(storage_dir=tmp_path))
    assert app.test_client().get("/api/v1/queue").status_code == 200
    app.extensions["downloader"].close(grace_seconds=0)
    found = weakref.ref(app)
    del app

    def is_gone() -> bool:
        gc.collect()
        return found() is None

    until(is_gone)
