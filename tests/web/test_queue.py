"""The queue and its platforms over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from downloader.jobs import Machine
from downloader.queue.scheduler import NO_MACHINE
from tests.fakes import HandEngine
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


def test_a_server_without_a_fleet_has_no_machines(client: FlaskClient) -> None:
    assert client.get(f"{V1}/machines").get_json() == {"machines": []}
    assert client.get(f"{V1}/queue").get_json()["machines_error"] is None
    assert client.get("/readyz").get_json()["checks"].keys() == {"database", "disk", "workers"}
    assert "machine" not in client.get("/metrics").get_data(as_text=True)


def test_the_machines_of_a_fleet_are_shown(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = HandEngine({})
    monkeypatch.setattr("downloader.queue.services.ThreadEngine", lambda settings: engine)
    app = make_app()
    client = app.test_client()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["checks"]["machines"]) == (503, NO_MACHINE)
    assert client.get(f"{V1}/queue").get_json()["machines_error"] == NO_MACHINE

    at = datetime(2026, 1, 1, tzinfo=UTC)
    one = Machine(id="one", egress="home", places=4, busy=1, version="1", started_at=at, heard_at=at)
    gone = replace(one, id="two", is_alive=False, is_draining=True, fault="Its storage is away.")
    engine.fleet = [one, gone]
    app.extensions["downloader"].loop.submit(resized(engine)).result(10)
    first, second = client.get(f"{V1}/machines").get_json()["machines"]
    assert first == {
        "name": "one", "egress": "home", "places": 4, "busy": 1, "is_alive": True, "is_draining": False,
        "version": "1", "started_at": "2026-01-01T00:00:00Z", "heard_at": "2026-01-01T00:00:00Z", "fault": None,
    }  # fmt: skip
    assert (second["is_alive"], second["fault"]) == (False, "Its storage is away.")
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["checks"]["machines"]) == (200, "ok")
    metrics = client.get("/metrics").get_data(as_text=True)
    for line in (
        'downloader_machine_up{egress="home",machine="one"} 1.0',
        'downloader_machine_up{egress="home",machine="two"} 0.0',
        'downloader_machine_places{egress="home",machine="one"} 4.0',
        'downloader_machine_busy{egress="home",machine="one"} 1.0',
    ):
        assert line in metrics


async def resized(engine: HandEngine) -> None:
    engine.resize(home=4)
