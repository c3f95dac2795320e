"""The routes, through Flask's test client: their contract, and an answer in JSON to every kind of rubbish."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from downloader import __version__, create_downloader_app
from downloader.settings import Settings

TIKTOK = "https://www.tiktok.com/@ada/video/7"


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return create_downloader_app(Settings(storage_dir=tmp_path / "storage", max_batch_urls=1000))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


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
    assert client.post("/detect-platform", json={"url": TIKTOK}).get_json() == {"url": TIKTOK, "platform": "tiktok"}
    unknown = client.post("/detect-platform", json={"url": "https://netflix.com"})
    assert (unknown.status_code, unknown.get_json()["platform"]) == (200, "unknown")


def test_download_answers_one_record(client: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video",
        lambda url, output_dir: (True, f"{output_dir}/a.mp4", None),
    )
    answer = client.post("/download", json={"url": TIKTOK})
    assert answer.status_code == 200
    assert answer.get_json()["success"] is True
    raw_dir = app.extensions["downloader"].settings.raw_dir
    assert answer.get_json()["file_path"] == f"{raw_dir}/a.mp4"


def test_a_failed_download_is_answered_200(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video",
        lambda url, output_dir: (False, None, "Download completed but file not found"),
    )
    answer = client.post("/download", json={"url": TIKTOK})
    assert answer.status_code == 200
    assert answer.get_json()["success"] is False
    assert answer.get_json()["error"] == "Download completed but file not found"


def test_a_batch_answers_a_record_for_each_url_in_order(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (True, "/a.mp4", None)
    )
    urls = [TIKTOK, "https://netflix.com", TIKTOK, "rubbish"]
    answer = client.post("/download/batch", json={"urls": urls})
    assert answer.status_code == 200
    assert answer.get_json().keys() == {"downloads"}
    assert [record["url"] for record in answer.get_json()["downloads"]] == urls
    assert [record["success"] for record in answer.get_json()["downloads"]] == [True, False, True, False]


async def test_requests_share_one_loop_and_its_caps(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask gives each async view its own loop: two requests at once must still see one another's downloads."""
    both_here = threading.Barrier(2)
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video",
        lambda url, output_dir: (both_here.wait(10), (True, url, None))[1],
    )

    def post(number: int) -> Any:
        return app.test_client().post("/download", json={"url": f"{TIKTOK}{number}"}).get_json()

    records = await asyncio.gather(*(asyncio.to_thread(post, number) for number in range(2)))
    assert all(record["success"] for record in records)


ROUTES = ["/detect-platform", "/download", "/download/batch"]

NO_URL: list[Any] = [{}, {"url": ""}, {"url": None}, {"u": 1}]
NO_URLS: list[Any] = [{}, {"urls": []}, {"urls": None}]
MISSING: list[tuple[str, Any, str]] = [
    *((route, body, "URL is required") for route in ROUTES[:2] for body in NO_URL),
    ("/download", {"url": "   "}, "URL is required"),
    *(("/download/batch", body, "At least one URL is required") for body in NO_URLS),
    ("/download/batch", {"url": TIKTOK}, "At least one URL is required"),
]


@pytest.mark.parametrize(("route", "body", "sentence"), MISSING)
def test_a_missing_url_is_refused_in_the_contracts_words(
    client: FlaskClient, route: str, body: Any, sentence: str
) -> None:
    answer = client.post(route, json=body)
    assert (answer.status_code, answer.get_json()) == (400, {"error": sentence})


@pytest.mark.parametrize(("route", "sentence"), [(ROUTES[0], "URL is required"), (ROUTES[1], "URL is required"),
                                                 (ROUTES[2], "At least one URL is required")])  # fmt: skip
def test_no_body_at_all_is_refused_in_the_contracts_words(client: FlaskClient, route: str, sentence: str) -> None:
    answer = client.post(route)
    assert (answer.status_code, answer.get_json()) == (400, {"error": sentence})


RUBBISH: list[bytes] = [
    b"rubbish",
    b"{",
    b"{]",
    b"\x00\x01\x02",
    b"\xff\xfe{}",
    b"null",
    b"true",
    b"5",
    b'"https://youtu.be/x"',
    b"[]",
    b'["https://youtu.be/x"]',
    b"url=https://youtu.be/x",
    b"[" * 200_000,
    b'{"url":' * 100_000,
    b"1" * 10_000,
    b"<html></html>",
    b'{"url": 5, "urls": 5}',
    b'{"url": ["https://youtu.be/x"], "urls": "https://youtu.be/x"}',
    b'{"url": {"a": 1}, "urls": {"a": 1}}',
    b'{"url": true, "urls": [true]}',
    b'{"url": 1.5, "urls": [null]}',
    b'{"url": "\\ud800", "urls": ["\\ud800"]}',
    b'{"url": " \\t", "urls": [""]}',
    b'{"url": NaN, "urls": ["https://youtu.be/x", 7]}',
    b'{"url": [], "urls": [["https://youtu.be/x"]]}',
    json.dumps({"url": None, "urls": ["https://youtu.be/x"] * 1001}).encode(),
]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", RUBBISH, ids=lambda body: repr(body[:24]))
def test_rubbish_is_refused_with_a_sentence(client: FlaskClient, route: str, body: bytes) -> None:
    for content_type in ("application/json", "text/plain"):
        answer = client.post(route, data=body, content_type=content_type)
        assert answer.status_code == 400
        assert answer.get_json().keys() == {"error"}
        assert answer.get_json()["error"].endswith((".", "required"))
        assert "Traceback" not in answer.text


def test_json_without_its_content_type_is_taken(client: FlaskClient) -> None:
    answer = client.post("/detect-platform", data=json.dumps({"url": TIKTOK}))
    assert answer.get_json()["platform"] == "tiktok"


def test_ten_megabytes_are_refused(client: FlaskClient) -> None:
    for route in ROUTES:
        answer = client.post(route, data=b"x" * 10_000_000, content_type="application/json")
        assert answer.status_code == 413
        assert "DOWNLOADER_MAX_REQUEST_BYTES" in answer.get_json()["error"]


def test_too_many_urls_are_refused_with_the_number(client: FlaskClient) -> None:
    answer = client.post("/download/batch", json={"urls": ["https://youtu.be/x"] * 1001})
    assert answer.status_code == 400
    assert "1000" in answer.get_json()["error"]
    assert "1001" in answer.get_json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/download", 405), ("DELETE", "/", 405), ("PUT", "/download/batch", 405),
     ("GET", "/portal/static/../../downloader_main.py", 404), ("GET", "/portal/static/nothing.js", 404),
     ("GET", "/%00", 404), ("POST", "/download//batch", 404), ("POST", "/dashboard", 405)],
)  # fmt: skip
def test_unknown_routes_and_methods_are_answered_in_json(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method, headers={"Accept": "text/html"})
    assert answer.status_code == status
    assert answer.is_json
    assert answer.get_json().keys() == {"error"}
    if status == 405:
        assert answer.headers["Allow"]


async def test_requests_that_wait_leave_room_for_the_others(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.web.download.MAX_WAITING_REQUESTS", 3)
    app = create_downloader_app(app.extensions["downloader"].settings)
    here, go = threading.Barrier(4), threading.Event()

    def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        here.wait(10)
        assert go.wait(10)
        return True, url, None

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", wrapper)

    def post(number: int) -> Any:
        return app.test_client().post("/download", json={"url": f"{TIKTOK}{number}"})

    waiting = [asyncio.create_task(asyncio.to_thread(post, number)) for number in range(3)]
    await asyncio.to_thread(here.wait, 10)
    refused = await asyncio.to_thread(post, 9)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert "try again" in refused.get_json()["error"]
    go.set()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 3
    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (True, url, None))
    assert (await asyncio.to_thread(post, 10)).status_code == 200


def test_a_crash_in_a_route_is_answered_without_its_trace(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(url: str) -> str:
        raise ValueError("secret inner words")

    monkeypatch.setattr("downloader.web.download.detect_platform", crash)
    answer = app.test_client().post("/detect-platform", json={"url": TIKTOK})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret inner words" in caplog.text


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
