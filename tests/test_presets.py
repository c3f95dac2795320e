"""The presets: a table that the API, the library and the settings read."""

from __future__ import annotations

import re

import pytest

from downloader.presets import DEFAULT_PRESET, PRESETS, Preset


def test_their_names_are_fixed() -> None:
    assert list(PRESETS) == ["video", "1080p", "720p", "480p", "smallest", "audio", "mp3"]
    assert DEFAULT_PRESET == "video"


@pytest.mark.parametrize(("name", "preset"), PRESETS.items())
def test_each_says_what_it_gives(name: str, preset: Preset) -> None:
    assert preset.name == name
    assert preset.label
    assert re.fullmatch(r"[A-Z][^.]*(\.\w[^.]*)?\.", preset.description)
    assert preset.ytdlp_options == {}


def test_what_they_limit() -> None:
    assert {name: preset.max_height for name, preset in PRESETS.items() if preset.max_height} == {
        "1080p": 1080,
        "720p": 720,
        "480p": 480,
    }
    assert {name for name, preset in PRESETS.items() if preset.kind == "audio"} == {"audio", "mp3"}
