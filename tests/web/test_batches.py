"""Batches over HTTP: submitted, listed, cancelled, retried and deleted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from downloader.models import Outcome
from downloader.ytdlp.client import _CONTEXT
from tests.web.world import TIKTOK, V1, paused, refused, submit


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


def test_a_batch_may_say_what_to_get(client: FlaskClient) -> None:
    paused(client)
    answer = client.post(f"{V1}/batches", json={"urls": [f"{TIKTOK}1", "rubbish"], "preset": "audio"})
    assert answer.status_code == 202
    said = answer.get_json()
    assert [(job["preset"], job["kind"]) for job in said["jobs"]] == [("audio", "audio")] * 2
    assert client.get(answer.location).get_json() == said
    [usual] = submit(client, f"{TIKTOK}1")["jobs"]
    assert (usual["preset"], usual["kind"]) == ("video", "video")
    assert usual["job_id"] != said["jobs"][0]["job_id"]


def test_a_retried_job_keeps_its_preset(client: FlaskClient, failing: None, wait: Callable[[str], Any]) -> None:
    said = client.post(f"{V1}/batches", json={"urls": [f"{TIKTOK}1"], "preset": "480p"}).get_json()
    wait(said["batch"]["id"])
    [job] = said["jobs"]
    retried = client.post(f"{V1}/jobs/{job['job_id']}/retry").get_json()["job"]
    assert (retried["preset"], retried["kind"]) == ("480p", "video")


def test_a_retried_job_keeps_its_languages(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, wait: Callable[[str], Any]
) -> None:
    wanted: list[tuple[str, ...]] = []

    def download(url: str, output_dir: str) -> tuple[bool, None, str]:
        context = _CONTEXT.get()
        assert context
        wanted.append(context.subtitles)
        return False, None, "It is gone."

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    body = {"urls": [f"{TIKTOK}1"], "subtitles": ["pt_br", "EN", "en"]}
    said = client.post(f"{V1}/batches", json=body).get_json()
    wait(said["batch"]["id"])
    client.post(f"{V1}/jobs/{said['jobs'][0]['job_id']}/retry")
    wait(said["batch"]["id"])
    assert wanted == [("pt-BR", "en")] * 2


def test_a_key_is_for_one_choice_of_languages(client: FlaskClient) -> None:
    paused(client)
    headers = {"Idempotency-Key": "languages"}
    body = {"urls": ["a"], "subtitles": ["en"]}
    first = client.post(f"{V1}/batches", json=body, headers=headers)
    again = client.post(f"{V1}/batches", json={**body, "subtitles": ["EN"]}, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    refused(client.post(f"{V1}/batches", json={"urls": ["a"]}, headers=headers), 409)


def test_a_key_is_for_one_preset(client: FlaskClient) -> None:
    paused(client)
    headers = {"Idempotency-Key": "k"}
    first = client.post(f"{V1}/batches", json={"urls": ["a"], "preset": "480p"}, headers=headers)
    again = client.post(f"{V1}/batches", json={"urls": ["a"], "preset": "480p"}, headers=headers)
    assert (again.status_code, again.get_json()) == (200, first.get_json())
    other = client.post(f"{V1}/batches", json={"urls": ["a"]}, headers=headers)
    assert "something else" in refused(other, 409)


def test_an_unknown_field_is_refused_by_its_name(client: FlaskClient) -> None:
    answer = client.post(f"{V1}/batches", json={"urls": ["a"], "presett": "480p"})
    assert "presett" in refused(answer, 400)
    assert client.get(f"{V1}/batches").get_json()["batches"] == []


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
        together.wait(30)
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


@pytest.fixture
def stumbling(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Have the first TikTok download of each URL break off, and the next succeed; return how many there were."""
    started: Counter[str] = Counter()

    def download(url: str, output_dir: str) -> Outcome:
        started[url] += 1
        if started[url] == 1:
            return Outcome(False, None, "The connection broke off.", error_code="network")
        path = Path(output_dir) / f"{url.rpartition('/')[2]}.mp4"
        path.write_bytes(b"film")
        return Outcome(True, str(path), None)

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    return started


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
    assert fields("/download/batch").keys() == {"urls", "preset", "subtitles", "folder", "again", "expand", "photos"}
