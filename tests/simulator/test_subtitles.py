"""Subtitles of every platform, by real yt-dlp: what comes, what is missing, and that the video comes anyway."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downloader.batch_downloader import DownloadSession, download_single_video
from downloader.media.outcome import OUTCOME_NAME
from downloader.models import Outcome
from downloader.platforms import PLATFORMS as DECLARED
from downloader.presets import PRESETS
from downloader.settings import Settings
from downloader.ytdlp import subtitles
from downloader.ytdlp.client import FetchContext, fetch, fetch_context
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS, Platform
from tests.simulator.subtitles import cues_of
from tests.srt import cues_in

WITH_SUBTITLES: tuple[Platform, ...] = ("tiktok", "twitter", "youtube")

every_platform = pytest.mark.parametrize("platform", PLATFORMS)
every_platform_with_subtitles = pytest.mark.parametrize("platform", WITH_SUBTITLES)


def texts_beside(record: dict[str, Any]) -> dict[str, Path]:
    """Return the .srt files of *record* by language; each is beside the first file, under its name."""
    stem = Path(record["file_path"]).stem
    paths = [Path(name) for name in record["files"] if name.endswith(".srt")]
    assert all(path.parent == Path(record["file_path"]).parent for path in paths)
    return {path.name.removeprefix(f"{stem}.").removesuffix(".srt"): path for path in paths}


TABLE: list[tuple[Platform, int, list[str], dict[str, str], list[str]]] = [
    # what was asked for; what came, and in which words of the simulator's; what is missing
    ("youtube", 0, ["en"], {"en": "en"}, []),
    ("youtube", 0, ["de", "en-US", "fr", "ja"], {"de": "de", "en": "en", "fr": "fr, automatic"}, ["ja"]),
    ("youtube", 0, ["zh-CN", "pt-BR"], {"zh-Hans": "zh-Hans, automatic", "pt": "pt, automatic"}, []),
    ("youtube", 1, ["en", "de", "ja"], {"en": "en, automatic", "de": "de, automatic"}, ["ja"]),
    ("youtube", 0, ["ja"], {}, ["ja"]),
    ("tiktok", 0, ["en"], {"en-US": "eng-US"}, []),
    ("tiktok", 0, ["en-US", "en-GB", "zh", "de"], {"en-US": "eng-US", "zh-Hans-CN": "cmn-Hans-CN"}, ["en-GB", "de"]),
    ("twitter", 0, ["en", "de"], {"en": "en"}, ["de"]),
    ("twitter", 0, ["en", "en-US"], {"en": "en"}, []),
    ("instagram", 0, ["en", "de"], {}, ["en", "de"]),
]


@pytest.mark.parametrize(("platform", "serial", "wanted", "came", "missing"), TABLE)
async def test_what_comes_lies_beside_the_video_and_says_what_the_platform_says(
    simulator: Simulator,
    session: DownloadSession,
    platform: Platform,
    serial: int,
    wanted: list[str],
    came: dict[str, str],
    missing: list[str],
) -> None:
    url = simulator.url(platform, "subtitled", serial)
    record = await download_single_video(url, subtitles=wanted, session=session)
    assert record["success"], record
    assert Path(record["file_path"]).suffix == ".mp4"
    assert (record["subtitles"], record["subtitles_missing"]) == (list(came), missing)
    found = texts_beside(record)
    assert list(found) == list(came)
    assert {language: cues_in(path.read_bytes()) for language, path in found.items()} == {
        language: cues_of(words) for language, words in came.items()
    }
    assert record["files"] == [record["file_path"], *map(str, found.values())]
    assert len({Path(name).stat().st_mode for name in record["files"]}) == 1
    assert record["size_bytes"] == sum(Path(name).stat().st_size for name in record["files"])


@every_platform_with_subtitles
@pytest.mark.parametrize("preset", PRESETS)
async def test_subtitles_come_with_every_preset(
    simulator: Simulator, session: DownloadSession, platform: Platform, preset: str
) -> None:
    url = simulator.url(platform, "subtitled")
    record = await download_single_video(url, preset=preset, subtitles=["en"], session=session)
    assert record["success"], record
    [path] = texts_beside(record).values()
    assert len(cues_in(path.read_bytes())) == 3


@every_platform
async def test_who_wants_no_subtitles_sends_no_request_for_any(
    simulator: Simulator, session: DownloadSession, platform: Platform
) -> None:
    paths = {}
    for scenario in ("ok", "subtitled"):
        simulator.reset()
        record = await download_single_video(simulator.url(platform, scenario), session=session)
        assert (record["subtitles"], record["subtitles_missing"], len(record["files"])) == ([], [], 1)
        paths[scenario] = [entry.path for entry in simulator.stats().log]
    assert len(paths["ok"]) == len(paths["subtitled"])
    assert not list(filter(is_for_subtitles, paths["subtitled"]))


@every_platform_with_subtitles
@pytest.mark.parametrize(
    ("scenario", "code", "words"),
    [
        ("subtitles_gone", None, "404"),
        ("subtitles_limited", "rate_limited", "429"),
        ("subtitles_html", "internal", "no cues"),
        ("subtitles_huge", "too_large", "more than 10485760 bytes"),
        ("subtitles_endless", "too_large", "more than 10485760 bytes"),
        ("subtitles_to_loopback", "blocked_address", ""),
        ("subtitles_private", "blocked_address", ""),
        ("subtitles_playlist", None, ""),
        ("subtitles_hang", "timeout", ""),
    ],
)
async def test_trouble_with_subtitles_costs_them_alone_and_is_in_the_log(
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
    platform: Platform,
    scenario: str,
    code: str | None,
    words: str,
) -> None:
    session = DownloadSession(make_settings(socket_timeout_seconds=0.5 if scenario == "subtitles_hang" else 20))
    url = simulator.url(platform, scenario)
    record = await download_single_video(url, subtitles=["en", "ja"], session=session)
    assert record["success"], record
    assert record["files"] == [record["file_path"]]
    assert (record["subtitles"], record["subtitles_missing"]) == ([], ["en", "ja"])
    [logged] = [entry for entry in caplog.records if entry.message == "subtitles left out"]
    facts = vars(logged)
    assert logged.levelno == logging.WARNING
    assert words in facts["detail"]
    assert code is None or facts["error_code"] == code
    stats = simulator.stats()
    assert (stats.canary_hits, stats.errors, stats.unknown_hosts) == (0, (), {})
    simulator.release()


async def test_a_segment_inside_this_machine_is_not_fetched(simulator: Simulator, session: DownloadSession) -> None:
    url = simulator.url("twitter", "subtitles_private", 1)
    record = await download_single_video(url, subtitles=["en"], session=session)
    assert (record["success"], record["subtitles_missing"]) == (True, ["en"])
    assert simulator.stats().canary_hits == 0


@every_platform_with_subtitles
async def test_trouble_that_passes_costs_nothing(
    simulator: Simulator, session: DownloadSession, platform: Platform
) -> None:
    url = simulator.url(platform, "subtitles_cut_once")
    record = await download_single_video(url, subtitles=["en"], session=session)
    assert (record["success"], record["subtitles_missing"]) == (True, [])
    [path] = texts_beside(record).values()
    assert len(cues_in(path.read_bytes())) == 3


async def test_no_file_of_subtitles_is_larger_than_files_may_be(
    simulator: Simulator, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subtitles, "MAX_TEXT_BYTES", 2**40)
    session = DownloadSession(make_settings(max_file_bytes=2_000_000))
    record = await download_single_video(
        simulator.url("youtube", "subtitles_endless"), subtitles=["en"], session=session
    )
    assert (record["success"], record["subtitles_missing"]) == (True, ["en"])


async def test_subtitles_that_take_too_long_are_given_up_together(
    simulator: Simulator, session: DownloadSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subtitles, "PATIENCE_SECONDS", -1.0)
    record = await download_single_video(simulator.url("youtube", "subtitled"), subtitles=["en", "de"], session=session)
    assert (record["success"], record["subtitles_missing"]) == (True, ["en", "de"])
    assert not [entry for entry in simulator.stats().log if is_for_subtitles(entry.path)]


@every_platform_with_subtitles
def test_a_crash_before_the_files_are_moved_costs_no_request(
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: Platform,
) -> None:
    def get() -> Outcome:
        with fetch_context(context):
            return fetch(DECLARED[platform], simulator.url(platform, "subtitled"), str(tmp_path / "raw"))

    work_dir = tmp_path / "work" / "1"
    settings = make_settings().for_downloads()
    context = FetchContext(settings=settings, subtitles=("en", "ja"), work_dir=work_dir)
    monkeypatch.setattr("downloader.media.placement.move", raise_interrupt)
    with pytest.raises(KeyboardInterrupt):
        get()
    monkeypatch.undo()
    assert (work_dir / OUTCOME_NAME).is_file()
    simulator.reset()
    media = get().media
    assert media
    assert simulator.stats().log == ()
    assert [Path(name).suffix for name in media.files] == [".mp4", ".srt"]
    assert (len(media.subtitles), media.subtitles_missing) == (1, ("ja",))
    assert {str(path) for path in (tmp_path / "raw").iterdir()} == set(media.files)


def raise_interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@every_platform_with_subtitles
def test_an_attempt_takes_the_subtitles_of_the_one_before(
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: Platform,
) -> None:
    context = FetchContext(
        settings=make_settings().for_downloads(), subtitles=("en",), work_dir=tmp_path / "work" / "1"
    )
    url = simulator.url(platform, "subtitled")
    with fetch_context(context):
        monkeypatch.setattr("downloader.ytdlp.client.finalize", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(DECLARED[platform], url, str(tmp_path / "raw"))
        monkeypatch.undo()
        simulator.reset()
        media = fetch(DECLARED[platform], url, str(tmp_path / "raw")).media
    assert media
    assert len(media.subtitles) == 1
    assert [entry.path for entry in simulator.stats().log]
    assert not [entry.path for entry in simulator.stats().log if is_for_subtitles(entry.path)]


def is_for_subtitles(path: str) -> bool:
    return "timedtext" in path or "/subtitles/" in path


async def test_a_tweets_videos_have_their_own_subtitles(simulator: Simulator, session: DownloadSession) -> None:
    record = await download_single_video(simulator.url("twitter", "several_videos"), subtitles=["en"], session=session)
    assert (record["success"], record["subtitles"], record["subtitles_missing"]) == (True, [], ["en"])


async def test_an_operators_own_subtitles_are_still_embedded(
    simulator: Simulator, make_settings: Callable[..., Settings]
) -> None:
    options = {"compat_opts": ["no-certifi"], "writesubtitles": True, "subtitleslangs": ["de"]}
    session = DownloadSession(make_settings(ytdlp_options=options))
    record = await download_single_video(simulator.url("youtube", "subtitled"), subtitles=["en"], session=session)
    assert (record["success"], record["subtitles"]) == (True, ["en"])
    asked = [entry.path for entry in simulator.stats().log if is_for_subtitles(entry.path)]
    assert len(asked) == 2
