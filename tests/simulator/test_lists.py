"""The simulated collections, listed by the real yt-dlp as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from yt_dlp import YoutubeDL
from yt_dlp.extractor.instagram import InstagramStoryIE
from yt_dlp.extractor.tiktok import TikTokCollectionIE, TikTokUserIE
from yt_dlp.extractor.youtube import YoutubeTabIE
from yt_dlp.utils import DownloadError

from tests.simulator.client import Simulator
from tests.simulator.lists import Plan, channel_url, find_list, list_url
from tests.simulator.playback import Warnings


def listed(simulator: Simulator, url: str, **options: Any) -> dict[str, Any]:
    """Return what yt-dlp makes of a collection, flat."""
    told = {**simulator.ytdlp_options(), "logger": Warnings(), "cachedir": False, "socket_timeout": 5, **options}
    with simulator.trusted(), YoutubeDL({**told, "extract_flat": True}, auto_init=False) as ydl:
        for extractor in (YoutubeTabIE, TikTokUserIE, TikTokCollectionIE, InstagramStoryIE):
            ydl.add_info_extractor(extractor(ydl))
        found: dict[str, Any] = ydl.extract_info(url, download=False)
        return found


def ids(found: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in found["entries"]]


@pytest.mark.parametrize("size", [0, 1, 100, 101, 240])
def test_a_playlist_has_as_many_videos_as_its_name_says(simulator: Simulator, size: int) -> None:
    found = listed(simulator, list_url("youtube", "plain", size))
    assert ids(found) == [f"S00n{number:07d}" for number in range(size)]
    assert (found["playlist_count"], found["title"]) == (size, f"Playlist sim-plain-{size}")


def test_only_the_pages_asked_for_are_made(simulator: Simulator) -> None:
    found = listed(simulator, list_url("youtube", "plain", 100_000), playlist_items="1:150", lazy_playlist=True)
    assert len(ids(found)) == 150
    assert len(simulator.stats().log) == 3


@pytest.mark.parametrize("size", [0, 1, 15, 16, 60])
def test_a_profile_has_as_many_posts_as_its_name_says(simulator: Simulator, size: int) -> None:
    if size == 0:
        with pytest.raises(DownloadError, match="does not have any videos"):
            listed(simulator, list_url("tiktok", "plain", size))
        return
    found = listed(simulator, list_url("tiktok", "plain", size))
    assert ids(found) == [f"700{number:016d}" for number in range(size)]


def test_a_channel_has_tabs(simulator: Simulator) -> None:
    found = listed(simulator, channel_url("plain", 60))
    assert [entry["title"] for entry in found["entries"]] == [
        f"Ada's channel - {tab}" for tab in ("Videos", "Live", "Shorts")
    ]
    assert [len(ids(entry)) for entry in found["entries"]] == [60, 6, 20]
    assert len(ids(listed(simulator, channel_url("plain", 60, "playlists")))) == 3


def test_a_collection_of_a_user(simulator: Simulator) -> None:
    assert len(ids(listed(simulator, "https://www.tiktok.com/@ada/collection/x-7000000000000000070"))) == 70


def test_a_story_is_for_who_is_logged_in(simulator: Simulator, tmp_path: Path) -> None:
    url = "https://www.instagram.com/stories/ada/"
    with pytest.raises(DownloadError, match="unreachable"):
        listed(simulator, url)
    cookies = tmp_path / "cookies.txt"
    line = ".instagram.com\tTRUE\t/\tTRUE\t4102444800\tsessionid\tsimulated\n"
    cookies.write_text(f"# Netscape HTTP Cookie File\n{line}")
    assert ids(listed(simulator, url, cookiefile=str(cookies))) == ["C00n0000000", "C00n0000002", "C42n0000003"]


@pytest.mark.parametrize(
    ("plan", "told"), [("private", "This playlist is private"), ("gone", "The playlist does not exist")]
)
def test_a_playlist_may_be_refused(simulator: Simulator, plan: Plan, told: str) -> None:
    with pytest.raises(DownloadError, match=told):
        listed(simulator, list_url("youtube", plan))


def test_a_name_that_is_not_ours_is_no_collection() -> None:
    assert find_list("youtube", "sim-unheard-7") is None
    assert find_list("youtube", "PLBB231211A4F62143") is None
