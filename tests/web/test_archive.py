"""yt-dlp's archive over HTTP, and `again`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.world import TIKTOK, V1, paused, refused

ARCHIVE = f"{V1}/archive"
ID = "dQw4w9WgXcQ"


def add(client: FlaskClient, archive: str | bytes, content_type: str = "text/plain") -> Any:
    response = client.post(ARCHIVE, data=archive, content_type=content_type)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_json()


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json", ""])
def test_the_file_is_taken_as_yt_dlp_wrote_it_whatever_curl_calls_it(client: FlaskClient, content_type: str) -> None:
    archive = f"\ufeffyoutube {ID}\r\n\r\ntiktok 7\r\nInstagram C_-1\ntwitter 20\ntwitterbroadcast 1yNxaYAyPvBJj\n"
    assert add(client, archive.encode(), content_type) == {"added": 5, "known": 0, "ignored": 0}
    assert add(client, f"youtube {ID}\nyoutube {ID}\nyoutube {ID[::-1]}") == {"added": 1, "known": 2, "ignored": 0}


def test_what_is_not_ours_is_counted_and_left_out(client: FlaskClient) -> None:
    lines = [
        f"youtube {ID}", "vimeo 7", "youtube", "youtube tooshort", f"youtube {ID} x", "tiktok seven", "rubbish",
        "twitterbroadcast a/b", "\x00", "é" * 50,
    ]  # fmt: skip
    assert add(client, "\n".join(lines)) == {"added": 1, "known": 0, "ignored": 9}
    assert add(client, f"youtube {ID}\n".encode() + b"\xff\xfe\n") == {"added": 0, "known": 1, "ignored": 1}


@pytest.mark.parametrize("body", ["", "\n\n", "vimeo 7", '["youtube"]', "7", "[" * 100_000])
def test_without_any_post_it_is_refused(client: FlaskClient, body: str) -> None:
    assert "lines such as `youtube" in refused(client.post(ARCHIVE, data=body), 400)


def test_as_json_it_is_held_to_its_shape(client: FlaskClient) -> None:
    assert add(client, json.dumps({"archive": f"youtube {ID}"})) == {"added": 1, "known": 0, "ignored": 0}
    for body in ({"archive": 7}, {}, {"archive": "youtube x", "other": 1}):
        refused(client.post(ARCHIVE, json=body), 400)


def test_a_post_of_the_archive_is_answered_without_a_file_until_that_is_forgotten(client: FlaskClient) -> None:
    add(client, "tiktok 1")
    record = client.post("/download", json={"url": f"{TIKTOK}1"}).get_json()
    assert (record["success"], record["reused"], record["file_path"], record["files"]) == (True, True, None, [])
    lines = client.post(
        "/download/batch", json={"urls": [f"{TIKTOK}1"], "preset": "mp3"}, headers={"Accept": "application/x-ndjson"}
    )
    assert [json.loads(line)["reused"] for line in lines.get_data(as_text=True).splitlines()] == [True]
    response = client.post(f"{V1}/batches", json={"urls": [f"{TIKTOK}1"], "retry_failed_once": True})
    batch = response.get_json()["batch"]
    assert (response.status_code, batch["counts"]["succeeded"]) == (202, 1)
    detail = client.get(f"{V1}/batches/{batch['id']}").get_json()
    assert (detail["batch"], detail["jobs"][0]["state"]) == (batch, "succeeded")
    assert client.delete(ARCHIVE).get_json() == {"removed": 1}
    paused(client)
    answer = client.post(f"{V1}/batches", json={"urls": [f"{TIKTOK}1"]}).get_json()
    assert answer["jobs"][0]["state"] == "queued"


def test_again_is_true_or_false(client: FlaskClient) -> None:
    add(client, "tiktok 1")
    paused(client)
    for again, state in ((False, "succeeded"), (True, "queued")):
        answer = client.post(f"{V1}/batches", json={"urls": [f"{TIKTOK}1"], "again": again}).get_json()
        assert [job["state"] for job in answer["jobs"]] == [state]
    values: list[object] = ["yes", 1, None, []]
    for value in values:
        for path, body in ((f"{V1}/batches", {"urls": [TIKTOK]}), ("/download/batch", {"urls": [TIKTOK]})):
            assert "again" in refused(client.post(path, json={**body, "again": value}), 400)
        assert "again" in refused(client.post("/download", json={"url": TIKTOK, "again": value}), 400)
