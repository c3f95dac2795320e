"""cobalt's API: the order of its checks, its answers, and links that work without the key."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from limits import parse
from werkzeug.test import TestResponse

from downloader.models import Media, Outcome
from downloader.web import rate_limits
from downloader.web.compat import cobalt
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.waiting import until
from tests.web.test_guard import BROWSER
from tests.web.world import KEY, TIKTOK, paused

#: As requests and aiohttp send them; a key as `Api-Key`.
HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}
API_KEY = {"Authorization": f"Api-Key {KEY}"}
LINK = f"{TIKTOK}7"


def save(client: FlaskClient, headers: dict[str, str] | None = None, **body: Any) -> TestResponse:
    return client.post("/", data=json.dumps(body), headers={**HEADERS, **(headers or {})})


def code_of(answer: TestResponse, status: int = 400) -> str:
    body = answer.get_json()
    assert (answer.status_code, body["status"], answer.mimetype) == (status, "error", "application/json")
    assert body["error"]["message"]
    code: str = body["error"]["code"]
    assert code.startswith("error.api.")
    return code.removeprefix("error.api.")


def tunnel_of(answer: TestResponse) -> str:
    body = answer.get_json()
    assert (answer.status_code, body["status"]) == (200, "tunnel"), body
    address = urlsplit(body["url"])
    assert (address.scheme, address.netloc, address.path) == ("http", "localhost", "/tunnel")
    return f"{address.path}?{address.query}"


def changed(tunnel: str, **fields: str) -> str:
    query = {name: values[0] for name, values in parse_qs(urlsplit(tunnel).query).items()}
    return f"/tunnel?{urlencode({**query, **fields})}"


# What is asked first


def test_the_info_has_two_faces(client: FlaskClient) -> None:
    info = client.get("/", headers={"Accept": "*/*"}).get_json()
    assert info["cobalt"]["services"] == ["tiktok", "instagram", "twitter", "youtube"]
    assert info["cobalt"]["url"] == "http://localhost/"
    assert info["cobalt"]["startTime"].isdecimal()
    assert info["git"].keys() == {"commit", "branch", "remote"}
    assert info["app"] == "Batch Video Downloader"
    assert client.get("/", headers=BROWSER).location == "/dashboard"


def test_the_info_and_links_need_no_key_and_the_rest_does(make_app: Callable[..., Flask], media: bytes) -> None:
    client = make_app(api_key=KEY).test_client()
    assert "cobalt" in client.get("/").get_json()
    assert client.get("/", headers=BROWSER).location == "/login?next=/"
    assert code_of(save(client, url=LINK)) == "auth.key.missing"
    assert code_of(save(client, {"Authorization": "Api-Key wrong"}, url=LINK)) == "auth.key.not_found"
    assert client.get("/api/v1/jobs", headers=API_KEY).get_json()["total"] == 0
    tunnel = tunnel_of(save(client, API_KEY, url=LINK))
    answer = client.get(tunnel)
    assert (answer.status_code, answer.data) == (200, media)
    answer.close()


# The order of checks


def test_the_checks_have_their_order(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_app(api_key=KEY).test_client()

    def post(body: object = None, **headers: str) -> str:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return code_of(client.post("/", data=body if isinstance(body, str) else json.dumps(body), headers=sent))

    assert post("rubbish") == "header.accept"
    assert post("rubbish", Accept="*/*", Content_Type="text/plain") == "header.accept"
    assert post("rubbish", Accept="application/json", Content_Type="text/plain") == "header.content_type"
    assert post("rubbish", **HEADERS) == "auth.key.missing"
    assert post("rubbish", **HEADERS, **API_KEY) == "invalid_body"
    utf8 = {"Accept": "application/json; charset=utf-8", "Content-Type": "application/json; charset=utf-8"}
    assert post([], **utf8, **API_KEY) == "invalid_body"
    assert post({"url": LINK, "x": "y" * 1024}, **HEADERS, **API_KEY) == "invalid_body"
    for empty in ({}, {"url": ""}, {"url": None}, {"x": 1}):
        assert post(empty, **HEADERS, **API_KEY) == "link.missing"
    assert post({"url": "https://vimeo.com/7", "x": 1}, **HEADERS, **API_KEY) == "invalid_body"
    assert post({"url": "https://vimeo.com/7"}, **HEADERS, **API_KEY) == "link.invalid"
    assert post({"url": LINK, "downloadMode": "mute"}, **HEADERS, **API_KEY) == "invalid_body"
    assert client.get("/api/v1/jobs", headers=API_KEY).get_json()["total"] == 0


def test_too_many_requests_are_told_the_seconds(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app(rate_limit="1/hour").test_client()
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    answers = [client.post("/", data="{}", headers=HEADERS, environ_base=elsewhere) for _ in range(2)]
    assert code_of(answers[0]) == "link.missing"
    assert code_of(answers[1], 429) == "rate_exceeded"
    assert answers[1].get_json()["error"]["context"]["limit"] == int(answers[1].headers["Retry-After"]) > 3000
    monkeypatch.setattr(rate_limits, "WRONG_KEYS_PER_ADDRESS", parse("1/5minutes"))
    keyed = make_app(api_key=KEY).test_client()
    codes = [save(keyed, {"Authorization": "Bearer wrong"}, url=LINK).status_code for _ in range(2)]
    assert codes == [400, 429]


def test_a_page_of_another_origin_is_told_nothing_of_it(client: FlaskClient) -> None:
    answer = save(client, {"Origin": "https://cobalt.example"}, url=LINK)
    assert (answer.status_code, answer.get_json().keys()) == (403, {"error"})


def test_a_page_that_is_named_may_read_what_it_needs(make_app: Callable[..., Flask], media: bytes) -> None:
    client = make_app(cors_origins="https://cobalt.example").test_client()
    origin = {"Origin": "https://cobalt.example"}
    saved = save(client, origin, url=LINK)
    sent = client.get(tunnel_of(saved), headers=origin)
    for answer in (client.get("/", headers=origin), saved, sent):
        assert answer.headers["Access-Control-Allow-Origin"] == "https://cobalt.example"
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert {"Ratelimit-Limit", "Ratelimit-Policy", "Ratelimit-Remaining", "Ratelimit-Reset"} <= {
            *exposed.split(", ")
        }
        assert {"Estimated-Content-Length", "Content-Disposition"} <= {*exposed.split(", ")}
    sent.close()


# Answers


def test_a_failure_is_told_in_their_words(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome(False, None, "This post is private.", error_code="private")
    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: outcome)
    answer = save(client, url=LINK)
    assert code_of(answer) == "content.post.private"
    assert answer.get_json()["error"] == {
        "code": "error.api.content.post.private",
        "message": "This post is private.",
        "context": {"service": "TikTok"},
    }


def test_a_post_that_an_archive_names_has_no_file(client: FlaskClient) -> None:
    client.post("/api/v1/archive", data="tiktok 7000000000000000007\n")
    answer = save(client, url=f"{TIKTOK}7000000000000000007")
    assert code_of(answer) == "fetch.empty"


def test_a_link_sends_the_file_whole_or_by_range(client: FlaskClient, media: bytes) -> None:
    saved = save(client, url=LINK, filenameStyle="classic")
    tunnel = tunnel_of(saved)
    name = saved.get_json()["filename"]
    assert name.startswith("tiktok_")
    head = client.head(tunnel)
    assert (head.status_code, head.headers["Content-Length"], head.data) == (200, str(len(media)), b"")
    assert head.headers["Content-Disposition"] == f"attachment; filename={name}"
    part = client.get(tunnel, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.data) == (206, media[2:6])
    part.close()


def test_a_link_that_was_changed_or_is_over_opens_nothing(
    client: FlaskClient, media: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    tunnel = tunnel_of(save(client, url=LINK))
    [job] = client.get("/api/v1/jobs").get_json()["jobs"]
    for broken in (
        "/tunnel",
        "/tunnel?p=1",
        changed(tunnel, id="x"),
        changed(tunnel, exp="1"),
        changed(tunnel, sig="é" * 43),
    ):
        assert client.get(broken).status_code == 400, broken
    for forged in (
        changed(tunnel, id=f"{job['job_id']}.1.basic"),
        changed(tunnel, id=f"{job['job_id']}.0.nerdy"),
        changed(tunnel, exp="9999999999999"),
        changed(tunnel, sig="A" * 43, p="1"),
    ):
        assert client.get(forged).status_code == 401, forged
    probe = client.get(f"{tunnel}&p=1")
    assert (probe.status_code, probe.data) == (200, b"")
    with monkeypatch.context() as later:
        later.setattr(cobalt, "LIFETIME", timedelta(seconds=-1))  # since the file was there
        assert client.get(tunnel).status_code == 404
    with monkeypatch.context() as later:
        clock = SimpleNamespace(time=lambda: int(parse_qs(tunnel)["exp"][0]) / 1000 + 1)
        later.setattr(cobalt, "time", clock)
        assert client.get(tunnel).status_code == 404
        assert client.get(f"{tunnel}&p=1").status_code == 404
    Path(job["files"][0]).unlink()
    assert client.get(tunnel).status_code == 404
    client.delete(f"/api/v1/jobs/{job['job_id']}")
    assert client.get(tunnel).status_code == 404


def test_several_files_are_a_picker(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(url: str, output_dir: str) -> Outcome:
        paths = [Path(output_dir) / f"post {name}" for name in ("1.jpg", "2.mp4", "3.gif", "4.mp3", "4.en.srt")]
        for path in paths:
            path.write_bytes(path.name.encode())
        files = tuple(map(str, paths))
        return Outcome(True, files[0], None, media=Media(files=files, title="Two", uploader="Ada", id="7"))

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    answer = save(client, url=LINK).get_json()
    assert answer["status"] == "picker"
    assert [item["type"] for item in answer["picker"]] == ["photo", "video", "gif"]
    assert answer["audioFilename"] == "Two - Ada 04.mp3"
    urls = [item["url"] for item in answer["picker"]] + [answer["audio"]]
    sent = [client.get(url) for url in urls]
    assert [each.data for each in sent] == [b"post 1.jpg", b"post 2.mp4", b"post 3.gif", b"post 4.mp3"]
    assert 'filename="Two - Ada 02.mp4"' in sent[1].headers["Content-Disposition"]
    for each in sent:
        each.close()


# Waiting


class Slow:
    """A download that ends when it is told to."""

    def __init__(self) -> None:
        self.started, self.go = threading.Event(), threading.Event()
        self.error: str | None = None

    def __call__(self, url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        self.started.set()
        self.go.wait(30)
        path = Path(output_dir) / "slow.mp4"
        path.write_bytes(b"a slow video")
        return (False, None, self.error) if self.error else (True, str(path), None)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    download = Slow()
    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    monkeypatch.setattr(cobalt, "WAIT_SECONDS", 0.05)
    yield download
    download.go.set()


@contextlib.contextmanager
def getting(app: Flask, tunnel: str, **environ: Any) -> Iterator[Future[TestResponse]]:
    """Get a link whose download has not ended, in a thread; give the answer to come once it waits."""
    queue = app.extensions["downloader"].open()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(lambda: app.test_client().get(tunnel, environ_overrides=environ))
        until(lambda: bool(queue._waiters))
        yield answer


def test_a_slow_download_is_a_link_that_waits_and_takes_a_place(
    make_app: Callable[..., Flask], slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.web.download.MAX_WAITING_REQUESTS", 1)
    app = make_app()
    client = app.test_client()
    saved = save(client, url=LINK)
    tunnel = tunnel_of(saved)
    assert saved.get_json()["filename"].endswith(".mp4")
    probe = client.get(f"{tunnel}&p=1")
    assert (probe.status_code, probe.data) == (200, b"")
    with getting(app, tunnel) as waiting:
        busy, second = save(client, url=LINK), client.get(tunnel)
        assert code_of(busy, 503) == "capacity"
        assert second.status_code == 503
        assert {busy.headers["Retry-After"], second.headers["Retry-After"]} == {"30"}
        assert client.get(f"{tunnel}&p=1").status_code == 200  # takes no place
        slow.go.set()
        answer = waiting.result(30)
    assert (answer.status_code, answer.data) == (200, b"a slow video")
    answer.close()
    assert save(client, url=LINK).status_code == 200  # the place is free


def test_a_client_that_has_left_takes_no_place(
    make_app: Callable[..., Flask], slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some ask again after 30 seconds, and a link needs no key: they would take all places for as long as it takes."""
    monkeypatch.setattr("downloader.web.download.MAX_WAITING_REQUESTS", 1)
    monkeypatch.setattr(cobalt, "GONE_CHECK_SECONDS", 0.02)
    app, left = make_app(), threading.Event()
    tunnel = tunnel_of(save(app.test_client(), url=LINK))
    with getting(app, tunnel, **{"waitress.client_disconnected": left.is_set}) as waiting:
        assert not waiting.done()
        left.set()
        assert waiting.result(30).status_code == 503
    tunnel_of(save(app.test_client(), url=LINK))  # the place is free


def test_a_download_that_fails_while_its_link_waits_is_no_empty_file(
    make_app: Callable[..., Flask], slow: Slow
) -> None:
    app = make_app(max_attempts=1)
    slow.error = "It is gone."
    with getting(app, tunnel_of(save(app.test_client(), url=LINK))) as waiting:
        slow.go.set()
        answer = waiting.result(30)
    assert (answer.status_code, answer.get_json()) == (404, {"error": "It is gone."})


def test_no_one_is_kept_waiting_for_a_queue_that_is_paused(
    client: FlaskClient, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused(client)
    tunnel = tunnel_of(save(client, url=LINK))
    monkeypatch.setattr("downloader.queue.operations.COOLDOWN_CHECK_INTERVAL_SECONDS", 0.01)
    answer = client.get(tunnel)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    monkeypatch.setattr(cobalt, "WAIT_SECONDS", 15)
    saved = save(client, url=LINK)
    assert code_of(saved) == "fetch.fail"
    assert "continues on the server" in saved.get_json()["error"]["message"]


# A real server


@pytest.mark.timeout(120)
@pytest.mark.parametrize("key", [None, KEY])
def test_a_client_downloads_from_a_real_server(
    start_server: Callable[..., Server], simulator: Simulator, key: str | None
) -> None:
    """The requests of kobalt 0.1.3 and pybalt 2025.7.1; tests/try_clients.py runs the programs themselves."""
    server = start_server(**({"DOWNLOADER_API_KEY": key} if key else {}))
    headers = {**HEADERS, **(API_KEY if key else {})}

    def ask(url: str, body: dict[str, Any] | None = None, **headers: str) -> tuple[Any, bytes]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=50) as answer:
            return answer.headers, answer.read()

    info = json.loads(ask(f"{server.url}/", Accept="*/*")[1])
    assert info["cobalt"]["url"] == f"{server.url}/"
    answer = json.loads(ask(f"{server.url}/", {"url": simulator.url("youtube", "ok")}, **headers)[1])
    assert answer["status"] == "tunnel"
    assert answer["url"].startswith(f"{server.url}/tunnel?")
    assert answer["filename"] == "Ada's garden, part 1 - ada.mp4"
    got, content = ask(answer["url"])  # without the key
    assert int(got["Content-Length"]) == len(content) > 1024
    assert answer["filename"] in got["Content-Disposition"]
    picker = json.loads(ask(f"{server.url}/", {"url": simulator.url("tiktok", "pictures")}, **headers)[1])
    assert [item["type"] for item in picker["picker"]] == ["photo"] * 3
    assert len(ask(picker["picker"][2]["url"])[1]) > 100
    assert len(ask(picker["audio"])[1]) > 100
