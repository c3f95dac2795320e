"""No request reaches yt-dlp's options: whatever is sent along with a link is ignored or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

LINK = "https://www.tiktok.com/@ada/video/7"

#: What would hurt, were any of it to arrive; a marker in each, to look for.
EVIL: Mapping[str, Any] = {
    "outtmpl": "/tmp/evil-marker",
    "paths": {"home": "/evil-marker"},
    "proxy": "http://evil-marker:1",
    "postprocessors": [{"key": "Exec", "exec_cmd": "evil-marker"}],
    "external_downloader": "evil-marker",
    "cookiefile": "/evil-marker",
    "enable_file_urls": "evil-marker",
    "output_dir": "/evil-marker",
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what yt-dlp is told, and asked for, from now on."""
    said: list[str] = []

    class Recorder:
        def __init__(self, params: Mapping[str, Any], auto_init: bool = True) -> None:
            said.append(repr({name: value for name, value in params.items() if name != "proxy"}))
            raise ValueError("that is all we wanted to know")

    monkeypatch.setattr("yt_dlp.YoutubeDL", Recorder)
    monkeypatch.setattr("downloader.engines.threads.warm_up", lambda platforms: None)  # it uses yt-dlp too
    return said


@pytest.mark.parametrize("name", ["ytdlp_options", "options", "params", "settings", "DOWNLOADER_YTDLP_OPTIONS", None])
@pytest.mark.parametrize("path", ["/download", "/download/batch"])
@pytest.mark.thorough
def test_what_comes_along_with_a_link_goes_no_further(
    client: FlaskClient, told: list[str], path: str, name: str | None
) -> None:
    links: dict[str, Any] = {"url": LINK} if path == "/download" else {"urls": [LINK]}
    more = dict(EVIL) if name is None else {name: dict(EVIL)}
    answer = client.post(path, json={**links, **more}, query_string={"outtmpl": "/evil-marker"})
    assert answer.status_code == 200
    assert len(told) == 1
    assert "evil-marker" not in told[0]
    assert "'enable_file_urls': False" in told[0]


@pytest.mark.parametrize(
    "path",
    ["/api/v1/batches", "/api/v1/jobs/cancel", "/api/v1/jobs/retry", "/api/v1/jobs/delete"],
)
def test_unknown_fields_of_the_queue_are_refused(client: FlaskClient, path: str) -> None:
    body = {"urls": [LINK]} if path == "/api/v1/batches" else {"ids": ["x"]}
    assert client.post(path, json={**body, "ytdlp_options": {}}).status_code == 400
    assert client.post(path, json=body, query_string={"outtmpl": "x"}).status_code == 400


@pytest.mark.parametrize(
    "link",
    [
        f"{LINK}#__youtubedl_smuggle=" + json.dumps({"evil-marker": 1}).replace(" ", ""),
        f"{LINK}#__youtubedl_smuggle=%7B%22evil-marker%22%3A+1%7D",
        "file:///etc/passwd",
        "--exec=evil-marker",
        f"ytsearch:{LINK}",
    ],
)
def test_a_link_carries_no_instructions(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, link: str) -> None:
    asked: list[str] = []

    def download(url: str, output_dir: str) -> tuple[bool, None, str]:
        asked.append(url)
        return False, None, "No."

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    assert client.post("/download", json={"url": link}).status_code == 200
    assert asked in ([], [LINK])
