"""File names: safe everywhere, unique, short, whatever a stranger called the video."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.media.names import MAX_NAME_BYTES, media_name, media_names, names_together

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("A cat, on a piano!", "tiktok_7_A cat, on a piano!.mp4"),
        ("", "tiktok_7.mp4"),
        (None, "tiktok_7.mp4"),
        ("../../etc/passwd", "tiktok_7_etc passwd.mp4"),
        ('a\\b:c*d?e"f<g>h|i', "tiktok_7_a b c d e f g h i.mp4"),
        ("line\nbreak\x00null\x1b[31mred", "tiktok_7_line break null [31mred.mp4"),
        ("evil\u202egpj.exe", "tiktok_7_evil gpj.exe.mp4"),
        ("ends with dots...", "tiktok_7_ends with dots.mp4"),
        ("family \U0001f468\u200d\U0001f469", "tiktok_7_family \U0001f468\u200d\U0001f469.mp4"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "tiktok_7_\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.mp4",
        ),
        ("\u0928\u094d\u200d", "tiktok_7_\u0928\u094d\u200d.mp4"),  # at the end of a word it may be spelling too
        (f"{ENGLAND} 1:0", f"tiktok_7_{ENGLAND} 1 0.mp4"),
        (f"a{ENGLAND[1:]}", "tiktok_7_a.mp4"),  # tags of no flag
        (f"{ENGLAND[:-1]} b", "tiktok_7_\U0001f3f4 b.mp4"),  # a flag without its end
        ("\U0001f3f4" + "\U000e0061" * 40 + "\U000e007f", "tiktok_7_\U0001f3f4.mp4"),  # text hidden in tags
        ("\u200c\u200dx \u200c y\u200c\u200c\u200dz\u200b\u2066\ufeff\u00ad", "tiktok_7_x y\u200cz.mp4"),
        ("\u200c \u200d", "tiktok_7.mp4"),
        ("\ud800half", "tiktok_7_half.mp4"),
        ("e\u0301te\u0301", "tiktok_7_\u00e9t\u00e9.mp4"),
    ],
)
def test_a_title_becomes_a_plain_name(title: str | None, expected: str) -> None:
    assert media_name("tiktok", ("7",), title, ".mp4") == expected


def test_posts_with_one_title_stay_apart() -> None:
    title = "same " * 200
    assert media_name("tiktok", ("7",), title, "mp4") != media_name("tiktok", ("8",), title, "mp4")
    assert media_name("tiktok", ("7",), title, "mp4") != media_name("youtube", ("7",), title, "mp4")
    assert media_name("twitter", ("1", "2"), title, "mp4") != media_name("twitter", ("1", "3"), title, "mp4")


def test_long_ids_that_begin_alike_stay_apart() -> None:
    assert media_name("tiktok", ("a" * 60 + "1",), "t", "mp4") != media_name("tiktok", ("a" * 60 + "2",), "t", "mp4")


def test_a_cut_name_keeps_whole_characters() -> None:
    name = media_name("youtube", ("abc",), "\U0001f600" * 300, "mp4")
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert "\ufffd" not in name
    assert name.endswith(".mp4")


@pytest.mark.parametrize("letters", range(140, 180))
def test_a_cut_flag_leaves_nothing_invisible(letters: int) -> None:
    name = media_name("youtube", ("abc",), "x" * letters + ENGLAND + "\u200c" + ENGLAND, "mp4")
    assert name.count("\U000e0067") == 2 * name.count("\U000e007f")
    assert not name.endswith("\u200c.mp4")


def test_a_file_system_that_refuses_a_name_is_offered_shorter_and_plainer_ones() -> None:
    names = media_names("tiktok", ("7",), "\u00fc" * 300, "mp4")
    assert [len(name.encode()) for name in names] == [199, 143, 12]
    assert names[-1] == "tiktok_7.mp4"
    assert media_names("tiktok", ("7",), "Ada", "mp4") == ["tiktok_7_Ada.mp4", "tiktok_7.mp4"]
    assert media_names("tiktok", ("7",), None, "mp4") == ["tiktok_7.mp4"]


@pytest.mark.parametrize("max_bytes", [143, 100, 64])
def test_two_posts_stay_apart_however_short_their_names_must_be(max_bytes: int) -> None:
    first, second = (media_names("instagram", ("a" * 47 + last, "b" * 48), "t" * 99, "mp4", max_bytes) for last in "12")
    assert not set(first) & set(second)
    assert max(map(len, first)) <= max_bytes


def test_hostile_ids_and_extensions_are_reduced() -> None:
    name = media_name("youtube", ("../../x", ""), "t", "../sh")
    assert name == "youtube_x_unknown_t.sh"


@given(st.text(max_size=700), st.text(max_size=80), st.text(max_size=12))
def test_any_name_is_one_safe_path_part(title: str, post_id: str, extension: str) -> None:
    name = media_name("instagram", (post_id,), title, extension)
    assert Path(name).name == name
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert not set(name) & set('/\\:*?"<>|')
    hidden = {character for character in name if unicodedata.category(character).startswith("C")}
    assert hidden <= {"\u200c", "\u200d"} or "\U0001f3f4" in name
    assert not name.startswith((".", "-"))
    assert not name.endswith((" ", "."))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.mp4", "b.mp4"], ["a.mp4", "b.mp4"]),
        (["a.mp4", "A.MP4", "a (2).mp4", "a.mp4"], ["a.mp4", "A (2).MP4", "a (2) (2).mp4", "a (3).mp4"]),
        (["stra\u00dfe.mp4", "STRASSE.mp4"], ["stra\u00dfe.mp4", "STRASSE (2).mp4"]),
        (["e\u0301.mp4", "\u00c9.mp4"], ["\u00e9.mp4", "\u00c9 (2).mp4"]),
        (["../../etc/passwd", "..\\..\\x.mp4", "/a.mp4", "C:b.mp4"], ["etc passwd", "x.mp4", "a.mp4", "C b.mp4"]),
        (["", "..", "\ud800"], ["unknown", "unknown (2)", "unknown (3)"]),
    ],
)
def test_files_in_one_folder_have_plain_names_of_their_own(names: list[str], expected: list[str]) -> None:
    assert names_together(names) == expected


@given(st.text(max_size=300), st.text(max_size=60))
def test_in_a_folder_a_name_of_ours_stays_as_it_is(title: str, post_id: str) -> None:
    name = media_name("youtube", (post_id,), title, "mp4")
    assert names_together([name]) == [name]


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_names_are_safe_in_one_folder(names: list[str]) -> None:
    found = names_together(names)
    assert len({name.casefold() for name in found}) == len(names)
    assert all(name and name not in {".", ".."} and not set(name) & set("/\\:\0") for name in found)
