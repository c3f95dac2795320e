"""Photo posts over HTTP: their files by type, in the zip, and gone when they are deleted."""

from __future__ import annotations

import io
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.batches import all_final, check_files, follow, submit
from tests.real_server import Server
from tests.simulator import pictures
from tests.simulator.client import Simulator

TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".avif": "image/avif",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
}


def fetched(server: Server, path: str) -> tuple[str, bytes]:
    """Return the type and the content of what is at *path*."""
    with urllib.request.urlopen(server.url + path, timeout=20) as answer:
        return answer.headers["Content-Type"], answer.read()


@pytest.mark.timeout(120)
def test_pictures_are_files_of_a_job_like_any_other(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path
) -> None:
    posts = [("tiktok", 0), ("instagram", 1), ("twitter", 2)]
    urls = [simulator.url(platform, "pictures", serial) for platform, serial in posts]  # type: ignore[arg-type]
    urls += [simulator.url("instagram", "mixed_carousel"), simulator.url("tiktok", "picture_gone", 1)]
    server = start_server()
    batch_id = submit(server, urls)
    jobs = follow(server, batch_id, all_final)
    assert [job["error"] for job in jobs] == [None] * 5
    assert [job["kind"] for job in jobs] == ["photos", "photos", "photos", "video", "photos"]
    assert [len(job["files"]) for job in jobs] == [4, 3, 3, 3, 2]
    assert [job["detail"] is None for job in jobs] == [True, True, True, True, False]
    check_files(tmp_path / "storage", jobs)
    seen = set()
    for job in jobs:
        for index, name in enumerate(job["files"]):
            content_type, content = fetched(server, f"/api/v1/files/{job['job_id']}?index={index}")
            assert (content_type, content) == (TYPES[Path(name).suffix], Path(name).read_bytes())
            seen.add(Path(name).suffix)
    assert seen == TYPES.keys() >= {f".{type}" for type in pictures.TYPES}
    names = [Path(name).name for job in jobs for name in job["files"]]
    with zipfile.ZipFile(io.BytesIO(fetched(server, f"/api/v1/batches/{batch_id}/zip")[1])) as archive:
        assert sorted(archive.namelist()) == sorted(names)
    ids = [job["job_id"] for job in jobs]
    status, _ = server.ask("POST", "/api/v1/jobs/delete", {"ids": ids, "files": True})
    assert status == 200
    check_files(tmp_path / "storage", [])


@pytest.mark.timeout(60)
def test_a_batch_may_do_without_pictures(start_server: Callable[..., Server], simulator: Simulator) -> None:
    urls = [simulator.url("instagram", "pictures"), simulator.url("instagram", "mixed_carousel")]
    server = start_server(DOWNLOADER_PHOTOS="false")
    by_default = follow(server, submit(server, urls), all_final)
    assert [job["error_code"] for job in by_default] == ["no_video", None]
    assert len(by_default[1]["files"]) == 2
    status, answer = server.ask("POST", "/download/batch", {"urls": urls[:1], "photos": True})
    assert (status, answer["downloads"][0]["kind"]) == (200, "photos")
    status, answer = server.ask("POST", "/download/batch", {"urls": urls[:1], "photos": "yes"})
    assert (status, answer) == (400, {"error": "photos must be true or false."})


@pytest.mark.timeout(120)
def test_a_slideshow_that_is_cancelled_leaves_nothing_behind_and_frees_its_place(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path
) -> None:
    simulator.configure(media_bytes_per_second=300_000)  # two pictures of its ten in a second
    server = start_server(DOWNLOADER_WORKERS="1", DOWNLOADER_PAGES_AHEAD="0")
    cancelled = submit(server, [simulator.url("tiktok", "pictures", pictures.MANY + 1)])
    [job] = follow(server, cancelled, lambda jobs: any((tmp_path / "storage" / "work").rglob("02-picture.jpg*")))
    assert job["state"] == "running"
    follows = submit(server, [simulator.url("tiktok", "pictures", 1)])
    status, _ = server.ask("POST", f"/api/v1/jobs/{job['job_id']}/cancel")
    assert status == 200
    simulator.configure(media_bytes_per_second=0)
    next_jobs = follow(server, follows, all_final)
    assert [each["error"] for each in next_jobs] == [None]
    [job] = follow(server, cancelled, all_final)
    assert (job["state"], job["files"]) == ("cancelled", [])
    check_files(tmp_path / "storage", next_jobs)
