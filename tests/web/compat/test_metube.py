"""MeTube's API: its clients' requests in every form, and what they get to see."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from downloader.queue.services import Services
from downloader.web.compat.metube_history import item_of
from tests.web.compat.jobs import job_of
from tests.web.test_guard import EXTENSIONS, basic
from tests.web.world import BEARER, KEY, TIKTOK, paused

JSON = "application/json"
BOOKMARKLET = {"Origin": "https://www.youtube.com", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}

#: Client, headers, body without its url.
CLIENTS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("curl -d", {"Content-Type": "application/x-www-form-urlencoded"}, {}),
    ("a script", {"Content-Type": JSON}, {"quality": "best", "playlist_strict_mode": False, "folder": "clips"}),
    ("Rpsl 1.1", {"Content-Type": JSON, "Accept": JSON, "Origin": EXTENSIONS[0]}, {"quality": "best"}),
    (
        "Rpsl 1.7",
        {"Content-Type": JSON, "Accept": JSON, "Origin": EXTENSIONS[0]},
        {"quality": "best", "format": "any", "auto_start": True, "folder": "tiktok.com"},
    ),
    ("nanocortex 1.7", {"Content-Type": JSON, "Origin": EXTENSIONS[1]}, {"quality": "720", "format": "mp4"}),
    (
        "nanocortex 1.8.2",
        {"Content-Type": JSON, "Origin": EXTENSIONS[1]},
        {
            "download_type": "video", "codec": "auto", "quality": "best", "format": "any", "folder": "",
            "custom_name_prefix": "", "auto_start": True, "playlist_strict_mode": False,
        },
    ),
    (
        "metube-android",
        {"Content-Type": "application/json; charset=utf-8", "Authorization": basic(f"ada:{KEY}")},
        {"quality": "best", "format": "any", "auto_start": True},
    ),
    ("Home Assistant", {"Content-Type": JSON}, {"quality": "best", "format": "mp4"}),
    ("PWA", {"Content-Type": JSON}, {"quality": "best", "format": "any", "auto_start": True}),
    ("shortcut", {"Content-Type": JSON}, {"quality": "best_ios"}),
    ("bookmarklet", {"Content-Type": "text/plain;charset=UTF-8", **BOOKMARKLET}, {"quality": "best"}),
]  # fmt: skip


@pytest.mark.parametrize("key", [None, KEY])
def test_the_requests_of_clients_are_taken(make_app: Callable[..., Flask], media: bytes, key: str | None) -> None:
    """Without a key, extensions and pages are named; with one, each sends it that can."""
    named = "https://www.youtube.com" if key else "https://www.youtube.com,chrome-extension://*,moz-extension://*"
    app = make_app(api_key=key, cors_origins=named)
    client, held = app.test_client(), BEARER if key else {}
    for number, (name, headers, body) in enumerate(CLIENTS):
        content = json.dumps({"url": f"{TIKTOK}{number}", **body})
        answer = client.post("/add", data=content, headers={**held, **headers})
        assert (answer.status_code, answer.mimetype, answer.get_json()) == (200, JSON, {"status": "ok"}), name
        if "Origin" in headers:
            assert answer.headers["Access-Control-Allow-Origin"] == headers["Origin"]
    found = lists(client, **held)
    assert {item["url"] for item in found["queue"] + found["done"]} == {f"{TIKTOK}{n}" for n in range(len(CLIENTS))}


def test_a_page_that_is_not_named_adds_nothing(client: FlaskClient) -> None:
    for headers in (BOOKMARKLET, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}, {"Origin": EXTENSIONS[0]}):
        for kind in ("text/plain", JSON, "application/x-www-form-urlencoded"):
            answer = client.post("/add", data=json.dumps({"url": f"{TIKTOK}7"}), headers=headers, content_type=kind)
            assert (answer.status_code, "Access-Control-Allow-Origin" in answer.headers) == (403, False)
    assert lists(client) == {"done": [], "queue": [], "pending": []}


def test_a_preflight_is_answered_for_what_is_named(make_app: Callable[..., Flask]) -> None:
    client = make_app(cors_origins="moz-extension://*").test_client()
    for path in ("/add", "/cancel-add", "/retry", "/upload-cookies", "/delete-cookies"):
        wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        answer = client.options(path, headers={"Origin": EXTENSIONS[1], **wish})
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == EXTENSIONS[1]
        assert "content-type" in answer.headers["Access-Control-Allow-Headers"].lower()


def lists(client: FlaskClient, **headers: str) -> dict[str, list[dict[str, Any]]]:
    answer = client.get("/history", headers=headers)
    assert answer.status_code == 200
    found: dict[str, list[dict[str, Any]]] = answer.get_json()
    return found


def post(client: FlaskClient, path: str, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def refused(answer: TestResponse, word: str) -> None:
    body = answer.get_json()
    assert (answer.status_code, body["status"], body["msg"]) == (400, "error", body["error"])
    assert word in body["error"]


@pytest.fixture
def added(client: FlaskClient, services: Services, media: bytes) -> Callable[..., None]:
    """Return what adds a link, and waits until it has ended."""

    def add(url: str, **body: Any) -> None:
        assert post(client, "/add", url=url, **body) == {"status": "ok"}
        queue = services.open()
        with queue.hub.subscribe() as subscription:
            while lists(client)["queue"]:
                assert subscription.get(10) is not None, "nothing happened"

    return add


def test_a_finished_download_is_listed_and_sent(
    client: FlaskClient, added: Callable[..., None], media: bytes, app: Flask
) -> None:
    before = time.time_ns()
    added(f"{TIKTOK}7", quality="best", folder="clips/new")
    [item] = lists(client)["done"]
    assert item.pop("id")
    assert before <= item.pop("timestamp") <= time.time_ns()
    assert item == {
        "title": f"{TIKTOK}7", "url": f"{TIKTOK}7", "quality": "best", "download_type": "video", "codec": "auto",
        "format": "any", "folder": "", "custom_name_prefix": "", "status": "finished", "msg": None, "error": None,
        "percent": 100, "speed": None, "eta": None, "size": 0, "filename": "tiktok 7 «é».mp4",
    }  # fmt: skip
    name = quote(item["filename"], safe="")
    for path in (f"/download/{name}", f"/audio_download/{name}"):
        answer = client.get(path)
        assert (answer.status_code, answer.data, answer.mimetype) == (200, media, "video/mp4")
        answer.close()
        part = client.get(path, headers={"Range": "bytes=0-3"})
        assert (part.status_code, part.data) == (206, media[:4])
        part.close()
    raw = app.extensions["downloader"].settings.raw_dir
    (raw / "another.mp4").write_bytes(b"not ours")
    (raw.parent / "secret").write_bytes(b"secret")
    for name in ("another.mp4", "../secret", "..%2fsecret", "%2fetc%2fpasswd", str(raw / item["filename"]), "%00"):
        assert client.get(f"/download/{name}").status_code == 404, name


def test_a_file_in_a_folder_is_named_by_both() -> None:
    raw = Path("/srv/raw")
    job = job_of(folder="clips", files=(str(raw / "clips" / "a" / "b.mp3"),), kind="audio", preset="mp3")
    item = item_of(job, None, raw)
    assert (item["folder"], item["filename"]) == ("clips", "a/b.mp3")
    assert (item["download_type"], item["format"], item["quality"]) == ("audio", "mp3", "best")
    elsewhere = item_of(job_of(folder="clips", files=(str(raw / "b.mp4"),), preset="720p"), None, raw)
    assert (elsewhere["folder"], elsewhere["filename"], elsewhere["quality"]) == ("", "b.mp4", "720")


def test_what_is_added_without_starting_waits_over_a_restart(make_app: Callable[..., Flask], media: bytes) -> None:
    client = make_app().test_client()
    for _ in range(2):
        post(client, "/add", url=f"{TIKTOK}7", auto_start=False)
    post(client, "/add", url=f"{TIKTOK}8", auto_start=False)
    client.application.extensions["downloader"].close(grace_seconds=0)
    client = make_app().test_client()
    found = lists(client)
    assert [(item["url"], item["status"], item["error"]) for item in found["pending"]] == [
        (f"{TIKTOK}7", "pending", None),
        (f"{TIKTOK}8", "pending", None),
    ]
    assert (found["done"], found["queue"]) == ([], [])
    [job] = client.get("/api/v1/jobs?text=video/7").get_json()["jobs"]
    assert (job["state"], job["error"].endswith("Retry it to download it.")) == ("failed", True)  # our page says so
    post(client, "/start", ids=[f"{TIKTOK}7", "https://unknown.example"])
    post(client, "/delete", ids=[f"{TIKTOK}8"], where="queue")
    found = lists(client)
    assert found["pending"] == []
    assert [item["url"] for item in found["queue"] + found["done"]] == [f"{TIKTOK}7"]


def test_a_link_that_waits_in_the_queue_is_there_once(client: FlaskClient, media: bytes) -> None:
    paused(client)
    assert post(client, "/add", url=f"{TIKTOK}7") == {"status": "ok"}
    assert post(client, "/add", url=f"{TIKTOK}7") == {"status": "ok", "msg": f"Already in queue: {TIKTOK}7"}
    assert post(client, "/add", url=f"{TIKTOK}7", format="mp3") == {"status": "ok"}  # something else of it
    assert [item["status"] for item in lists(client)["queue"]] == ["pending"] * 2
    post(client, "/delete", ids=[f"{TIKTOK}7"], where="queue")
    assert [item["status"] for item in lists(client)["done"]] == ["error"] * 2
    post(client, "/add", url=f"{TIKTOK}8", auto_start=False)
    assert "msg" in post(client, "/add", url=f"{TIKTOK}8")  # it is started
    assert [item["url"] for item in lists(client)["queue"]] == [f"{TIKTOK}8"]


def test_a_failed_link_is_retried_and_a_finished_one_is_not(
    client: FlaskClient, failing: None, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.post("/download", json={"url": f"{TIKTOK}7"}).get_json()["error"] == "It is gone."
    [item] = lists(client)["done"]
    assert (item["status"], item["error"], item["msg"]) == ("error", "It is gone.", "It is gone.")
    assert "filename" not in item
    paused(client)
    assert post(client, "/retry", id=f"{TIKTOK}7") == {"status": "ok"}
    assert [item["url"] for item in lists(client)["queue"]] == [f"{TIKTOK}7"]
    answer = post(client, "/retry", id=f"{TIKTOK}7")
    assert (answer["status"], answer["msg"].endswith(".")) == ("error", True)
    post(client, "/delete", ids=[f"{TIKTOK}7"], where="queue")
    post(client, "/delete", ids=[f"{TIKTOK}7"], where="done")
    assert lists(client)["done"] == []


def test_deleting_leaves_the_file(client: FlaskClient, added: Callable[..., None], app: Flask) -> None:
    added(f"{TIKTOK}7")
    [item] = lists(client)["done"]
    post(client, "/delete", ids=[f"{TIKTOK}7"], where="done")
    assert lists(client)["done"] == []
    assert (app.extensions["downloader"].settings.raw_dir / item["filename"]).is_file()
    assert client.get(f"/download/{quote(item['filename'])}").status_code == 404  # no record says that it is ours


def test_what_cannot_be_read_is_said_with_200_and_what_is_malformed_with_400(client: FlaskClient) -> None:
    assert post(client, "/add", url="https://vimeo.com/7") == {"status": "error", "msg": "Unsupported platform"}
    assert client.get("/api/v1/jobs").get_json()["total"] == 0
    refused(client.post("/add", data="rubbish"), "JSON")
    refused(client.post("/add", json=[]), "JSON object")
    refused(client.post("/add", json={"url": f"{TIKTOK}7", "folder": "../x"}), "folder")
    malformed: list[dict[str, Any]] = [{}, {"ids": []}, {"ids": "x"}, {"ids": [7]}, {"ids": ["x"] * 1001}]
    for body in malformed:
        refused(client.post("/start", json=body), "ids")
        refused(client.post("/delete", json={"where": "done", **body}), "ids")
    refused(client.post("/delete", json={"ids": ["x"], "where": "here"}), "where")
    for id in ("", None, 7):
        refused(client.post("/retry", json={"id": id}), "id")


def test_cookies_are_stored_for_the_platforms_that_they_are_of(client: FlaskClient) -> None:
    def upload(text: str) -> TestResponse:
        return client.post("/upload-cookies", data={"cookies": (io.BytesIO(text.encode()), "cookies.txt")})

    assert client.get("/cookie-status").get_json() == {"status": "ok", "has_cookies": False}
    refused(client.post("/delete-cookies"), "no cookies")
    lines = f".tiktok.com\tTRUE\t/\tTRUE\t{int(time.time()) + 86400}\tsessionid\tsecret\n"
    answer = upload(f"# Netscape HTTP Cookie File\n{lines}.example.org\tTRUE\t/\tTRUE\t0\ta\tb\n")
    assert answer.get_json()["status"] == "ok"
    assert "TikTok: 1 cookie taken" in answer.get_json()["msg"]
    assert client.get("/cookie-status").get_json() == {"status": "ok", "has_cookies": True}
    refused(upload("rubbish"), "Netscape")
    refused(upload("x" * 1_000_001), "1 MB")
    refused(upload("x" * 2_000_000), "1 MB")
    refused(client.post("/upload-cookies", data={"other": "x"}), "field")
    assert client.post("/delete-cookies").get_json() == {"status": "ok"}
    assert client.get("/cookie-status").get_json() == {"status": "ok", "has_cookies": False}


def test_versions_and_presets_are_told(client: FlaskClient) -> None:
    assert client.get("/version").get_json().keys() == {"yt-dlp", "version"}
    assert "720p" in client.get("/presets").get_json()["presets"]
    assert post(client, "/cancel-add") == {"status": "ok"}


def test_a_setting_turns_it_off(make_app: Callable[..., Flask]) -> None:
    client = make_app(compat=False).test_client()
    assert client.post("/add", json={"url": f"{TIKTOK}7"}).status_code == 404
    assert client.post("/", json={"url": f"{TIKTOK}7"}).status_code == 405
    assert client.get("/").get_json()["cobalt"] is None
    keyed = make_app(compat=False, api_key=KEY).test_client()
    for path in ("/", "/tunnel", "/history"):
        assert keyed.get(path).status_code == 401
