"""yt-dlp's age, and the update that waits for a restart: told at the start, to Prometheus and to the page."""

from __future__ import annotations

import logging
from datetime import date

import pytest
from flask import Flask
from flask.testing import FlaskClient

import downloader_main
from downloader.ytdlp import tools
from downloader.ytdlp.tools import OLD_AFTER_DAYS, Tool, release_date, ytdlp_release

TODAY = date(2026, 11, 22)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def install(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    monkeypatch.setattr(tools, "ytdlp", lambda: Tool(name="yt-dlp", version=version))


@pytest.mark.parametrize(
    ("version", "day"),
    [
        ("2026.8.19", date(2026, 8, 19)),
        ("2026.08.19", date(2026, 8, 19)),
        ("2026.8.19.1", date(2026, 8, 19)),
        ("2026.8.19.232805.dev0", date(2026, 8, 19)),
        ("2026.2.31", None),
        ("1.2", None),
        ("12026.8.19", None),
        ("2026.8.19-x", None),
        ("", None),
        (None, None),
    ],
)
def test_the_version_says_the_day(version: str | None, day: date | None) -> None:
    assert release_date(version) == day


@pytest.mark.parametrize(
    ("version", "age_days", "old"),
    [
        ("2026.11.22", 0, False),
        ("2026.9.23", OLD_AFTER_DAYS, False),
        ("2026.9.22", OLD_AFTER_DAYS + 1, True),
        ("2027.1.1", 0, False),  # released tomorrow: a clock is wrong
        ("unknown", None, False),
    ],
)
def test_it_is_old_after_two_months(
    version: str, age_days: int | None, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, version)
    release = ytdlp_release(version, today=TODAY)
    assert (release.age_days, release.old, release.restart_needed) == (age_days, old, False)
    assert (release.advice is not None) == old
    if old:
        assert "update it" in str(release.advice)


def test_an_update_waits_for_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "2026.11.20")
    release = ytdlp_release("2026.8.19", today=TODAY)
    assert release.restart_needed
    assert release.old
    assert release.advice == "Restart this server to use yt-dlp 2026.11.20: it still runs 2026.8.19."
    install(monkeypatch, None)
    assert "no longer installed" in str(ytdlp_release("2026.8.19", today=TODAY).advice)


def test_the_api_tells_of_the_tools(client: FlaskClient) -> None:
    said = client.get("/api/v1/tools").get_json()
    assert said.keys() == {"ytdlp", "ffmpeg", "javascript"}
    version = tools.ytdlp().version
    ytdlp = said["ytdlp"]
    assert ytdlp.keys() == {"version", "installed", "released", "age_days", "old", "restart_needed", "advice"}
    assert (ytdlp["version"], ytdlp["installed"], ytdlp["restart_needed"]) == (version, version, False)
    assert date.fromisoformat(ytdlp["released"]) == release_date(version)
    assert ytdlp["age_days"] >= 0
    assert said["ffmpeg"]["name"] == "ffmpeg"
    assert said["javascript"]["name"] == "deno"


def test_the_api_tells_of_an_update(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "2099.1.1")
    said = client.get("/api/v1/tools").get_json()["ytdlp"]
    assert (said["installed"], said["restart_needed"]) == ("2099.1.1", True)
    assert said["advice"].startswith("Restart this server to use yt-dlp 2099.1.1")


def test_the_api_tells_of_tools_that_are_missing(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "ffmpeg", lambda: None)
    monkeypatch.setattr(tools, "js_runtime", lambda: None)
    said = client.get("/api/v1/tools").get_json()
    assert (said["ffmpeg"], said["javascript"]) == (None, None)


def test_prometheus_gets_the_age(client: FlaskClient) -> None:
    text = client.get("/metrics").get_data(as_text=True)
    [line] = [line for line in text.splitlines() if line.startswith("downloader_ytdlp_age_days ")]
    assert float(line.split()[1]) == ytdlp_release().age_days


def test_readiness_does_not_depend_on_age(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    assert set(client.get("/readyz").get_json()["checks"]) == {"database", "disk", "workers"}


@pytest.mark.parametrize(("version", "warned"), [("2020.1.1", True), ("2099.1.1", False)])
def test_the_start_warns_of_an_old_one(
    version: str, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, version)
    monkeypatch.setattr(downloader_main, "ytdlp_release", lambda: ytdlp_release(version))
    with caplog.at_level(logging.WARNING, logger="downloader"):
        downloader_main.warn_if_ytdlp_is_old()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    if warned:
        assert "update it" in caplog.records[0].detail  # type: ignore[attr-defined]
