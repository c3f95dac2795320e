"""Many links at once: concurrent, limited, in order; and one link's failure leaves the others alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from downloader import batch_downloader
from downloader.batch_downloader import DownloadSession, download_batch, download_single_video
from downloader.models import Outcome
from downloader.settings import Settings
from tests.real_server import REPOSITORY

TIKTOK = "https://www.tiktok.com/@ada/video/{}"
YOUTUBE = "https://youtu.be/{:011}"

FIVE_FIELDS = {"url", "success", "file_path", "error", "platform"}

Patch = Callable[..., None]


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Return a function that replaces a platform's wrapper."""

    def put(platform: str, wrapper: Callable[[str, str], object]) -> None:
        monkeypatch.setattr(f"downloader.batch_downloader.download_{platform}_video", wrapper)

    return put


@pytest.fixture
def alone(tmp_path: Path) -> DownloadSession:
    """Return a session that needs no network: the wrappers are patched."""
    return DownloadSession(Settings(storage_dir=tmp_path, workers=8, platform_concurrency=4))


async def test_a_record_has_the_five_fields_of_the_contract(patch: Patch, alone: DownloadSession) -> None:
    patch("tiktok", lambda url, output_dir: (True, f"{output_dir}/a.mp4", None))
    record = await download_single_video(TIKTOK.format(1), "/out", session=alone)
    assert record.keys() >= FIVE_FIELDS
    assert {name: record[name] for name in FIVE_FIELDS} == {
        "url": TIKTOK.format(1),
        "success": True,
        "file_path": "/out/a.mp4",
        "error": None,
        "platform": "tiktok",
    }
    assert record["files"] == ["/out/a.mp4"]


async def test_an_unsupported_link_is_a_record(alone: DownloadSession) -> None:
    record = await download_single_video("https://netflix.com/watch/1", session=alone)
    assert {name: record[name] for name in FIVE_FIELDS} == {
        "url": "https://netflix.com/watch/1",
        "success": False,
        "file_path": None,
        "error": "Unsupported platform",
        "platform": "unknown",
    }
    assert record["error_code"] == "unsupported_platform"
    assert record["retryable"] is False


async def test_records_come_in_the_order_sent(patch: Patch, alone: DownloadSession) -> None:
    first_done = threading.Event()

    def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        if url.endswith("/0"):
            assert first_done.wait(30)  # the first link ends last
        if url.endswith("/3"):
            first_done.set()
        return True, url, None

    patch("tiktok", wrapper)
    urls = [TIKTOK.format(number) for number in range(4)]
    records = await download_batch(urls, "/out", session=alone)
    assert [record["url"] for record in records] == urls


async def test_every_record_says_what_was_asked_for(patch: Patch, alone: DownloadSession) -> None:
    patch("tiktok", lambda url, output_dir: (True, url, None))
    urls = [TIKTOK.format(1), "https://netflix.com"]
    for preset, kind in (("audio", "audio"), ("480p", "video")):
        records = await download_batch(urls, "/out", preset=preset, session=alone)
        assert [(record["preset"], record["kind"]) for record in records] == [(preset, kind)] * 2


async def test_downloads_run_at_the_same_time_but_never_more_than_the_caps(patch: Patch, tmp_path: Path) -> None:
    four_at_once = threading.Barrier(4)
    lock = threading.Lock()
    running = {"tiktok": 0, "youtube": 0}
    peaks: list[tuple[int, int, int]] = []

    def wrapper_of(name: str) -> Callable[[str, str], tuple[bool, str | None, str | None]]:
        def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
            with lock:
                running[name] += 1
                peaks.append((running["tiktok"], running["youtube"], sum(running.values())))
            four_at_once.wait(30)  # breaks, and fails every download, unless four wait together
            with lock:
                running[name] -= 1
            return True, url, None

        return wrapper

    patch("tiktok", wrapper_of("tiktok"))
    patch("youtube", wrapper_of("youtube"))
    few = DownloadSession(Settings(storage_dir=tmp_path, workers=4, platform_concurrency=2))
    urls = [form.format(number) for number in range(6) for form in (TIKTOK, YOUTUBE)]
    records = await download_batch(urls, "/out", session=few)
    assert all(record["success"] for record in records)
    assert max(peak[0] for peak in peaks) <= 2
    assert max(peak[1] for peak in peaks) <= 2
    assert max(peak[2] for peak in peaks) == 4


async def test_two_batches_share_the_caps(patch: Patch, tmp_path: Path) -> None:
    first_started, release = threading.Event(), threading.Event()
    started: list[str] = []

    def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        started.append(url)
        first_started.set()
        assert release.wait(30)
        return True, url, None

    patch("tiktok", wrapper)
    few = DownloadSession(Settings(storage_dir=tmp_path, workers=8, platform_concurrency=1))
    batches = [
        asyncio.ensure_future(download_batch([TIKTOK.format(number)], "/out", session=few)) for number in range(3)
    ]
    await asyncio.to_thread(first_started.wait, 30)
    assert len(started) == 1
    assert few.limiter.running("tiktok") == 1
    release.set()
    assert all(record["success"] for [record] in await asyncio.gather(*batches))
    assert len(started) == 3


async def test_the_blocking_wrapper_never_runs_on_the_loop(patch: Patch, alone: DownloadSession) -> None:
    loop_thread = threading.get_ident()
    seen: list[int] = []

    def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        seen.append(threading.get_ident())
        return True, url, None

    patch("tiktok", wrapper)
    await download_single_video(TIKTOK.format(1), "/out", session=alone)
    assert seen
    assert loop_thread not in seen


@pytest.mark.parametrize("crash", [ValueError("boom"), KeyError("x"), SystemExit(3), StopIteration(), MemoryError()])
async def test_one_crash_leaves_the_others_alone(
    patch: Patch, alone: DownloadSession, crash: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        if url.endswith("/2"):
            raise crash
        return True, url, None

    patch("tiktok", wrapper)
    urls = [TIKTOK.format(number) for number in range(5)]
    records = await download_batch(urls, "/out", session=alone)
    assert [record["success"] for record in records] == [True, True, False, True, True]
    assert records[2]["error_code"] == "internal"
    assert records[2]["platform"] == "tiktok"
    assert "TikTok" in records[2]["error"]
    assert type(crash).__name__ in records[2]["detail"]
    assert "download crashed" in caplog.text
    assert alone.limiter.running("tiktok") == 0


async def test_a_link_sent_twice_is_downloaded_once_and_answered_twice(patch: Patch, alone: DownloadSession) -> None:
    calls: list[str] = []

    def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        calls.append(url)
        return True, "/out/a.mp4", None

    patch("youtube", wrapper)
    urls = [
        "https://youtu.be/dQw4w9WgXcQ",
        "https://netflix.com",
        " youtu.be/dQw4w9WgXcQ ",
        "https://YOUTU.BE/dQw4w9WgXcQ",
        "https://music.youtube.com/watch?v=dQw4w9WgXcQ&t=7",
    ]
    records = await download_batch(urls, "/out", session=alone)
    assert calls == [urls[0]]
    assert [record["url"] for record in records] == urls
    assert [record["success"] for record in records] == [True, False, True, True, True]


async def test_details_of_an_outcome_reach_the_record(patch: Patch, alone: DownloadSession) -> None:
    patch(
        "instagram",
        lambda url, output_dir: Outcome(False, None, "Wait.", error_code="rate_limited", detail="HTTP Error 429"),
    )
    record = await download_single_video("https://www.instagram.com/reel/C1/", "/out", session=alone)
    assert (record["error"], record["error_code"], record["retryable"]) == ("Wait.", "rate_limited", True)
    assert record["detail"] == "HTTP Error 429"


async def test_an_interrupted_download_is_a_record_that_says_so(patch: Patch, alone: DownloadSession) -> None:
    started, release = threading.Event(), threading.Event()

    def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        started.set()
        assert release.wait(30)
        return True, url, None

    patch("tiktok", wrapper)
    batch = asyncio.ensure_future(download_batch([TIKTOK.format(number) for number in range(9)], "/out", session=alone))
    await asyncio.to_thread(started.wait, 30)
    for task in asyncio.all_tasks() - {asyncio.current_task(), batch}:
        task.cancel()
    records = await asyncio.wait_for(batch, 30)
    assert {record["error_code"] for record in records} == {"interrupted"}
    assert all(record["retryable"] for record in records)
    # A permit is held until its thread ends.
    assert alone.limiter.running("tiktok") == 4
    release.set()
    for _ in range(4):
        await asyncio.wait_for(alone.limiter.acquire("tiktok"), 30)


async def test_an_item_that_is_no_string_is_a_record_too(patch: Patch, alone: DownloadSession) -> None:
    patch("tiktok", lambda url, output_dir: (True, "/out/a.mp4", None))
    odd: list[Any] = [None, 5, b"https://youtu.be/x", []]
    records = await download_batch([*odd, TIKTOK.format(1)], "/out", session=alone)
    assert [record["error_code"] for record in records] == ["unsupported_platform"] * 4 + [None]
    assert len(await download_batch((url for url in [TIKTOK.format(1)]), "/out", session=alone)) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [(False, None, None), (True, "", None), (True, None, None)])
async def test_an_answer_without_a_file_or_a_reason_is_a_failure_with_one(
    patch: Patch, alone: DownloadSession, answer: tuple[bool, str | None, str | None]
) -> None:
    patch("tiktok", lambda url, output_dir: answer)
    record = await download_single_video(TIKTOK.format(1), "/out", session=alone)
    assert record["success"] is False
    assert record["file_path"] is None
    assert record["error"]


async def test_an_empty_batch_has_no_records(alone: DownloadSession) -> None:
    assert await download_batch([], "/out", session=alone) == []


@pytest.fixture
def fresh_shared_session() -> Iterator[None]:
    batch_downloader._shared_session.cache_clear()
    yield
    batch_downloader._shared_session.cache_clear()


@pytest.mark.usefixtures("fresh_shared_session")
def test_library_use_needs_no_server(patch: Patch, tmp_path: Path) -> None:
    seen: list[str] = []

    def wrapper(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
        seen.append(output_dir)
        return True, f"{output_dir}/a.mp4", None

    patch("twitter", wrapper)
    for _ in range(2):  # each run has a loop of its own
        [record] = asyncio.run(download_batch(["https://x.com/ada/status/1"], output_dir=tmp_path))
        assert record["file_path"] == f"{tmp_path}/a.mp4"
    assert seen == [str(tmp_path)] * 2


@pytest.mark.parametrize("preset", ["", "8k", "VIDEO", "audio ", ["video"], 720])
async def test_a_preset_that_does_not_exist_is_refused_before_anything_starts(
    patch: Patch, alone: DownloadSession, preset: Any
) -> None:
    patch("tiktok", lambda url, output_dir: pytest.fail("it was downloaded"))
    with pytest.raises(ValueError, match=r"There are: video, 1080p, 720p, 480p, smallest, audio, mp3\."):
        await download_batch([TIKTOK.format(1)], preset=preset, session=alone)
    with pytest.raises(ValueError, match="There is no preset"):
        await download_single_video(TIKTOK.format(1), preset=preset, session=alone)


@pytest.mark.parametrize("subtitles", ["en", ["English!"], ["en"] * 21])
async def test_what_is_no_list_of_languages_is_refused_before_anything_starts(
    patch: Patch, alone: DownloadSession, subtitles: Any
) -> None:
    patch("tiktok", lambda url, output_dir: pytest.fail("it was downloaded"))
    with pytest.raises(ValueError, match="such as"):
        await download_batch([TIKTOK.format(1)], subtitles=subtitles, session=alone)
    with pytest.raises(ValueError, match="such as"):
        await download_single_video(TIKTOK.format(1), subtitles=subtitles, session=alone)


def test_library_use_loads_no_server() -> None:
    script = (
        "import sys; import downloader.batch_downloader;"
        " assert not {'flask', 'sqlalchemy', 'pydantic', 'yt_dlp'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30, cwd=REPOSITORY)
