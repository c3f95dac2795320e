"""The queue and its platforms over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

from tests.web.world import TIKTOK, V1, paused, submit


def test_the_queue_can_be_paused_and_goes_on(client: FlaskClient, media: bytes, wait: Callable[[str], Any]) -> None:
    paused(client)
    said = submit(client, f"{TIKTOK}1")
    shown = client.get(f"{V1}/queue").get_json()
    assert (shown["paused"], shown["counts"]["queued"], shown["disk_low"]) == (True, 1, False)
    assert client.post(f"{V1}/queue/resume").get_json()["paused"] is False
    assert [job["state"] for job in wait(said["batch"]["id"])] == ["succeeded"]


def test_platforms_tell_how_they_fared(client: FlaskClient, media: bytes, wait: Callable[[str], Any]) -> None:
    wait(submit(client, f"{TIKTOK}1")["batch"]["id"])
    platforms = {each["platform"]: each for each in client.get(f"{V1}/platforms").get_json()["platforms"]}
    assert platforms.keys() == {"tiktok", "instagram", "twitter", "youtube"}
    assert platforms["tiktok"]["success_rate_last_hour"] == 1.0
    assert platforms["twitter"]["success_rate_last_hour"] is None
    ended = client.post(f"{V1}/platforms/tiktok/end-cooldown")
    assert (ended.status_code, ended.get_json()["cooling_until"]) == (200, None)
