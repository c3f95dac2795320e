"""The contract of `Engine`, for every engine, with real yt-dlp against the simulator."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from downloader.engines.pool import PoolLimits
from downloader.engines.processes import ProcessEngine
from downloader.engines.threads import ThreadEngine
from downloader.jobs import Phase, Progress
from downloader.media.outcome import OUTCOME_NAME
from downloader.models import Details
from downloader.platform_detector import read_link
from downloader.platforms import PlatformType
from tests.conftest import simulated
from tests.engines.conftest import StartEngine
from tests.engines.helpers import SIZE_BYTES, Kind, ignore, work
from tests.simulator.client import Simulator
from tests.simulator.scenarios import SCENARIOS

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(params=["threads", "processes"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


#: On the loop that `engine` lives on.
shares_engine = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(params=["threads", "processes"], scope="module", loop_scope="module")
async def engine(
    request: pytest.FixtureRequest, running_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Any]:
    """Return an engine for all tests that need no special one, since a worker takes half a second of CPU to start."""
    settings = simulated(running_simulator, tmp_path_factory.mktemp("engine")).for_downloads()
    engine = ThreadEngine(settings) if request.param == "threads" else ProcessEngine(settings, PoolLimits(attempts=2))
    await engine.start()
    yield engine
    await engine.close()


@shares_engine
@pytest.mark.parametrize("platform", ["tiktok", "youtube", "twitter", "instagram"])
async def test_a_success_is_a_file_in_its_place(
    engine: Any, platform: PlatformType, simulator: Simulator, tmp_path: Path
) -> None:
    job = work(tmp_path, simulator, platform=platform)
    outcome = await engine.run(job, ignore)
    success, path, error = outcome
    assert (success, error, outcome.error_code) == (True, None, None)
    assert Path(path).parent == tmp_path / "raw"
    assert outcome.media is not None
    assert outcome.media.size_bytes == Path(path).stat().st_size
    # The outcome stays until the caller has stored it.
    assert [path.name for path in Path(job.work_dir).iterdir()] == [OUTCOME_NAME]


@shares_engine
@pytest.mark.parametrize(
    ("platform", "scenario"),
    [
        ("youtube", "private"),
        ("twitter", "removed"),
        ("tiktok", "html"),
        ("instagram", "rate_limited"),
        ("tiktok", "unavailable"),
        ("twitter", "no_video"),
    ],
)
async def test_a_failure_is_an_outcome_with_its_code(
    engine: Any, platform: Any, scenario: str, simulator: Simulator, tmp_path: Path
) -> None:
    outcome = await engine.run(work(tmp_path, simulator, scenario, platform=platform), ignore)
    assert outcome[0] is False
    assert outcome.error_code == SCENARIOS[scenario].expected(platform)
    assert outcome.retry_after_seconds == (30 if scenario == "rate_limited" else None)


@shares_engine
@pytest.mark.parametrize(
    ("platform", "phases", "total_bytes"),
    [
        ("tiktok", ["extracting", "downloading", "checking"], SIZE_BYTES),
        ("youtube", ["extracting", "downloading", "merging", "checking"], 2 * SIZE_BYTES),
    ],
)
async def test_progress_is_true_and_rate_limited(
    engine: Any,
    platform: PlatformType,
    phases: list[Phase],
    total_bytes: int,
    full_speed: Simulator,
    tmp_path: Path,
) -> None:
    full_speed.configure(media_bytes_per_second=200_000)
    loop_thread = threading.get_ident()
    reports: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        assert threading.get_ident() == loop_thread
        reports.append(progress)

    job = work(tmp_path, full_speed, platform=platform)
    started = time.monotonic()
    outcome = await engine.run(job, on_progress)
    seconds = time.monotonic() - started
    assert outcome[0]
    assert [phase for phase, _ in groupby(report.phase for report in reports)] == phases
    assert {report.job_id for report in reports} == {job.job_id}
    assert len(reports) <= 4 * seconds + len(phases) + 1  # and one with what the page says
    downloaded = [report.downloaded_bytes for report in reports]
    assert downloaded == sorted(downloaded)
    assert len(set(downloaded)) >= 4
    assert downloaded[-1] == reports[-1].total_bytes == total_bytes
    for report in reports:
        assert report.total_bytes in (None, total_bytes)
        assert report.downloaded_bytes <= total_bytes
    assert all(report.total_bytes == total_bytes for report in reports if report.phase == "downloading")
    middle = [report for report in reports if report.phase == "downloading" and report.speed_bytes_per_second]
    assert 50_000 < (middle[-1].speed_bytes_per_second or 0) < 800_000
    assert middle[-1].eta_seconds is not None


@pytest.mark.parametrize("platform", ["tiktok", "youtube", "twitter", "instagram"])
async def test_what_the_page_says_is_told_once_before_any_media_are_asked_for(
    kind: Kind, platform: PlatformType, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind)
    read, told = asyncio.Event(), list[Details]()

    def on_progress(progress: Progress) -> None:
        if progress.details is not None:
            told.append(progress.details)
            read.set()

    job = replace(work(tmp_path, simulator, platform=platform), may_download=False)
    run = asyncio.create_task(engine.run(job, on_progress))
    await asyncio.wait_for(read.wait(), 30)
    assert [count.media_requests for count in simulator.stats().posts.values()] == [0]
    engine.permit(job.job_id)
    media = (await run).media
    [details] = told
    assert media is not None
    assert (details.title or "").endswith("Ada's garden, part 1")
    assert (details.uploader or "").lower() == "ada"
    assert details.uploaded_at is not None
    assert details.thumbnails
    for name in ("title", "uploader", "uploaded_at", "thumbnails"):
        assert getattr(media, name) == getattr(details, name), name
    assert (media.width, media.height) == (320, 240)  # measured, whatever was declared


@shares_engine
async def test_the_size_of_a_stream_of_segments_is_not_guessed(
    engine: Any, full_speed: Simulator, tmp_path: Path
) -> None:
    full_speed.configure(media_bytes_per_second=200_000)
    reports: list[Progress] = []
    assert (await engine.run(work(tmp_path, full_speed, "stream_alone", platform="twitter"), reports.append))[0]
    downloading = [report for report in reports if report.phase == "downloading"]
    assert downloading[0].total_bytes is None
    assert reports[-1].total_bytes == reports[-1].downloaded_bytes > 0


@pytest.mark.parametrize("scenario", ["hang", "hang_in_body"])
async def test_cancelling_a_download_that_hangs_takes_no_time(
    kind: Kind, scenario: str, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind, socket_timeout_seconds=30)
    task = asyncio.ensure_future(engine.run(work(tmp_path, simulator, scenario), ignore))
    await asyncio.to_thread(simulator.wait_until_hanging, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)  # half of what the hanging request would take
    if kind == "threads":  # a thread cannot be killed
        simulator.release()
    await asyncio.to_thread(simulator.wait_until_hanging, 0, timeout_seconds=15)
    # Whatever that did, the next attempt runs.
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]
    assert engine.health().busy == 0


@pytest.mark.parametrize("scenario", ["hang", "hang_in_body"])
async def test_an_attempt_that_hangs_times_out(
    kind: Kind, scenario: str, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind, socket_timeout_seconds=30, stall_timeout_seconds=1)
    outcome = await engine.run(work(tmp_path, simulator, scenario), ignore)
    assert outcome.error_code == "timeout"
    assert "no sign of life for 1 s" in (outcome.detail or "")
    if kind == "threads":
        simulator.release()
    await asyncio.to_thread(simulator.wait_until_hanging, 0, timeout_seconds=15)


async def test_a_slow_download_does_not_time_out(
    kind: Kind, start_engine: StartEngine, full_speed: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind, stall_timeout_seconds=1)
    await engine.run(work(tmp_path, full_speed, "removed"), ignore)  # loads yt-dlp, which a busy machine takes long for
    full_speed.configure(media_bytes_per_second=60_000)  # three seconds
    assert (await engine.run(work(tmp_path, full_speed), ignore))[0]


async def test_closing_ends_what_runs(
    kind: Kind, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind, socket_timeout_seconds=30)
    task = asyncio.ensure_future(engine.run(work(tmp_path, simulator, "hang"), ignore))
    await asyncio.to_thread(simulator.wait_until_hanging, 1)
    assert engine.health().busy == 1
    await asyncio.wait_for(engine.close(), 15)
    outcome = await asyncio.wait_for(task, 15)
    assert outcome.error_code == "interrupted"
    simulator.release()


@shares_engine
async def test_without_a_permit_the_page_is_read_and_nothing_more(
    engine: Any, simulator: Simulator, tmp_path: Path
) -> None:
    job = replace(work(tmp_path, simulator), may_download=False)
    waits = asyncio.Event()

    def note(progress: Progress) -> None:
        if progress.phase == "downloading":
            waits.set()

    running = asyncio.create_task(engine.run(job, note))
    await asyncio.wait_for(waits.wait(), 30)
    [post] = simulator.stats().posts.values()
    assert (post.page_requests, post.media_requests) == (1, 0)
    assert not running.done()
    engine.permit(job.job_id)
    assert (await asyncio.wait_for(running, 30))[0]


@shares_engine
async def test_one_that_waits_for_its_permit_can_be_cancelled(
    engine: Any, simulator: Simulator, tmp_path: Path
) -> None:
    job = replace(work(tmp_path, simulator), may_download=False)
    waits = asyncio.Event()
    running = asyncio.create_task(engine.run(job, lambda progress: waits.set()))
    await asyncio.wait_for(waits.wait(), 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 30)
    engine.permit(job.job_id)  # too late, and no harm
    assert sum(post.media_requests for post in simulator.stats().posts.values()) == 0


@pytest.mark.parametrize("end", ["proceed", "cancel"])
async def test_after_a_short_link_nothing_is_requested_until_it_may_proceed(
    kind: Kind, end: str, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind)
    job = replace(work(tmp_path, simulator), link=simulator.url("tiktok", "ok", form="short"))
    resolved: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(engine.run(job, ignore, resolved.set_result))
    name = read_link(simulator.url("tiktok", "ok")).name
    assert read_link(await asyncio.wait_for(resolved, 30)).name == name
    if end == "proceed":
        engine.proceed("another")
        engine.proceed(job.job_id)
        assert (await asyncio.wait_for(task, 30))[0]
        return
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stats = simulator.stats()
    # Following ends at the post's page, whose body is not read.
    assert sum(count.media_requests for count in stats.posts.values()) == 0
    assert engine.health().restarts == 0


async def test_without_anyone_to_ask_a_short_link_is_fetched(
    kind: Kind, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind)
    job = replace(work(tmp_path, simulator), link=simulator.url("tiktok", "ok", form="short"))
    assert (await engine.run(job, ignore))[0]
