"""Errors over HTTP: always JSON, never a page or a stack trace."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.web.world import LINK, V1, refused


def test_ten_megabytes_are_refused(client: FlaskClient) -> None:
    for route in ("/detect-platform", "/download", "/download/batch"):
        answer = client.post(route, data=b"x" * 10_000_000, content_type="application/json")
        assert answer.status_code == 413
        assert "DOWNLOADER_MAX_REQUEST_BYTES" in answer.get_json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/download", 405), ("DELETE", "/", 405), ("PUT", "/download/batch", 405),
     ("GET", "/portal/static/../../downloader_main.py", 404), ("GET", "/portal/static/nothing.js", 404),
     ("GET", "/%00", 404), ("POST", "/download//batch", 404), ("POST", "/dashboard", 405)],
)  # fmt: skip
def test_unknown_routes_and_methods_are_answered_in_json(
    shared_app: Flask, method: str, path: str, status: int
) -> None:
    answer = shared_app.test_client().open(path, method=method, headers={"Accept": "text/html"})
    assert answer.status_code == status
    assert answer.is_json
    assert answer.get_json().keys() == {"error"}
    if status == 405:
        assert answer.headers["Allow"]


def test_a_crash_in_a_route_is_answered_without_its_trace(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(url: str) -> str:
        raise ValueError("secret inner words")

    monkeypatch.setattr("downloader.web.download.detect_platform", crash)
    answer = app.test_client().post("/detect-platform", json={"url": LINK})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret inner words" in caplog.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/batches/nothing"),
        ("POST", "/batches/nothing/cancel"),
        ("POST", "/batches/nothing/retry"),
        ("DELETE", "/batches/nothing"),
        ("GET", "/jobs/nothing"),
        ("GET", "/jobs/%00"),
        ("GET", f"/jobs/{'x' * 3000}"),
        ("POST", "/jobs/nothing/cancel"),
        ("POST", "/jobs/nothing/retry"),
        ("DELETE", "/jobs/nothing"),
        ("GET", "/files/nothing"),
        ("GET", "/events?batch=nothing"),
        ("POST", "/platforms/vimeo/end-cooldown"),
        ("POST", "/platforms/unknown/end-cooldown"),
    ],
)
def test_what_is_not_there_is_404(shared_app: Flask, method: str, path: str) -> None:
    refused(shared_app.test_client().open(V1 + path, method=method), 404)
