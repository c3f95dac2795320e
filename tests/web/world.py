"""What the tests of the API share."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

TIKTOK = "https://www.tiktok.com/@ada/video/"
LINK = f"{TIKTOK}7"
V1 = "/api/v1"
KEY = "a-key-that-no-one-guesses"
BEARER = {"Authorization": f"Bearer {KEY}"}


def submit(client: FlaskClient, *urls: str, key: str | None = None) -> Any:
    answer = client.post(f"{V1}/batches", json={"urls": urls}, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code in {200, 202}, answer.text
    return answer.get_json()


def paused(client: FlaskClient) -> None:
    assert client.post(f"{V1}/queue/pause").get_json()["paused"] is True


def refused(answer: TestResponse, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.get_json().keys() == {"error"}
    sentence: str = answer.get_json()["error"]
    assert sentence.endswith(".")
    return sentence


def time_passes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let *seconds* pass for the rate limits."""
    monkeypatch.setattr("limits.storage.memory.time", SimpleNamespace(time=lambda: time.time() + seconds))


def ask(app: Flask, method: str, path: str, **more: Any) -> TestResponse:
    """Return the response, closed; of a stream only its start."""
    answer = app.test_client().open(path, method=method, **more)
    answer.close()
    return answer
