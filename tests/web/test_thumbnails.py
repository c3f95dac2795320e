"""The route to thumbnails: what is served, and as what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from downloader import create_downloader_app
from downloader.settings import Settings
from tests.simulator.client import Simulator
from tests.simulator.thumbnails import png
from tests.web.world import V1, refused


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    """Return a client of a service whose internet is the simulator."""
    app = create_downloader_app(settings)
    yield app.test_client()
    app.extensions["downloader"].close(grace_seconds=0)


def downloaded(client: FlaskClient, url: str) -> dict[str, Any]:
    record: dict[str, Any] = client.post("/download", json={"url": url}).get_json()
    assert record["success"], record
    return record


def test_a_thumbnail_is_served_as_what_it_is(client: FlaskClient, settings: Settings, simulator: Simulator) -> None:
    record = downloaded(client, simulator.url("tiktok", "ok"))
    assert record["thumbnail_url"] == f"{V1}/jobs/{record['job_id']}/thumbnail"
    first = client.get(record["thumbnail_url"])
    assert (first.status_code, first.content_type) == (200, "image/jpeg")
    assert first.data.startswith(b"\xff\xd8")
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert first.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert first.headers["Cache-Control"].startswith("private")
    same = client.get(record["thumbnail_url"], headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
    # By its bytes, not by what the host once called it.
    (settings.thumbnails_dir / record["job_id"]).write_bytes(png(2, 2))
    other = client.get(record["thumbnail_url"], headers={"If-None-Match": first.headers["ETag"]})
    assert (other.status_code, other.content_type) == (200, "image/png")


def test_no_record_event_or_page_names_the_platforms_address(client: FlaskClient, simulator: Simulator) -> None:
    record = downloaded(client, simulator.url("tiktok", "ok"))
    texts = [
        client.get(path, headers={"Accept": "application/json"}).text
        for path in (f"{V1}/jobs/{record['job_id']}", f"{V1}/jobs", f"{V1}/events?since=0", "/dashboard")
    ]
    assert not [text for text in [str(record), *texts] if "tiktokcdn" in text]


def test_there_is_a_sentence_where_there_is_no_thumbnail(client: FlaskClient, simulator: Simulator) -> None:
    record = downloaded(client, simulator.url("tiktok", "thumbnail_html"))
    assert "no thumbnail" in refused(client.get(record["thumbnail_url"]), 404)
    gone = record["thumbnail_url"].replace(record["job_id"], "nosuchjobatall22")
    assert "no such job" in refused(client.get(gone), 404)
    job = client.get(f"{V1}/jobs/{record['job_id']}").get_json()["job"]
    assert job["thumbnail_url"] == record["thumbnail_url"]  # another try may do better


def test_a_job_that_never_read_its_page_has_no_thumbnail(client: FlaskClient, simulator: Simulator) -> None:
    record = client.post("/download", json={"url": simulator.url("tiktok", "removed")}).get_json()
    assert record["thumbnail_url"] is None
    assert "no thumbnail" in refused(client.get(f"{V1}/jobs/{record['job_id']}/thumbnail"), 404)


def test_too_many_who_wait_are_told_to_come_back(
    client: FlaskClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("downloader.web.thumbnails.MAX_WAITING", 0)
    app = create_downloader_app(settings)  # in the same folder: the same queue
    record = downloaded(client, simulator.url("tiktok", "ok"))
    busy = app.test_client().get(record["thumbnail_url"])
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "5")
    assert client.get(record["thumbnail_url"]).status_code == 200
    assert app.test_client().get(record["thumbnail_url"]).status_code == 200
