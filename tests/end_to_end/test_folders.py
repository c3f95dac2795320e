"""A real server with a layout of folders: files come there, are sent, zipped, and go with their folders."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.batches import all_final, follow, let_run
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS

TEMPLATE = "{platform} {uploader}/{date}"


def fetched(server: Server, path: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}{path}", headers=headers), timeout=30) as answer:
        content: bytes = answer.read()
        return content


def sent(server: Server, urls: list[str], folder: str) -> tuple[str, list[dict[str, Any]]]:
    status, answer = server.ask("POST", "/api/v1/batches", {"urls": urls, "folder": folder})
    assert status == 202, answer
    batch_id = answer["batch"]["id"]
    return batch_id, follow(server, batch_id, all_final)


@pytest.mark.timeout(120)
def test_a_layout_of_folders(start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path) -> None:
    raw = tmp_path / "storage" / "raw"
    server = start_server(DOWNLOADER_NAME_TEMPLATE=TEMPLATE)
    urls = [simulator.url(platform, "ok", serial) for platform in PLATFORMS for serial in (1, 2)]
    batch_id, jobs = sent(server, urls, "Garden/2026")
    assert [job["error"] for job in jobs] == [None] * 8
    files = {Path(job["file_path"]) for job in jobs}
    # Two posts of each platform that have nothing else in their names.
    assert len(files) == 8
    assert {path.relative_to(raw).parts[:2] for path in files} == {("Garden", "2026")}
    assert sorted(path.stem[10:] for path in files) == [""] * 4 + [" (2)"] * 4
    assert {path for path in raw.rglob("*") if path.is_file()} == files

    job = jobs[0]
    whole = Path(job["file_path"]).read_bytes()
    assert fetched(server, f"/api/v1/files/{job['job_id']}") == whole
    assert fetched(server, f"/api/v1/files/{job['job_id']}", Range="bytes=10-19") == whole[10:20]
    zipped = zipfile.ZipFile(io.BytesIO(fetched(server, f"/api/v1/batches/{batch_id}/zip")))
    assert set(zipped.namelist()) == {path.relative_to(raw).as_posix() for path in files}
    assert zipped.read(Path(job["file_path"]).relative_to(raw).as_posix()) == whole

    (raw / "Garden" / "notes.txt").write_text("mine")
    assert server.ask("DELETE", f"/api/v1/batches/{batch_id}?files=true")[0] == 200
    assert sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*")) == ["Garden", "Garden/notes.txt"]


@pytest.mark.timeout(120)
def test_a_link_in_a_folders_place_is_not_followed(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path
) -> None:
    raw, outside = tmp_path / "storage" / "raw", tmp_path / "outside"
    outside.mkdir()
    server = start_server(DOWNLOADER_NAME_TEMPLATE=TEMPLATE)
    _, [job] = sent(server, [simulator.url("tiktok", "ok", 3)], "Garden")
    path = Path(job["file_path"])
    assert path.is_file()
    # Someone moves the folder away, with its file, and puts a link in its place.
    (raw / "Garden").rename(outside / "Garden")
    (raw / "Garden").symlink_to(outside / "Garden")
    moved = outside / "Garden" / path.relative_to(raw / "Garden")
    before = sorted(outside.rglob("*"))
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetched(server, f"/api/v1/files/{job['job_id']}")
    body = {"urls": [simulator.url("tiktok", "ok", 4)], "folder": "Garden"}
    batch_id = server.ask("POST", "/api/v1/batches", body)[1]["batch"]["id"]
    [refused] = follow(server, batch_id, lambda jobs: jobs[0]["error_code"] is not None)
    assert refused["error_code"] == "storage_unavailable"
    assert server.ask("DELETE", f"/api/v1/jobs/{job['job_id']}?files=true")[0] == 200
    assert moved.is_file()
    assert sorted(outside.rglob("*")) == before


@pytest.mark.timeout(120)
def test_old_files_go_with_their_folders(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path
) -> None:
    raw = tmp_path / "storage" / "raw"
    server = start_server(DOWNLOADER_NAME_TEMPLATE=TEMPLATE)
    _, [job] = sent(server, [simulator.url("youtube", "ok", 5)], "a/b")
    assert Path(job["file_path"]).is_file()
    server.stop()
    # Without the template: what was in folders is known all the same.
    server = start_server(DOWNLOADER_RETENTION_DAYS="0.00001")
    for _ in range(100):
        if not list(raw.iterdir()):
            break
        let_run(server, 0.25)
    assert list(raw.iterdir()) == []
