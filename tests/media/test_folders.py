"""Folders below the output folder: which may be named, and that no link leads out of it."""

from __future__ import annotations

import stat
import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.media.folders import is_below, make_folder, parse_folder, remove_empty_folders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  ", ""),
        (" Music/2026 ", "Music/2026"),
        ("u\u0308ber", "\u00fcber"),
        ("a/b/c/d/e", "a/b/c/d/e"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("f" * 143, "f" * 143),
        ("a.b (c) [d] - e's, {f}", "a.b (c) [d] - e's, {f}"),
    ],
)
def test_a_folder_is_a_plain_path(text: str, expected: str) -> None:
    assert parse_folder(text) == expected
    assert parse_folder(parse_folder(text)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/etc", "begin with /"),
        ("/", "begin with /"),
        ("a/", "is empty"),
        ("a//b", "is empty"),
        (".", "begin with a dot"),
        ("..", "begin with a dot"),
        ("a/../b", "begin with a dot"),
        (".hidden", "begin with a dot"),
        ("a\\b", "must not contain"),
        ("C:", "must not contain"),
        ("C:\\x", "must not contain"),
        ("a?", "must not contain"),
        ("a\0b", "control characters"),
        ("a\nb", "control characters"),
        ("a\u202eb", "control characters"),
        ("a\u200b", "control characters"),
        ("\ud800", "control characters"),
        ("a  b", "blanks in a row"),
        ("a\u2003b", "blanks in a row"),
        ("a\u0085", "control characters"),
        ("CON", "reserves"),
        ("x/nul.txt", "reserves"),
        ("COM\u00b9", "reserves"),
        ("a.", "end with a blank or a dot"),
        ("a /b", "end with a blank or a dot"),
        ("a/ b", "begin with a blank"),
        ("f" * 144, "143 bytes"),
        ("\u00fc" * 72, "143 bytes"),
        ("a/b/c/d/e/f", "5 folders"),
        ("/".join(["f" * 140] * 3), "400 bytes"),
    ],
)
def test_what_leads_elsewhere_or_is_not_taken_everywhere_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_folder(text)


@given(st.text(st.sampled_from("ab/. \\:\u00fc\u0301\u200d\u202eCON1") | st.characters(), max_size=30))
def test_any_text_is_a_safe_folder_or_is_refused(text: str) -> None:
    try:
        folder = parse_folder(text)
    except ValueError:
        return
    assert folder == unicodedata.normalize("NFC", folder)
    assert parse_folder(folder) == folder
    assert len(folder.encode()) <= 400
    for part in folder.split("/") if folder else ():
        assert part.strip(" .") == part.rstrip(" .") == part
        assert not set(part) & set('\\:*?"<>|\0')
        assert not PureWindowsPath(part).is_reserved()
        assert len(part.encode()) <= 143


def test_folders_are_created_with_what_is_between(tmp_path: Path) -> None:
    make_folder(tmp_path, tmp_path)
    (tmp_path / "a").mkdir()
    for _ in range(2):
        make_folder(tmp_path, tmp_path / "a" / "b" / "c")
        assert (tmp_path / "a" / "b" / "c").is_dir()
    with pytest.raises(FileNotFoundError):  # its disk may be away
        make_folder(tmp_path / "gone", tmp_path / "gone" / "a")
    assert not (tmp_path / "gone").exists()


def test_a_new_folder_has_the_group_of_that_above(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    make_folder(tmp_path, tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & stat.S_ISGID


@pytest.mark.parametrize("target", ["outside", "raw/inside", "/etc"])
def test_a_link_or_a_file_is_no_folder(tmp_path: Path, target: str) -> None:
    raw = tmp_path / "raw"
    (raw / "inside").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (raw / "link").symlink_to(tmp_path / target)
    (raw / "file").touch()
    for folder in ("link", "link/a", "file", "file/a"):
        with pytest.raises(NotADirectoryError):
            make_folder(raw, raw / folder)
    assert list((tmp_path / "outside").iterdir()) == list((raw / "inside").iterdir()) == []


def test_what_is_below_is_so_by_real_folders(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (raw / "link").symlink_to(tmp_path / "outside")
    assert is_below(raw / "a" / "b.mp4", raw)
    assert is_below(raw / "b.mp4", raw)
    for path in (raw, tmp_path, raw / "link" / "b.mp4", raw / ".." / "b.mp4", tmp_path / "raw2" / "b.mp4"):
        assert not is_below(path, raw), path
    with pytest.raises(FileNotFoundError):
        is_below(raw / "gone" / "b.mp4", raw)


def test_only_empty_folders_go_and_never_the_last(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "a" / "b" / "c").mkdir(parents=True)
    (raw / "a" / "kept").touch()
    remove_empty_folders(raw / "a" / "b" / "c", raw)
    assert sorted(path.name for path in raw.rglob("*")) == ["a", "kept"]
    (raw / "a" / "kept").unlink()
    remove_empty_folders(raw / "a", raw)
    assert list(tmp_path.iterdir()) == [raw]
    (tmp_path / "outside" / "empty").mkdir(parents=True)
    (raw / "link").symlink_to(tmp_path / "outside")
    for folder in (raw, tmp_path / "outside", raw / "link" / "empty", raw / ".." / "outside" / "empty"):
        remove_empty_folders(folder, raw)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "link", "outside", "raw"]
