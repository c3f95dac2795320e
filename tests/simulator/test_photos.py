"""Posts of pictures at every platform that has them, by real yt-dlp."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from downloader.batch_downloader import DownloadSession, download_batch, download_single_video
from downloader.jobs import Progress
from downloader.platforms import PLATFORMS as DECLARED
from downloader.settings import Settings
from downloader.ytdlp.client import FetchContext, fetch, fetch_context
from tests.simulator import pictures
from tests.simulator.client import Simulator
from tests.simulator.model import Platform, Post
from tests.simulator.scenarios import SCENARIOS, find_post

WITH_PICTURES: tuple[Platform, ...] = ("tiktok", "instagram", "twitter")

everywhere = pytest.mark.parametrize("platform", WITH_PICTURES)


def post_of(simulator: Simulator, platform: Platform, scenario: str, serial: int = 0) -> Post:
    post = find_post(platform, simulator.url(platform, scenario, serial).rstrip("/").rpartition("/")[2])
    assert post is not None
    return post


def served(post: Post, number: int) -> bytes:
    """Return the picture that is part *number* of *post*, as the simulator sends it."""
    content = pictures.picture(post, pictures.picture_name(post, number))
    return b"".join(bytes(chunk) for chunk in content.chunks())


def suffixes(record: dict[str, Any]) -> list[str]:
    return [Path(name).suffix for name in record["files"]]


def files_in(session: DownloadSession) -> list[Path]:
    return [path for path in session.settings.raw_dir.rglob("*") if path.is_file()]


@everywhere
@pytest.mark.parametrize("serial", range(5))
async def test_pictures_come_as_they_were_served_in_order(
    simulator: Simulator, session: DownloadSession, platform: Platform, serial: int
) -> None:
    record = await download_single_video(simulator.url(platform, "pictures", serial), session=session)
    assert (record["success"], record["error"], record["detail"]) == (True, None, None)
    assert (record["kind"], record["preset"]) == ("photos", "video")
    post = post_of(simulator, platform, "pictures", serial)
    assert record["id"] == post.id
    stems = [f"{platform}_{post.id}_{number}_" for number in range(1, len(record["files"]) + 1)]
    assert all(Path(name).name.startswith(stem) for name, stem in zip(record["files"], stems, strict=True))
    types = [f".{pictures.TYPES[(serial + number) % 5]}" for number in range(3)]
    # TikTok's slides have sound, every other post.
    assert suffixes(record) == types + ([".m4a"] if platform == "tiktok" and serial % 2 == 0 else [])
    assert [Path(name).read_bytes() for name in record["files"][:3]] == [served(post, n) for n in (1, 2, 3)]
    assert record["size_bytes"] == sum(Path(name).stat().st_size for name in record["files"])
    assert simulator.stats().posts[post.id].page_requests <= (2 if platform == "instagram" else 1)


@everywhere
async def test_a_picture_alone(simulator: Simulator, session: DownloadSession, platform: Platform) -> None:
    record = await download_single_video(simulator.url(platform, "one_picture", 1), session=session)
    assert record["success"], record
    [file] = record["files"]
    assert record["file_path"] == file
    assert Path(file).read_bytes() == served(post_of(simulator, platform, "one_picture", 1), 1)


@pytest.mark.parametrize(
    ("platform", "scenario", "types"),
    [
        ("instagram", "mixed_carousel", [".mp4", ".webp", ".mp4"]),
        ("twitter", "mixed_tweet", [".jpg", ".mp4", ".mp4"]),
    ],
)
async def test_a_mixed_post_is_complete_and_in_order(
    simulator: Simulator, session: DownloadSession, platform: Platform, scenario: str, types: list[str]
) -> None:
    record = await download_single_video(simulator.url(platform, scenario), session=session)
    assert record["success"], record
    assert record["kind"] == "video"
    assert suffixes(record) == types
    number = next(n for n, suffix in enumerate(types) if suffix != ".mp4")
    content = Path(record["files"][number]).read_bytes()
    assert content == served(post_of(simulator, platform, scenario), number + 1)


async def test_a_slideshow_comes_by_every_link(simulator: Simulator, session: DownloadSession) -> None:
    plain = simulator.url("tiktok", "pictures")
    short = simulator.url("tiktok", "pictures", form="short")
    for record in await download_batch([plain.replace("/video/", "/photo/"), short], session=session):
        assert record["success"], record
        assert len(record["files"]) == 4


async def test_an_embedded_tweet_has_pictures_too(simulator: Simulator, make_settings: Callable[..., Settings]) -> None:
    options = {"compat_opts": ["no-certifi"], "extractor_args": {"twitter": {"api": ["syndication"]}}}
    session = DownloadSession(make_settings(ytdlp_options=options))
    urls = [simulator.url("twitter", name) for name in ("pictures", "mixed_tweet")]
    first, second = await download_batch(urls, session=session)
    assert suffixes(first) == [".jpg", ".webp", ".png"]
    assert suffixes(second) == [".jpg", ".mp4", ".mp4"]


async def test_a_tweet_of_words_gives_the_pictures_that_it_quotes(
    simulator: Simulator, session: DownloadSession
) -> None:
    record = await download_single_video(simulator.url("twitter", "quote_of_pictures"), session=session)
    assert record["success"], record
    assert record["id"] == post_of(simulator, "twitter", "pictures").id
    assert len(record["files"]) == 3


async def test_a_tweets_own_picture_goes_before_a_quoted_video(simulator: Simulator, session: DownloadSession) -> None:
    record = await download_single_video(simulator.url("twitter", "quote_of_video", 1), session=session)
    assert record["kind"] == "photos"
    assert record["id"] == post_of(simulator, "twitter", "quote_of_video", 1).id


# Without pictures


@everywhere
@pytest.mark.parametrize("serial", [0, 1])
async def test_without_photos_a_post_of_pictures_has_no_video(
    simulator: Simulator, session: DownloadSession, platform: Platform, serial: int
) -> None:
    url = simulator.url(platform, "pictures", serial)
    record = await download_single_video(url, photos=False, session=session)
    assert record["error_code"] == "no_video"


async def test_the_settings_say_whether_pictures_are_wanted(
    simulator: Simulator, make_settings: Callable[..., Settings]
) -> None:
    session = DownloadSession(make_settings(photos=False))
    urls = [simulator.url("instagram", name) for name in ("one_picture", "mixed_carousel")]
    one, mixed = await download_batch(urls, session=session)
    assert one["error_code"] == "no_video"
    assert suffixes(mixed) == [".mp4", ".mp4"]
    one, _ = await download_batch(urls, photos=True, session=session)
    assert one["success"], one


@everywhere
@pytest.mark.parametrize("serial", [0, 1])
async def test_a_preset_of_sound_takes_a_slideshows_sound_and_no_picture(
    simulator: Simulator, session: DownloadSession, platform: Platform, serial: int
) -> None:
    record = await download_single_video(simulator.url(platform, "pictures", serial), preset="audio", session=session)
    if platform == "tiktok" and serial == 0:
        assert (record["kind"], suffixes(record)) == ("audio", [".m4a"])
    else:
        assert record["error_code"] == "no_audio"


async def test_a_preset_of_sound_takes_the_sound_of_the_videos_among_pictures(
    simulator: Simulator, session: DownloadSession
) -> None:
    record = await download_single_video(simulator.url("instagram", "mixed_carousel"), preset="mp3", session=session)
    assert suffixes(record) == [".mp3", ".mp3"]


@everywhere
async def test_a_preset_of_a_height_takes_pictures_as_they_are(
    simulator: Simulator, session: DownloadSession, platform: Platform
) -> None:
    record = await download_single_video(simulator.url(platform, "one_picture", 1), preset="480p", session=session)
    assert record["success"], record
    assert Path(record["file_path"]).read_bytes() == served(post_of(simulator, platform, "one_picture", 1), 1)


# Pictures that are not there


@everywhere
async def test_a_post_with_a_picture_gone_gives_the_others_and_says_so(
    simulator: Simulator, session: DownloadSession, platform: Platform
) -> None:
    record = await download_single_video(simulator.url(platform, "picture_gone", 1), session=session)
    assert (record["success"], record["error"]) == (True, None)
    assert record["detail"].startswith("picture 2 is missing: ")
    assert "404" in record["detail"]
    post = post_of(simulator, platform, "picture_gone", 1)
    assert [Path(name).read_bytes() for name in record["files"]] == [served(post, 1), served(post, 3)]
    assert [Path(name).name.split("_")[2] for name in record["files"]] == ["1", "3"]


@everywhere
@pytest.mark.parametrize("serial", [0, 1])
async def test_a_post_with_all_pictures_gone_fails(
    simulator: Simulator, session: DownloadSession, platform: Platform, serial: int
) -> None:
    record = await download_single_video(simulator.url(platform, "pictures_gone", serial), session=session)
    assert record["error_code"] == SCENARIOS["pictures_gone"].expected(platform), record
    assert files_in(session) == []


@everywhere
async def test_pictures_told_in_a_new_way_are_a_change_of_the_platform(
    simulator: Simulator, session: DownloadSession, platform: Platform
) -> None:
    urls = [simulator.url(platform, name) for name in ("picture_unreadable", "pictures_unreadable")]
    one, both = await download_batch(urls, session=session)
    assert one["success"], one
    assert one["detail"].startswith("picture 2 is missing: ")
    assert both["error_code"] == "platform_changed"


@pytest.mark.parametrize("platform", ["instagram", "twitter"])
async def test_a_change_in_pictures_leaves_the_videos(
    simulator: Simulator, session: DownloadSession, platform: Platform
) -> None:
    record = await download_single_video(simulator.url(platform, "mixed_unreadable"), session=session)
    assert (record["kind"], suffixes(record)) == ("video", [".mp4"])
    assert record["detail"].startswith("picture 2 is missing: ")


async def test_a_picture_has_its_size_and_no_subtitles(simulator: Simulator, session: DownloadSession) -> None:
    record = await download_single_video(simulator.url("twitter", "pictures"), subtitles=["en"], session=session)
    assert (record["width"], record["height"]) == pictures.PICTURE_SIZE
    assert (record["subtitles"], record["subtitles_missing"]) == ([], ["en"])


def test_after_a_crash_it_is_still_known_what_is_missing(
    simulator: Simulator, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    context = FetchContext(settings=make_settings().for_downloads(), work_dir=tmp_path / "work")
    url = simulator.url("twitter", "picture_gone", 1)
    with fetch_context(context):
        first, again = (fetch(DECLARED["twitter"], url, str(tmp_path / "raw")) for _ in range(2))
    assert (first.detail or "").startswith("picture 2 is missing: ")
    assert (again.detail, again.media) == (first.detail, first.media)
    assert first.media is not None
    assert first.media.kind == "photos"


# Pictures that are none


@everywhere
@pytest.mark.parametrize("kind", pictures.HOSTILE)
async def test_what_is_no_picture_is_refused(
    simulator: Simulator, session: DownloadSession, platform: Platform, kind: str
) -> None:
    memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    url = simulator.url(platform, "hostile_picture", pictures.HOSTILE.index(kind))
    record = await download_single_video(url, session=session)
    assert record["error_code"] == ("too_large" if kind == "huge" else "not_a_video"), record
    assert files_in(session) == []
    assert time.process_time() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 100 * 1024


async def test_a_picture_keeps_to_the_operators_limit(
    simulator: Simulator, make_settings: Callable[..., Settings]
) -> None:
    session = DownloadSession(make_settings(max_file_bytes=100))
    record = await download_single_video(simulator.url("instagram", "one_picture"), session=session)
    assert record["error_code"] == "too_large"
    assert files_in(session) == []


@everywhere
def test_an_attempt_continues_where_the_one_before_ended(
    simulator: Simulator, make_settings: Callable[..., Settings], tmp_path: Path, platform: Platform
) -> None:
    stop = threading.Event()

    def interrupt(progress: Progress) -> None:
        # At the first sign of life after the first picture.
        if progress.phase == "downloading" and progress.downloaded_bytes:
            stop.set()

    context = FetchContext(settings=make_settings().for_downloads(), work_dir=tmp_path / "work", stop=stop)
    url = simulator.url(platform, "pictures", 1)
    with fetch_context(replace(context, report=interrupt)):
        assert fetch(DECLARED[platform], url, str(tmp_path / "raw")).error_code == "interrupted"
    before = {path.name for path in (tmp_path / "work").iterdir()}
    assert "1-picture.jpg" in before
    with fetch_context(replace(context, stop=threading.Event())):
        outcome = fetch(DECLARED[platform], url, str(tmp_path / "raw"))
    assert outcome.media is not None
    assert len(outcome.media.files) == 3
    post = post_of(simulator, platform, "pictures", 1)
    assert simulator.stats().posts[post.id].media_requests == 3


# The guard


@everywhere
@pytest.mark.parametrize("scenario", ["picture_redirects", "private_picture"])
async def test_a_picture_leads_to_no_private_address(
    simulator: Simulator, session: DownloadSession, platform: Platform, scenario: str
) -> None:
    record = await download_single_video(simulator.url(platform, scenario), session=session)
    assert record["error_code"] == "blocked_address"
    assert simulator.stats().canary_hits == 0
