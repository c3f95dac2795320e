"""What is sent to the API: a sentence for everything that cannot be right."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from downloader.presets import Expand
from downloader.settings import Settings
from downloader.web.requests import DownloadRequest
from tests.web.world import LINK, V1, refused


@pytest.fixture
def client(shared_app: Flask) -> FlaskClient:
    """Return a client of one app for all: what is refused changes nothing."""
    return shared_app.test_client()


ROUTES = ["/detect-platform", "/download", "/download/batch"]


NO_URL: list[Any] = [{}, {"url": ""}, {"url": None}, {"u": 1}]


NO_URLS: list[Any] = [{}, {"urls": []}, {"urls": None}]


MISSING: list[tuple[str, Any, str]] = [
    *((route, body, "URL is required") for route in ROUTES[:2] for body in NO_URL),
    ("/download", {"url": "   "}, "URL is required"),
    *(("/download/batch", body, "At least one URL is required") for body in NO_URLS),
    ("/download/batch", {"url": LINK}, "At least one URL is required"),
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
    answer = client.post("/detect-platform", data=json.dumps({"url": LINK}))
    assert answer.get_json()["platform"] == "tiktok"


def test_too_many_urls_are_refused_with_the_number(client: FlaskClient) -> None:
    answer = client.post("/download/batch", json={"urls": ["https://youtu.be/x"] * 1001})
    assert answer.status_code == 400
    assert "1000" in answer.get_json()["error"]
    assert "1001" in answer.get_json()["error"]


@pytest.mark.parametrize("path", ["/download", "/download/batch", f"{V1}/batches"])
@pytest.mark.parametrize(
    "preset", ["nonsense", "", " ", "VIDEO", "720p ", "\ud800", 720, 1.5, True, None, [], ["video"], {}]
)
def test_a_preset_that_does_not_exist_is_refused_with_those_that_do(
    client: FlaskClient, path: str, preset: object
) -> None:
    links: dict[str, Any] = {"url": LINK} if path == "/download" else {"urls": [LINK]}
    sentence = refused(client.post(path, data=json.dumps({**links, "preset": preset})), 400)
    assert "video, 1080p, 720p, 480p, smallest, audio, mp3" in sentence


@pytest.mark.parametrize("path", ["/download", "/download/batch", f"{V1}/batches"])
@pytest.mark.parametrize(
    "subtitles",
    ["en", None, True, {}, {"en": 1}, ["en", ""], ["English, please"], ["../en"], ["\ud800"], [1], ["en"] * 21],
)
def test_what_is_no_list_of_languages_is_refused_with_an_example(
    client: FlaskClient, path: str, subtitles: object
) -> None:
    links: dict[str, Any] = {"url": LINK} if path == "/download" else {"urls": [LINK]}
    sentence = refused(client.post(path, data=json.dumps({**links, "subtitles": subtitles})), 400)
    assert 'send a list of at most 20 language codes such as "en", "pt-BR" or "zh-Hans"' in sentence


def test_detecting_a_platform_takes_no_preset(client: FlaskClient) -> None:
    answer = client.post("/detect-platform", json={"url": LINK, "preset": "nonsense"})
    assert (answer.status_code, answer.get_json()["platform"]) == (200, "tiktok")


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete"])
@pytest.mark.parametrize(
    "body",
    [{}, {"ids": []}, {"ids": "x"}, {"ids": [1]}, {"ids": [""]}, {"ids": ["x"], "more": 1}, [], {"ids": ["x"] * 1001}],
)
def test_a_bad_list_of_ids_is_refused(client: FlaskClient, verb: str, body: Any) -> None:
    refused(client.post(f"{V1}/jobs/{verb}", json=body), 400)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/jobs?limit=0", "limit"),
        ("/jobs?limit=201", "limit"),
        ("/jobs?limit=1_0", "whole number"),
        ("/jobs?limit=5&limit=5", "2 times"),
        ("/jobs?state=", "state"),
        ("/jobs?state=done", "state"),
        ("/jobs?platform=vimeo", "platform"),
        ("/jobs?cursor=rubbish", "cursor"),
        ("/jobs?colour=red", "'colour'"),
        (f"/jobs?{'x' * 5000}=1", "Unknown parameter"),
        ("/batches?cursor=%00", "cursor"),
        ("/queue?x=1", "'x'"),
        ("/events?since=-1", "since"),
        (f"/events?since={2**63}", "since"),
        ("/files/nothing?index=-1", "index"),
        ("/files/nothing?download=yes", "download"),
    ],
)
def test_a_bad_parameter_is_refused_by_its_name(client: FlaskClient, path: str, word: str) -> None:
    sentence = refused(client.get(V1 + path), 400)
    assert word in sentence
    assert len(sentence) < 300


PLAYLIST = "https://www.youtube.com/playlist?list=PL1"

EXPANDS: list[tuple[Any, str]] = [
    (5, "expand is not valid"),
    ("all", "expand is not valid: it must be an object."),
    ([], "expand is not valid: it must be an object."),
    ({"limit": 0}, "expand.limit is not valid"),
    ({"limit": 10_001}, "expand.limit is not valid"),
    ({"limit": "100"}, "expand.limit is not valid: it must be a whole number"),
    ({"limit": True}, "expand.limit is not valid: it must be a whole number"),
    ({"limit": 1.5}, "expand.limit is not valid"),
    ({"order": "random"}, "expand.order is not valid"),
    ({"since": "yesterday"}, "expand.since is not valid: it must be a date such as 2026-01-31"),
    ({"since": "2026-02-30"}, "expand.since is not valid"),
    ({"since": 5}, "expand.since is not valid: it must be a date such as 2026-01-31"),
    ({"number": 5}, "expand.number is not valid: there is none of that name."),
]


@pytest.mark.parametrize(("expand", "sentence"), EXPANDS)
@pytest.mark.parametrize("route", ["/download", "/download/batch", f"{V1}/batches"])
def test_what_is_no_way_to_take_a_collection_apart_is_refused(
    client: FlaskClient, route: str, expand: Any, sentence: str
) -> None:
    links = {"url": PLAYLIST} if route == "/download" else {"urls": [PLAYLIST]}
    answer = client.post(route, json={**links, "expand": expand})
    assert answer.status_code == 400
    assert sentence in answer.get_json()["error"]


@pytest.mark.parametrize(
    ("expand", "wanted"),
    [
        (None, None),
        (False, None),
        (True, Expand()),
        ({}, Expand()),
        ({"limit": 7.0, "order": "oldest", "since": "2026-01-31"},
         Expand(limit=7, order="oldest", since=date(2026, 1, 31))),
        ({"since": None}, Expand()),
    ],
)  # fmt: skip
def test_how_to_take_a_collection_apart(expand: Any, wanted: Expand | None) -> None:
    assert DownloadRequest.parse({"url": PLAYLIST, "expand": expand}).wanted(Settings()).expand == wanted
