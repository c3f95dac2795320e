"""Which formats presets take, as real yt-dlp chooses among made-up ones; real files are in simulator/test_presets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yt_dlp

from downloader.platforms import PLATFORMS, PlatformType
from downloader.presets import PRESETS, Preset
from downloader.settings import Settings
from downloader.ytdlp.options import ytdlp_options


def fmt(name: str, side: int | None = None, *, upright: bool = False, **more: Any) -> dict[str, Any]:
    """Return a format: `muxed`, or by its name of one stream alone."""
    sides = {} if side is None else {"height": side, "width": side * 16 // 9}
    if upright:
        sides = {"height": sides["width"], "width": sides["height"]}
    codecs = {"vcodec": "none" if side is None else "h264", "acodec": "aac" if side is None else "none"}
    ext = "m4a" if side is None else "mp4"
    return {"format_id": name, "url": f"https://a.example/{name}", "ext": ext, **codecs, **sides, **more}


def muxed(name: str, side: int, **more: Any) -> dict[str, Any]:
    return fmt(name, side, **{"acodec": "aac", **more})


SOUND = fmt("sound", abr=128)
OPUS = fmt("251", abr=160, ext="webm", acodec="opus")


@pytest.fixture
def chosen(make_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., str]:
    def choose(preset: str | Preset, *formats: dict[str, Any], platform: PlatformType = "youtube", **more: Any) -> str:
        """Return the id of the format, or those of the two, that *preset* takes of *formats*, by *platform*'s order."""
        preset = PRESETS[preset] if isinstance(preset, str) else preset
        settings = make_settings(**more).for_downloads()
        options = ytdlp_options(PLATFORMS[platform], settings, tmp_path, proxy="", preset=preset)
        info = {
            "id": "7",
            "title": "t",
            "extractor": platform,
            "duration": 2,
            "formats": [dict(each) for each in formats],
        }
        with yt_dlp.YoutubeDL(options, auto_init=False) as ydl:
            return str(ydl.process_ie_result(info, download=False)["format_id"])

    return choose


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize(
    ("preset", "expected"),
    [("video", "v1440"), ("1080p", "v1080"), ("720p", "v540"), ("480p", "v360"), ("smallest", "v360")],
)
def test_the_shorter_side_decides(chosen: Callable[..., str], preset: str, expected: str, upright: bool) -> None:
    pictures = [fmt(f"v{side}", side, upright=upright) for side in (360, 540, 1080, 1440)]
    assert chosen(preset, *pictures, SOUND) == f"{expected}+sound"


@pytest.mark.parametrize("upright", [False, True])
def test_where_all_are_higher_the_lowest_is_taken(chosen: Callable[..., str], upright: bool) -> None:
    pictures = [muxed(f"v{side}", side, upright=upright) for side in (2160, 1080, 1440)]
    for platform in PLATFORMS:
        assert chosen("480p", *pictures, platform=platform) == "v1080"


def test_h264_is_preferred_within_the_limit_but_not_beyond_it(chosen: Callable[..., str]) -> None:
    hevc, low = muxed("hevc", 720, vcodec="bytevc1"), muxed("low", 540)
    for platform in PLATFORMS:
        assert chosen("720p", hevc, low, platform=platform) == "low"
        assert chosen("720p", hevc, muxed("high", 1080), platform=platform) == "hevc"


def test_a_square_is_neither_upright_nor_not(chosen: Callable[..., str]) -> None:
    squares = [muxed(f"s{side}", side, width=side) for side in (480, 720, 1080)]
    assert chosen("720p", *squares) == "s720"


def test_of_equal_pictures_of_a_tweet_the_file_is_taken(chosen: Callable[..., str]) -> None:
    file = {**fmt("http", 720), "vcodec": None, "acodec": None, "tbr": 900}
    stream = fmt("hls", 720, protocol="m3u8_native", tbr=800)
    sound = fmt("hls-audio", protocol="m3u8_native", ext="mp4")
    for preset in ("video", "720p", "1080p", "480p", "smallest"):
        assert chosen(preset, file, stream, sound, platform="twitter") == "http"


@pytest.mark.parametrize(("preset", "expected"), [("audio", "sound"), ("mp3", "251")])
def test_sound_apart_is_taken_as_the_best_that_suits(chosen: Callable[..., str], preset: str, expected: str) -> None:
    low = fmt("low", abr=48, quality=-1)
    assert chosen(preset, low, SOUND, OPUS, fmt("v360", 360), muxed("both", 144)) == expected


def test_without_an_m4a_the_sound_stays_what_it_is(chosen: Callable[..., str]) -> None:
    assert chosen("audio", OPUS, muxed("both", 144)) == "251"


def test_sound_within_videos_comes_from_the_smallest(chosen: Callable[..., str]) -> None:
    for platform in PLATFORMS:
        assert chosen("audio", muxed("b720", 720), muxed("b240", 240), muxed("b480", 480), platform=platform) == "b240"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_song_beneath_a_tiktok_is_not_its_sound(chosen: Callable[..., str], preset: str) -> None:
    song = fmt("audio", abr=256)
    silent = fmt("silent", 720, vcodec="bytevc1")  # TikTok has some of these
    assert chosen(preset, song, silent, muxed("video", 360), platform="tiktok") == "video"


def test_the_default_preset_changes_nothing(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    settings = make_settings().for_downloads()
    for platform in PLATFORMS.values():
        usual = ytdlp_options(platform, settings, tmp_path, proxy="")
        named = ytdlp_options(platform, settings, tmp_path, proxy="", preset=PRESETS["video"])
        for options in (usual, named):
            del options["logger"], options["match_filter"]
        assert named == usual
        assert usual["format"] == platform.options.get("format", "bv*+ba/b")


def test_an_operators_options_hold_for_all_presets_but_do_not_say_what_to_get(
    make_settings: Callable[..., Settings], chosen: Callable[..., str], tmp_path: Path
) -> None:
    theirs = {"format": "worst", "ratelimit": 7, "postprocessors": [{"key": "FFmpegMetadata"}]}
    settings = make_settings(ytdlp_options=theirs).for_downloads()
    for preset in PRESETS.values():
        options = ytdlp_options(PLATFORMS["youtube"], settings, tmp_path, proxy="", preset=preset)
        assert (options["ratelimit"], options["postprocessors"]) == (7, [{"key": "FFmpegMetadata"}])
    formats = [muxed(f"v{side}", side) for side in (360, 720)]
    assert chosen("video", *formats, ytdlp_options=theirs) == "v360"
    assert chosen("720p", *formats, ytdlp_options=theirs) == "v720"


def test_an_operators_preset_overrides_their_options(chosen: Callable[..., str]) -> None:
    formats = [muxed(f"v{side}", side) for side in (360, 720)]
    best = Preset(name="best", label="Best", ytdlp_options={"format": "b"})
    assert chosen(best, *formats, ytdlp_options={"format": "worst"}) == "v720"


def test_no_sound_is_made_an_mp4(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    settings = make_settings().for_downloads()
    options = ytdlp_options(PLATFORMS["youtube"], settings, tmp_path, proxy="", preset=PRESETS["audio"])
    assert options["postprocessors"] == []
