"""What cobalt's clients ask for becomes one of our presets, or a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from downloader.errors import RequestRefused
from downloader.platforms import PlatformType
from downloader.settings import Settings
from downloader.web.compat.cobalt_request import SaveRequest

URL = "https://youtu.be/dQw4w9WgXcQ"

#: As cobalt's own page sends it.
PAGE: dict[str, Any] = {
    "url": URL, "downloadMode": "auto", "videoQuality": "1080", "youtubeVideoCodec": "h264", "audioFormat": "mp3",
    "youtubeVideoContainer": "auto", "audioBitrate": "128", "filenameStyle": "basic", "alwaysProxy": False,
    "localProcessing": "disabled", "disableMetadata": False, "convertGif": True, "tiktokFullAudio": False,
    "allowH265": False, "youtubeHLS": False, "youtubeBetterAudio": False,
}  # fmt: skip


def preset(settings: Settings, sent: dict[str, Any], platform: PlatformType = "youtube") -> str:
    return SaveRequest.parse({"url": URL, **sent}).wanted(platform, settings).preset.name


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ({}, "video"),
        (PAGE, "1080p"),
        ({"videoQuality": "max"}, "video"),
        ({"videoQuality": "2160"}, "video"),
        ({"videoQuality": "720", "allowH265": True, "localProcessing": True, "convertGif": False}, "720p"),
        ({"downloadMode": "audio"}, "mp3"),
        ({"downloadMode": "audio", "audioBitrate": "128"}, "mp3"),
        ({"downloadMode": "audio", "audioFormat": "best", "audioBitrate": "320"}, "audio"),
        ({"downloadMode": "audio", "audioFormat": "wav", "audioBitrate": "64"}, "wav"),
        ({"audioFormat": "ogg", "subtitleLang": "none", "youtubeDubLang": "original"}, "video"),
    ],
)
def test_a_request_gets_a_preset(sent: dict[str, Any], name: str, tmp_path: Path) -> None:
    wav = {"wav": {"label": "WAV", "kind": "audio", "ytdlp_options": {}}}
    assert preset(Settings.model_validate({"storage_dir": tmp_path, "presets": wav}), sent) == name


@pytest.mark.parametrize(
    ("sent", "platform", "word"),
    [
        ({"downloadMode": "mute"}, "tiktok", "mute"),
        ({"subtitleLang": "en"}, "tiktok", "subtitleLang"),
        ({"videoQuality": "360"}, "tiktok", "360p"),
        ({"youtubeVideoCodec": "av1"}, "youtube", "youtubeVideoCodec"),
        ({"youtubeVideoContainer": "mkv"}, "youtube", "youtubeVideoContainer"),
        ({"youtubeDubLang": "de"}, "youtube", "youtubeDubLang"),
        ({"downloadMode": "audio", "audioFormat": "ogg"}, "tiktok", "ogg"),
        ({"downloadMode": "audio", "audioBitrate": "320"}, "tiktok", "mp3-320"),
        ({"downloadMode": "audio", "tiktokFullAudio": True}, "tiktok", "tiktokFullAudio"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_where_it_matters(
    sent: dict[str, Any], platform: PlatformType, word: str, tmp_path: Path
) -> None:
    settings = Settings(storage_dir=tmp_path)
    with pytest.raises(RequestRefused, match=word):
        preset(settings, sent, platform)
    if any(name.startswith("youtube") for name in sent) or "tiktokFullAudio" in sent:
        assert preset(settings, sent, "twitter")


@pytest.mark.parametrize(
    "sent",
    [
        {"vCodec": "h264"},
        {"videoQuality": 1080},
        {"videoQuality": "1081"},
        {"downloadMode": ""},
        {"filenameStyle": "long"},
        {"localProcessing": "perhaps"},
        {"alwaysProxy": "true"},
        {"youtubeDubLang": "x"},
        {"subtitleLang": "en_US"},
        {"subtitleLang": "en\n"},
        {"url": 7},
    ],
)
def test_a_body_has_known_keys_and_values(sent: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused):
        SaveRequest.parse({"url": URL, **sent})


def test_the_operators_default_is_the_default(tmp_path: Path) -> None:
    assert preset(Settings(storage_dir=tmp_path, default_preset="480p"), {}) == "480p"
    assert preset(Settings(storage_dir=tmp_path, default_preset="mp3"), {}) == "video"
