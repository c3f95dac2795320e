"""Short links are followed to their post, or to what they lead to instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from downloader.platforms import PLATFORMS
from downloader.settings import Settings
from downloader.ytdlp.client import FetchContext, fetch, fetch_context
from tests.simulator.client import Simulator

pytestmark = pytest.mark.usefixtures("context")


@pytest.fixture
def context(make_settings: Callable[..., Settings]) -> Iterator[FetchContext]:
    context = FetchContext(settings=make_settings().for_downloads())
    with fetch_context(context):
        yield context


@pytest.mark.parametrize("platform", ["tiktok", "instagram", "twitter", "youtube"])
def test_short_links_work(simulator: Simulator, tmp_path: Path, platform: Any) -> None:
    # t.co is followed only from a tweet: by itself it may lead anywhere, and the detector refuses it.
    success, path, error = fetch(PLATFORMS[platform], simulator.url(platform, "ok", 4, form="short"), str(tmp_path))
    assert (success, error) == (True, None)
    assert path is not None
    assert Path(path).is_file()


@pytest.mark.parametrize(
    ("platform", "form"),
    [
        ("tiktok", "https://vt.tiktok.com/ZS{}/"),
        ("tiktok", "https://www.tiktok.com/t/ZT{}"),
        ("tiktok", "https://lite.tiktok.com/t/ZS{}/"),
        ("instagram", "https://www.instagram.com/share/p/{}/"),
        ("instagram", "https://instagram.com/share/{}?igsh=x"),
    ],
)
def test_every_kind_of_short_link_is_followed_by_one_request(
    simulator: Simulator, tmp_path: Path, platform: Any, form: str
) -> None:
    code = simulator.url(platform, "ok", 4, form="short").rstrip("/").rsplit("/", 1)[-1].removeprefix("ZM")
    post_id = simulator.url(platform, "ok", 4).rstrip("/").rsplit("/", 1)[-1]
    success, path, error = fetch(PLATFORMS[platform], form.format(code), str(tmp_path))
    assert (success, error) == (True, None)
    assert path is not None
    assert f"{platform}_{post_id}" in path
    first, *others = (entry.path for entry in simulator.stats().log)
    assert code in first
    assert others.count(first) <= 1  # if HEAD is refused


@pytest.mark.parametrize("platform", ["tiktok", "instagram"])
@pytest.mark.parametrize(
    ("serial", "code", "told"),
    [
        (0, "invalid_url", "leads to a live broadcast, not to a single post"),
        (1, "invalid_url", "leads to a profile"),
        (2, "invalid_url", "leads to a sound"),
        (3, "invalid_url", "leads to a story"),
        (4, "invalid_url", "leads to a hashtag"),
        (5, "removed", "no longer exists"),
        (6, {"tiktok": "login_required", "instagram": "rate_limited"}, ""),
        (7, None, ""),
        (8, "invalid_url", "leads to another site"),
        (9, {"tiktok": "login_required", "instagram": "rate_limited"}, ""),
    ],
)
def test_a_short_link_that_ends_elsewhere_says_where(
    simulator: Simulator, tmp_path: Path, platform: Any, serial: int, code: Any, told: str
) -> None:
    outcome = fetch(PLATFORMS[platform], simulator.url(platform, "leads_astray", serial, form="short"), str(tmp_path))
    assert outcome.error_code == (code[platform] if isinstance(code, dict) else code)
    assert told in (outcome[2] or "")


@pytest.mark.parametrize(
    ("platform", "serial", "link"),
    [
        ("tiktok", 10, "https://www.tiktok.com/@sim-plain-60"),
        ("instagram", 3, "https://www.instagram.com/stories/ada/"),
        ("instagram", 1, None),  # a profile that cannot be listed
        ("tiktok", 2, None),  # a sound
    ],
)
@pytest.mark.parametrize("expand", [True, False])
def test_a_short_link_to_a_collection_tells_which_if_that_is_to_be_taken_apart(
    context: FetchContext, simulator: Simulator, tmp_path: Path, platform: Any, serial: int, link: str, expand: bool
) -> None:
    reported: list[str] = []
    url = simulator.url(platform, "leads_astray", serial, form="short")
    with fetch_context(replace(context, expand=expand, resolved=reported.append)):
        outcome = fetch(PLATFORMS[platform], url, str(tmp_path))
    assert reported == ([link] if expand and link else [])
    assert outcome.error_code == "invalid_url"
    assert ("`expand`" in (outcome[2] or "")) == (link is not None)


@pytest.mark.parametrize(
    ("platform", "url"),
    [
        ("tiktok", "https://vm.tiktok.com/ZMnothing_-/"),
        ("instagram", "https://www.instagram.com/share/reel/BADnothing/"),
    ],
)
def test_a_short_link_of_a_removed_post_says_so(simulator: Simulator, tmp_path: Path, platform: Any, url: str) -> None:
    assert fetch(PLATFORMS[platform], url, str(tmp_path)).error_code == "removed"
    assert len(simulator.stats().log) == 2  # the link and where it led
