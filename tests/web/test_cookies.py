"""Cookies over HTTP: in, and never out again."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from downloader.web.cookies import MAX_COOKIE_BYTES

SECRET = "hunter2"
COOKIES = "/api/v1/cookies"
GOOD = f".tiktok.com\tTRUE\t/\tTRUE\t4102444800\tsessionid\t{SECRET}\n"
EXPIRED = f".tiktok.com\tTRUE\t/\tTRUE\t1000000000\tsessionid\t{SECRET}\n"


def test_cookies_go_in_as_a_file_or_as_json_and_never_come_out(
    client: FlaskClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert [each["condition"] for each in client.get(COOKIES).get_json()["cookies"]] == ["none"] * 4
    answers = [
        client.put(f"{COOKIES}/tiktok", data=GOOD, content_type="text/plain"),
        client.put(f"{COOKIES}/tiktok", data=GOOD.encode("utf-16"), content_type="application/octet-stream"),
        client.put(f"{COOKIES}/tiktok", json={"cookies": GOOD + GOOD.replace("tiktok", "google")}),
        client.get(COOKIES),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[2].get_json()["dropped"] == 1
    shown = {each["platform"]: each for each in answers[3].get_json()["cookies"]}
    assert (shown["tiktok"]["condition"], shown["tiktok"]["cookies"], shown["tiktok"]["logged_in"]) == ("good", 1, True)
    assert shown["tiktok"]["first_expires_at"] == "2100-01-01T00:00:00Z"
    assert shown["youtube"]["condition"] == "none"
    assert SECRET in (tmp_path / "storage" / "cookies" / "tiktok.txt").read_text()
    gone = client.delete(f"{COOKIES}/tiktok")
    assert (gone.status_code, gone.get_json()["condition"]) == (200, "none")
    assert list((tmp_path / "storage" / "cookies").iterdir()) == []
    for answer in (*answers, gone):
        assert SECRET not in answer.text
        assert "sessionid" not in answer.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (EXPIRED, 400, "These cookies for TikTok have expired"),
        (GOOD.replace("tiktok", "youtube"), 400, "This contains no cookie for TikTok"),
        (GOOD.replace("/", ""), 400, "Line 1 must have a path"),
        (GOOD.replace(".tiktok", "ads.tiktok"), 400, "are for ads.tiktok.com: log in at tiktok.com and export again"),
        ('[{"name": "sessionid", "value": "hunter2"}]', 400, "These are cookies as JSON"),
        ('{"sessionid": "hunter2"}', 400, "These are cookies as JSON"),
        ('{"url": "https://www.tiktok.com", "cookies": [{"value": "hunter2"}]}', 400, "These are cookies as JSON"),
        ('{"cookies": ["hunter2"]}', 400, "These are cookies as JSON"),
        ('{"cookies": 5}', 400, "cookies"),
        ('{"cookies": ""}', 400, "cookies"),
        ('{"cookies": "x", "path": "/etc/hunter2"}', 400, "path"),
        ("", 400, "This contains no cookie"),
        ("x" * (MAX_COOKIE_BYTES + 1), 413, "larger than 1 MB"),
    ],
)
def test_what_is_no_good_is_refused_in_a_sentence_without_its_values(
    client: FlaskClient, tmp_path: Path, body: str, status: int, said: str
) -> None:
    answer = client.put(f"{COOKIES}/tiktok", data=body)
    assert answer.status_code == status
    assert said in answer.get_json()["error"]
    assert SECRET not in answer.text
    assert not (tmp_path / "storage" / "cookies" / "tiktok.txt").exists()


def test_an_upload_is_answered_with_what_was_taken_and_how_much_was_not(
    client: FlaskClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    foreign = "localhost:5173\tFALSE\t\tFALSE\t-86400\tname\tŁódź\n.bücher.example\thunter2\n".encode() + b"\xff\n"
    bad = b".tiktok.com\tTRUE\t/\tTRUE\tnever\tsid\thunter2\n"
    answer = client.put(f"{COOKIES}/tiktok", data=foreign + bad + GOOD.encode())
    told = answer.get_json()
    assert (answer.status_code, told["condition"], told["logged_in"]) == (200, "good", True)
    assert (told["cookies"], told["dropped"], told["bad_lines"]) == (1, 3, [4])
    assert told["report"].startswith("1 cookie taken; left out: 3 lines of other sites, 1 bad line. Line 4 must have")
    assert (tmp_path / "storage" / "cookies" / "tiktok.txt").read_text() == f"# Netscape HTTP Cookie File\n\n{GOOD}"
    assert SECRET not in answer.text + caplog.text


@pytest.mark.parametrize("name", ["vimeo", "..%2Ftiktok", "tiktok.txt", "TikTok", "unknown"])
def test_there_are_cookies_for_the_four_platforms_only(client: FlaskClient, tmp_path: Path, name: str) -> None:
    assert client.put(f"{COOKIES}/{name}", data=GOOD).status_code == 404
    assert client.delete(f"{COOKIES}/{name}").status_code == 404
    assert list(tmp_path.rglob("*.txt")) == []


def test_a_folder_that_cannot_be_written_is_a_conflict(client: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "storage" / "cookies").write_bytes(b"in the way")
    answer = client.put(f"{COOKIES}/tiktok", data=GOOD)
    assert answer.status_code == 409
    assert "can't be written" in answer.get_json()["error"]
