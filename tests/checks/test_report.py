"""`check`: a line for each thing, and status 1 where one keeps the server from working."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import downloader_main
from downloader import create_downloader_app
from downloader.checks.network import clock_finding
from downloader.errors import StartRefused
from downloader.settings import Settings
from downloader.store.inspection import is_migrated
from tests.rabbitmq import RabbitMQ
from tests.real_server import REPOSITORY, Server, interruptible
from tests.simulator.client import Simulator
from tests.sqlite import make_database

Check = Callable[..., tuple[int, dict[str, str]]]


@pytest.fixture
def check(
    simulator: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Return a function that checks a set-up; it returns the status and what was found, by thing."""
    for name, value in simulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DOWNLOADER_STORAGE_DIR", str(tmp_path / "storage"))

    def run(*arguments: str, **settings: str) -> tuple[int, dict[str, str]]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        status = downloader_main.main(["check", "--host", "127.0.0.1", "--port", "0", *arguments])
        lines = capsys.readouterr().out.splitlines()
        return status, {line[8:].partition(":")[0]: line for line in lines[:-1]} | {"last": lines[-1]}

    return run


def test_a_good_set_up_has_no_fault_and_stays_as_it_is(check: Check, tmp_path: Path) -> None:
    status, found = check()
    assert status == 0, found
    assert found["last"].startswith("0 faults")
    for what in ("settings", "port", "storage", "database", "proxy", "cookies", "notifications", "yt-dlp", "ffmpeg"):
        assert found[what].startswith("OK"), found[what]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "value", "what", "sentence"),
    [
        ("WORKERS", "many", "settings", "DOWNLOADER_WORKERS is set wrongly"),
        ("URL_PREFIX", "/api/videos", "settings", "DOWNLOADER_URL_PREFIX is set wrongly: must not begin like"),
        ("STORAGE_DIR", os.devnull + "/storage", "storage", "cannot be written: set DOWNLOADER_STORAGE_DIR"),
        ("MIN_FREE_BYTES", "900000G", "storage", "free some space, or lower DOWNLOADER_MIN_FREE_BYTES"),
        ("DATABASE_URL", "sqlite:////nowhere/a.db", "database", "The folder of the database"),
        ("DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/a", "database", "cannot be opened"),
        ("BROKER_URL", "amqp://me:secret@127.0.0.1:1/a", "broker", "It cannot be used (Connection refused)"),
        ("PROXY", "http://me:secret@127.0.0.1:1", "proxy", "127.0.0.1:1 cannot be reached"),
    ],
)
def test_a_fault_is_told_with_what_to_do(check: Check, setting: str, value: str, what: str, sentence: str) -> None:
    status, found = check(**{f"DOWNLOADER_{setting}": value})
    assert status == 1
    assert found[what].startswith("FAULT")
    assert sentence in found[what]
    assert "secret" not in str(found)
    assert found["ffmpeg"].startswith("OK")  # the other things are checked all the same


def test_a_broker_must_let_us_in(check: Check, rabbitmq: RabbitMQ) -> None:
    status, found = check(DOWNLOADER_BROKER_URL=rabbitmq.url)
    assert (status, found["broker"].startswith("OK      broker: RabbitMQ 3.")) == (0, True)
    for change, reason in {(":guest@", ":secret@"): "ACCESS_REFUSED", ("/", "/nosuch"): "vhost"}.items():
        before, after = change
        status, found = check(DOWNLOADER_BROKER_URL=after.join(rabbitmq.url.rsplit(before, 1)))
        assert status == 1
        assert reason in found["broker"]
        assert "secret" not in str(found)


def test_a_link_to_a_share_that_is_not_mounted_is_a_fault(check: Check, tmp_path: Path) -> None:
    raw, share = tmp_path / "storage" / "raw", tmp_path / "nas" / "videos"
    raw.parent.mkdir()
    raw.symlink_to(share)
    sentence = f"{raw} is a link to {share}, which is not there: mount its disk"
    status, found = check()
    assert status == 1
    assert sentence in found["storage"]
    with pytest.raises(StartRefused, match=re.escape(sentence)):  # a server says the same
        create_downloader_app(Settings(storage_dir=raw.parent))
    assert not share.parent.exists()


def test_what_apprise_does_not_know_is_a_fault(check: Check) -> None:
    pytest.importorskip("apprise")
    status, found = check(DOWNLOADER_NOTIFY="nosuchservice://secret")
    assert status == 1
    assert found["notifications"].startswith("FAULT")
    assert "secret" not in str(found)


def test_a_path_that_the_terminal_cannot_show_is_escaped(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, "ascii"))
    monkeypatch.setenv("DOWNLOADER_STORAGE_DIR", str(tmp_path / "vidéos"))
    assert downloader_main.main(["check", "--host", "127.0.0.1", "--port", "0"]) == 0
    assert rb"vid\xe9os" in terminal.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.integration
def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {
            "DOWNLOADER_PROXY": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "DOWNLOADER_STORAGE_DIR": str(tmp_path),
        }
        process = subprocess.Popen(
            interruptible("check", "--port", "0"), cwd=REPOSITORY,
            env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        silent.accept()[0].close()  # it looked whether the proxy is there
        connection = silent.accept()[0]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        connection.close()
    assert process.returncode == 130
    assert err == ""


def test_a_taken_port_is_a_fault_unless_a_server_of_ours_has_it(check: Check, shared_server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        status, found = check("--port", str(other.getsockname()[1]))
    assert status == 1
    assert "is in use by another program" in found["port"]
    status, found = check("--port", str(shared_server.port), DOWNLOADER_STORAGE_DIR=str(shared_server.storage))
    assert status == 0, found
    assert "A server is running" in found["port"]
    assert "its schema is this version's" in found["database"]


def test_what_needs_attention_is_a_warning(check: Check, tmp_path: Path) -> None:
    (tmp_path / "cookies").mkdir()
    (tmp_path / "cookies" / "tiktok.txt").write_text(".tiktok.com\tTRUE\t/\tTRUE\t1000000000\tsessionid\tsecret\n")
    status, found = check("--host", "0.0.0.0", DOWNLOADER_COOKIES_DIR=str(tmp_path / "cookies"), DOWNLOADER_WORKER="3")
    assert status == 0
    assert found["settings"].startswith("WARNING settings: DOWNLOADER_WORKER: There is no such setting: did you mean")
    assert found["access"].startswith("WARNING access: OPEN TO ALL")
    assert found["cookies"].startswith("WARNING cookies: The cookies for TikTok have expired")
    assert "secret" not in str(found)


def test_cookies_that_cannot_be_used_are_a_fault(check: Check, tmp_path: Path) -> None:
    (tmp_path / "storage" / "cookies" / "youtube.txt").mkdir(parents=True)
    status, found = check()
    assert status == 1
    assert "youtube.txt is a folder" in found["cookies"]


def test_a_full_storage_folder_is_a_fault(check: Check, tmp_path: Path) -> None:
    for name in ("raw", "work"):
        (tmp_path / "storage" / name).mkdir(parents=True)
    (tmp_path / "storage" / "raw" / "a.mp4").write_bytes(bytes(2000))
    status, found = check(DOWNLOADER_MAX_STORAGE_BYTES="1000")
    assert status == 1
    assert "raise DOWNLOADER_MAX_STORAGE_BYTES" in found["storage"]
    assert [path.name for path in (tmp_path / "storage" / "raw").iterdir()] == ["a.mp4"]


def test_a_database_is_inspected_and_left_as_it_is(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "storage" / "downloader.db"
    file.parent.mkdir()
    sqlite3.connect(file).close()
    assert not is_migrated(f"sqlite:///{file}")
    assert "the next start migrates it" in check()[1]["database"]
    file.unlink()
    make_database(file)
    assert is_migrated(f"sqlite:///{file}")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    status, found = check()
    assert status == 1
    assert "was made by a newer version" in found["database"]


NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "grade", "sentence"),
    [
        ("Mon, 30 Nov 2026 12:00:59 GMT", "OK", "It is right."),
        ("Mon, 30 Nov 2026 11:50:00 GMT", "WARNING", "It is 10 minutes fast"),
        ("Mon, 30 Nov 2026 15:00:00 GMT", "FAULT", "It is 180 minutes slow"),
        ("yesterday", "WARNING", "YouTube cannot be reached"),
        ("Mon, 30 Nov 2026 12:00:00", "WARNING", "YouTube cannot be reached"),
    ],
)
def test_the_clock_is_compared(date: str, grade: str, sentence: str) -> None:
    finding = clock_finding(date, NOON)
    assert finding.grade == grade
    assert finding.sentence.startswith(sentence)
