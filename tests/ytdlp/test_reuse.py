"""A YoutubeDL that is used again is as one that was just made."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yt_dlp

from downloader.egress.guard import open_egress
from downloader.errors import DownloadFailed
from downloader.models import Outcome
from downloader.platforms import PLATFORMS, PlatformType
from downloader.presets import PRESETS
from downloader.settings import Settings
from downloader.ytdlp import reuse
from downloader.ytdlp.client import FetchContext, fetch, fetch_context
from downloader.ytdlp.options import ytdlp_options
from downloader.ytdlp.transport import Transport
from tests.simulator.client import Simulator


@pytest.fixture
def transport(make_settings: Callable[..., Settings]) -> Iterator[Transport]:
    with open_egress(make_settings().for_downloads()) as grant, closing(Transport(grant.url)) as transport:
        yield transport


@pytest.fixture
def options(make_settings: Callable[..., Settings], transport: Transport, tmp_path: Path) -> dict[str, Any]:
    return made(make_settings(), transport, tmp_path / "one")


def made(settings: Settings, transport: Transport, work_dir: Path, platform: PlatformType = "tiktok") -> dict[str, Any]:
    options = ytdlp_options(PLATFORMS[platform], settings.for_downloads(), work_dir, proxy=transport.proxy)
    return options | {"progress_hooks": [print], "postprocessor_hooks": [print]}


def plain(ydl: Any) -> dict[str, Any]:
    """Return the state of *ydl*, as far as it can be compared; without what it knows its handlers by."""
    cached = ("_request_director", "cache", "proxies")
    state = {name: value for name, value in vars(ydl).items() if name not in cached}
    state["cookiejar"] = list(ydl.cookiejar)
    state["format_selector"] = None
    state["_out_files"] = state["_allow_colors"] = None
    state["_pps"] = {
        name: [(type(each), set(each._progress_hooks[1:])) for each in chain] for name, chain in state["_pps"].items()
    }
    state["params"] = {name: value for name, value in state["params"].items() if name not in ("logger", "match_filter")}
    return state


def test_nothing_of_one_download_is_there_for_the_next(
    transport: Transport, options: dict[str, Any], make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    with transport.youtube_dl(options) as first:
        first.cookiejar.set_cookie(cookie("session", "hunter2"))
        first.params["format"] = "worst"
        first.params["compat_opts"].add("spoilt")
        first.add_info_extractor(yt_dlp.extractor.get_info_extractor("TikTok")())
        first.add_post_processor(yt_dlp.postprocessor.FFmpegMetadataPP(first))
        first.to_screen("said", only_once=True)
        first.urlopen = None
        first._num_downloads = 7
        first.whatever = "new"
    other = options | {"outtmpl": f"{tmp_path}/two/%(id)s", "progress_hooks": [repr], "postprocessor_hooks": [str]}
    with transport.youtube_dl(other) as again:
        assert again is first
        with yt_dlp.YoutubeDL(other, auto_init=False) as fresh:
            assert plain(again) == plain(fresh)


def cookie(name: str, value: str) -> Any:
    jar = yt_dlp.cookies.YoutubeDLCookieJar(
        io.StringIO(f"# Netscape HTTP Cookie File\n.a.example\tTRUE\t/\tFALSE\t0\t{name}\t{value}\n")
    )
    jar.load()
    [found] = jar
    return found


def test_another_platform_or_cookies_get_one_of_their_own(
    transport: Transport, options: dict[str, Any], make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    with transport.youtube_dl(options) as first:
        pass
    with transport.youtube_dl(made(make_settings(), transport, tmp_path / "two", "youtube")) as second:
        assert second is not first
    jar = io.StringIO("# Netscape HTTP Cookie File\n.a.example\tTRUE\t/\tFALSE\t0\ta\tb\n")
    with transport.youtube_dl(options | {"cookiefile": jar}) as third:
        assert [each.value for each in third.cookiejar] == ["b"]
    with transport.youtube_dl(options) as fourth:
        assert fourth is not third
        assert list(fourth.cookiejar) == []


def test_another_preset_gets_one_of_its_own(
    transport: Transport, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings().for_downloads()
    used = {}
    for name, preset in [*PRESETS.items(), ("custom", replace(PRESETS["video"], ytdlp_options={"ratelimit": 7}))]:
        options = ytdlp_options(PLATFORMS["tiktok"], settings, tmp_path / name, proxy=transport.proxy, preset=preset)
        hooks = {"progress_hooks": [print], "postprocessor_hooks": [print]}
        for _ in range(2):
            with transport.youtube_dl(options | hooks) as ydl:
                used[name] = ydl
                assert ydl.params["format"] == options["format"]
                assert len(ydl._pps["post_process"]) == len(options["postprocessors"])
    assert len(set(map(id, used.values()))) == len(used)


def test_one_that_a_failure_has_used_is_not_used_again(transport: Transport, options: dict[str, Any]) -> None:
    with pytest.raises(DownloadFailed), transport.youtube_dl(options) as first:
        raise DownloadFailed("network")
    assert "_request_director" not in vars(first)  # closed
    with transport.youtube_dl(options) as second:
        assert second is not first


def test_it_is_replaced_after_many_uses(
    transport: Transport, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "_MAX_USES", 2)
    used = []
    for _ in range(4):
        with transport.youtube_dl(options) as ydl:
            used.append(ydl)
    assert used[0] is used[1] is not used[2] is used[3]


@pytest.mark.parametrize("platform", ["tiktok", "instagram", "twitter", "youtube"])
def test_real_downloads_one_after_another(
    transport: Transport,
    make_settings: Callable[..., Settings],
    simulator: Simulator,
    tmp_path: Path,
    platform: PlatformType,
) -> None:
    settings = make_settings()
    reports: dict[int, list[str]] = {}
    kept = set()
    for serial in range(3):
        reports[serial] = []
        context = FetchContext(
            settings=settings.for_downloads(),
            transport=transport,
            job_id=str(serial),
            report=lambda progress, serial=serial: reports[serial].append(progress.job_id),  # type: ignore[misc]
        )
        with fetch_context(context):
            outcome = Outcome.of(
                fetch(PLATFORMS[platform], simulator.url(platform, "ok", serial), str(settings.raw_dir))  # type: ignore[arg-type]
            )
        assert outcome[0], outcome
        kept.add(transport._reusable)
        assert outcome.media is not None
        assert outcome.media.size_bytes == Path(outcome.media.files[0]).stat().st_size
    assert len(kept) == 1
    assert len(list(settings.raw_dir.glob("*.mp4"))) == 3
    assert all(set(jobs) == {str(serial)} for serial, jobs in reports.items())
