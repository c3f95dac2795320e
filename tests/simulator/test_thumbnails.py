"""The simulated thumbnails, as yt-dlp finds them and as their hosts send them."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest
from yt_dlp import YoutubeDL

from downloader.media.details import details_of
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS, Platform
from tests.simulator.scenarios import find_post
from tests.simulator.thumbnails import thumbnail_of

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def candidates(simulator: Simulator, platform: Platform, scenario: str) -> tuple[str, ...]:
    options: dict[str, Any] = {**simulator.ytdlp_options(), "quiet": True, "cachedir": False, "no_warnings": True}
    with YoutubeDL(options) as ydl:
        info: Any = ydl.extract_info(simulator.url(platform, scenario), download=False)
    return details_of(info).thumbnails


def get(simulator: Simulator, url: str) -> bytes:
    handlers = (
        urllib.request.ProxyHandler({"https": simulator.proxy, "http": simulator.proxy}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=simulator.ca)),
    )
    with urllib.request.build_opener(*handlers).open(url, timeout=5) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platforms_posts_have_a_thumbnail_of_their_own(simulator: Simulator, platform: Platform) -> None:
    url = simulator.url(platform, "ok")
    post = find_post(platform, url.rstrip("/").replace("=", "/").rpartition("/")[2])
    assert post is not None
    assert get(simulator, candidates(simulator, platform, "ok")[0]) == thumbnail_of(post)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_thumbnails_that_are_refused_are_what_they_say(simulator: Simulator, platform: Platform) -> None:
    first = {name: candidates(simulator, platform, f"thumbnail_{name}")[0] for name in ("svg", "huge", "missing")}
    assert get(simulator, first["svg"]).startswith(b"<svg")
    assert get(simulator, first["huge"]).startswith(b"\x89PNG")
    with pytest.raises(urllib.error.HTTPError):
        get(simulator, first["missing"])
    assert candidates(simulator, platform, "private_thumbnail")[0].startswith(simulator.canary)
