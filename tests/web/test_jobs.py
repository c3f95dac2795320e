"""Jobs over HTTP, one by one and many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.world import TIKTOK, V1, paused, refused, submit


def test_a_job_tells_what_it_came_to(client: FlaskClient, media: bytes, wait: Callable[[str], Any]) -> None:
    said = submit(client, f"{TIKTOK}1")
    wait(said["batch"]["id"])
    shown = client.get(f"{V1}/jobs/{said['jobs'][0]['job_id']}").get_json()
    job = shown["job"]
    assert (job["state"], job["success"], job["error"], job["attempts"]) == ("succeeded", True, None, 1)
    assert job["file_path"] == job["files"][0]
    assert all(job[name].endswith("Z") for name in ("created_at", "started_at", "finished_at"))
    assert job["file_url"] == f"{V1}/files/{job['job_id']}"
    [attempt] = shown["attempts"]
    assert (attempt["number"], attempt["result"]) == (1, "succeeded")
    assert shown["progress"] is None


def test_a_failed_job_tells_why_and_can_be_retried(
    client: FlaskClient, failing: None, wait: Callable[[str], Any]
) -> None:
    said = submit(client, f"{TIKTOK}1")
    wait(said["batch"]["id"])
    job_id = said["jobs"][0]["job_id"]
    assert client.get(f"{V1}/jobs/{job_id}").get_json()["job"]["error"] == "It is gone."
    assert client.post(f"{V1}/jobs/{job_id}/retry").get_json()["job"]["state"] in {"queued", "running", "failed"}
    wait(said["batch"]["id"])
    assert len(client.get(f"{V1}/jobs/{job_id}").get_json()["attempts"]) == 2


def test_a_running_job_is_cancelled_and_nothing_else_is_possible_before(
    client: FlaskClient, hanging: threading.Event
) -> None:
    [job] = submit(client, f"{TIKTOK}1")["jobs"]
    assert hanging.wait(30)
    path = f"{V1}/jobs/{job['job_id']}"
    assert "running" in refused(client.post(f"{path}/retry"), 409)
    assert "cancel it first" in refused(client.delete(path), 409)
    for _ in range(2):  # the second time it is cancelled already, which is as well
        assert client.post(f"{path}/cancel").get_json()["job"]["state"] == "cancelled"
    assert client.delete(path).get_json() == {"deleted": [job["job_id"]]}


def test_what_cannot_be_changed_is_refused_with_the_reason(
    client: FlaskClient, media: bytes, wait: Callable[[str], Any]
) -> None:
    said = submit(client, f"{TIKTOK}1", "rubbish")
    wait(said["batch"]["id"])
    done, unsupported = (f"{V1}/jobs/{job['job_id']}" for job in said["jobs"])
    assert "already succeeded" in refused(client.post(f"{done}/cancel"), 409)
    assert "only failed or cancelled" in refused(client.post(f"{done}/retry"), 409)
    assert "not supported" in refused(client.post(f"{unsupported}/retry"), 409)


def test_jobs_are_filtered(client: FlaskClient) -> None:
    paused(client)
    first = submit(client, f"{TIKTOK}1", "https://youtu.be/dQw4w9WgXcQ", "rubbish%_")
    submit(client, f"{TIKTOK}2")

    def urls(**query: Any) -> list[str]:
        return [job["url"] for job in client.get(f"{V1}/jobs", query_string=query).get_json()["jobs"]]

    assert urls(state="failed") == ["rubbish%_"]
    assert len(urls(state="queued,failed")) == len(urls(state=["queued", "failed"])) == 4
    assert urls(platform="youtube") == ["https://youtu.be/dQw4w9WgXcQ"]
    assert urls(batch=first["batch"]["id"], platform="tiktok") == [f"{TIKTOK}1"]
    assert urls(text="%_") == urls(text="RUBBISH") == ["rubbish%_"]
    assert urls(batch="nothing") == []


def test_jobs_are_filtered_by_what_they_are_and_when_they_came(client: FlaskClient) -> None:
    paused(client)
    submit(client, f"{TIKTOK}1", "rubbish")
    client.post(f"{V1}/batches", json={"urls": [f"{TIKTOK}2"], "preset": "mp3"})

    def urls(**query: Any) -> list[str]:
        page = client.get(f"{V1}/jobs", query_string=query).get_json()
        assert page["total"] == len(page["jobs"])
        return [job["url"] for job in page["jobs"]]

    assert urls(kind="audio") == urls(preset="mp3") == [f"{TIKTOK}2"]
    assert urls(sort="oldest", platform="tiktok") == [f"{TIKTOK}1", f"{TIKTOK}2"]
    today = datetime.now(UTC)
    day, before = today.date().isoformat(), (today.date() - timedelta(days=1)).isoformat()
    assert len(urls(since=day)) == len(urls(since=before, until=day)) == 3
    assert urls(until=before) == urls(since="9999-12-31") == urls(since=(today + timedelta(hours=1)).isoformat()) == []
    assert client.get(f"{V1}/jobs?limit=1&state=queued").get_json()["total"] == 2


@pytest.mark.parametrize("time", ["yesterday", "1700000000", "2026-13-01", "2026-01-31T10:00:00", "9999-12-31", ""])
def test_what_is_no_time_is_refused(client: FlaskClient, time: str) -> None:
    assert "until" in refused(client.get(f"{V1}/jobs", query_string={"until": time}), 400)


def test_a_cursor_of_another_order_is_refused(client: FlaskClient) -> None:
    paused(client)
    submit(client, f"{TIKTOK}1", f"{TIKTOK}2")
    cursor = client.get(f"{V1}/jobs?limit=1&sort=title").get_json()["next_cursor"]
    assert len(client.get(f"{V1}/jobs?sort=title&cursor={cursor}").get_json()["jobs"]) == 1
    refused(client.get(f"{V1}/jobs?sort=longest&cursor={cursor}"), 400)


def test_jobs_come_in_pages(client: FlaskClient) -> None:
    paused(client)
    sent = submit(client, *(f"{TIKTOK}{number}" for number in range(5)))
    first = client.get(f"{V1}/jobs?limit=3").get_json()
    second = client.get(f"{V1}/jobs?limit=3&cursor={first['next_cursor']}").get_json()
    assert second["next_cursor"] is None
    seen = [job["job_id"] for job in first["jobs"] + second["jobs"]]
    assert sorted(seen) == sorted(job["job_id"] for job in sent["jobs"])


def test_many_jobs_are_changed_at_once(client: FlaskClient) -> None:
    paused(client)
    ids = [job["job_id"] for job in submit(client, f"{TIKTOK}1", f"{TIKTOK}2", "rubbish")["jobs"]]

    def states(answer: TestResponse) -> list[str]:
        return [job["state"] for job in answer.get_json()["jobs"]]

    assert states(client.post(f"{V1}/jobs/cancel", json={"ids": ids})) == ["cancelled", "cancelled"]
    assert states(client.post(f"{V1}/jobs/retry", json={"ids": ids[:1]})) == ["queued"]
    deleted = client.post(f"{V1}/jobs/delete", json={"ids": ids, "files": True}).get_json()["deleted"]
    assert sorted(deleted) == sorted(ids[1:])


@pytest.mark.parametrize("address", ["jobs", "batches"])
def test_an_empty_cursor_is_the_first_page(client: FlaskClient, address: str) -> None:
    submit(client, f"{TIKTOK}1")
    pages = [client.get(f"{V1}/{address}{query}").get_json()[address] for query in ("", "?cursor=")]
    # By name: what is told of it may change between the two.
    first, again = ([record.get("job_id") or record["id"] for record in page] for page in pages)
    assert len(first) == 1
    assert first == again
