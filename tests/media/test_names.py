"""File names: safe everywhere, unique, short, whatever a stranger called the video."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from downloader.media.names import (
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    Naming,
    media_paths,
    name_template,
    paths_together,
    readable,
    tells_posts_apart,
)

FIELDS = ("platform", "id", "title", "uploader", "date", "preset", "index")
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


def media_names(
    platform: str, ids: tuple[str, ...], title: str | None, extension: str, max_bytes: int = MAX_NAME_BYTES
) -> list[str]:
    naming = Naming(platform=platform, ids=ids, title=title)
    return media_paths(name_template(), naming, extension, max_bytes=max_bytes)


def media_name(platform: str, ids: tuple[str, ...], title: str | None, extension: str) -> str:
    return media_names(platform, ids, title, extension)[0]


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
    assert paths_together([(name,) for name in names]) == expected


@given(st.text(max_size=300), st.text(max_size=60))
def test_in_a_folder_a_name_of_ours_stays_as_it_is(title: str, post_id: str) -> None:
    name = media_name("youtube", (post_id,), title, "mp4")
    assert paths_together([(name,)]) == [name]


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_names_are_safe_in_one_folder(names: list[str]) -> None:
    found = paths_together([(name,) for name in names])
    assert len({name.casefold() for name in found}) == len(names)
    assert all(name and name not in {".", ".."} and not set(name) & set("/\\:\0") for name in found)


# Names as released stay as they are


def released_name(platform: str, ids: tuple[str, ...], title: str | None, extension: str, max_bytes: int) -> str:
    """Return the name that the first version gave, before there were templates."""
    suffix = f".{re.sub(r'[^A-Za-z0-9_-]', '', extension)[:8] or 'mp4'}"
    stem = "_".join([platform, *(short(re.sub(r"[^A-Za-z0-9_-]", "", part), 48) or "unknown" for part in ids)])
    stem = short(stem, max_bytes - len(suffix))
    words = readable(title or "")
    room = max(max_bytes - len((stem + "_" + suffix).encode()), 0)
    if len(words.encode()) > room:
        words = words.encode()[:room].decode(errors="ignore")
        words = "".join(ENGLAND if part == ENGLAND else visible(part) for part in re.split(f"({ENGLAND})", words))
        words = words.rstrip("\u200c\u200d .")
    return (f"{stem}_{words}" if words else stem) + suffix


def short(text: str, most: int) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return text if len(text) <= most else f"{text[: max(most - 13, 0)]}-{digest}"


def visible(text: str) -> str:
    is_hidden = {each: unicodedata.category(each).startswith("C") and each not in "\u200c\u200d" for each in text}
    return "".join(" " if is_hidden[each] else each for each in text)


titles = st.text(st.sampled_from("ab \u00fc\U0001f600\u0301\u200d._-/:") | st.characters(), max_size=120) | st.builds(
    lambda text, count: text * count,
    st.sampled_from(["x", "\u00fc", "\U0001f600", ENGLAND, "a. "]),
    st.integers(0, 250),
)
id_texts = st.text(st.sampled_from("abAB01_-"), max_size=60)


@given(
    titles | st.none(),
    st.lists(id_texts, min_size=1, max_size=3),
    st.sampled_from(["mp4", ".webm", "", "../x"]),
    st.sampled_from([64, 100, 143, 200]),
)
def test_without_a_template_names_are_as_they_were_released(
    title: str | None, ids: list[str], extension: str, max_bytes: int
) -> None:
    short_bytes = min(max_bytes, 143)
    choices = ((title, max_bytes), (title, short_bytes), (None, short_bytes))
    expected = [released_name("tiktok", tuple(ids), words, extension, most) for words, most in choices]
    assert media_names("tiktok", tuple(ids), title, extension, max_bytes) == list(dict.fromkeys(expected))


# Templates

NAMING = Naming(platform="youtube", ids=("dQw", "v2"), title="A cat", uploader="Ada", date="2026-11-30", index=3)


def path(template: str, naming: Naming = NAMING, **more: Any) -> str:
    return media_paths(name_template(template), naming, ".mp4", **more)[0]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{uploader}/{date} {title} [{id}]", "Ada/2026-11-30 A cat [dQw_v2].mp4"),
        ("{platform}/{preset}/{index}", "youtube/video/03.mp4"),
        ("videos/{{{id}}}", "videos/{dQw_v2}.mp4"),
        ("{title}", "A cat.mp4"),
    ],
)
def test_a_template_says_where_a_file_goes(template: str, expected: str) -> None:
    assert path(template) == expected


@pytest.mark.parametrize(
    ("template", "change", "expected"),
    [
        ("{uploader}/{title}", {"uploader": None}, "unknown/A cat.mp4"),
        ("{uploader}/{title}", {"uploader": "../.."}, "unknown/A cat.mp4"),
        ("{uploader}/{title}", {"uploader": "a/b"}, "a b/A cat.mp4"),
        ("{uploader}/{title}", {"uploader": "con"}, "con_/A cat.mp4"),
        ("{title}/{index}", {"title": None}, "_/03.mp4"),
        ("{title}", {"title": "..."}, "_.mp4"),
        ("{date} {title} [{id}]", {"title": None}, "2026-11-30 [dQw_v2].mp4"),
        ("{uploader} - {title}", {"title": ""}, "Ada.mp4"),
        ("{title} - {uploader}", {"title": ""}, "Ada.mp4"),
        ("{id}_{title}", {"ids": ("ab_-",), "title": ""}, "ab_-.mp4"),
        ("{id}.{title}", {"ids": ("NUL",), "title": "x"}, "NUL_.x.mp4"),
        ("{title}.", {"title": "\u0301x"}, "\u0301x.mp4"),
        ("e{title}", {"title": "\u0301"}, "\u00e9.mp4"),
        ("{id}", {"preset": "720p"}, "dQw_v2_720p.mp4"),
        ("{preset} {id}", {"preset": "720p"}, "720p dQw_v2.mp4"),
    ],
)
def test_a_value_adds_no_part_and_takes_its_separator_with_it(
    template: str, change: dict[str, Any], expected: str
) -> None:
    assert path(template, replace(NAMING, **change)) == expected


def test_the_title_is_cut_first_and_what_tells_posts_apart_never() -> None:
    long = replace(NAMING, title="t" * 300, uploader="u" * 300)
    assert path("{title} [{id}]", long) == "t" * (200 - len(" [dQw_v2].mp4")) + " [dQw_v2].mp4"
    assert path("{uploader} {title} [{id}]", long) == "u" * (200 - len(" [dQw_v2].mp4")) + " [dQw_v2].mp4"
    assert path("{title}{title}-{id}", long) == "t" * 188 + "-dQw_v2.mp4"[-12:]
    texts = {path("x" * 250 + "{id}", replace(NAMING, ids=(post,))) for post in "ab"}
    assert {len(text) for text in texts} == {200}
    assert len(texts) == 2


def test_a_path_is_bounded_too() -> None:
    long = replace(NAMING, uploader="\u00fc" * 300, title="t" * 300)
    found = path("/".join(["{uploader}"] * 5 + ["{title}"]), long, folder="f" * 100 + "/" + "g" * 100)
    assert 780 <= len(found.encode()) <= MAX_PATH_BYTES
    assert {len(part.encode()) for part in path("{uploader}/{id}", long).split("/")} == {142, len("dQw_v2.mp4")}


def test_the_plainest_choice_is_ascii_throughout() -> None:
    naming = replace(NAMING, title="\u00fc", uploader="\u00c5da\uff1a\uff0f\uff0e\uff0e \u65e5")
    template = name_template("\u00e9\uff1a{uploader}/\u65e5\u672c/{title} {id}")
    assert media_paths(template, naming, "mp4", folder="\u00fc") == [
        "\u00fc/\u00e9\uff1a\u00c5da\uff1a\uff0f\uff0e\uff0e \u65e5/\u65e5\u672c/\u00fc dQw_v2.mp4",
        "\u00fc/eAda/_/dQw_v2.mp4",
    ]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{platform}_{id}_{title}", True),
        ("{uploader}/{platform} {title} [{id}]", True),
        ("{platform}/{uploader}/{date} {title} [{id}]", True),
        ("{uploader}/{date} {title} [{platform} {id}]", True),
        ("{uploader}/{title} [{id}] {platform}", True),
        ("{platform}/{title} [{id}] {uploader}", False),  # a title may have brackets too
        ("{platform}{id}", False),
        ("{platform}/{id}{title}", False),
        ("{platform}/{title}{id}", False),
        ("{platform}/{id}0{title}", False),
        ("{platform}/{id} {preset}", True),
        ("{platform}/{id} {title}{preset}", False),
        ("{id}/{title}", False),
        ("{title}", False),
    ],
)
def test_a_template_tells_posts_apart_or_does_not(template: str, expected: bool) -> None:
    assert tells_posts_apart(name_template(template)) is expected


def doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


literals = st.text(st.sampled_from("ab \u00fc_-.()[]{}"), max_size=20) | st.sampled_from(
    ["CON", "x" * 250, "\u00fc" * 99]
)
pieces = st.lists(st.sampled_from([f"{{{name}}}" for name in FIELDS]) | literals.map(doubled), min_size=1, max_size=6)
namings = st.builds(
    Naming,
    platform=st.sampled_from(["tiktok", "youtube"]),
    ids=st.tuples(id_texts) | st.tuples(id_texts, id_texts),
    title=titles | st.none() | st.sampled_from(["CON", "..", "nul.txt", "LPT\u00b9"]),
    uploader=titles | st.none() | st.sampled_from(["CON", "..", "aux.", ".hidden"]),
    date=st.just("2026-11-30"),
    preset=st.sampled_from(["video", "720p"]),
    index=st.integers(1, 1200),
)


@given(
    st.lists(pieces.map("".join), min_size=1, max_size=6).map("/".join),
    namings,
    st.sampled_from(["", "a/b", "f" * 143]),
)
@pytest.mark.thorough
def test_any_file_stays_below_its_folder_under_names_that_every_system_takes(
    text: str, naming: Naming, folder: str
) -> None:
    try:
        template = name_template(text)
    except ValueError:
        assume(False)
    for number, found in enumerate(media_paths(template, naming, "mp4", folder=folder)):
        inner = found.removeprefix(f"{folder}/")
        parts = inner.split("/")
        assert len(parts) == len(template.parts)
        assert len(found.encode()) <= MAX_PATH_BYTES
        for part in parts:
            assert_taken_everywhere(part)
            assert len(part.encode()) <= (MAX_NAME_BYTES if number == 0 and part == parts[-1] else 143)
    assert inner.isascii()


def assert_taken_everywhere(part: str) -> None:
    assert part
    assert part == unicodedata.normalize("NFC", part)
    assert not set(part) & set('/\\:*?"<>|')
    assert not part.startswith((".", " "))
    assert not part.endswith((".", " "))
    hidden = {letter for letter in part if unicodedata.category(letter).startswith("C")}
    assert hidden <= {"\u200c", "\u200d"} or "\U0001f3f4" in part
    assert not PureWindowsPath(part).is_reserved()
    assert part.partition(".")[0].upper() not in {"CON", "AUX", "NUL", "COM\u00b9", "LPT\u00b9"}


separators = st.sampled_from([" ", ".", "[", ") ", " x ", "+"])
closed = st.lists(st.sampled_from(["{platform}", "{date}", "{index}", "x"]), max_size=3)
free = st.lists(st.sampled_from(["{title}", "{uploader}", "{date}", "y"]), max_size=3)
ids_of_a_post = st.text(st.sampled_from("abB12"), min_size=1, max_size=4)
texts_of_a_post = st.text(st.sampled_from("abB12 .[)x+y"), max_size=12) | titles


@given(
    closed,
    free,
    separators,
    st.booleans(),
    st.lists(st.tuples(ids_of_a_post, texts_of_a_post, texts_of_a_post), min_size=2, max_size=2),
)
def test_posts_that_a_template_tells_apart_have_names_of_their_own(
    before: list[str], after: list[str], separator: str, turned: bool, posts: list[tuple[str, str, str]]
) -> None:
    pieces = [*before, "{id}", *after]
    template = name_template("{platform}/" + separator.join(reversed(pieces) if turned else pieces))
    assert tells_posts_apart(template)
    assume(posts[0][0] != posts[1][0])
    first, second = (
        media_paths(template, replace(NAMING, ids=(post,), title=title, uploader=uploader), "mp4")
        for post, title, uploader in posts
    )
    assert not set(first) & set(second)


def test_a_name_that_windows_reserves_is_no_longer_for_it() -> None:
    naming = replace(NAMING, title="CON." + "x" * 300)
    for path in media_paths(name_template("{title}"), naming, "mp4"):
        assert len(path.encode()) <= 200
