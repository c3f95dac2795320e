"""The queue over HTTP, through Flask's test client: batches, jobs, files, and a sentence for what cannot be."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound
from werkzeug.test import TestResponse

from downloader import create_downloader_app
from downloader.jobs import Job
from downloader.models import Outcome
from downloader.queue.services import Services
from downloader.server import wsgi as wsgi_server
from downloader.settings import Settings
from downloader.web import files as api_files
from downloader.web.files import media_path

TIKTOK = "https://www.tiktok.com/@ada/video/"
V1 = "/api/v1"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_downloader_app(Settings(storage_dir=tmp_path / "storage", max_attempts=1))
    yield app
    app.extensions["downloader"].close(grace_seconds=0)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def services(app: Flask) -> Services:
    services: Services = app.extensions["downloader"]
    return services


@pytest.fixture
def wait(services: Services) -> Callable[[str], list[dict[str, Any]]]:
    """Return what waits until all of a batch is final, and returns its records."""

    def wait(batch_id: str) -> list[dict[str, Any]]:
        queue = services.open()
        while True:
            with queue.hub.subscribe(batch_id=batch_id) as subscription:
                sent = services.loop.submit(queue.batch_jobs(batch_id)).result(10)
                if all(job.state in {"succeeded", "failed", "cancelled"} for _, job in sent):
                    return [{"url": url, "id": job.id, "state": job.state} for url, job in sent]
                assert subscription.get(10) is not None, "nothing happened"

    return wait


@pytest.fixture
def media(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Have each TikTok download write a file of its own, of these bytes."""
    content = bytes(range(256)) * 40

    def download(url: str, output_dir: str) -> tuple[bool, str, None]:
        path = Path(output_dir) / f"tiktok {url.rpartition('/')[2]} «é».mp4"
        path.write_bytes(content)
        return True, str(path), None

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    return content


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (False, None, "It is gone.")
    )


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have TikTok downloads hang; return what is set as soon as one does."""
    begun, over = threading.Event(), threading.Event()

    def download(url: str, output_dir: str) -> tuple[bool, None, str]:
        begun.set()
        over.wait(20)
        return False, None, "It hung."

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    yield begun
    over.set()


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


# Batches


def test_a_batch_is_stored_before_the_answer(client: FlaskClient) -> None:
    paused(client)
    urls = [f"{TIKTOK}1", "rubbish", f"{TIKTOK}2", f"{TIKTOK}1"]
    answer = client.post(f"{V1}/batches", json={"urls": urls})
    assert answer.status_code == 202
    said = answer.get_json()
    assert answer.location == f"{V1}/batches/{said['batch']['id']}"
    assert [job["url"] for job in said["jobs"]] == urls
    assert [job["state"] for job in said["jobs"]] == ["queued", "failed", "queued", "queued"]
    assert said["jobs"][0]["job_id"] == said["jobs"][3]["job_id"]
    assert said["jobs"][1]["error"] == "Unsupported platform"
    assert client.get(answer.location).get_json() == said


def test_a_thousand_urls_are_one_batch(client: FlaskClient) -> None:
    paused(client)
    said = submit(client, *(f"{TIKTOK}{number}" for number in range(1000)))
    assert len(said["jobs"]) == 1000
    assert said["batch"]["counts"]["queued"] == 1000


def test_each_url_is_answered_as_it_was_sent(client: FlaskClient) -> None:
    paused(client)
    spellings = [f"{TIKTOK}7", f"{TIKTOK}7?lang=en", "https://m.tiktok.com/@ada/video/7"]
    said = submit(client, *spellings)
    shown = client.get(f"{V1}/batches/{said['batch']['id']}").get_json()
    assert [job["url"] for job in shown["jobs"]] == spellings


def test_a_queued_job_has_no_error_yet(client: FlaskClient) -> None:
    paused(client)
    [job] = submit(client, f"{TIKTOK}1")["jobs"]
    assert (job["success"], job["error"], job["error_code"], job["file_url"]) == (False, None, None, None)


def test_the_same_key_and_urls_are_the_same_batch(client: FlaskClient) -> None:
    paused(client)
    first = client.post(f"{V1}/batches", json={"urls": ["a", "b"]}, headers={"Idempotency-Key": "k 1"})
    again = client.post(f"{V1}/batches", json={"urls": ["a", "b"]}, headers={"Idempotency-Key": "k 1"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.get_json() == first.get_json()
    other = client.post(f"{V1}/batches", json={"urls": ["a", "c"]}, headers={"Idempotency-Key": "k 1"})
    assert "Idempotency-Key" in refused(other, 409)
    assert len(client.get(f"{V1}/batches").get_json()["batches"]) == 1


def test_a_repeated_submission_shows_what_is_left_of_the_batch(client: FlaskClient) -> None:
    paused(client)
    first = submit(client, "a", "b", key="k")
    client.delete(f"{V1}/jobs/{first['jobs'][0]['job_id']}")
    assert [job["url"] for job in submit(client, "a", "b", key="k")["jobs"]] == ["b"]


@pytest.mark.parametrize("key", ["", "é", "x" * 201, "a\tb"])
def test_a_bad_key_is_refused(client: FlaskClient, key: str) -> None:
    answer = client.post(f"{V1}/batches", json={"urls": ["a"]}, headers={"Idempotency-Key": key})
    assert "Idempotency-Key" in refused(answer, 400)


def test_two_posts_at_once_with_one_key_make_one_batch(app: Flask) -> None:
    app.extensions["downloader"].open()
    together = threading.Barrier(8)

    def post(_: int) -> tuple[int, str]:
        together.wait(10)
        answer = app.test_client().post(f"{V1}/batches", json={"urls": ["a", "b"]}, headers={"Idempotency-Key": "same"})
        return answer.status_code, answer.get_json()["batch"]["id"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    assert len({batch_id for _, batch_id in answers}) == 1
    assert sorted(status for status, _ in answers) == [200] * 7 + [202]


def test_batches_come_newest_first_in_pages(client: FlaskClient) -> None:
    ids = [submit(client, "a")["batch"]["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = client.get(f"{V1}/batches", query_string={"limit": 2, **({"cursor": cursor} if cursor else {})})
        seen += [batch["id"] for batch in page.get_json()["batches"]]
        cursor = page.get_json()["next_cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_cancelling_a_batch_leaves_finished_jobs_alone(client: FlaskClient) -> None:
    paused(client)
    said = submit(client, f"{TIKTOK}1", "rubbish")
    cancelled = client.post(f"{V1}/batches/{said['batch']['id']}/cancel").get_json()
    assert [job["job_id"] for job in cancelled["jobs"]] == [said["jobs"][0]["job_id"]]
    assert cancelled["batch"]["counts"]["cancelled"] == 1
    assert cancelled["batch"]["counts"]["failed"] == 1


def test_retrying_a_batch_takes_only_what_failed_or_was_cancelled(
    client: FlaskClient, media: bytes, wait: Callable[[str], Any]
) -> None:
    done = submit(client, f"{TIKTOK}1")
    wait(done["batch"]["id"])
    assert client.post(f"{V1}/batches/{done['batch']['id']}/retry").get_json()["jobs"] == []
    paused(client)
    cancelled = submit(client, f"{TIKTOK}2", "rubbish")
    client.post(f"{V1}/batches/{cancelled['batch']['id']}/cancel")
    retried = client.post(f"{V1}/batches/{cancelled['batch']['id']}/retry").get_json()
    assert [(job["url"], job["state"]) for job in retried["jobs"]] == [(f"{TIKTOK}2", "queued")]


def test_a_batch_is_deleted_only_when_all_of_it_is_done(client: FlaskClient) -> None:
    paused(client)
    batch_id = submit(client, f"{TIKTOK}1", "rubbish")["batch"]["id"]
    assert "cancel it first" in refused(client.delete(f"{V1}/batches/{batch_id}"), 409)
    client.post(f"{V1}/batches/{batch_id}/cancel")
    assert len(client.delete(f"{V1}/batches/{batch_id}").get_json()["deleted"]) == 2
    refused(client.get(f"{V1}/batches/{batch_id}"), 404)


# The second round


@pytest.fixture
def stumbling(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Have the first TikTok download of each URL break off, and the next succeed; return how many there were."""
    begun: Counter[str] = Counter()

    def download(url: str, output_dir: str) -> Outcome:
        begun[url] += 1
        if begun[url] == 1:
            return Outcome(False, None, "The connection broke off.", error_code="network")
        path = Path(output_dir) / f"{url.rpartition('/')[2]}.mp4"
        path.write_bytes(b"film")
        return Outcome(True, str(path), None)

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    return begun


def test_a_batch_that_wants_a_second_round_has_it_and_says_so(
    client: FlaskClient, stumbling: Counter[str], wait: Callable[[str], Any]
) -> None:
    urls = [f"{TIKTOK}1", f"{TIKTOK}2", "rubbish"]
    answer = client.post(f"{V1}/batches", json={"urls": urls, "retry_failed_once": True})
    batch = answer.get_json()["batch"]
    assert answer.status_code == 202
    assert (batch["retry_failed_once"], batch["second_round_at"], batch["second_round_jobs"]) == (True, None, 0)
    assert [job["state"] for job in wait(batch["id"])] == ["succeeded", "succeeded", "failed"]
    after = client.get(f"{V1}/batches/{batch['id']}").get_json()["batch"]
    assert (after["counts"]["succeeded"], after["counts"]["failed"]) == (2, 1)
    assert (after["retry_failed_once"], after["second_round_jobs"]) == (True, 2)
    assert datetime.fromisoformat(after["second_round_at"]) > datetime.fromisoformat(after["created_at"])
    assert client.get(f"{V1}/batches").get_json()["batches"] == [after]
    assert stumbling == {url: 2 for url in urls[:2]}
    events = client.get(f"{V1}/events?batch={batch['id']}&since=0", headers={"Accept": "application/json"}).get_json()[
        "events"
    ]
    [told] = [event for event in events if event["kind"] == "batch_changed"]
    assert (told["batch_id"], told["job_id"]) == (batch["id"], None)
    assert told["data"].keys() == {"second_round_at", "second_round_jobs"}
    assert told["data"]["second_round_jobs"] == 2
    assert datetime.fromisoformat(told["data"]["second_round_at"]) == datetime.fromisoformat(after["second_round_at"])


def test_unless_it_is_asked_for_what_failed_is_final(
    client: FlaskClient, stumbling: Counter[str], wait: Callable[[str], Any]
) -> None:
    batch = submit(client, f"{TIKTOK}1")["batch"]
    assert (batch["retry_failed_once"], batch["second_round_at"], batch["second_round_jobs"]) == (False, None, 0)
    assert [job["state"] for job in wait(batch["id"])] == ["failed"]
    assert client.get(f"{V1}/batches/{batch['id']}").get_json()["batch"]["counts"]["failed"] == 1
    assert stumbling == {f"{TIKTOK}1": 1}


@pytest.mark.parametrize("path", ["/download", "/download/batch"])
def test_waiting_requests_know_no_second_round(client: FlaskClient, stumbling: Counter[str], path: str) -> None:
    url = f"{TIKTOK}1"
    answer = client.post(path, json={"url": url, "urls": [url], "retry_failed_once": True})
    assert answer.status_code == 200
    [record] = answer.get_json().get("downloads", [answer.get_json()])
    assert (record["success"], record["error_code"]) == (False, "network")
    assert stumbling == {url: 1}


@pytest.mark.parametrize("flag", ["true", 1, 0, None, [], {}])
def test_a_wish_for_a_second_round_that_is_neither_true_nor_false_is_refused(client: FlaskClient, flag: Any) -> None:
    answer = client.post(f"{V1}/batches", json={"urls": ["a"], "retry_failed_once": flag})
    assert "retry_failed_once" in refused(answer, 400)
    assert client.get(f"{V1}/batches").get_json()["batches"] == []


def test_what_is_not_known_of_a_submission_is_passed_over(client: FlaskClient) -> None:
    answer = client.post(f"{V1}/batches", json={"urls": ["a"], "retry_failed_twice": 7})
    assert answer.status_code == 202
    assert answer.get_json()["batch"]["retry_failed_once"] is False


def test_a_repeated_key_changes_no_wish_for_a_second_round(client: FlaskClient) -> None:
    first = submit(client, "a", key="k")
    answer = client.post(
        f"{V1}/batches", json={"urls": ["a"], "retry_failed_once": True}, headers={"Idempotency-Key": "k"}
    )
    assert (answer.status_code, answer.get_json()) == (200, first)


def test_a_batch_that_is_cancelled_wants_no_second_round_any_more(client: FlaskClient) -> None:
    paused(client)
    body = {"urls": [f"{TIKTOK}1"], "retry_failed_once": True}
    said = client.post(f"{V1}/batches", json=body).get_json()
    by_job = client.post(f"{V1}/jobs/{said['jobs'][0]['job_id']}/cancel")
    assert by_job.status_code == 200
    path = f"{V1}/batches/{said['batch']['id']}"
    assert client.get(path).get_json()["batch"]["retry_failed_once"] is True
    assert client.post(f"{path}/cancel").get_json()["batch"]["retry_failed_once"] is False
    refused(client.post(f"{V1}/batches/{'a' * 16}/cancel"), 404)


def test_the_document_has_the_wish_for_a_second_round_where_it_is_heard(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()

    def fields(path: str) -> dict[str, Any]:
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        found: dict[str, Any] = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"]
        return found

    assert fields(f"{V1}/batches")["retry_failed_once"]["type"] == "boolean"
    assert fields(f"{V1}/batches")["retry_failed_once"]["default"] is False
    assert fields("/download/batch").keys() == {"urls"}


# Jobs


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
    assert hanging.wait(10)
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
    assert "succeeded already" in refused(client.post(f"{done}/cancel"), 409)
    assert "only what failed" in refused(client.post(f"{done}/retry"), 409)
    assert "No platform" in refused(client.post(f"{unsupported}/retry"), 409)


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
        (f"/jobs?{'x' * 5000}=1", "There is no parameter"),
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
def test_what_is_not_there_is_404(client: FlaskClient, method: str, path: str) -> None:
    refused(client.open(V1 + path, method=method), 404)


# The queue


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


# Files


@pytest.fixture
def job_id(client: FlaskClient, media: bytes, wait: Callable[[str], Any]) -> str:
    """Return a job that has a file."""
    [job] = wait(submit(client, f"{TIKTOK}1")["batch"]["id"])
    assert job["state"] == "succeeded"
    found: str = job["id"]
    return found


def test_a_file_is_sent_whole_with_what_it_is(client: FlaskClient, media: bytes, job_id: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}")
    assert (answer.status_code, answer.data, answer.mimetype) == (200, media, "video/mp4")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"].startswith("inline;")
    assert client.head(f"{V1}/files/{job_id}").content_length == len(media)


def test_a_file_is_saved_under_its_own_name(client: FlaskClient, job_id: str) -> None:
    disposition = client.get(f"{V1}/files/{job_id}?download=true").headers["Content-Disposition"]
    assert disposition.startswith("attachment;")
    assert "filename*=UTF-8''tiktok%201%20%C2%AB%C3%A9%C2%BB.mp4" in disposition


@pytest.mark.parametrize(
    ("asked", "start", "stop"), [("bytes=0-9", 0, 10), ("bytes=10230-", 10230, 10240), ("bytes=-5", 10235, 10240)]
)
def test_a_part_of_a_file_is_sent(
    client: FlaskClient, media: bytes, job_id: str, asked: str, start: int, stop: int
) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (206, media[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(media)}"


@pytest.mark.parametrize(
    "asked",
    [
        "items=0-1",
        "seconds=5-",
        "bytes=9-2",
        "bytes=abc",
        "bytes=",
        "bytes",
        "bytes=1",
        "bytes=-",
        "0-5",
        "bytes=0-5;x",
    ],
)
def test_a_range_that_is_none_is_ignored(client: FlaskClient, media: bytes, job_id: str, asked: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, media)


def test_units_have_no_case(client: FlaskClient, media: bytes, job_id: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": "Bytes=2-3"})
    assert (answer.status_code, answer.data) == (206, media[2:4])


@pytest.mark.parametrize("address", ["jobs", "batches"])
def test_an_empty_cursor_is_the_first_page(client: FlaskClient, address: str) -> None:
    submit(client, f"{TIKTOK}1")
    pages = [client.get(f"{V1}/{address}{query}").get_json()[address] for query in ("", "?cursor=")]
    # By name: what is told of it may change between the two.
    first, again = ([record.get("job_id") or record["id"] for record in page] for page in pages)
    assert len(first) == 1
    assert first == again


def test_several_parts_at_once_are_answered_with_all(client: FlaskClient, media: bytes, job_id: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": "bytes=0-1,4-5"})
    assert (answer.status_code, answer.data) == (200, media)


def test_a_part_that_is_not_there_is_416(client: FlaskClient, media: bytes, job_id: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": f"bytes={len(media)}-"})
    refused(answer, 416)
    document = client.get("/openapi.json").get_json()
    assert {"206", "304", "416"} <= document["paths"]["/api/v1/files/{job_id}"]["get"]["responses"].keys()
    assert answer.headers["Content-Range"] == f"bytes */{len(media)}"


def test_a_file_that_has_not_changed_is_not_sent_again(client: FlaskClient, media: bytes, job_id: str) -> None:
    first = client.get(f"{V1}/files/{job_id}")
    for condition in ({"If-None-Match": first.headers["ETag"]}, {"If-Modified-Since": first.headers["Last-Modified"]}):
        assert client.get(f"{V1}/files/{job_id}", headers=condition).status_code == 304
    other = client.get(f"{V1}/files/{job_id}", headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (other.status_code, other.data) == (200, media)


def test_a_job_without_its_file_says_so(client: FlaskClient, services: Services, job_id: str) -> None:
    assert "counted from 0" in refused(client.get(f"{V1}/files/{job_id}?index=1"), 404)
    for path in services.settings.raw_dir.iterdir():
        path.unlink()
    assert "not there any more" in refused(client.get(f"{V1}/files/{job_id}"), 404)
    unsupported = submit(client, "rubbish")["jobs"][0]["job_id"]
    assert "no file" in refused(client.get(f"{V1}/files/{unsupported}"), 404)


@pytest.mark.parametrize("with_files", ["true", "false"])
def test_a_record_is_deleted_with_or_without_its_file(
    client: FlaskClient, services: Services, job_id: str, with_files: str
) -> None:
    assert client.delete(f"{V1}/jobs/{job_id}?files={with_files}").status_code == 200
    refused(client.get(f"{V1}/files/{job_id}"), 404)
    assert len(list(services.settings.raw_dir.iterdir())) == (0 if with_files == "true" else 1)


def test_players_that_have_paused_hold_no_threads(
    app: Flask, services: Services, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More players than our server has threads, each with a part of a file half read; and the bytes are right."""
    monkeypatch.setattr(wsgi_server, "THREADS", 3)
    server = wsgi_server.WsgiServer(app, wsgi_server.listen("127.0.0.1", 0), max_request_bytes=10_000)
    server.start()
    [path] = services.settings.raw_dir.iterdir()
    content = path.read_bytes() * 6000  # 60 MB: far more than sockets and buffers between us hold
    path.write_bytes(content)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(server.close, 5)

        def ask(path: str, part: str) -> http.client.HTTPResponse:
            player = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            cleanup.callback(player.close)
            player.request("GET", path, headers={"Range": part})
            return player.getresponse()

        players = [ask(f"{V1}/files/{job_id}", "bytes=1000-") for _ in range(5)]
        assert [player.status for player in players] == [206] * 5
        assert [player.read(10) for player in players] == [content[1000:1010]] * 5
        assert ask("/healthz", "").status == 200
        assert players[0].read() == content[1010:]
        assert ask(f"{V1}/files/{job_id}", "bytes=5-14").read() == content[5:15]


JOB = Job(
    id="j", batch_id="b", url="u", link="u", platform="tiktok", state="succeeded", attempts=1,
    created_at=datetime(2026, 1, 1, tzinfo=UTC), updated_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    raw_dir = tmp_path / "store" / "raw"
    raw_dir.mkdir(parents=True)
    (raw_dir / "a.mp4").write_bytes(b"media")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "store" / "raw-other.mp4").write_bytes(b"secret")
    (raw_dir / "outside.mp4").symlink_to(tmp_path / "secret.mp4")
    (raw_dir / "folder.mp4").mkdir()
    (raw_dir / "way").symlink_to(tmp_path, target_is_directory=True)
    (raw_dir / "loop.mp4").symlink_to(raw_dir / "loop.mp4")
    return raw_dir


def test_a_stored_path_leads_to_its_file(raw_dir: Path) -> None:
    assert media_path(replace(JOB, files=(f"{raw_dir}/a.mp4",)), 0, raw_dir) == (raw_dir / "a.mp4").resolve()


@pytest.mark.parametrize(
    "stored",
    [
        "{raw}/../../secret.mp4",
        "{raw}/../raw-other.mp4",
        "{raw}/outside.mp4",
        "{raw}/way/secret.mp4",
        "{raw}/folder.mp4",
        "{raw}/loop.mp4",
        "{raw}",
        "{raw}/a.mp4\0",
        "{raw}/" + "x" * 5000,
        "/etc/passwd",
        "",
    ],
)
def test_no_stored_path_leads_out_of_the_storage_folder(raw_dir: Path, stored: str) -> None:
    with pytest.raises(NotFound):
        media_path(replace(JOB, files=(stored.replace("{raw}", str(raw_dir)),)), 0, raw_dir)


def test_a_link_that_takes_a_files_place_is_not_served(
    client: FlaskClient,
    media: bytes,
    wait: Callable[[str], list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = submit(client, f"{TIKTOK}1")
    wait(batch["batch"]["id"])
    job_id = batch["jobs"][0]["job_id"]
    (tmp_path / "secret").write_bytes(b"secret")
    looked_at: Callable[..., Path] = api_files.media_path

    def then_swapped(*arguments: Any) -> Path:
        path = looked_at(*arguments)
        path.unlink()
        path.symlink_to(tmp_path / "secret")
        return path

    monkeypatch.setattr(api_files, "media_path", then_swapped)
    refused(client.get(f"{V1}/files/{job_id}"), 404)


# Records as they come


def test_ndjson_sends_each_record_as_its_job_ends(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is read while the first still runs: only then is the first let go."""
    let_go = threading.Event()

    def download(url: str, output_dir: str) -> tuple[bool, str, None]:
        assert not url.endswith("/1") or let_go.wait(20)
        return True, f"{output_dir}/a.mp4", None

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    answer = app.test_client().post(
        "/download/batch",
        json={"urls": [f"{TIKTOK}1", f"{TIKTOK}2", f"{TIKTOK}1"]},
        headers={"Accept": "application/x-ndjson"},
    )
    assert answer.mimetype == "application/x-ndjson"
    lines = answer.iter_encoded()
    assert json.loads(next(lines))["url"] == f"{TIKTOK}2"
    let_go.set()
    rest = [json.loads(line) for line in lines]
    assert [record["url"] for record in rest] == [f"{TIKTOK}1"] * 2
    assert all(record["success"] for record in rest)


def test_ndjson_refuses_as_the_plain_route_does(client: FlaskClient) -> None:
    answer = client.post("/download/batch", json={"urls": []}, headers={"Accept": "application/x-ndjson"})
    assert (answer.status_code, answer.get_json()) == (400, {"error": "At least one URL is required"})


def test_a_client_that_leaves_ndjson_leaves_its_jobs_running(client: FlaskClient, hanging: threading.Event) -> None:
    answer = client.post(
        "/download/batch",
        json={"urls": [f"{TIKTOK}1", "rubbish"]},
        headers={"Accept": "application/x-ndjson"},
    )
    next(answer.iter_encoded())
    assert hanging.wait(10)
    answer.close()
    assert client.get(f"{V1}/queue").get_json()["counts"]["running"] == 1


def test_a_client_that_reads_ndjson_has_a_place_until_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.web.download.MAX_WAITING_REQUESTS", 1)
    app = create_downloader_app(Settings(storage_dir=tmp_path / "other"))
    client = app.test_client()
    paused(client)

    def ask() -> TestResponse:
        return client.post(
            "/download/batch", json={"urls": ["rubbish", f"{TIKTOK}1"]}, headers={"Accept": "application/x-ndjson"}
        )

    try:
        first = ask()
        refused(ask(), 503)
        first.close()
        assert client.post("/download", json={"url": "rubbish"}).status_code == 200
    finally:
        app.extensions["downloader"].close(grace_seconds=0)
