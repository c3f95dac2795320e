"""What a batch asks for comes, from all platforms, by way of a queue that was killed in between."""

from __future__ import annotations

import io
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.batches import all_final, check_files, follow
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS
from tests.simulator.subtitles import cues_of
from tests.srt import cues_in


def height(path: str, ffmpeg: str) -> int | None:
    """Return the height of the video in a file, or None if it has no video."""
    shown = subprocess.run([ffmpeg, "-hide_banner", "-i", path], capture_output=True, text=True, check=False).stderr
    found = re.search(r"Video: .*?, \d+x(\d+)", shown)
    assert found or "Audio: " in shown, shown
    return int(found[1]) if found else None


@pytest.mark.timeout(120)
def test_each_batch_gets_what_it_asked_for(
    start_server: Callable[..., Server], simulator: Simulator, ffmpeg: str, tmp_path: Path
) -> None:
    """The same posts three times over: their files stand side by side."""
    urls = [simulator.url(platform, "several_heights") for platform in PLATFORMS]
    server = start_server()
    server.ask("POST", "/api/v1/queue/pause")
    batches = {}
    for preset in ("480p", "audio", None):
        status, answer = server.ask("POST", "/api/v1/batches", {"urls": urls, **({"preset": preset} if preset else {})})
        assert status == 202, answer
        batches[preset] = answer["batch"]["id"]
    server.process.kill()
    server.wait()

    server = start_server()
    server.ask("POST", "/api/v1/queue/resume")
    jobs = {preset: follow(server, batch_id, all_final) for preset, batch_id in batches.items()}
    assert [job["error"] for of_batch in jobs.values() for job in of_batch if not job["success"]] == []
    assert {(job["preset"], job["kind"]) for job in jobs["480p"]} == {("480p", "video")}
    assert {(job["preset"], job["kind"]) for job in jobs["audio"]} == {("audio", "audio")}
    assert {(job["preset"], job["kind"]) for job in jobs[None]} == {("video", "video")}
    assert [height(job["file_path"], ffmpeg) for job in jobs["480p"]] == [480] * 4
    assert [height(job["file_path"], ffmpeg) for job in jobs["audio"]] == [None] * 4
    assert [height(job["file_path"], ffmpeg) for job in jobs[None]] == [1080] * 4
    check_files(tmp_path / "storage", [job for of_batch in jobs.values() for job in of_batch])
    assert len({job["file_path"] for of_batch in jobs.values() for job in of_batch}) == 12


def test_subtitles_are_files_of_the_job(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path
) -> None:
    server = start_server()
    urls = [simulator.url(platform, "subtitled") for platform in PLATFORMS]
    body = {"urls": urls, "subtitles": ["en", "ja"], "preset": "480p"}
    status, answer = server.ask("POST", "/api/v1/batches", body)
    assert status == 202, answer
    batch_id = answer["batch"]["id"]
    jobs = {job["platform"]: job for job in follow(server, batch_id, all_final)}
    assert [job["error"] for job in jobs.values()] == [None] * 4
    came = {platform: (job["subtitles"], job["subtitles_missing"]) for platform, job in jobs.items()}
    assert came == {
        "tiktok": (["en-US"], ["ja"]),
        "instagram": ([], ["en", "ja"]),
        "twitter": (["en"], ["ja"]),
        "youtube": (["en"], ["ja"]),
    }
    check_files(tmp_path / "storage", list(jobs.values()))
    path = Path(jobs["youtube"]["files"][1])
    kind, text = server.read(f"/api/v1/files/{jobs['youtube']['job_id']}?index=1")
    assert (kind, text) == ("application/x-subrip", path.read_bytes())
    assert cues_in(text) == cues_of("en")
    _, zipped = server.read(f"/api/v1/batches/{batch_id}/zip")
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        assert sorted(archive.namelist()) == sorted(Path(name).name for job in jobs.values() for name in job["files"])
    status, _ = server.ask("DELETE", f"/api/v1/batches/{batch_id}?files=true")
    assert status == 200
    assert list((tmp_path / "storage" / "raw").iterdir()) == []
