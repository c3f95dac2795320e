"""`get`: saves files here, under names that a stranger's server cannot choose, and overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.stranger import Answer, stranger
from tests.real_server import Server
from tests.simulator.client import Simulator

CONTENT = bytes(range(256)) * 4096
HEADERS = {"ETag": '"1"', "Last-Modified": "Mon, 30 Nov 2026 10:00:00 GMT"}
FILE = Answer(body=CONTENT, headers=HEADERS)


def job(*files: str, **fields: Any) -> dict[str, list[Answer]]:
    """Return what a server says of a job with *files*."""
    record = {"job_id": "j1", "kind": "video", "state": "succeeded", "url": "u", "error": None, "files": files} | fields
    return {"/api/v1/jobs/j1": [Answer(body=json.dumps({"job": record}).encode())]}


@pytest.fixture(scope="module")
def batch(shared_server: Server, running_simulator: Simulator) -> dict[str, Any]:
    """Return a batch with a slideshow, a video and a post that is gone."""
    scenarios = (("tiktok", "pictures"), ("youtube", "ok"), ("twitter", "removed"))
    urls = [running_simulator.url(platform, name, 70) for platform, name in scenarios]  # type: ignore[arg-type]
    shared_server.ask("POST", "/download/batch", {"urls": urls})
    [newest, *_] = shared_server.ask("GET", "/api/v1/batches")[1]["batches"]
    found: dict[str, Any] = shared_server.ask("GET", f"/api/v1/batches/{newest['id']}")[1]
    return found


def test_all_files_of_a_batch_are_saved_and_what_has_none_is_told(
    run: Run, shared_server: Server, batch: dict[str, Any], tmp_path: Path
) -> None:
    command = ("get", batch["batch"]["id"], "-o", str(tmp_path / "here"))
    ended = run(*command, at=shared_server.url)
    files = [Path(file) for job in batch["jobs"] for file in job["files"]]
    assert len(files) > 2
    saved = [Path(line) for line in ended.out.splitlines()]
    assert saved == [tmp_path / "here" / file.name for file in files]
    assert [file.read_bytes() for file in saved] == [file.read_bytes() for file in files]
    assert set((tmp_path / "here").iterdir()) == set(saved)
    assert ended.status == 1
    assert ended.err == f"{batch['jobs'][2]['url']}: {batch['jobs'][2]['error']} (failed)\n"
    # Once more: nothing is sent again.
    again = run(*command)
    assert again.out == ""
    assert again.err.count("is there already") == len(files)


def test_a_job_is_saved_beside_another_file_of_its_name(
    run: Run, shared_server: Server, batch: dict[str, Any], tmp_path: Path
) -> None:
    job = batch["jobs"][1]
    name = Path(job["file_path"]).name
    (tmp_path / name).write_text("mine")
    ended = run("get", job["job_id"], "-o", str(tmp_path), at=shared_server.url)
    assert ended.status == 0
    assert (tmp_path / name).read_text() == "mine"
    assert (tmp_path / f"{Path(name).stem} (2).mp4").read_bytes() == Path(job["file_path"]).read_bytes()
    assert run("get", job["job_id"], "-o", str(tmp_path)).out == ""


def test_a_lost_connection_is_resumed_by_the_same_command(run: Run, tmp_path: Path) -> None:
    half = len(CONTENT) // 2
    cut = Answer(body=CONTENT, headers=HEADERS, sent=half)
    rest = {"Content-Range": f"bytes {half}-{len(CONTENT) - 1}/{len(CONTENT)}", **HEADERS}
    files = [cut, FILE, Answer(status=206, body=CONTENT[half:], headers=rest)]
    with stranger(job("/srv/a.mp4") | {"/api/v1/files/j1": files}) as other:
        ended = run("get", "j1", "-o", str(tmp_path), at=other.url)
        assert ended.status == 3
        assert "The same command continues from here." in ended.err
        assert run("get", "j1", "-o", str(tmp_path)).status == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == CONTENT
    asked = other.requests[-1][1]
    assert (asked["Range"], asked["If-Range"]) == (f"bytes={half}-", '"1"')


def test_a_file_that_changed_meanwhile_is_saved_from_its_beginning(run: Run, tmp_path: Path) -> None:
    cut = Answer(body=CONTENT, headers=HEADERS, sent=1000)
    changed = Answer(body=CONTENT[::-1], headers={**HEADERS, "ETag": '"2"'})
    with stranger(job("/srv/a.mp4") | {"/api/v1/files/j1": [cut, changed]}) as other:
        run("get", "j1", "-o", str(tmp_path), at=other.url)
        assert run("get", "j1", "-o", str(tmp_path)).status == 0
    assert (tmp_path / "a.mp4").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\videos\\a.mp4", "a.mp4"),
        ("/srv/.bashrc", "bashrc"),
        ("/srv/..", "j1"),
        ("", "j1"),
        ("/srv/\x1b[31m\u202ea\n.mp4", "[31m a .mp4"),
        ("/srv/NUL.mp4", "NUL_.mp4"),
        (f"/srv/{'a' * 300}.mp4", "j1.mp4"),
    ],
)
def test_a_stranger_does_not_choose_where_a_file_goes(run: Run, tmp_path: Path, theirs: str, ours: str) -> None:
    folder = tmp_path / "here"
    with stranger(job(theirs) | {"/api/v1/files/j1": [FILE]}) as other:
        ended = run("get", "j1", "-o", str(folder), at=other.url)
    assert ended.out == f"{folder / ours}\n"
    assert [path.name for path in folder.iterdir()] == [ours]


def test_a_link_in_the_folder_is_not_written_through(run: Run, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.mp4").symlink_to(tmp_path / "target")
    with stranger(job("/srv/a.mp4") | {"/api/v1/files/j1": [FILE]}) as other:
        ended = run("get", "j1", "-o", str(tmp_path / "here"), at=other.url)
    assert ended.out == f"{tmp_path / 'here' / 'a (2).mp4'}\n"
    assert not (tmp_path / "target").exists()


def test_a_collection_has_the_files_of_its_entries(run: Run, tmp_path: Path) -> None:
    answers = job("/srv/a.mp4", "/srv/b.mp4", kind="collection")
    entry = json.loads(job("/srv/a.mp4")["/api/v1/jobs/j1"][0].body)["job"]
    answers["/api/v1/jobs"] = [Answer(body=json.dumps({"jobs": [entry], "next_cursor": None}).encode())]
    with stranger(answers | {"/api/v1/files/j1": [FILE]}) as other:
        ended = run("get", "j1", "-o", str(tmp_path), at=other.url)
    assert ended.out == f"{tmp_path / 'a.mp4'}\n"
    assert [path for path, _ in other.requests if "parent=j1" in path]


def test_a_file_that_is_gone_is_told(run: Run, tmp_path: Path) -> None:
    with stranger(job("/srv/a.mp4")) as other:
        ended = run("get", "j1", "-o", str(tmp_path), at=other.url)
    assert (ended.status, ended.out, ended.err) == (1, "", "a.mp4: Gone.\n")


def test_an_id_that_no_one_has_is_told(run: Run, shared_server: Server) -> None:
    ended = run("get", "nothing", at=shared_server.url)
    assert (ended.status, ended.err) == (3, f"There is no job and no batch nothing on {shared_server.url}.\n")
    assert run("get", "../queue").status == 2


def test_a_folder_that_cannot_be_written_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with stranger(job("/srv/a.mp4") | {"/api/v1/files/j1": [FILE]}) as other:
        ended = run("get", "j1", "-o", str(tmp_path / "file" / "here"), at=other.url)
    assert ended.status == 1
    assert ended.err.endswith("here (Not a directory).\n")


@pytest.mark.parametrize(
    ("told", "headers"),
    [
        (job(url=5), {}),
        (job("a.mp4"), {"Last-Modified": "rubbish \x1b[2J"}),
        (job("a.mp4"), {"Last-Modified": "Mon, 01 Jan 99999999999 00:00:00 GMT"}),
        (job("a.mp4"), {"Content-Length": "9" * 5000}),
    ],
)
def test_a_strange_answer_is_one_sentence(
    run: Run, tmp_path: Path, told: dict[str, list[Answer]], headers: dict[str, str]
) -> None:
    with stranger({**told, "*": [Answer(body=b"ab", headers=headers)]}) as other:
        ended = run("get", "j1", "-o", str(tmp_path), at=other.url)
    assert ended.status == 3
    assert ended.err.removesuffix("\n").isprintable()
    assert list(tmp_path.glob("*.mp4")) == []
