"""The login page: one field, no script, and a session that a browser keeps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from downloader.web.login import own_path
from tests.web.world import time_passes

KEY = "a-key-that-no-one-guesses"
OTHER = "another-key-no-one-guesses"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app(api_key=KEY)


def log_in(client: FlaskClient, key: str = KEY, **more: str) -> Any:
    return client.post("/login", data={"key": key, **more}, headers=BROWSER)


def cookie(client: FlaskClient) -> str:
    found = client.get_cookie("downloader_session")
    assert found
    return found.value


def test_the_right_key_begins_a_session(client: FlaskClient) -> None:
    assert client.get("/dashboard", headers=BROWSER).location == "/login?next=/dashboard"
    answer = log_in(client, next="/dashboard?url=https%3A%2F%2Fx.com%2F1")
    assert (answer.status_code, answer.location) == (303, "/dashboard?url=https%3A%2F%2Fx.com%2F1")
    attributes = {part.partition("=")[0].strip() for part in answer.headers["Set-Cookie"].split(";")}
    assert attributes >= {"HttpOnly", "SameSite", "Max-Age", "Path"}
    assert "Max-Age=2592000" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert KEY not in answer.headers["Set-Cookie"]
    assert client.get("/dashboard", headers=BROWSER).status_code == 200
    assert client.get("/api/v1/queue").status_code == 200
    assert client.post("/api/v1/queue/pause").status_code == 200


def test_a_key_that_was_pasted_with_spaces_is_right(client: FlaskClient) -> None:
    assert log_in(client, f"  {KEY}\r\n").status_code == 303


def test_a_session_survives_a_restart_and_dies_with_its_key(make_app: Callable[..., Flask]) -> None:
    client = make_app(api_key=f"{KEY},{OTHER}").test_client()
    log_in(client, OTHER)

    def status(**settings: str) -> int:
        again = make_app(**settings).test_client()
        again.set_cookie("downloader_session", cookie(client))
        return again.get("/api/v1/queue").status_code

    assert status(api_key=f"{KEY},{OTHER}") == 200
    assert status(api_key=OTHER) == 200
    assert status(api_key=KEY) == 401
    assert status(api_key=f"{OTHER}x") == 401


def test_logging_out_ends_the_session_and_its_copies(client: FlaskClient, make_app: Callable[..., Flask]) -> None:
    log_in(client)
    copied = cookie(client)
    answer = client.post("/logout", headers=BROWSER)
    assert (answer.status_code, answer.location) == (303, "/login")
    assert client.get_cookie("downloader_session") is None
    assert client.get("/api/v1/queue").status_code == 401
    for each in (client, make_app(api_key=KEY).test_client()):
        each.set_cookie("downloader_session", copied)
        assert each.get("/api/v1/queue").status_code == 401


def test_logging_out_ends_the_streams_that_are_open(app: Flask) -> None:
    """Another tab would keep showing downloads to the next user of the computer."""
    here, elsewhere, script = app.test_client(), app.test_client(), app.test_client()
    log_in(here)
    log_in(elsewhere)
    bearer = {"Authorization": f"Bearer {KEY}"}
    mine, others, scripts = (
        iter(client.get("/api/v1/events", headers={"Accept": "text/event-stream", **headers}).response)
        for client, headers in ((here, {}), (elsewhere, {}), (script, bearer))
    )
    for stream in (mine, others, scripts):
        assert b"retry" in next(stream)
        assert b"hello" in next(stream)
    here.post("/logout", headers=BROWSER)
    elsewhere.post("/api/v1/queue/pause")
    assert list(mine) == []
    for stream in (others, scripts):
        assert b"queue_changed" in next(stream)


def test_a_wrong_key_is_answered_in_a_sentence(client: FlaskClient) -> None:
    answer = log_in(client, "wrong<b>")
    assert answer.status_code == 401
    assert answer.mimetype == "text/html"
    assert 'role="alert"' in answer.text
    assert "wrong" not in re.sub(r'id="wrong"|about wrong', "", answer.text)
    assert "Set-Cookie" not in answer.headers
    assert client.post("/login", data={"key": "wrong"}).get_json().keys() == {"error"}
    assert log_in(client, "").status_code == 401
    assert client.post("/login").status_code == 401


def test_only_what_the_page_sends_is_read(client: FlaskClient) -> None:
    """A boundary of 250 KB took two seconds, a form of 4 MB one, and no key was needed."""
    giant = {"Content-Type": f"multipart/form-data; boundary={'a' * 1000}"}
    for headers in (giant, {"Content-Type": "application/json"}):
        answer = client.post("/login", data=b"key=1", headers=headers)
        assert answer.status_code == 415
        assert "form" in answer.get_json()["error"]
    assert log_in(client, "a" * 70_000).status_code == 413
    # A wrong one was never looked at.
    assert [log_in(client, "wrong").status_code for _ in range(10)] == [401] * 10
    assert log_in(client, "wrong").status_code == 429


def test_guessing_ends_and_then_the_right_key_waits_too(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = app.test_client()
    log_in(others)
    assert [log_in(client, "wrong").status_code for _ in range(12)] == [401] * 10 + [429] * 2
    refused = log_in(client)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    assert "wait" in refused.text
    assert "Set-Cookie" not in refused.headers
    assert client.get("/api/v1/queue", headers={"Authorization": f"Bearer {KEY}"}).status_code == 429
    assert others.get("/api/v1/queue").status_code == 200  # who is in stays in
    time_passes(monkeypatch, 301)
    assert log_in(client).status_code == 303


@pytest.mark.parametrize(
    "next_path", ["/", "/dashboard", "/dashboard?url=a&b=%0d%0a", "/api/v1/files/x?download=true#y", "/a//b"]
)
def test_the_way_back_may_lead_anywhere_here(client: FlaskClient, next_path: str) -> None:
    assert own_path(next_path) == next_path
    assert log_in(client, next=next_path).location == next_path


@pytest.mark.parametrize(
    "next_path",
    [
        "", "dashboard", "//attacker.example", "///attacker.example", "/\\attacker.example", "\\\\attacker.example",
        "https://attacker.example", "javascript:alert(1)", "data:text/html,x", "/\t/attacker.example",
        "/\n/attacker.example", "/x\r\nSet-Cookie: a=b", "/x\r\n\r\n<script>", "/x\x00", "/ä", "/ x", " /x",
        "/a\\b", "/\u2028", "/" + "x" * 20_000,
    ],
)  # fmt: skip
def test_the_way_back_leads_nowhere_else(client: FlaskClient, next_path: str) -> None:
    assert own_path(next_path) is None
    answer = log_in(client, next=next_path)
    assert answer.location == "/dashboard"
    assert client.get("/login", query_string={"next": next_path}, headers=BROWSER).status_code == 200
    shown = client.get("/login", query_string={"next": next_path}, headers=BROWSER).text
    assert "attacker" not in shown
    assert "script" not in shown


def test_without_keys_there_is_nothing_to_log_in_to(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    client = make_app().test_client()
    assert client.get("/login?next=/api/docs").location == "/api/docs"
    assert client.get("/login").headers["Cache-Control"] == "no-store"  # a key may be set tomorrow
    assert client.post("/login", data={"key": "x"}).location == "/dashboard"
    assert client.post("/logout").location == "/login"
    assert not (tmp_path / "storage" / "session.key").exists()


def test_who_is_in_is_offered_the_way_out(client: FlaskClient) -> None:
    log_in(client)
    text = client.get("/login").text
    assert 'action="/logout"' in text
    assert "password" not in text


def test_the_page_has_no_script_and_no_style_inside(client: FlaskClient) -> None:
    answers = [client.get("/login?next=/dashboard"), log_in(client, "wrong"), log_in(client) and client.get("/login")]
    for answer in answers:
        assert not re.search(r"<script|<style|style=|\son\w+=|javascript:", answer.text)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; form-action")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        [sheet] = re.findall('<link rel="stylesheet" href="(.*?)">', answer.text)
        assert client.get(sheet).mimetype == "text/css"
