"""Sessions: signed, kept for thirty days over restarts, dead with their key or when they were ended."""

from __future__ import annotations

import base64
import stat
import sys
import time
from pathlib import Path

import pytest

from downloader.access.sessions import ENDED_FILE, LIFETIME_SECONDS, SECRET_FILE, Sessions
from downloader.errors import StartRefused

KEY, OTHER = b"k" * 32, b"o" * 32


def test_a_session_survives_a_restart(tmp_path: Path) -> None:
    token = Sessions(tmp_path).begin(KEY)
    assert Sessions(tmp_path).is_open(token, [OTHER, KEY])


def test_a_session_dies_with_its_key(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    assert not sessions.is_open(sessions.begin(KEY), [OTHER])
    assert not sessions.is_open(sessions.begin(KEY), [])


def test_a_session_of_another_server_is_none_here(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert not Sessions(tmp_path / "b").is_open(Sessions(tmp_path / "a").begin(KEY), [KEY])


def test_a_session_ends_after_thirty_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, now = Sessions(tmp_path), time.time()
    token = sessions.begin(KEY)
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + LIFETIME_SECONDS - 5)
    assert sessions.is_open(token, [KEY])
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + LIFETIME_SECONDS + 5)
    assert not sessions.is_open(token, [KEY])
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now - 3600)
    assert not sessions.is_open(token, [KEY])  # nor before it began


def test_an_ended_session_stays_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(tmp_path)
    token, other = sessions.begin(KEY), sessions.begin(KEY)
    sessions.end(token, [KEY])
    for each in (sessions, Sessions(tmp_path)):
        assert not each.is_open(token, [KEY])
        assert each.is_open(other, [KEY])
    later = time.time() + LIFETIME_SECONDS + 5
    monkeypatch.setattr("time.time", lambda: later)
    again = Sessions(tmp_path)
    again.end(again.begin(KEY), [KEY])
    assert len((tmp_path / ENDED_FILE).read_text().splitlines()) == 1  # the old one needs no keeping any more


@pytest.mark.parametrize("token", ["", "x", ".", "..", "a.b.c", "é" * 50, "\x00", "x" * 100_000, "null"])
def test_rubbish_is_no_session(tmp_path: Path, token: str) -> None:
    sessions = Sessions(tmp_path)
    assert not sessions.is_open(token, [KEY])
    sessions.end(token, [KEY])
    assert not (tmp_path / ENDED_FILE).exists()


def test_a_changed_token_is_no_session(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    token = sessions.begin(KEY)
    for position in range(len(token) - 1):  # the last letter holds two unused bits
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        assert not sessions.is_open(changed, [KEY])


def test_a_token_tells_nothing_of_its_key(tmp_path: Path) -> None:
    token = Sessions(tmp_path).begin(KEY)
    assert KEY.decode() not in token
    assert base64.urlsafe_b64encode(KEY).decode().rstrip("=") not in token


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no such permissions")
def test_the_secret_is_for_this_user_alone(tmp_path: Path) -> None:
    token = Sessions(tmp_path).begin(KEY)
    path = tmp_path / SECRET_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert Sessions(tmp_path).is_open(token, [KEY])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Sessions(tmp_path).end(token, [KEY])
    assert stat.S_IMODE((tmp_path / ENDED_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_broken_secret_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SECRET_FILE).write_bytes(content)
    (tmp_path / ENDED_FILE).write_bytes(b"\xff rubbish\n")
    sessions = Sessions(tmp_path)
    assert sessions.is_open(sessions.begin(KEY), [KEY])
    assert len((tmp_path / SECRET_FILE).read_bytes()) == 32


def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / SECRET_FILE).mkdir()
    with pytest.raises(StartRefused, match=SECRET_FILE):
        Sessions(tmp_path)
