"""A lean YoutubeDL does the same as any other, with less."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yt_dlp
from yt_dlp.downloader.http import HttpFD
from yt_dlp.postprocessor import FFmpegMergerPP

from downloader.platforms import PLATFORMS
from downloader.settings import Settings
from downloader.ytdlp.lean import MAX_BLOCK_BYTES, MIN_BLOCK_BYTES, NAME_TEMPLATE, block_size, make_lean
from downloader.ytdlp.options import ytdlp_options

INFO = {"id": "1", "ext": "mp4", "title": "a", "url": "https://example.invalid/a.mp4", "formats": [{"format_id": "0"}]}


def made(**options: Any) -> Any:
    ydl = yt_dlp.YoutubeDL({"quiet": True, **options}, auto_init=False)
    make_lean(ydl)
    return ydl


def contexts(ydl: Any) -> dict[str, Any]:
    handlers = ydl._request_director.handlers
    return {name: handler._make_sslcontext() for name, handler in handlers.items() if name != "CurlCFFI"}


def test_tables_that_nobody_sees_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    with made() as ydl:
        monkeypatch.setattr(ydl, "render_formats_table", lambda info: pytest.fail("drawn"))
        assert ydl.run_all_pps("before_dl", dict(INFO)) == INFO


@pytest.mark.parametrize("wish", [{"forceprint": {"before_dl": ["%(id)s"]}}, {"forcejson": True}])
def test_what_an_operator_wants_printed_is_printed(wish: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with made(**wish) as ydl:
        ydl.run_all_pps("before_dl", dict(INFO))
        ydl._YoutubeDL__forced_printings(dict(INFO))
    assert "1" in capsys.readouterr().out


def test_certificates_are_loaded_once_for_all_objects() -> None:
    with made() as one, made() as other:
        assert contexts(one) == contexts(other)
        assert "Requests" in contexts(one)


def test_objects_that_trust_otherwise_share_nothing(tmp_path: Path) -> None:
    with made() as strict, made(nocheckcertificate=True) as lax, made(compat_opts={"no-certifi"}) as system:
        strict_ones, lax_ones, system_ones = contexts(strict), contexts(lax), contexts(system)
        for name, context in strict_ones.items():
            assert context.check_hostname
            assert not lax_ones[name].check_hostname
            assert context is not system_ones[name]
        legacy = strict._request_director.handlers["Requests"]._make_sslcontext(legacy_ssl_support=True)
        assert legacy is not strict_ones["Requests"]


def test_blocks_are_as_large_as_a_tenth_of_a_second_allows() -> None:
    with made() as ydl:
        downloader = HttpFD(ydl, ydl.params)
        assert downloader.best_block_size(0.0, 16_384) == 32_768
        assert downloader.best_block_size(0.0, 40_000) == 65_536
        assert downloader.best_block_size(0.0, 65_536) == 78_643
        assert downloader.best_block_size(0.001, 250_000) == MAX_BLOCK_BYTES
        assert downloader.best_block_size(1.0, 100_000) == MIN_BLOCK_BYTES  # 10 kB would be, but for the overhead
        assert downloader.best_block_size(0.1, 50_000) == 50_000


def test_what_has_piled_up_in_sockets_makes_no_large_blocks() -> None:
    """Else the first block that then comes slowly is a large one, and lost with the process that waits for it."""
    size, read = MIN_BLOCK_BYTES, 0
    while read < 400_000:
        read += size
        size = block_size(0.00001, size)
    assert size < 150_000
    while size < MAX_BLOCK_BYTES:
        read += size
        size = block_size(0.00001, size)
    assert read < 2_000_000  # and yet it does not take long


def test_the_blocks_of_others_are_left_alone() -> None:
    with made(), yt_dlp.YoutubeDL({"quiet": True}, auto_init=False) as other:
        assert HttpFD(other, other.params).best_block_size(0.0, 1_000_000) == 2_000_000
        assert HttpFD.best_block_size(HttpFD(other, other.params), 1.0, 1000) == 1000


@pytest.mark.parametrize("wanted", [True, False])
def test_lines_of_progress_are_made_for_who_wants_them(wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with made(**({"progress_template": {"download": "%(info.id)s"}} if wanted else {})) as ydl:
        drawn: list[Any] = []

        def draw(*args: Any) -> str:
            drawn.append(args)
            return ""

        monkeypatch.setattr(ydl, "evaluate_outtmpl", draw)
        status = {"status": "finished", "info_dict": INFO, "postprocessor": "Merger"}
        HttpFD(ydl, ydl.params).report_progress(dict(status))
        FFmpegMergerPP(ydl).report_progress(dict(status))
        assert bool(drawn) == wanted


def test_a_ytdlp_that_is_built_otherwise_is_left_alone() -> None:
    class Other:
        params: dict[str, Any] = {}  # noqa: RUF012

    make_lean(Other())


NAMED = f"/a/%%(id)s {NAME_TEMPLATE}"


def rendered(template: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    """Return a lean YoutubeDL that names files by *template*, and the list of the templates it renders."""
    prepare = yt_dlp.YoutubeDL.prepare_outtmpl
    seen: list[str] = []

    def prepare_seen(self: Any, template: str, *args: Any, **options: Any) -> Any:
        seen.append(template)
        return prepare(self, template, *args, **options)

    monkeypatch.setattr(yt_dlp.YoutubeDL, "prepare_outtmpl", prepare_seen)
    return made(outtmpl=template), seen


def test_a_file_name_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = [{**INFO, "format_id": name, "playlist_index": index} for name in ("0", "1") for index in (1, 2, None)]
    with yt_dlp.YoutubeDL({"quiet": True, "outtmpl": NAMED}, auto_init=False) as other:
        expected = [other.prepare_filename(dict(video), kind) for video in videos for kind in ("", "temp")]
    lean, seen = rendered(NAMED, monkeypatch)
    with lean as ydl:
        assert [ydl.prepare_filename(dict(video), kind) for video in videos for kind in ("", "temp")] == expected
        assert (len(set(expected)), len(seen)) == (4, len(videos))  # a post with one video has no number, or 1
        ydl.prepare_filename({**INFO, "format_id": "0", "playlist_index": 1, "__last_playlist_index": 10})
        assert len(seen) == len(videos) + 1


@pytest.mark.parametrize("template", ["%(title)s", "%(upload_date>%Y)s", "%(autonumber+1)s"])
def test_other_templates_are_rendered_each_time(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lean, seen = rendered(template, monkeypatch)
    with lean as ydl:
        for _ in range(3):
            ydl.prepare_filename(dict(INFO))
    assert len(seen) == 3


def test_our_own_names_are_the_ones_that_are_rendered_once(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    options = ytdlp_options(PLATFORMS["tiktok"], make_settings().for_downloads(), tmp_path, proxy="http://127.0.0.1:9")
    assert options["outtmpl"].endswith(NAME_TEMPLATE)
