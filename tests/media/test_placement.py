"""Files whose names tell no posts apart: each gets a place of its own, whoever else wants it and whatever dies."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from downloader.media import decoder
from downloader.media.downloads import Companion, Downloaded
from downloader.media.files import finalize, recover
from downloader.media.move import INCOMING_PREFIX
from downloader.media.names import name_template
from downloader.media.outcome import OUTCOME_NAME, added_files, pending_files
from downloader.media.places import Layout
from downloader.media.removal import MediaRemoval
from downloader.media.work_dir import prepare_work_dir, remove_work_dir
from downloader.models import Media
from tests.mounts import tmpfs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, and takes hard links away")

LAYOUT = Layout(name_template("{uploader}/{title}"), "batch")

#: Steps on the disk, by Python's audit events.
STEPS = frozenset({"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime"})


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


class Executioner:
    """Kills before the n-th step on the disk, counted from when it is told to."""

    def __init__(self) -> None:
        self.steps_left = 0
        self.kill: Callable[[], object] = self._raise
        sys.addaudithook(self._hear)  # for ever: there is no way to take one back

    def _raise(self) -> None:
        raise Killed

    def _hear(self, event: str, _: object) -> None:
        if self.steps_left and event in STEPS:
            self.steps_left -= 1
            if not self.steps_left:
                self.kill()


@pytest.fixture(scope="session")
def executioner() -> Executioner:
    return Executioner()


DISKS = ["one disk", "two disks", "one disk without hard links", "two disks without hard links"]


@pytest.fixture(params=DISKS)
def raw(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "raw"
    folder.mkdir()
    with ExitStack() as stack:
        if "two disks" in request.param:
            stack.enter_context(tmpfs(folder))
        if "without" in request.param:

            def refuse(*_: Any, **__: Any) -> None:
                raise OSError(errno.EPERM, "this file system has no hard links")

            monkeypatch.setattr("os.link", refuse)
        yield folder


def video(sample: bytes, text: str) -> bytes:
    """Return *sample* with *text* in it; it still plays."""
    return sample + (8 + len(text)).to_bytes(4) + b"free" + text.encode()


def download(work_dir: Path, sample: bytes, job: str, files: int = 1, *, subtitles: bool = False) -> list[Downloaded]:
    """Write the files of *job* as yt-dlp would, with the same size and time as those of any other job."""
    found = []
    for number in range(files):
        path = work_dir / f"{number}.mp4"
        path.write_bytes(video(sample, f"{job} {number}"))
        os.utime(path, (1_700_000_000, 1_700_000_000))
        each = Downloaded(
            path=path, post_id=job, video_id=job, title="Ada", duration_seconds=None, uploader="Ada", uploaded_at=None
        )
        if subtitles:
            (work_dir / f"{number}.srt").write_text(f"{job} {number}")
            companion = Companion(path=work_dir / f"{number}.srt", suffix=".en.srt")
            each = replace(each, companions=(companion,))
        found.append(each)
    return found


def contents(raw: Path) -> dict[str, bytes]:
    return {str(path.relative_to(raw)): path.read_bytes() for path in raw.rglob("*") if path.is_file()}


def resumed(work_dir: Path, raw: Path, downloads: list[Downloaded]) -> Media:
    """Do what the next attempt does; *downloads* are still there if the outcome was not yet written."""
    found = recover(work_dir, raw)
    return found or finalize("tiktok", downloads, raw, ffmpeg=None, layout=LAYOUT, work_dir=work_dir)


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path, raw: Path, sample_mp4: Path) -> None:
    sample = sample_mp4.read_bytes()
    found = []
    for job in ("a", "b", "c"):
        (work_dir := tmp_path / "work" / job).mkdir(parents=True)
        downloads = download(work_dir, sample, job, 2, subtitles=job == "b")
        found.append(finalize("tiktok", downloads, raw, ffmpeg=None, layout=LAYOUT, work_dir=work_dir))
        assert recover(work_dir, raw) == found[-1]
    names = [[str(Path(file).relative_to(raw / "batch" / "Ada")) for file in media.files] for media in found]
    assert names == [
        ["Ada.mp4", "Ada (2).mp4"],
        ["Ada (3).mp4", "Ada (4).mp4", "Ada (3).en.srt", "Ada (4).en.srt"],
        ["Ada (5).mp4", "Ada (6).mp4"],
    ]
    assert Path(found[1].files[2]).read_text() == "b 0"
    assert len(contents(raw)) == 8


def test_subtitles_are_beside_their_video_even_if_they_alone_would_collide(
    tmp_path: Path, raw: Path, sample_mp4: Path
) -> None:
    (raw / "batch" / "Ada").mkdir(parents=True)
    (raw / "batch" / "Ada" / "Ada.en.srt").write_text("of Ada.m4a")
    work_dir = tmp_path
    downloads = download(work_dir, sample_mp4.read_bytes(), "a", subtitles=True)
    media = finalize("tiktok", downloads, raw, ffmpeg=None, layout=LAYOUT)
    assert [Path(file).name for file in media.files] == ["Ada (2).mp4", "Ada (2).en.srt"]


def test_a_kill_between_any_two_steps_neither_loses_a_file_nor_takes_anothers(
    executioner: Executioner, tmp_path: Path, raw: Path, sample_mp4: Path
) -> None:
    sample = sample_mp4.read_bytes()
    work_dir, folder = tmp_path / "work" / "job", raw / "batch" / "Ada"
    expected = {video(sample, "job 0"), video(sample, "job 1"), b"job 0", b"job 1"}
    deaths = 0
    while True:
        shutil.rmtree(work_dir, ignore_errors=True)
        shutil.rmtree(raw / "batch", ignore_errors=True)
        work_dir.mkdir(parents=True)
        folder.mkdir(parents=True)
        downloads = download(work_dir, sample, "job", 2, subtitles=True)
        others = {"Ada.mp4": video(sample, "xxx 0"), "Ada (3).mp4": video(sample, "xxx 1"), "Ada (2).en.srt": b"xxx 0"}

        def take(*names: str, others: dict[str, bytes] = others) -> None:
            """Have other jobs take *names*, of the same size and time, unless they are taken."""
            for name in names:
                if not (folder / name).exists():
                    others[name] = others["Ada.mp4"]
                    (folder / name).write_bytes(others[name])
                    os.utime(folder / name, (1_700_000_000, 1_700_000_000))

        for name, content in others.items():
            (folder / name).write_bytes(content)
            os.utime(folder / name, (1_700_000_000, 1_700_000_000))
        executioner.steps_left = deaths + 1
        try:
            media = finalize("tiktok", downloads, raw, ffmpeg=None, layout=LAYOUT, work_dir=work_dir)
            is_done = True
        except Killed:
            is_done = False
        finally:
            executioner.steps_left = 0
        if not is_done:
            deaths += 1
            take("Ada (4).mp4", "Ada (5).en.srt", "Ada (6).mp4", "Ada (7).mp4")
            for steps in range(1, 5):  # the next attempt's first steps may be the end of it too
                executioner.steps_left = steps
                try:
                    recover(work_dir, raw)
                except Killed:
                    take(f"Ada ({7 + steps}).mp4")
                finally:
                    executioner.steps_left = 0
            media = resumed(work_dir, raw, downloads)
        ours = {Path(file).name: Path(file).read_bytes() for file in media.files}
        assert len(media.files) == 4
        assert set(ours.values()) == expected, deaths
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == others | ours, deaths
        assert [path.name for path in work_dir.iterdir()] == [OUTCOME_NAME]
        assert recover(work_dir, raw) == media
        assert set(added_files(work_dir, raw)) == set(map(Path, media.files)) == pending_files(work_dir, raw)
        if is_done:
            break
    assert deaths >= 12


def test_what_was_killed_and_is_given_up_leaves_nothing(
    executioner: Executioner, tmp_path: Path, raw: Path, sample_mp4: Path
) -> None:
    sample = sample_mp4.read_bytes()
    work_dir, folder = tmp_path / "work" / "job", raw / "batch" / "Ada"
    removal = MediaRemoval(raw, tmp_path / "work", lambda *_: 0)
    for steps in range(1, 200):
        work_dir.mkdir(parents=True)
        folder.mkdir(parents=True)
        (folder / "Ada.mp4").write_bytes(b"another's")
        downloads = download(work_dir, sample, "job", 2)
        executioner.steps_left = steps
        with suppress(Killed):
            finalize("tiktok", downloads, raw, ffmpeg=None, layout=LAYOUT, work_dir=work_dir)
        is_done = executioner.steps_left > 0
        executioner.steps_left = 0
        (removal.abandon if work_dir.exists() else print)("job")
        assert contents(raw) == {"batch/Ada/Ada.mp4": b"another's"}, steps
        assert not work_dir.exists()
        (folder / "Ada.mp4").unlink()
        folder.rmdir()
        (raw / "batch").rmdir()
        if is_done:
            break
    assert is_done


def test_a_file_that_was_deleted_by_hand_is_fetched_again_and_the_others_are_not_twice(
    tmp_path: Path, raw: Path, sample_mp4: Path
) -> None:
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    downloads = download(work_dir, sample_mp4.read_bytes(), "job", 2)
    media = finalize("tiktok", downloads, raw, ffmpeg=None, layout=LAYOUT, work_dir=work_dir)
    Path(media.files[1]).unlink()
    assert recover(work_dir, raw) is None
    assert contents(raw) == {}


def test_no_copy_is_left_where_a_job_is_removed(tmp_path: Path, raw: Path, sample_mp4: Path) -> None:
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    downloads = download(work_dir, sample_mp4.read_bytes(), "job")
    finalize("tiktok", downloads, raw, ffmpeg=None, layout=LAYOUT, work_dir=work_dir)
    for folder in (raw, raw / "batch" / "Ada"):
        (folder / f"{INCOMING_PREFIX}work").write_bytes(b"half")
        (folder / f"{INCOMING_PREFIX}other").write_bytes(b"half")
    remove_work_dir(work_dir, raw)
    found = {Path(name).name for name in contents(raw)}
    assert found == {"Ada.mp4", f"{INCOMING_PREFIX}other"}


def test_a_folder_that_is_removed_meanwhile_is_created_again(
    tmp_path: Path, raw: Path, sample_mp4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from downloader.media import folders, placement

    removed: list[Path] = []

    def make_folder(output_dir: Path, folder: Path) -> None:
        folders.make_folder(output_dir, folder)
        if len(removed) < 3:
            folders.remove_empty_folders(folder, output_dir)
            removed.append(folder)

    monkeypatch.setattr(placement, "make_folder", make_folder)
    media = finalize("tiktok", download(tmp_path, sample_mp4.read_bytes(), "a"), raw, ffmpeg=None, layout=LAYOUT)
    assert Path(media.files[0]).is_file()
    assert len(removed) == 3


# Many at the same moment


def in_child(work: Callable[[], object]) -> int:
    """Start *work* in a process of its own; return its id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of the tests do not matter to it
        child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def test_jobs_that_want_one_name_at_the_same_moment_and_are_killed_have_a_file_each(
    executioner: Executioner, tmp_path: Path, raw: Path, sample_mp4: Path
) -> None:
    """Several processes start together, some are killed, all are started again until each job is done."""
    decoder.library()
    sample, chance = sample_mp4.read_bytes(), random.Random(1)
    jobs = [f"job {number}" for number in range(8)]
    done = tmp_path / "done"
    done.mkdir()

    def attempt(job: str, starting: int, steps: int) -> None:
        work_dir = tmp_path / "work" / job
        is_new = prepare_work_dir(work_dir, raw)
        media = None if is_new else recover(work_dir, raw)
        os.read(starting, 1)  # until the parent closes it
        executioner.kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
        executioner.steps_left = steps
        if media is None and not (media := recover(work_dir, raw)):
            downloads = download(work_dir, sample, job, 2, subtitles=True)
            media = finalize("tiktok", downloads, raw, ffmpeg=None, layout=LAYOUT, work_dir=work_dir)
        executioner.steps_left = 0
        (done / job).write_text("\n".join(media.files))

    (tmp_path / "work").mkdir()
    for round_ in range(6):
        unfinished = [job for job in jobs if not (done / job).exists()]
        starting, start = os.pipe()
        children = []
        for job in unfinished:
            steps = 0 if round_ == 5 else chance.randrange(1, 60)

            def work(job: str = job, steps: int = steps, starting: int = starting, start: int = start) -> None:
                os.close(start)
                attempt(job, starting, steps)

            children.append(in_child(work))
        os.close(start)
        for child in children:
            status = os.waitpid(child, 0)[1]
            assert status in (0, signal.SIGKILL), status
        os.close(starting)
    found = {job: (done / job).read_text().splitlines() for job in jobs}
    for job, files in found.items():
        texts = [Path(file).read_bytes() for file in files]
        assert texts == [video(sample, f"{job} {n}") for n in (0, 1)] + [f"{job} {n}".encode() for n in (0, 1)]
        assert [Path(file).name.removesuffix(".en.srt") for file in files[2:]] == [
            Path(file).stem for file in files[:2]
        ]
    everything = {raw / name for name in contents(raw)}
    assert everything == {Path(file) for files in found.values() for file in files}
    assert len(everything) == 4 * len(jobs)
