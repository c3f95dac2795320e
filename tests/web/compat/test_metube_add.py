"""What MeTube's clients ask for becomes one of our presets, or a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from downloader.errors import RequestRefused
from downloader.presets import Expand
from downloader.settings import Settings
from downloader.web.compat.metube_add import parse_add

URL = "https://www.tiktok.com/@ada/video/7"
NEW: dict[str, Any] = {"download_type": "video", "quality": "best", "format": "any", "codec": "auto"}
AUDIO: dict[str, Any] = {"download_type": "audio", "quality": "best"}
OPUS = {"opus": {"label": "Opus", "kind": "audio", "ytdlp_options": {"format": "ba"}}}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"storage_dir": tmp_path, "presets": OPUS})


@pytest.mark.parametrize(
    ("body", "preset"),
    [
        ({}, "video"),
        ({"quality": "best"}, "video"),
        ({"quality": "best", "format": "any", "auto_start": True}, "video"),
        ({"quality": "best", "format": "mp4"}, "video"),
        ({"quality": "best_ios"}, "video"),
        ({"quality": "audio"}, "audio"),
        ({"quality": "1080", "format": "any", "video_codec": "h264"}, "1080p"),
        ({"quality": 720}, "720p"),
        ({"quality": "worst"}, "smallest"),
        ({"quality": "best", "format": "MP3"}, "mp3"),
        ({"format": "m4a"}, "audio"),
        ({"format": "opus"}, "opus"),
        (NEW, "video"),
        ({**NEW, "quality": "480", "codec": "h264"}, "480p"),
        ({**NEW, "quality": "2160", "codec": "h264"}, "video"),
        ({**NEW, "format": "ios"}, "video"),
        ({"download_type": "video", "quality": "best"}, "video"),
        ({**AUDIO, "format": "mp3"}, "mp3"),
        ({**AUDIO, "format": "m4a", "codec": "h264"}, "audio"),
        ({**NEW, "ytdl_options_presets": ["720p"]}, "720p"),
        ({**NEW, "ytdl_options_preset": "mp3"}, "mp3"),
        # empty, default or unknown: of no consequence
        ({**NEW, "folder": "", "custom_name_prefix": "", "playlist_strict_mode": True, "x": 1}, "video"),
        ({**NEW, "split_by_chapters": False, "chapter_template": "%(title)s", "sponsorblock": False}, "video"),
        ({**NEW, "clip_start": None, "clip_end": " ", "playlist_item_limit": 0}, "video"),
        ({**NEW, "subtitle_language": "en", "subtitle_mode": "prefer_manual"}, "video"),
        ({**NEW, "ytdl_options_presets": [], "ytdl_options_overrides": "{}"}, "video"),
    ],
)
def test_a_request_gets_a_preset(body: dict[str, Any], preset: str, settings: Settings) -> None:
    assert parse_add({"url": URL, **body}, settings).wanted.preset.name == preset


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"url": ""}, "url"),
        ({"url": None}, "url"),
        ({"download_type": "video"}, "quality"),
        ({**NEW, "download_type": "picture"}, "download_type"),
        ({**NEW, "quality": "1081"}, "quality"),
        ({**NEW, "format": "avi"}, "format"),
        ({**NEW, "codec": "divx"}, "codec"),
        ({**NEW, "codec": "av1"}, "h264"),
        ({**NEW, "quality": "2160"}, "2160p"),
        ({**NEW, "quality": "360"}, "360p"),
        ({**AUDIO, "format": "mp4"}, "format"),
        ({**AUDIO, "format": "flac"}, "flac"),
        ({**AUDIO, "format": "mp3", "quality": "320"}, "mp3-320"),
        ({**AUDIO, "format": "wav", "quality": "320"}, "quality"),
        ({"format": "captions", "subtitle_format": "vtt"}, "Subtitles"),
        ({"format": "thumbnail"}, "Thumbnails"),
        ({"download_type": "captions", "quality": "best", "format": "srt"}, "Subtitles"),
        ({**NEW, "subtitle_language": "e n"}, "subtitle_language"),
        ({**NEW, "subtitle_mode": "none"}, "subtitle_mode"),
        ({**NEW, "folder": "../x"}, "folder"),
        ({**NEW, "folder": "/etc"}, "folder"),
        ({**NEW, "folder": 7}, "folder"),
        ({**NEW, "custom_name_prefix": "a"}, "custom_name_prefix"),
        ({**NEW, "split_by_chapters": True}, "split_by_chapters"),
        ({**NEW, "sponsorblock": True}, "sponsorblock"),
        ({**NEW, "clip_start": "0:30"}, "clip_start"),
        ({**NEW, "clip_end": 9}, "clip_end"),
        ({**NEW, "playlist_item_limit": "many"}, "playlist_item_limit"),
        ({**NEW, "playlist_item_limit": -1}, "playlist_item_limit"),
        ({**NEW, "ytdl_options_presets": ["720p", "mp3"]}, "ytdl_options_presets"),
        ({**NEW, "ytdl_options_presets": ["x"]}, "x"),
        ({**NEW, "ytdl_options_presets": {"x": 1}}, "ytdl_options_presets"),
        ({**NEW, "ytdl_options_overrides": {"format": "worst"}}, "ytdl_options_overrides"),
        ({**NEW, "ytdl_options_overrides": '{"format": "worst"}'}, "ytdl_options_overrides"),
        ({**NEW, "auto_start": "no"}, "auto_start"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(body: dict[str, Any], word: str, settings: Settings) -> None:
    with pytest.raises(RequestRefused, match=word) as refusal:
        parse_add({"url": URL, **body}, settings)
    assert str(refusal.value).endswith(".")


def test_the_rest_of_a_request(settings: Settings, tmp_path: Path) -> None:
    plain = parse_add({"url": f" {URL} "}, settings)
    assert (plain.url, plain.auto_start, plain.wanted.folder) == (URL, True, "")
    assert plain.wanted.expand == Expand(limit=10_000)
    sent = {"auto_start": False, "folder": "tiktok.com", "playlist_item_limit": "7"}
    full = parse_add({"url": URL, **NEW, **sent}, settings)
    assert (full.auto_start, full.wanted.folder, full.wanted.expand) == (False, "tiktok.com", Expand(limit=7))
    own = Settings(storage_dir=tmp_path, default_preset="480p")
    assert parse_add({"url": URL}, own).wanted.preset.name == "480p"
    assert parse_add({"url": URL, "quality": "best"}, own).wanted.preset.name == "video"
