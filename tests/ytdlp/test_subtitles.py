"""Which subtitles are taken, and that they come, or are missing, and never cost the video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from downloader.ytdlp.subtitles import choose, segments, subtitle_options


def there(*languages: str, ext: str = "vtt") -> dict[str, list[dict[str, Any]]]:
    return {language: [{"ext": ext, "url": f"https://x.test/{language}"}] for language in languages}


@pytest.mark.parametrize(
    ("wanted", "own", "automatic", "taken"),
    [
        # The very language, then a region's, then a wider one; never another region's.
        ("en", ["de", "en-US", "en"], [], "en"),
        ("en", ["de", "en-GB", "en-US"], [], "en-GB"),
        ("en-US", ["en-GB", "en"], [], "en"),
        ("en-US", ["en-GB"], [], None),
        ("pt-BR", ["pt", "pt-BR", "pt-PT"], [], "pt-BR"),
        ("pt-BR", ["pt-PT", "pt"], [], "pt"),
        ("pt-BR", ["pt-PT"], [], None),
        ("en", ["eng"], [], "eng"),
        ("e", ["en"], [], None),
        ("en", ["enm"], [], None),
        # Case, and several spellings of one language.
        ("pt-br", ["PT_BR"], [], "PT_BR"),
        ("en", ["eng-US"], [], "eng-US"),
        ("en-US", ["eng-US"], [], "eng-US"),
        ("eng", ["en"], [], "en"),
        ("he", ["iw"], [], "iw"),
        ("id", ["in"], [], "in"),
        ("fil", ["fil-PH"], [], "fil-PH"),
        ("zh", ["cmn-Hans-CN"], [], "cmn-Hans-CN"),
        ("zh-Hans", ["zh-CN"], [], "zh-CN"),
        ("zh-CN", ["cmn-Hans-CN"], [], "cmn-Hans-CN"),
        ("zh-CN", ["zh-Hans"], [], "zh-Hans"),
        ("zh-TW", ["zh-Hans", "zh-Hant"], [], "zh-Hant"),
        ("zh-Hans", ["zh-TW", "zh-Hant"], [], None),
        # The uploader's before automatic ones, whatever their region.
        ("en", ["en-US"], ["en", "en-orig"], "en-US"),
        ("pt-BR", ["pt"], ["pt-BR"], "pt"),
        ("en", ["de"], ["en"], "en"),
        # What YouTube heard before what it translated.
        ("en", [], ["en", "en-orig"], "en-orig"),
        ("en", [], ["en-de", "en"], "en"),
        ("en", [], ["en-de"], "en-de"),
        ("en", [], ["en-US-orig", "en"], "en"),
        ("de", [], ["en-orig", "en", "de"], "de"),
        # Never.
        ("live-chat", ["live_chat"], [], None),
        ("en", [], [], None),
        ("en", ["../en", "en\n", ""], [], None),
    ],
)
def test_a_language_is_chosen(wanted: str, own: list[str], automatic: list[str], taken: str | None) -> None:
    track = choose([wanted], there(*own), there(*automatic))[wanted]
    assert (track and track.format["url"]) == (taken and f"https://x.test/{taken}")
    assert track is None or track.is_automatic is (taken not in own)


@pytest.mark.parametrize(
    ("offered", "language"),
    [
        ("en", "en"),
        ("EN_us", "en-US"),
        ("eng-US", "en-US"),
        ("en-orig", "en"),
        ("cmn-Hans-CN", "zh-Hans-CN"),
        ("zh-TW", "zh-TW"),
        ("iw", "he"),
        ("fil-PH", "fil-PH"),
    ],
)
def test_a_language_is_named_as_files_name_it(offered: str, language: str) -> None:
    [track] = choose([language], None, there(offered)).values()
    assert track
    assert track.language == language


def test_each_language_is_chosen_by_itself_in_the_order_asked_for() -> None:
    found = choose(["fr", "en", "en-GB", "de"], there("en-GB", "de"), there("fr"))
    assert [(code, track and track.language) for code, track in found.items()] == [
        ("fr", "fr"),
        ("en", "en-GB"),
        ("en-GB", "en-GB"),
        ("de", "de"),
    ]


@pytest.mark.parametrize(
    ("formats", "taken"),
    [
        ([{"ext": "json3", "url": "a"}, {"ext": "vtt", "url": "b"}, {"ext": "srt", "url": "c"}], "c"),
        ([{"ext": "ttml", "url": "a"}, {"ext": "vtt", "url": "b"}], "b"),
        ([{"ext": "vtt", "url": "a", "protocol": "m3u8_native"}], "a"),
        ([{"ext": "vtt", "url": "a", "protocol": "http_dash_segments"}], None),
        ([{"ext": "json3", "url": "a"}], None),
        ([{"ext": "vtt"}], None),
        ([], None),
        (None, None),
        ("vtt", None),
    ],
)
def test_a_format_is_one_that_can_be_read(formats: Any, taken: str | None) -> None:
    track = choose(["en"], {"en": formats}, None)["en"]
    assert (track and track.format["url"]) == taken


def test_a_language_in_no_format_that_can_be_read_gives_way_to_another() -> None:
    track = choose(["en"], there("en", ext="ttml"), there("en"))["en"]
    assert track
    assert track.is_automatic


@pytest.mark.parametrize(
    ("operators", "asked_of_ytdlp"),
    [
        ({}, {"writesubtitles": True, "writeautomaticsub": True, "subtitleslangs": ["-all"]}),
        ({"writesubtitles": True, "subtitleslangs": ["de"]}, {"writesubtitles": True, "writeautomaticsub": True}),
    ],
)
def test_ytdlp_itself_fetches_what_the_operator_asks_for(
    operators: Mapping[str, Any], asked_of_ytdlp: Mapping[str, Any]
) -> None:
    assert subtitle_options(operators) == asked_of_ytdlp


PLAYLIST = b"#EXTM3U\n#EXTINF:2,\n0.vtt\n#EXTINF:2,\n/a/1.vtt?x=1\nhttps://y.test/2.vtt\n#EXT-X-ENDLIST\n"


def test_a_playlists_segments_are_found() -> None:
    assert segments(PLAYLIST, "https://x.test/s/index.m3u8?t=1") == [
        "https://x.test/s/0.vtt",
        "https://x.test/a/1.vtt?x=1",
        "https://y.test/2.vtt",
    ]


@pytest.mark.parametrize(
    "playlist",
    [b"", b"WEBVTT\n", b"<html>", PLAYLIST + b"#EXT-X-KEY:METHOD=AES-128\n", PLAYLIST + b"#EXT-X-BYTERANGE:1"],
)
def test_a_playlist_of_another_kind_is_refused(playlist: bytes) -> None:
    with pytest.raises(ValueError, match="playlist"):
        segments(playlist, "https://x.test/")
