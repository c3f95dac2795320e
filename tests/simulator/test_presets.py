"""Every preset at every platform, by real yt-dlp and ffmpeg; what came is judged by ffmpeg's own description."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from downloader.batch_downloader import DownloadSession, download_batch, download_single_video
from downloader.media.sound import take_sounds
from downloader.models import Outcome
from downloader.platforms import PLATFORMS as DECLARED
from downloader.presets import PRESETS
from downloader.settings import Settings
from downloader.ytdlp.client import FetchContext, fetch, fetch_context
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS, Platform

every_platform = pytest.mark.parametrize("platform", PLATFORMS)


@dataclass(frozen=True)
class Found:
    """What a file is."""

    container: str
    codecs: tuple[str, ...]
    size: tuple[int, int] | None


def described(ffmpeg: str, path: str) -> Found:
    """Return what the file at *path* is, after reading all of it; that its pictures decode, media/test_check shows."""
    command = [ffmpeg, "-hide_banner", "-xerror", "-i", path, "-c", "copy", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stderr.partition(
        "Output #0"
    )[0]
    container = re.search(r"Input #0, ([\w,]+),", said)
    assert container
    streams = re.findall(r"^  Stream #0:.*?: (?:Video|Audio): (\w+)", said, re.MULTILINE)
    size = re.search(r"^  Stream #0:.*?: Video: .*?, (\d+)x(\d+)", said, re.MULTILINE)
    return Found(container[1], tuple(sorted(streams)), (int(size[1]), int(size[2])) if size else None)


MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
VIDEO = ("aac", "h264")


def wide(height: int) -> Found:
    return Found(MP4, VIDEO, (height * 16 // 18 * 2, height))


def tall(width: int) -> Found:
    return Found(MP4, VIDEO, (width, width * 16 // 18 * 2))


M4A, MP3 = Found(MP4, ("aac",), None), Found("mp3", ("mp3",), None)
TABLE = [
    *[("several_heights", 0, f"{side}p", wide(side)) for side in (1080, 720, 480)],
    *[("several_heights", 0, name, found) for name, found in (("video", wide(1080)), ("smallest", wide(240)))],
    *[("several_heights", 0, name, found) for name, found in (("audio", M4A), ("mp3", MP3))],
    *[("upright", 0, f"{side}p", tall(side)) for side in (1080, 720, 480)],
    *[("upright", 0, name, found) for name, found in (("video", tall(1080)), ("smallest", tall(240)))],
    # What is not there: the next lower, and where all are higher, the lowest.
    ("several_heights", 1, "720p", wide(480)),
    ("upright", 1, "720p", tall(480)),
    ("several_heights", 2, "480p", wide(1080)),
    ("upright", 2, "720p", tall(1080)),
]


@every_platform
@pytest.mark.parametrize(("scenario", "serial", "preset", "expected"), TABLE)
async def test_a_preset_gives_what_it_says(
    simulator: Simulator,
    session: DownloadSession,
    ffmpeg: str,
    platform: Platform,
    scenario: str,
    serial: int,
    preset: str,
    expected: Found,
) -> None:
    url = simulator.url(platform, scenario, serial)
    record = await download_single_video(url, preset=preset, session=session)
    assert record["success"], record
    assert described(ffmpeg, record["file_path"]) == expected
    path = Path(record["file_path"])
    # Tweets have an id, and so have their videos.
    words = r"twitter_[0-9]+_[0-9]+_{}Ada - " if platform == "twitter" else platform + "_[A-Za-z0-9]+_{}"
    stem = words.format("" if preset == "video" else f"{preset}_")
    assert re.fullmatch(rf"{stem}Ada's garden, part {serial + 1}", path.stem)
    assert path.suffix == {M4A: ".m4a", MP3: ".mp3"}.get(expected, ".mp4")
    assert record["size_bytes"] == path.stat().st_size
    assert simulator.stats().errors == ()


@every_platform
@pytest.mark.parametrize("preset", ["audio", "mp3"])
async def test_a_silent_video_has_no_audio(
    simulator: Simulator, session: DownloadSession, platform: Platform, preset: str
) -> None:
    record = await download_single_video(simulator.url(platform, "silent"), preset=preset, session=session)
    assert (record["success"], record["error_code"], record["retryable"]) == (False, "no_audio", False), record
    assert not [path for path in session.settings.raw_dir.rglob("*") if path.is_file()]


@every_platform
@pytest.mark.parametrize("preset", ["720p", "smallest"])
async def test_a_silent_video_is_a_video(
    simulator: Simulator, session: DownloadSession, ffmpeg: str, platform: Platform, preset: str
) -> None:
    record = await download_single_video(simulator.url(platform, "silent"), preset=preset, session=session)
    assert record["success"], record
    assert described(ffmpeg, record["file_path"]) == Found(MP4, ("h264",), (320, 240))


@every_platform
async def test_a_video_that_is_higher_than_it_was_said_to_be_is_refused(
    simulator: Simulator, session: DownloadSession, platform: Platform
) -> None:
    url = simulator.url(platform, "understated_height")
    record = await download_single_video(url, preset="480p", session=session)
    assert record["error_code"] == "platform_changed", record
    assert record["detail"] == "its shorter side has 1080 pixels, although 480 were declared"


@every_platform
async def test_presets_of_one_post_are_files_of_their_own(
    simulator: Simulator, session: DownloadSession, platform: Platform
) -> None:
    url = simulator.url(platform, "several_heights")
    files = [
        (await download_single_video(url, preset=preset, session=session))["file_path"]
        for preset in (*PRESETS, "video", "mp3")
    ]
    assert files[len(PRESETS) :] == [files[list(PRESETS).index(preset)] for preset in ("video", "mp3")]
    assert len(set(files)) == len(PRESETS)
    assert {path for path in session.settings.raw_dir.iterdir() if path.is_file()} == set(map(Path, files))


@every_platform
async def test_sound_is_fetched_from_the_smallest_file_or_apart(
    simulator: Simulator, session: DownloadSession, platform: Platform
) -> None:
    await download_single_video(simulator.url(platform, "several_heights"), preset="audio", session=session)
    paths = [entry.path.rpartition("/")[2] for entry in simulator.stats().log]
    media = [name for name in paths if name.endswith(".mp4")]
    assert media == ([] if platform == "youtube" else ["wide-240.mp4"])


async def test_a_tweets_stream_of_sound_is_taken(simulator: Simulator, session: DownloadSession, ffmpeg: str) -> None:
    record = await download_single_video(simulator.url("twitter", "stream_alone"), preset="audio", session=session)
    assert described(ffmpeg, record["file_path"]) == M4A
    paths = [entry.path for entry in simulator.stats().log]
    assert not [path for path in paths if "/pl/avc1/video" in path]


@every_platform
def test_a_work_folder_of_another_preset_is_no_harm(
    simulator: Simulator, make_settings: Callable[..., Settings], ffmpeg: str, tmp_path: Path, platform: Platform
) -> None:
    def get(preset: str) -> Outcome:
        context = FetchContext(settings=settings, preset=preset, work_dir=tmp_path / "work" / "1")
        with fetch_context(context):
            return fetch(DECLARED[platform], simulator.url(platform, "several_heights"), str(tmp_path / "raw"))

    settings = make_settings().for_downloads()
    files = {preset: get(preset)[1] for preset in ("video", "audio", "480p", "mp3")}
    assert [described(ffmpeg, str(path)) for path in files.values()] == [wide(1080), M4A, wide(480), MP3]
    simulator.reset()
    assert get("mp3")[1] == files["mp3"]  # its outcome is known
    assert simulator.stats().log == ()


def test_sound_that_was_being_taken_out_when_the_process_died_is_taken_out_again(
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    ffmpeg: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, work_dir = simulator.url("instagram", "several_heights"), tmp_path / "work"
    context = FetchContext(settings=make_settings().for_downloads(), preset="audio", work_dir=work_dir)
    with fetch_context(context):
        monkeypatch.setattr("downloader.ytdlp.client.take_sounds", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(DECLARED["instagram"], url, str(tmp_path / "raw"))
        monkeypatch.setattr("downloader.ytdlp.client.take_sounds", take_sounds)
        [video] = work_dir.glob("*.mp4")
        video.with_name(f"{video.stem}.sound.m4a").write_bytes(video.read_bytes()[:5000])
        simulator.reset()
        outcome = fetch(DECLARED["instagram"], url, str(tmp_path / "raw"))
    assert described(ffmpeg, str(outcome[1])) == M4A
    assert not [entry for entry in simulator.stats().log if entry.path.endswith(".mp4")]


def raise_interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("work_dir", [None, "work/1"], ids=["alone", "in the queue"])
def test_an_operators_preset_that_was_removed_fails_and_says_so(
    work_dir: str | None,
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (raw := tmp_path / "raw").mkdir()
    settings = make_settings().for_downloads()
    context = FetchContext(settings=settings, preset="tiny", work_dir=None if work_dir is None else tmp_path / work_dir)
    with fetch_context(context):
        outcome = fetch(DECLARED["tiktok"], simulator.url("tiktok", "ok"), str(raw))
    assert (outcome.error_code, outcome.detail) == ("internal", "there is no preset 'tiny' any more")
    assert outcome[2] == (
        "This server no longer has the preset 'tiny'. Send the link again with one of video, 1080p, 720p, 480p,"
        " smallest, audio, mp3."
    )
    assert [record.levelname for record in caplog.records if record.message == "download failed"] == ["WARNING"]
    assert simulator.stats().log == ()


async def test_silent_parts_of_a_post_are_left_out(simulator: Simulator, session: DownloadSession) -> None:
    record = await download_single_video(simulator.url("twitter", "mixed_tweet"), preset="audio", session=session)
    assert record["success"], record
    assert [Path(name).suffix for name in record["files"]] == [".m4a", ".m4a"]


async def test_the_music_of_slides_is_a_sound(simulator: Simulator, session: DownloadSession, ffmpeg: str) -> None:
    record = await download_single_video(simulator.url("tiktok", "pictures"), preset="audio", session=session)
    assert record["success"], record
    assert described(ffmpeg, record["file_path"]) == M4A


async def test_slides_without_music_have_neither(simulator: Simulator, session: DownloadSession) -> None:
    record = await download_single_video(simulator.url("tiktok", "pictures", 1), preset="audio", session=session)
    assert record["error_code"] == "no_audio"


async def test_the_settings_say_which_preset_is_the_default(
    simulator: Simulator, make_settings: Callable[..., Settings], ffmpeg: str
) -> None:
    tiny: dict[str, Any] = {"kind": "audio", "ytdlp_options": {"format": "worst"}}
    session = DownloadSession(make_settings(presets={"tiny": tiny}, default_preset="tiny"))
    url = simulator.url("youtube", "ok")
    [record] = await download_batch([url], session=session)
    assert Path(record["file_path"]).name == "youtube_S00n0000000_tiny_Ada's garden, part 1.m4a"
    assert described(ffmpeg, record["file_path"]) == M4A
