"""The zip itself: right to the last byte, flat in memory, and never whole where it is not right."""

from __future__ import annotations

import io
import os
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from downloader.media.names import paths_together
from downloader.media.zip import MediaZip, ZipBroken


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Return what makes a file of some bytes, or one that is all hole."""

    def make(name: str, content: bytes = b"", *, hole_bytes: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content)
        if hole_bytes:
            os.truncate(path, hole_bytes)
        return path.resolve()

    return make


def made_of(paths: Iterable[Path]) -> MediaZip:
    """Return the zip of *paths*, in the folders below the one that they share."""
    paths = list(paths)
    return MediaZip(paths, Path(os.path.commonpath([path.parent for path in paths])))


def opened(chunks: Iterable[bytes]) -> zipfile.ZipFile:
    found = zipfile.ZipFile(io.BytesIO(b"".join(chunks)))
    assert found.testzip() is None
    return found


def test_a_zip_is_as_long_as_it_said_and_its_files_are_as_they_were(make: Callable[..., Path]) -> None:
    contents = [b"", b"x", os.urandom(200_000)]
    paths = [make(f"é {number}.mp4", content) for number, content in enumerate(contents)]
    made = made_of(paths)
    content = b"".join(made.chunks())
    assert len(content) == made.size_bytes
    found = opened([content])
    assert [found.read(path.name) for path in paths] == contents
    assert {info.compress_type for info in found.infolist()} == {zipfile.ZIP_STORED}


def test_files_keep_their_times(make: Callable[..., Path]) -> None:
    path, old = make("a.mp4", b"a"), make("b.mp4", b"b")
    os.utime(path, (0, 1_700_000_001))
    os.utime(old, (0, 0))  # zip knows no time before 1980
    found = opened(made_of([path, old]).chunks())
    assert found.getinfo("a.mp4").date_time == (*time.localtime(1_700_000_000)[:6],)  # to two seconds
    assert found.getinfo("b.mp4").date_time == (1980, 1, 1, 0, 0, 0)


def test_two_of_one_name_stay_apart(make: Callable[..., Path]) -> None:
    paths = [make(f"{name}.mp4", name.encode()) for name in ("a", "A", "a (2)")]
    found = opened(made_of(paths).chunks())
    expected = {"a.mp4": b"a", "A (2).mp4": b"A", "a (2) (2).mp4": b"a (2)"}
    assert {name: found.read(name) for name in found.namelist()} == expected


def test_files_are_in_their_folders(make: Callable[..., Path], tmp_path: Path) -> None:
    names = ["c.mp4", "one/a.mp4", "One/A.mp4", "two/a.mp4", "two/a.mp4.parts/b.mp4", "one", "x/CON.mp4"]
    paths = [make(name, name.encode()) if name != "one" else tmp_path / "gone" / "one" for name in names]
    found = opened(MediaZip(paths, tmp_path).chunks())
    assert {name: found.read(name).decode() for name in found.namelist()} == {
        "c.mp4": "c.mp4",
        "one/a.mp4": "one/a.mp4",
        "One/A (2).mp4": "One/A.mp4",
        "two/a.mp4": "two/a.mp4",
        "two/a.mp4.parts/b.mp4": "two/a.mp4.parts/b.mp4",
        "x/CON_.mp4": "x/CON.mp4",
    }


def test_no_file_has_the_name_of_a_folder() -> None:
    paths = [("a.mp4",), ("A.mp4", "b.mp4"), ("c", "d.mp4"), ("C",)]
    assert paths_together(paths) == ["a (2).mp4", "A.mp4/b.mp4", "c/d.mp4", "C (2)"]


def test_a_name_that_another_system_reads_as_a_path_is_none_in_the_zip(make: Callable[..., Path]) -> None:
    if os.sep == "\\":
        pytest.skip("no such name can be made here")
    assert opened(made_of([make("..\\..\\evil.mp4", b"1")]).chunks()).namelist() == ["evil.mp4"]


def test_what_is_not_there_is_left_out(make: Callable[..., Path], tmp_path: Path) -> None:
    assert not made_of([tmp_path / "gone.mp4"])
    made = made_of([tmp_path / "gone.mp4", make("a.mp4", b"a")])
    assert made
    assert opened(made.chunks()).namelist() == ["a.mp4"]


# What changes


def test_a_file_is_opened_before_anything_of_it_is_sent(make: Callable[..., Path]) -> None:
    content = os.urandom(300_000)
    path = make("a.mp4", content)
    made = made_of([path])
    chunks = made.chunks()
    first = next(chunks)
    path.unlink()
    assert opened([first, *chunks]).read("a.mp4") == content


def vanish(path: Path) -> None:
    path.unlink()


def shrink(path: Path) -> None:
    os.truncate(path, 10)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(5_000_000))


def empty(path: Path) -> None:
    os.truncate(path, 0)


def become_a_link(path: Path) -> None:
    """Of the same size, so that the way alone tells."""
    other = path.with_name("other")
    other.write_bytes(bytes(path.stat().st_size))
    path.unlink()
    path.symlink_to(other)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [vanish, shrink, grow, empty, become_a_link, become_a_folder])
def test_a_file_that_changes_before_its_turn_breaks_the_zip(
    make: Callable[..., Path], change: Callable[[Path], None]
) -> None:
    first, second = make("a.mp4", bytes(300_000)), make("b.mp4", bytes(300_000))
    made = made_of([first, second])
    chunks = made.chunks()
    sent = [len(next(chunks))]
    change(second)
    with pytest.raises(ZipBroken, match=r"b\.mp4"):
        sent.extend(map(len, chunks))
    assert 300_000 < sum(sent) < 300_200


@pytest.mark.parametrize("change", [shrink, grow, empty])
@pytest.mark.parametrize("others", [0, 1])
def test_a_file_that_changes_while_it_is_read_breaks_the_zip(
    make: Callable[..., Path], change: Callable[[Path], None], others: int
) -> None:
    """Also where it grows by more than the rest of the zip: the promised bytes are never all sent."""
    made = made_of([path := make("a.mp4", bytes(300_000)), *(make("b.mp4", b"b") for _ in range(others))])
    chunks = made.chunks()
    sent = [len(next(chunks))]
    change(path)
    with pytest.raises(ZipBroken, match=r"a\.mp4"):
        sent.extend(map(len, chunks))
    assert sum(sent) < made.size_bytes


# Size


def test_memory_stays_flat(make: Callable[..., Path]) -> None:
    made = made_of([make("a.mp4", hole_bytes=64_000_000), make("b.mp4", hole_bytes=64_000_000)])
    tracemalloc.start()
    try:
        assert sum(map(len, made.chunks())) == made.size_bytes > 128_000_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


GIGABYTE = 1 << 30


def test_the_size_of_what_no_plain_zip_can_hold_is_known(make: Callable[..., Path]) -> None:
    """5 GB, nothing of which is read: 64-bit sizes, and for what comes behind them 64-bit places."""
    made = made_of([make("a.mp4", hole_bytes=5 * GIGABYTE), make("b.mp4", hole_bytes=10)])
    entry, described, end = 30 + 5, 46 + 5, 22 + 56 + 20
    big = entry + 20 + 5 * GIGABYTE + 24 + described + 4 + 2 * 8
    small = entry + 10 + 16 + described + 4 + 8
    assert made.size_bytes == big + small + end
    chunks = made.chunks()
    assert next(chunks).startswith(b"PK\x03\x04")
    chunks.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_zip_beyond_four_gigabytes_can_be_read(make: Callable[..., Path], tmp_path: Path) -> None:
    """All of it goes through; what is nothing but zeros becomes a hole again."""
    made = made_of([make("a.mp4", hole_bytes=4 * GIGABYTE + 7), make("b.mp4", b"the end"), make("c.mp4", b"")])
    path = tmp_path / "made.zip"
    with path.open("wb") as file:
        for chunk in made.chunks():
            if chunk == bytes(len(chunk)):
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                file.write(chunk)
    assert path.stat().st_size == made.size_bytes > 4 * GIGABYTE
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        assert [info.file_size for info in found.infolist()] == [4 * GIGABYTE + 7, 7, 0]
        assert found.read("b.mp4") == b"the end"
