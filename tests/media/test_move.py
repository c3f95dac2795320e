"""A finished file on its way into its folder: there whole or not at all, and like one that was made there."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from downloader.errors import DownloadFailed
from downloader.media import decoder as media_decoder
from downloader.media.downloads import Downloaded
from downloader.media.files import finalize, recover
from downloader.media.move import INCOMING_PREFIX, incoming, move, try_move
from downloader.media.outcome import OUTCOME_NAME, pending_files
from downloader.media.work_dir import prepare_work_dir, remove_work_dir
from tests.mounts import remount, tmpfs

#: What a step on the disk is called by Python's audit events; `os.rename` is every kind of it.
STEPS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chown", "os.chmod", "os.setxattr"})


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


class Executioner:
    """Kills before the n-th step on the disk, counted from when it is told to."""

    def __init__(self) -> None:
        self.steps_left = 0
        sys.addaudithook(self._hear)  # for ever: there is no way to take one back

    def _hear(self, event: str, _: object) -> None:
        if self.steps_left and event in STEPS:
            self.steps_left -= 1
            if not self.steps_left:
                raise Killed


@pytest.fixture(scope="session")
def executioner() -> Executioner:
    return Executioner()


@pytest.fixture(params=["one file system", "two file systems"])
def output_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "raw"
    folder.mkdir()
    with ExitStack() as stack:
        if request.param == "two file systems":
            stack.enter_context(tmpfs(folder))
        yield folder


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    with tmpfs(tmp_path / "other", size="1m") as folder:
        yield folder


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "job"
    folder.mkdir(parents=True)
    return folder


def make_downloads(work_dir: Path, sample_mp4: Path) -> list[Downloaded]:
    found = []
    for number in (1, 2):
        path = work_dir / f"{number}-7.mp4"
        shutil.copyfile(sample_mp4, path)
        found.append(Downloaded(path=path, post_id="7", video_id=f"7{number}", title="Ada", duration_seconds=None))
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_kill_between_any_two_steps_loses_nothing(
    executioner: Executioner, work_dir: Path, output_dir: Path, sample_mp4: Path
) -> None:
    content = sample_mp4.read_bytes()
    deaths = 0
    while True:
        shutil.rmtree(work_dir, ignore_errors=True)
        for path in output_dir.iterdir():
            path.unlink()
        prepare_work_dir(work_dir, output_dir)
        downloads = make_downloads(work_dir, sample_mp4)
        executioner.steps_left = deaths + 1
        try:
            media = finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir)
            break
        except Killed:
            deaths += 1
        finally:
            executioner.steps_left = 0
        # What the next attempt does; its own first step may be the end of it too.
        for steps in range(1, 4):
            executioner.steps_left = steps
            try:
                recover(work_dir, output_dir)
            except Killed:
                pass
            finally:
                executioner.steps_left = 0
        left = recover(work_dir, output_dir)
        if left is None:  # before it was known what is to come: then all is still where it was downloaded
            left = finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir)
        assert [Path(file).read_bytes() for file in left.files] == [content] * 2, deaths
        assert left.size_bytes == 2 * len(content)
        assert names(output_dir) == {Path(file).name for file in left.files}, deaths
        assert names(work_dir) == {OUTCOME_NAME}, deaths
        assert recover(work_dir, output_dir) == left
    assert deaths >= 8
    assert names(output_dir) == {Path(file).name for file in media.files}


def test_within_a_file_system_it_is_a_rename(work_dir: Path, tmp_path: Path) -> None:
    source, place = work_dir / "a.mp4", tmp_path / "b.mp4"
    source.write_bytes(b"x")
    before = source.stat().st_ino
    move(source, [place])
    assert place.stat().st_ino == before
    assert not source.exists()


def test_onto_another_disk_it_is_hidden_until_it_is_whole(work_dir: Path, other_disk: Path) -> None:
    source, place = work_dir / "a.mp4", other_disk / "b.mp4"
    source.write_bytes(os.urandom(300_000))
    content = source.read_bytes()
    place.write_bytes(b"an earlier one")
    seen = []

    def look() -> None:
        seen.append((names(other_disk), place.read_bytes(), source.exists()))

    move(source, [place], heartbeat=look)
    assert seen == [({"b.mp4", f"{INCOMING_PREFIX}job"}, b"an earlier one", True)]
    assert place.read_bytes() == content
    assert not source.exists()
    assert names(other_disk) == {"b.mp4"}


def test_a_copy_that_must_end_leaves_everything_as_it_was(work_dir: Path, other_disk: Path) -> None:
    def end() -> None:
        raise DownloadFailed("interrupted")

    source = work_dir / "a.mp4"
    source.write_bytes(b"x")
    with pytest.raises(DownloadFailed):
        move(source, [other_disk / "b.mp4"], heartbeat=end)
    assert source.read_bytes() == b"x"
    assert names(other_disk) == set()


def test_a_disk_without_room_is_left_as_it_was(work_dir: Path, other_disk: Path) -> None:
    source = work_dir / "a.mp4"
    source.write_bytes(bytes(2_000_000))
    with pytest.raises(OSError, match="space left") as full:
        move(source, [other_disk / "b.mp4"])
    assert full.value.errno == errno.ENOSPC
    assert source.stat().st_size == 2_000_000
    assert names(other_disk) == set()


def test_what_a_killed_copy_left_goes_with_its_job(work_dir: Path, other_disk: Path) -> None:
    incoming(other_disk, work_dir).write_bytes(b"half")
    incoming(other_disk, work_dir.with_name("other")).write_bytes(b"half")
    remove_work_dir(work_dir, other_disk)
    assert names(other_disk) == {f"{INCOMING_PREFIX}other"}


def test_a_link_in_the_place_of_a_copy_is_not_followed(work_dir: Path, other_disk: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"x")
    incoming(other_disk, work_dir).symlink_to(precious)
    source = work_dir / "a.mp4"
    source.write_bytes(b"video")
    move(source, [other_disk / "b.mp4"])
    assert precious.read_bytes() == b"x"
    assert (other_disk / "b.mp4").read_bytes() == b"video"


def test_a_try_leaves_nothing_and_says_what_is_wrong(work_dir: Path, output_dir: Path, other_disk: Path) -> None:
    try_move(work_dir, output_dir)
    assert names(work_dir) == names(output_dir) == set()
    remount(other_disk, "ro")
    for folders in ((work_dir, other_disk), (other_disk, output_dir)):
        with pytest.raises(OSError, match="Read-only") as refused:
            try_move(*folders)
        assert refused.value.errno == errno.EROFS
    assert names(work_dir) == names(output_dir) == set()
    with pytest.raises(FileNotFoundError):
        try_move(work_dir, output_dir / "nowhere")
    assert names(work_dir) == set()


# Names


@pytest.fixture
def refuse_names(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], int]], None]:
    """Return what makes the file system refuse names: its argument says by which error, 0 for none."""

    def arrange(why: Callable[[str], int]) -> None:
        real = os.replace

        def replace(source: Any, target: Any, **more: Any) -> None:
            if number := why(Path(target).name):
                raise OSError(number, os.strerror(number), str(source), None, str(target))
            real(source, target, **more)

        monkeypatch.setattr("os.replace", replace)

    return arrange


def long_titled(work_dir: Path, sample_mp4: Path) -> list[Downloaded]:
    path = work_dir / "1-7.mp4"
    shutil.copyfile(sample_mp4, path)
    return [Downloaded(path=path, post_id="7", video_id="7", title="\u00fcber " * 99, duration_seconds=None)]


def test_a_name_is_as_long_as_the_folder_says(
    work_dir: Path, output_dir: Path, sample_mp4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.pathconf", lambda path, name: 143 if (path, name) == (output_dir, "PC_NAME_MAX") else 255)
    media = finalize("tiktok", long_titled(work_dir, sample_mp4), output_dir, ffmpeg=None, work_dir=work_dir)
    [name] = names(output_dir)
    assert 137 <= len(name.encode()) <= 143
    assert media.files == (str(output_dir / name),)


@pytest.mark.parametrize(
    ("why", "length"),
    [
        (lambda name: errno.ENAMETOOLONG if len(name.encode()) > 143 else 0, range(137, 144)),
        (lambda name: errno.ENAMETOOLONG if len(name.encode()) > 30 else 0, range(12, 13)),
        (lambda name: 0 if name.isascii() else errno.EILSEQ, range(12, 13)),
        (lambda name: 0 if name.isascii() else errno.EINVAL, range(12, 13)),
    ],
    ids=["143 bytes", "30 bytes", "ascii alone", "vfat of another code page"],
)
def test_a_name_that_is_refused_becomes_shorter_and_plainer(
    work_dir: Path,
    output_dir: Path,
    sample_mp4: Path,
    refuse_names: Callable[[Callable[[str], int]], None],
    why: Callable[[str], int],
    length: range,
) -> None:
    refuse_names(why)
    media = finalize("tiktok", long_titled(work_dir, sample_mp4), output_dir, ffmpeg=None, work_dir=work_dir)
    [name] = names(output_dir)
    assert len(name.encode()) in length
    assert media.files == (str(output_dir / name),)
    assert recover(work_dir, output_dir) == media
    assert output_dir / name in pending_files(work_dir, output_dir)  # so that nothing deletes it


def test_a_name_that_is_refused_after_a_kill_is_cut_too(
    executioner: Executioner,
    work_dir: Path,
    output_dir: Path,
    sample_mp4: Path,
    refuse_names: Callable[[Callable[[str], int]], None],
) -> None:
    """The outcome was written, and the folder has moved to a share that takes less."""
    downloads = long_titled(work_dir, sample_mp4)
    outcome = work_dir / OUTCOME_NAME
    for steps in range(1, 40):
        executioner.steps_left = steps
        try:
            finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir)
        except Killed:
            if outcome.exists():
                break
        finally:
            executioner.steps_left = 0
    assert downloads[0].path.exists()
    refuse_names(lambda name: errno.ENAMETOOLONG if len(name.encode()) > 143 else 0)
    media = recover(work_dir, output_dir)
    assert media is not None
    assert names(output_dir) == {Path(media.files[0]).name}


def test_any_other_refusal_is_not_taken_for_one_of_the_name(
    work_dir: Path, output_dir: Path, sample_mp4: Path, refuse_names: Callable[[Callable[[str], int]], None]
) -> None:
    tried = []
    refuse_names(lambda name: 0 if name.endswith((".json", "job")) else tried.append(name) or errno.EACCES)  # type: ignore[func-returns-value]
    with pytest.raises(PermissionError):
        finalize("tiktok", long_titled(work_dir, sample_mp4), output_dir, ffmpeg=None, work_dir=work_dir)
    assert len(tried) == 1


def test_a_file_whose_name_differs_by_case_alone_is_not_replaced_where_that_is_no_difference(
    work_dir: Path, tmp_path: Path, sample_mp4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_dir = tmp_path / "raw"
    output_dir.mkdir()

    def put(post_id: str) -> str:
        path = work_dir / "1.mp4"
        shutil.copyfile(sample_mp4, path)
        found = Downloaded(path=path, post_id=post_id, video_id=post_id, title="Ada", duration_seconds=None)
        return Path(finalize("youtube", [found], output_dir, ffmpeg=None).files[0]).name

    put("aBc")
    assert put("AbC") == "youtube_AbC_Ada.mp4"  # here they are two names
    (output_dir / "youtube_AbC_Ada.mp4").unlink()
    # No file system of this kind can be counted on to be here.
    folded = lambda path: str(path).casefold() in {str(each).casefold() for each in output_dir.iterdir()}  # noqa: E731
    monkeypatch.setattr("os.path.lexists", folded)
    assert put("AbC") == "youtube_AbC_AbC-1_Ada.mp4"
    assert put("AbC") == "youtube_AbC_AbC-1_Ada.mp4"
    assert put("aBc") == "youtube_aBc_Ada.mp4"


def test_a_folder_that_is_named_as_a_file_is_in_no_files_way(
    work_dir: Path, output_dir: Path, sample_mp4: Path
) -> None:
    """Requests name folders too."""
    for _ in range(2):
        shutil.copyfile(sample_mp4, work_dir / "1.mp4")
        found = Downloaded(path=work_dir / "1.mp4", post_id="7", video_id="7", title="Ada", duration_seconds=None)
        (output_dir / "tiktok_7_Ada.mp4").mkdir(exist_ok=True)
        finalize("tiktok", [found], output_dir, ffmpeg=None, work_dir=work_dir)
        assert names(output_dir) == {"tiktok_7_Ada.mp4", "tiktok_7_7-1_Ada.mp4"}


def test_files_of_one_post_stay_apart_whatever_their_names_become(
    work_dir: Path, output_dir: Path, sample_mp4: Path, refuse_names: Callable[[Callable[[str], int]], None]
) -> None:
    refuse_names(lambda name: 0 if name.isascii() else errno.EILSEQ)
    found = []
    for number, title in enumerate(("\u00fc", "\u00fc", "\u00e4")):
        path = work_dir / f"{number}.mp4"
        shutil.copyfile(sample_mp4, path)
        found.append(Downloaded(path=path, post_id="7", video_id="7", title=title, duration_seconds=None))
    finalize("twitter", found, output_dir, ffmpeg=None, work_dir=work_dir)
    assert names(output_dir) == {"twitter_7.mp4", "twitter_7_7-2.mp4", "twitter_7_7-3.mp4"}


# Rights


GROUP = 54_321

#: A default ACL, as Linux stores it: its owner may all, GROUP may read and write, the others nothing.
_ACL_ENTRIES = ((0x01, 7, -1), (0x04, 5, -1), (0x08, 6, GROUP), (0x10, 7, -1), (0x20, 0, -1))
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in _ACL_ENTRIES)


def rights(path: Path) -> tuple[int, int, bytes | None]:
    seen = path.stat()
    try:
        acl = os.getxattr(path, "system.posix_acl_access")
    except OSError:
        acl = None
    return stat.S_IMODE(seen.st_mode), seen.st_gid, acl


def become(who: str, umask: int) -> None:
    os.umask(umask)
    if who != "root":
        os.setgroups([GROUP] if who == "a member of the group" else [])
        os.setgid(65534)
        os.setuid(65534)


def in_child(work: Callable[[], object]) -> None:
    """Do *work* in a process that ends with it; all that it needs is imported already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of the tests do not matter to it
        child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("disks", ["one disk", "two disks"])
@pytest.mark.parametrize("who", ["root", "a member of the group", "a stranger to the group"])
@pytest.mark.parametrize("shared_by", ["nothing", "setgid", "ACL", "setgid and ACL", "work folder alone"])
@pytest.mark.parametrize("umask", ["077", "007"])
def test_a_file_has_what_one_that_was_made_there_has(
    sample_mp4: Path, disks: str, who: str, shared_by: str, umask: str
) -> None:
    def download() -> None:
        become(who, int(umask, 8))
        prepare_work_dir(work / "job", raw)
        prepare_work_dir(work / "job", raw)  # a second attempt
        path = work / "job" / "1.mp4"
        path.write_bytes(content)
        number = path.stat().st_ino
        found = Downloaded(path=path, post_id="7", video_id="7", title=None, duration_seconds=None)
        finalize("tiktok", [found], raw, ffmpeg=None, work_dir=work / "job")
        (raw / "made there").touch()
        # A rename wherever that can be: a copy of a gigabyte takes its time.
        must_copy = disks == "two disks" or (who == "a stranger to the group" and "setgid" in shared_by)
        assert must_copy or (raw / "tiktok_7.mp4").stat().st_ino == number

    media_decoder.library()
    content = sample_mp4.read_bytes()
    with ExitStack() as stack:
        # Not below pytest's folder, which others may not enter.
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rights-")))
        top.chmod(0o755)
        raw, work = top / "raw", top / "work"
        for folder in (raw, work):
            folder.mkdir()
        if disks == "two disks":
            stack.enter_context(tmpfs(raw))
        for folder in (raw, work):
            folder.chmod(0o777)  # so that strangers can write too
        if "setgid" in shared_by:
            os.chown(raw, 0, GROUP)
            raw.chmod(0o2777)
        if "ACL" in shared_by:
            os.setxattr(raw, "system.posix_acl_default", ACL)
        if shared_by == "work folder alone":
            os.chown(work, 0, GROUP)
            work.chmod(0o2777)
            os.setxattr(work, "system.posix_acl_default", ACL)
        in_child(download)
        assert rights(raw / "tiktok_7.mp4") == rights(raw / "made there")
        assert names(raw) == {"tiktok_7.mp4", "made there"}
        # Unfinished files stay private, even if others may read the finished ones.
        assert stat.S_IMODE((work / "job").stat().st_mode) & 0o077 == 0
