"""An app without retries, its client and its queue; TikTok downloads that succeed, fail or hang."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from downloader.queue.services import Services


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Return an app without retries."""
    return make_app(max_attempts=1)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def services(app: Flask) -> Services:
    services: Services = app.extensions["downloader"]
    return services


@pytest.fixture
def wait(services: Services) -> Callable[[str], list[dict[str, Any]]]:
    """Return what waits until all of a batch is final, and returns its records."""

    def wait(batch_id: str) -> list[dict[str, Any]]:
        queue = services.open()
        while True:
            with queue.hub.subscribe(batch_id=batch_id) as subscription:
                sent = services.loop.submit(queue.batch_jobs(batch_id)).result(30)
                if all(job.state in {"succeeded", "failed", "cancelled"} for _, job in sent):
                    return [{"url": url, "id": job.id, "state": job.state} for url, job in sent]
                assert subscription.get(10) is not None, "nothing happened"

    return wait


@pytest.fixture
def media(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Have each TikTok download write a file of its own, of these bytes."""
    content = bytes(range(256)) * 40

    def download(url: str, output_dir: str) -> tuple[bool, str, None]:
        path = Path(output_dir) / f"tiktok {url.rpartition('/')[2]} «é».mp4"
        path.write_bytes(content)
        return True, str(path), None

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    return content


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (False, None, "It is gone.")
    )


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have TikTok downloads hang; return what is set as soon as one does."""
    started, over = threading.Event(), threading.Event()

    def download(url: str, output_dir: str) -> tuple[bool, None, str]:
        started.set()
        over.wait(30)
        return False, None, "It hung."

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    yield started
    over.set()
