"""The contract's routes: what they take and answer, and records as their jobs end."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from downloader import __version__, create_downloader_app
from downloader.settings import Settings
from tests.web.world import LINK, TIKTOK, V1, paused, refused


def test_the_factory_needs_no_argument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert create_downloader_app().test_client().get("/").status_code == 200
    assert (tmp_path / "storage" / "raw").is_dir()


def test_two_apps_in_one_process_share_one_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (True, url, None))
    for number in range(2):
        client = create_downloader_app(Settings(storage_dir=tmp_path / "storage")).test_client()
        assert client.post("/download", json={"url": f"{TIKTOK}{number}"}).get_json()["success"] is True
        assert client.get("/readyz").get_json()["checks"]["database"] == "ok"


def test_the_index_says_what_this_is(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.is_json
    assert answer.get_json().keys() >= {"app", "version", "description"}
    assert answer.get_json()["version"] == __version__
    assert client.get("/", headers={"Accept": "*/*"}).is_json
    assert client.get("/", headers={"Accept": "application/json, text/html;q=0.9"}).is_json


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"])
def test_a_browser_is_sent_to_the_dashboard(client: FlaskClient, accept: str) -> None:
    answer = client.get("/", headers={"Accept": accept})
    assert answer.status_code == 302
    assert answer.location == "/dashboard"


def test_the_dashboard_is_served_at_both_addresses(client: FlaskClient) -> None:
    for path in ("/dashboard", "/portal/downloader_dashboard"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.mimetype == "text/html"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_detect_names_the_platform(client: FlaskClient) -> None:
    assert client.post("/detect-platform", json={"url": LINK}).get_json() == {"url": LINK, "platform": "tiktok"}
    unknown = client.post("/detect-platform", json={"url": "https://netflix.com"})
    assert (unknown.status_code, unknown.get_json()["platform"]) == (200, "unknown")


def test_download_answers_one_record(client: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video",
        lambda url, output_dir: (True, f"{output_dir}/a.mp4", None),
    )
    answer = client.post("/download", json={"url": LINK})
    assert answer.status_code == 200
    assert answer.get_json()["success"] is True
    raw_dir = app.extensions["downloader"].settings.raw_dir
    assert answer.get_json()["file_path"] == f"{raw_dir}/a.mp4"


def test_a_failed_download_is_answered_200(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video",
        lambda url, output_dir: (False, None, "Download completed but file not found"),
    )
    answer = client.post("/download", json={"url": LINK})
    assert answer.status_code == 200
    assert answer.get_json()["success"] is False
    assert answer.get_json()["error"] == "Download completed but file not found"


def test_a_batch_answers_a_record_for_each_url_in_order(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (True, "/a.mp4", None)
    )
    urls = [LINK, "https://netflix.com", LINK, "rubbish"]
    answer = client.post("/download/batch", json={"urls": urls})
    assert answer.status_code == 200
    assert answer.get_json().keys() == {"downloads"}
    assert [record["url"] for record in answer.get_json()["downloads"]] == urls
    assert [record["success"] for record in answer.get_json()["downloads"]] == [True, False, True, False]


def test_a_download_may_say_what_to_get(client: FlaskClient, media: bytes) -> None:
    record = client.post("/download", json={"url": LINK, "preset": "mp3"}).get_json()
    assert (record["success"], record["preset"], record["kind"]) == (True, "mp3", "audio")
    batch = {"urls": [LINK, "rubbish"], "preset": "720p"}
    records = client.post("/download/batch", json=batch).get_json()["downloads"]
    assert [(record["preset"], record["kind"]) for record in records] == [("720p", "video")] * 2
    lines = client.post("/download/batch", json=batch, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    assert [json.loads(line)["preset"] for line in lines] == ["720p"] * 2


async def test_requests_share_one_loop_and_its_caps(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask gives each async view its own loop: two requests at once must still see one another's downloads."""
    both_here = threading.Barrier(2)
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video",
        lambda url, output_dir: (both_here.wait(30), (True, url, None))[1],
    )

    def post(number: int) -> Any:
        return app.test_client().post("/download", json={"url": f"{TIKTOK}{number}"}).get_json()

    records = await asyncio.gather(*(asyncio.to_thread(post, number) for number in range(2)))
    assert all(record["success"] for record in records)


async def test_requests_that_wait_leave_room_for_the_others(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.web.download.MAX_WAITING_REQUESTS", 3)
    app = create_downloader_app(app.extensions["downloader"].settings)
    here, go = threading.Barrier(4), threading.Event()

    def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        here.wait(30)
        assert go.wait(30)
        return True, url, None

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", wrapper)

    def post(number: int) -> Any:
        return app.test_client().post("/download", json={"url": f"{TIKTOK}{number}"})

    waiting = [asyncio.create_task(asyncio.to_thread(post, number)) for number in range(3)]
    await asyncio.to_thread(here.wait, 30)
    refused = await asyncio.to_thread(post, 9)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert "try again" in refused.get_json()["error"]
    go.set()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 3
    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (True, url, None))
    assert (await asyncio.to_thread(post, 10)).status_code == 200


@pytest.mark.thorough
def test_a_thousand_urls_half_of_them_rubbish(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (True, url, None))
    rubbish = ["?", "http://127.0.0.1/{}", "x" * 3000 + "{}", "file:///etc/passwd{}", "\u202e{}", "https://{}.example/"]
    urls = [
        f"{TIKTOK}{number}" if number % 2 else rubbish[number // 2 % len(rubbish)].format(number)
        for number in range(1000)
    ]
    answer = client.post("/download/batch", json={"urls": urls})
    assert [record["url"] for record in answer.get_json()["downloads"]] == urls
    assert [record["success"] for record in answer.get_json()["downloads"]] == [
        bool(number % 2) for number in range(1000)
    ]


def test_ndjson_sends_each_record_as_its_job_ends(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is read while the first still runs: only then is the first let go."""
    let_go = threading.Event()

    def download(url: str, output_dir: str) -> tuple[bool, str, None]:
        assert not url.endswith("/1") or let_go.wait(30)
        return True, f"{output_dir}/a.mp4", None

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    answer = app.test_client().post(
        "/download/batch",
        json={"urls": [f"{TIKTOK}1", f"{TIKTOK}2", f"{TIKTOK}1"]},
        headers={"Accept": "application/x-ndjson"},
    )
    assert answer.mimetype == "application/x-ndjson"
    lines = answer.iter_encoded()
    assert json.loads(next(lines))["url"] == f"{TIKTOK}2"
    let_go.set()
    rest = [json.loads(line) for line in lines]
    assert [record["url"] for record in rest] == [f"{TIKTOK}1"] * 2
    assert all(record["success"] for record in rest)


def test_ndjson_refuses_as_the_plain_route_does(client: FlaskClient) -> None:
    answer = client.post("/download/batch", json={"urls": []}, headers={"Accept": "application/x-ndjson"})
    assert (answer.status_code, answer.get_json()) == (400, {"error": "At least one URL is required"})


def test_a_client_that_leaves_ndjson_leaves_its_jobs_running(client: FlaskClient, hanging: threading.Event) -> None:
    answer = client.post(
        "/download/batch",
        json={"urls": [f"{TIKTOK}1", "rubbish"]},
        headers={"Accept": "application/x-ndjson"},
    )
    next(answer.iter_encoded())
    assert hanging.wait(30)
    answer.close()
    assert client.get(f"{V1}/queue").get_json()["counts"]["running"] == 1


def test_a_client_that_reads_ndjson_has_a_place_until_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.web.download.MAX_WAITING_REQUESTS", 1)
    app = create_downloader_app(Settings(storage_dir=tmp_path / "other"))
    client = app.test_client()
    paused(client)

    def ask() -> TestResponse:
        return client.post(
            "/download/batch", json={"urls": ["rubbish", f"{TIKTOK}1"]}, headers={"Accept": "application/x-ndjson"}
        )

    try:
        first = ask()
        refused(ask(), 503)
        first.close()
        assert client.post("/download", json={"url": "rubbish"}).status_code == 200
    finally:
        app.extensions["downloader"].close(grace_seconds=0)
