"""What belongs to a post is corrected where yt-dlp has the methods for it; the rest is tested with the simulator."""

from __future__ import annotations

from typing import Any

import pytest

from downloader.platforms import PLATFORMS
from downloader.ytdlp.extractors import extractors_of
from downloader.ytdlp.posts import CORRECTIONS


class Elsewhere:
    """An extractor of some other yt-dlp."""


@pytest.mark.parametrize("name", CORRECTIONS)
def test_another_ytdlp_is_left_as_it_is(name: str) -> None:
    assert CORRECTIONS[name](Elsewhere) is Elsewhere


@pytest.mark.parametrize(("platform", "name"), [("twitter", "Twitter"), ("tiktok", "TikTok")])
def test_the_installed_ytdlp_is_corrected(platform: Any, name: str) -> None:
    first = extractors_of(PLATFORMS[platform])[0]
    assert first.__module__ == "downloader.ytdlp.posts"
    assert first.ie_key() == name
    assert first.IE_NAME == first.__bases__[0].IE_NAME
