"""Work folders of unfinished downloads; how they are resumed is tested in test_client, with real downloads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from downloader.media.move import INCOMING_PREFIX
from downloader.media.outcome import OUTCOME_NAME
from downloader.ytdlp.resume import (
    LEFTOVER_SECONDS,
    PARTIAL_DIR,
    claim_work_dir,
    release_work_dir,
    remove_leftovers,
)


def test_leftovers_of_a_killed_process_go_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / PARTIAL_DIR / "old", tmp_path / PARTIAL_DIR / "young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "1-7.mp4.part").write_bytes(b"x")
    now = young.stat().st_mtime
    for path in (old / "1-7.mp4.part", old):
        os.utime(path, (now - LEFTOVER_SECONDS - 60,) * 2)
    os.utime(young, (now - LEFTOVER_SECONDS - 60,) * 2)  # but a byte was written to its file just now
    copies = [tmp_path / f"{INCOMING_PREFIX}{name}" for name in ("old", "young", "link")]
    for copy in copies[:2]:
        copy.write_bytes(b"x")
    copies[2].symlink_to(tmp_path / "finished.mp4")
    (tmp_path / "finished.mp4").write_bytes(b"x")
    for path in (copies[0], copies[2], tmp_path / "finished.mp4"):
        os.utime(path, (now - LEFTOVER_SECONDS - 60,) * 2, follow_symlinks=False)
    remove_leftovers(tmp_path, now=now)
    assert not old.exists()
    assert (young / "1-7.mp4.part").exists()
    assert [os.path.lexists(copy) for copy in copies] == [False, True, False]
    assert (tmp_path / "finished.mp4").exists()


def started(job_dir: Path, token: str, *names: str) -> Path:
    """Return the work folder of an attempt that has made files with *names*."""
    work_dir = claim_work_dir(job_dir, token)
    work_dir.mkdir(exist_ok=True)
    for name in names:
        (work_dir / name).touch()
    return work_dir


def test_an_attempt_resumes_what_one_that_ended_left(tmp_path: Path) -> None:
    work_dir = started(tmp_path / "job", "one", "1-7.mp4.part")
    release_work_dir(work_dir)
    again = claim_work_dir(tmp_path / "job", "two")
    assert [path.name for path in again.iterdir()] == ["1-7.mp4.part"]
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["two"]


def test_an_attempt_that_may_still_run_is_fenced_off(tmp_path: Path) -> None:
    cut_off = started(tmp_path / "job", "one", "1-7.mp4.part")
    with (cut_off / "1-7.mp4.part").open("wb") as file:
        work_dir = claim_work_dir(tmp_path / "job", "two")
        file.write(b"late")
    assert not work_dir.exists()  # its files are not to be trusted: it may be writing to them
    with pytest.raises(FileNotFoundError):
        (cut_off / OUTCOME_NAME).touch()
    release_work_dir(cut_off)  # whenever it ends
    assert list((tmp_path / "job").iterdir()) == []


def test_files_that_are_ready_are_moved_by_who_comes_next(tmp_path: Path) -> None:
    released = started(tmp_path / "job", "one", "1-7.mp4.part")
    release_work_dir(released)
    started(tmp_path / "job", "one", "1-7.mp4", OUTCOME_NAME).rename(tmp_path / "job" / "cut off")
    started(tmp_path / "job", "other")
    work_dir = claim_work_dir(tmp_path / "job", "two")
    assert {path.name for path in work_dir.iterdir()} >= {"1-7.mp4", OUTCOME_NAME}
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["two"]


def test_what_is_no_work_folder_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "link").symlink_to(elsewhere)
    (tmp_path / "job" / "1-7.mp4.part").touch()  # of a server without a fleet
    assert not claim_work_dir(tmp_path / "job", "one").exists()
    assert elsewhere.exists()
    assert {path.name for path in (tmp_path / "job").iterdir()} == {"link", "1-7.mp4.part"}
