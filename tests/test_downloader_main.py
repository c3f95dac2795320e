"""The server's command: what it loads, and its log, in which text from outside cannot forge a line."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from downloader_main import LogFormatter
from tests.real_server import REPOSITORY

#: What a server with SQLite and worker processes does without; each takes megabytes, and time to load.
NOT_FOR_THE_SERVER = {"alembic", "av", "curl_cffi", "multiprocessing", "requests", "yt_dlp"}
NOT_FOR_THE_SERVER |= {"sqlalchemy.dialects.postgresql", "sqlalchemy.orm", "tqdm", "downloader.cli.commands"}
NOT_FOR_THE_SERVER |= {"celery", "kombu", "amqp"}

FORGED = "\n2026-01-01 00:00:00,000 CRITICAL downloader: forged"
HOSTILE = [FORGED, "\r\n" + FORGED, "\x1b[2J", "\x9b2J", "\x85", "\u2028", "\u202e", "\x00", "\udc80"]


def logged(message: str, *arguments: object, error: Exception | None = None, **facts: object) -> str:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
    record = logging.makeLogRecord({"name": "a", "levelname": "INFO", "msg": message, "args": arguments, **facts})
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    handler.handle(record)
    return log.getvalue()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_from_outside_stays_on_its_line(hostile: str) -> None:
    """Libraries put it into their messages: waitress the requested path, unquoted."""
    for line in (logged("Client disconnected while serving %s", f"/x{hostile}"), logged("ended", path=f"/x{hostile}")):
        assert line.endswith("\n")
        assert line[:-1].isprintable()
        assert "/x" in line


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_from_outside_starts_no_line_of_a_traceback(hostile: str) -> None:
    first, *trace = logged("crashed", error=ValueError(f"no {hostile}"), job_id="7").removesuffix("\n").split("\n")
    assert first == 'INFO a: crashed job_id="7"'
    assert len(trace) > 0
    for line in trace:
        assert line.startswith("  ")
        assert line.isprintable()


def test_printable_text_is_logged_unchanged() -> None:
    assert logged("Ada's garden: %s", "Blümchen 花") == "INFO a: Ada's garden: Blümchen 花\n"


@pytest.mark.integration
def test_the_server_loads_nothing_that_only_others_need() -> None:
    code = (
        "import sys, downloader_main, downloader.engines.worker_process, downloader.server.wsgi, downloader.web.app,"
        " portal.blueprint; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "flask" in done.stdout.split()
    assert NOT_FOR_THE_SERVER.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    ("variables", "word"), [({}, "DOWNLOADER_BROKER_URL"), ({"DOWNLOADER_BROKER_URL": "amqp://host/"}, "[fleet]")]
)
@pytest.mark.integration
def test_a_machine_says_what_it_lacks(variables: dict[str, str], word: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['celery'] = None; import downloader_main; sys.exit(downloader_main.main(['worker']))"
    )
    environment = {**os.environ, "DOWNLOADER_STORAGE_DIR": str(tmp_path), **variables}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr
