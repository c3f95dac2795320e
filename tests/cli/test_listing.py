"""`list`: one job a line, for people and for programs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import Run
from tests.cli.stranger import Answer, stranger
from tests.real_server import REPOSITORY, Server


@pytest.fixture(scope="module")
def batch_id(shared_server: Server) -> str:
    urls = [f"https://netflix.com/{number}" for number in range(7)]
    answer = shared_server.ask("POST", "/api/v1/batches", {"urls": urls})[1]
    return str(answer["batch"]["id"])


def test_jobs_are_listed_newest_first(run: Run, shared_server: Server, batch_id: str) -> None:
    ended = run("list", "--limit", "3", at=shared_server.url)
    lines = ended.out.splitlines()
    urls = [f"https://netflix.com/{number}" for number in (6, 5, 4)]
    assert [line.split()[1:4] for line in lines] == [[batch_id, "failed", url] for url in urls]
    assert lines[0].endswith("(Unsupported platform)")


def test_jobs_are_chosen_by_state_and_batch(run: Run, shared_server: Server, batch_id: str) -> None:
    arguments = ("list", "--batch", batch_id, "--limit", "0")
    assert run(*arguments, "--state", "queued", at=shared_server.url).out == ""
    assert len(run(*arguments, "--state", "queued", "--state", "failed").out.splitlines()) == 7


def test_programs_read_a_record_a_line(run: Run, shared_server: Server, batch_id: str) -> None:
    lines = run("list", "--batch", batch_id, "--json", at=shared_server.url).out.splitlines()
    assert [json.loads(line)["error_code"] for line in lines] == ["unsupported_platform"] * 7


def test_a_title_controls_no_terminal(run: Run) -> None:
    job = {"job_id": "1", "batch_id": "2", "state": "failed", "title": "\x1b[2J\na", "url": "u", "error": "\x9b2J"}
    with stranger({"*": [Answer(body=json.dumps({"jobs": [job], "next_cursor": None}).encode())]}) as other:
        plain, for_programs = run("list", at=other.url).out, run("list", "--json").out
    assert plain.removesuffix("\n").isprintable()
    assert for_programs.removesuffix("\n").isprintable()


def test_it_may_end_in_a_pipe_that_no_one_reads(shared_server: Server, batch_id: str) -> None:
    command = f"{sys.executable} downloader_main.py list --json --server {shared_server.url} | head -n 1"
    ended = subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)
    assert ended.stderr == ""


@pytest.mark.parametrize(
    "answer",
    [
        b'{"jobs": [{"job_id": 1}], "next_cursor": null}',
        b'{"jobs": [1], "next_cursor": null}',
        b'{"jobs": [], "next_cursor": ["\\u001b[2J"]}',
        b'{"jobs": [], "next_cursor": "again"}',
    ],
)
def test_a_strange_list_is_one_sentence(run: Run, answer: bytes) -> None:
    with stranger({"*": [Answer(body=answer)]}) as other:
        ended = run("list", at=other.url)
    assert (ended.status, ended.out) == (3, "")
    assert ended.err.removesuffix("\n").isprintable()


def test_an_answer_without_end_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.cli.api.MAX_ANSWER_BYTES", 1000)
    with stranger({"*": [Answer(body=b" " * 2000)]}) as other:
        ended = run("list", at=other.url)
    assert (ended.status, ended.err) == (3, "The server's answer does not end.\n")
