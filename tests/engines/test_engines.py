"""Engines: one contract for threads and processes with real yt-dlp against the simulator; then what processes add."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from itertools import groupby
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Literal

import pytest

from downloader.engines import processes as process_engine
from downloader.engines.attempt import Stalled, StallWatch
from downloader.engines.pool import CrewLimits, Hand
from downloader.engines.processes import ProcessEngine
from downloader.engines.threads import ThreadEngine
from downloader.engines.worker_process import WorkerProcess
from downloader.jobs import Phase, Progress, Work
from downloader.media.files import OUTCOME_NAME
from downloader.models import Outcome
from downloader.platforms import PlatformType
from downloader.settings import Settings
from tests.simulator.client import Simulator
from tests.simulator.scenarios import SCENARIOS

Kind = Literal["threads", "processes"]
StartEngine = Callable[..., Awaitable[Any]]

SIZE_BYTES = 200_000
LARGE_BYTES = 2_000_000

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(params=["threads", "processes"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def start_engine(make_settings: Callable[..., Settings]) -> AsyncIterator[StartEngine]:
    """Return what starts an engine; it is closed at the end of the test."""
    engines: list[ThreadEngine | ProcessEngine] = []

    async def start(
        kind: Kind = "processes", *, max_workers: int = 2, limits: Mapping[str, int] | None = None, **overrides: Any
    ) -> ThreadEngine | ProcessEngine:
        settings = make_settings(**overrides).for_downloads()
        crew = CrewLimits(**{"attempts": max_workers, "places": 4, "processors": 8, **(limits or {})})
        engine = ThreadEngine(settings) if kind == "threads" else ProcessEngine(settings, crew)
        engines.append(engine)
        await engine.start()
        return engine

    yield start
    for engine in engines:
        await engine.close()


@pytest.fixture
def full_speed(simulator: Simulator) -> Iterator[Simulator]:
    """Return the simulator, whose pace is set back at the end."""
    yield simulator
    simulator.configure(media_bytes_per_second=0)


@pytest.fixture
def large(simulator: Simulator) -> Iterator[Simulator]:
    """Return a simulator with larger media, beside which what lies in sockets counts for little."""
    with Simulator(media_bytes=LARGE_BYTES) as large, large.trusted():
        yield large


def work(
    tmp_path: Path, simulator: Simulator, scenario: str = "ok", serial: int = 0, platform: PlatformType = "tiktok"
) -> Work:
    assert platform != "unknown"
    name = f"{platform}-{scenario}-{serial}"
    return Work(
        job_id=name,
        platform=platform,
        link=simulator.url(platform, scenario, serial),
        output_dir=str(tmp_path / "raw"),
        work_dir=str(tmp_path / "work" / name),
    )


def ignore(progress: Progress) -> None: ...


def workers(engine: ProcessEngine, *, busy: bool = False) -> list[int]:
    """Return the processes that are ready, or only those that are at something."""
    return [hand.worker.pid or 0 for hand in engine._crew.ready if hand.taken or not busy]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def wait_for_exit(pidfd: int, timeout_seconds: float = 5.0) -> bool:
    """Wait until the process behind *pidfd* is gone, or is dead and only waits to be reaped."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    try:
        return bool(poll.poll(timeout_seconds * 1000))
    finally:
        os.close(pidfd)


# The contract


@pytest.mark.parametrize("platform", ["tiktok", "youtube", "twitter", "instagram"])
async def test_a_success_is_a_file_in_its_place(
    kind: Kind, platform: PlatformType, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind)
    job = work(tmp_path, simulator, platform=platform)
    outcome = await engine.run(job, ignore)
    success, path, error = outcome
    assert (success, error, outcome.error_code) == (True, None, None)
    assert Path(path).parent == tmp_path / "raw"
    assert outcome.media is not None
    assert outcome.media.size_bytes == Path(path).stat().st_size
    # What the download came to stays until the caller has stored it.
    assert names(Path(job.work_dir)) == {OUTCOME_NAME}


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
    kind: Kind, platform: Any, scenario: str, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind)
    outcome = await engine.run(work(tmp_path, simulator, scenario, platform=platform), ignore)
    assert outcome[0] is False
    assert outcome.error_code == SCENARIOS[scenario].expected(platform)
    assert outcome.retry_after_seconds == (30 if scenario == "rate_limited" else None)


@pytest.mark.parametrize(
    ("platform", "phases", "total_bytes"),
    [
        ("tiktok", ["extracting", "downloading", "checking"], SIZE_BYTES),
        ("youtube", ["extracting", "downloading", "merging", "checking"], 2 * SIZE_BYTES),
    ],
)
async def test_progress_is_real_and_not_too_much(
    kind: Kind,
    platform: PlatformType,
    phases: list[Phase],
    total_bytes: int,
    start_engine: StartEngine,
    full_speed: Simulator,
    tmp_path: Path,
) -> None:
    engine = await start_engine(kind)
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
    assert len(reports) <= 4 * seconds + len(phases)
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


async def test_the_size_of_a_stream_of_segments_is_not_guessed(
    kind: Kind, start_engine: StartEngine, full_speed: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind)
    full_speed.configure(media_bytes_per_second=200_000)
    reports: list[Progress] = []
    assert (await engine.run(work(tmp_path, full_speed, platform="twitter"), reports.append))[0]
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
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 2)
    if kind == "threads":  # a thread cannot be killed
        simulator.release()
    await asyncio.to_thread(simulator.wait_until_hanging, 0, timeout_seconds=2)
    assert time.monotonic() - started < 2
    # Whatever that did, the next one runs.
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]
    assert engine.health().busy == 0


@pytest.mark.parametrize("scenario", ["hang", "hang_in_body"])
async def test_what_gives_no_sign_of_life_times_out(
    kind: Kind, scenario: str, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind, socket_timeout_seconds=30, stall_timeout_seconds=1)
    started = time.monotonic()
    outcome = await engine.run(work(tmp_path, simulator, scenario), ignore)
    assert outcome.error_code == "timeout"
    assert "no sign of life for 1 s" in (outcome.detail or "")
    assert 1 <= time.monotonic() - started < 4
    if kind == "threads":
        simulator.release()
    await asyncio.to_thread(simulator.wait_until_hanging, 0, timeout_seconds=2)


async def test_slow_is_not_hanging(
    kind: Kind, start_engine: StartEngine, full_speed: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind, stall_timeout_seconds=1)
    full_speed.configure(media_bytes_per_second=60_000)  # three seconds
    assert (await engine.run(work(tmp_path, full_speed), ignore))[0]


async def test_closing_ends_what_runs(
    kind: Kind, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(kind, socket_timeout_seconds=30)
    task = asyncio.ensure_future(engine.run(work(tmp_path, simulator, "hang"), ignore))
    await asyncio.to_thread(simulator.wait_until_hanging, 1)
    assert engine.health().busy == 1
    await asyncio.wait_for(engine.close(), 1)
    outcome = await asyncio.wait_for(task, 1)
    assert outcome.error_code == "interrupted"
    simulator.release()


async def test_a_wrapper_is_looked_up_when_it_is_needed(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start_engine("threads")
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (True, f"{output_dir}/a.mp4", None)
    )
    assert await engine.run(work(tmp_path, simulator), ignore) == (True, f"{tmp_path}/raw/a.mp4", None)


async def test_a_wrapper_that_crashes_costs_its_own_attempt_only(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(url: str, output_dir: str) -> Outcome:
        raise SystemExit(3)

    engine = await start_engine("threads")
    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", crash)
    outcome = await engine.run(work(tmp_path, simulator), ignore)
    assert (outcome.error_code, outcome.detail) == ("internal", "SystemExit: 3")


async def test_the_watch_sees_files_grow_that_nobody_reports(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(stall_timeout_seconds=30)
    job = Work(job_id="1", platform="tiktok", link="", output_dir="", work_dir=str(settings.storage_dir))
    now = [1000.0]
    watch = StallWatch(job, settings.for_downloads(), clock=lambda: now[0])
    settings.storage_dir.mkdir()
    part = settings.storage_dir / "1-7.mp4.part"
    part.write_bytes(b"x")
    now[0] += 31
    end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.05, end.set_result, 7)
    assert await watch.wait_for(end) == 7
    now[0] += 31  # and no write
    with pytest.raises(Stalled):
        await watch.wait_for(asyncio.get_running_loop().create_future())
    watch.note(Progress(job_id="1", phase="merging"))
    now[0] += 599  # ffmpeg is given more
    waiting = asyncio.ensure_future(watch.wait_for(asyncio.get_running_loop().create_future()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, 0.1)


@pytest.mark.parametrize("skew_seconds", [-7200, 7200])
async def test_the_watch_goes_by_no_clock_that_can_be_set(
    make_settings: Callable[..., Settings], skew_seconds: float
) -> None:
    """A clock set back, or a file server whose clock is ahead, makes files of the future: they are no signs of life."""
    settings = make_settings(stall_timeout_seconds=30)
    job = Work(job_id="1", platform="tiktok", link="", output_dir="", work_dir=str(settings.storage_dir))
    now = [1000.0]
    watch = StallWatch(job, settings.for_downloads(), clock=lambda: now[0])
    settings.storage_dir.mkdir()
    part = settings.storage_dir / "1-7.mp4.part"
    part.write_bytes(b"x")
    os.utime(part, (time.time() + skew_seconds,) * 2)
    now[0] += 31
    assert watch._seconds_since_write_left() == (30 if skew_seconds > 0 else pytest.approx(-7170, abs=5))
    for write in range(3):
        os.utime(part, (time.time() + skew_seconds + write,) * 2)
        now[0] += 31
        assert watch._seconds_since_write_left() == 30
    now[0] += 31
    with pytest.raises(Stalled):
        await watch.wait_for(asyncio.get_running_loop().create_future())


# Processes


async def test_a_killed_worker_costs_one_attempt_and_the_next_resumes(
    start_engine: StartEngine, large: Simulator, tmp_path: Path
) -> None:
    await resumes_after_a_kill(start_engine, large, tmp_path, "tiktok", LARGE_BYTES)
    assert any(entry.range for entry in large.stats().log)


async def test_a_stream_of_segments_resumes_too(
    start_engine: StartEngine, large: Simulator, tmp_path: Path, ffmpeg: str
) -> None:
    path, whole = await resumes_after_a_kill(start_engine, large, tmp_path, "twitter", None)
    assert path.read_bytes() == whole  # no segment is missing, none is there twice


async def resumes_after_a_kill(
    start_engine: StartEngine, large: Simulator, tmp_path: Path, platform: Any, total_bytes: int | None
) -> tuple[Path, bytes]:
    """Kill a worker in the middle of a download and try again; return the file, and what it should hold."""
    engine = await start_engine(proxy=large.proxy)
    job = work(tmp_path, large, platform=platform)
    whole = await engine.run(work(tmp_path / "undisturbed", large, platform=platform), ignore)
    sent_for_one = large.stats().media_bytes_sent[platform]
    assert total_bytes in (None, sent_for_one)
    large.reset()
    large.configure(media_bytes_per_second=1_000_000)

    def kill_half_way(progress: Progress) -> None:
        if progress.downloaded_bytes > sent_for_one // 2:
            [pid] = workers(engine, busy=True)
            os.kill(pid, signal.SIGKILL)

    outcome = await engine.run(job, kill_half_way)
    large.configure(media_bytes_per_second=0)
    assert outcome.error_code == "interrupted"
    assert outcome.detail == "the worker was killed by SIGKILL"
    assert engine.health().restarts == 1
    outcome = await engine.run(job, ignore)
    assert outcome[0]
    assert large.stats().media_bytes_sent[platform] < 1.1 * sent_for_one
    return Path(outcome[1]), Path(whole[1]).read_bytes()


async def test_a_worker_does_not_die_of_what_is_meant_for_the_server(
    start_engine: StartEngine, full_speed: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine()
    full_speed.configure(media_bytes_per_second=400_000)

    def press_ctrl_c(progress: Progress) -> None:
        [pid] = workers(engine, busy=True)
        assert os.getpgid(pid) == pid
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)

    assert (await engine.run(work(tmp_path, full_speed), press_ctrl_c))[0]
    assert engine.health().restarts == 0


async def test_workers_log_through_the_server(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await start_engine()
    job = work(tmp_path, simulator, "removed")
    await engine.run(job, ignore)
    [record] = [record for record in caplog.records if record.message == "download failed"]
    assert record.name == "downloader.ytdlp.client"
    assert vars(record)["job_id"] == job.job_id
    assert vars(record)["error_code"] == "ip_blocked"
    assert record.process != os.getpid()


@pytest.mark.parametrize(
    ("places", "processors", "processes"),
    [(1, 1, 4), (2, 8, 2), (4, 8, 2), (4, 2, 1), (4, 1, 1)],
)
async def test_sixteen_jobs_four_at_once(
    places: int, processors: int, processes: int, start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(max_workers=4, limits={"places": places, "processors": processors})
    pids: set[int] = set()
    busy: list[int] = []

    def note(progress: Progress) -> None:
        busy.append(engine.health().busy)
        pids.update(workers(engine, busy=True))

    outcomes = await asyncio.gather(*(engine.run(work(tmp_path, simulator, serial=n), note) for n in range(16)))
    assert all(outcome[0] for outcome in outcomes)
    assert len({outcome[1] for outcome in outcomes}) == 16
    assert len(pids) == processes
    assert max(busy) == 4
    health = engine.health()
    assert (health.workers, health.busy, health.restarts) == (processes, 0, 0)


@pytest.mark.parametrize(
    ("limits", "jobs_of_each"),
    [({"max_jobs_per_worker": 2}, [2, 2]), ({"max_worker_bytes": 1}, [1, 1, 1, 1]), ({}, [4])],
)
async def test_a_worker_is_replaced_after_some_jobs_or_when_it_grew(
    limits: Mapping[str, int],
    jobs_of_each: list[int],
    start_engine: StartEngine,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    engine = await start_engine(max_workers=1, limits=limits)
    pids: list[int] = []

    def note(progress: Progress) -> None:
        if progress.phase == "checking":
            [pid] = workers(engine, busy=True)
            pids.append(pid)

    for serial in range(4):
        assert (await engine.run(work(tmp_path, simulator, serial=serial), note))[0]
    assert [len(list(same)) for _, same in groupby(pids)] == jobs_of_each
    assert engine.health().restarts == 0


@pytest.mark.parametrize(
    ("processors", "processes"),
    [
        (1, [0, 1, 1, 1, 1, 2, 3, 3]),
        (2, [0, 1, 1, 1, 1, 2, 3, 3]),
        (3, [0, 1, 2, 2, 2, 2, 3, 3]),
        (4, [0, 1, 2, 2, 2, 3, 3, 3]),
        (16, [0, 1, 2, 2, 2, 3, 5, 5]),
    ],
)
def test_there_are_as_many_processes_as_attempts_and_processors_ask_for(processors: int, processes: list[int]) -> None:
    limits = CrewLimits(attempts=18, processors=processors)
    assert [limits.processes(attempts) for attempts in (0, 1, 2, 4, 8, 9, 18, 1000)] == processes


async def test_a_worker_that_cannot_begin_costs_one_attempt(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start_engine(max_workers=1)
    [pid] = workers(engine)
    with monkeypatch.context() as patch:
        patch.setattr("downloader.engines.worker_process.METHOD", "nonsense")
        os.kill(pid, signal.SIGKILL)
        outcome = await asyncio.wait_for(engine.run(work(tmp_path, simulator), ignore), 10)
        if outcome.error_code is None or "could not be started" not in (outcome.detail or ""):
            outcome = await asyncio.wait_for(engine.run(work(tmp_path, simulator), ignore), 10)
        assert outcome.error_code == "interrupted"
        assert "could not be started" in (outcome.detail or "")
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]


async def test_a_worker_that_never_becomes_ready_costs_one_attempt(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("downloader.engines.pool.READY_SECONDS", 0)
        engine = await start_engine()
        assert engine.health().workers == 0
        outcome = await asyncio.wait_for(engine.run(work(tmp_path, simulator), ignore), 10)
        assert outcome.error_code == "interrupted"
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]


async def test_who_waits_gets_a_new_worker_where_the_old_one_is_tired(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(max_workers=2, limits={"places": 2, "max_jobs_per_worker": 1})
    hanging, _ = begun(simulator, engine, work(tmp_path, simulator, "hang"))
    await asyncio.to_thread(simulator.wait_until_hanging, 1)
    [pid] = workers(engine, busy=True)
    # The second one tires the process that the first one still holds; the third waits meanwhile.
    rest = [engine.run(work(tmp_path, simulator, serial=serial), ignore) for serial in (1, 2)]
    assert all(outcome[0] for outcome in await asyncio.wait_for(asyncio.gather(*rest), 20))
    assert pid in workers(engine, busy=True)
    hanging.cancel()
    await asyncio.wait({hanging})
    assert pid not in workers(engine)


async def test_who_waits_gets_the_place_of_one_that_goes_with_its_process(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    limits = {"places": 2, "processors": 2, "max_jobs_per_worker": 1}
    engine = await start_engine(max_workers=2, limits=limits, socket_timeout_seconds=30)
    first, _ = begun(simulator, engine, work(tmp_path, simulator, "hang", 1))
    await asyncio.to_thread(simulator.wait_until_hanging, 1)
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]  # after which its process takes no more
    second, _ = begun(simulator, engine, work(tmp_path, simulator, "hang", 2))
    await asyncio.to_thread(simulator.wait_until_hanging, 2)
    third, _ = begun(simulator, engine, work(tmp_path, simulator, serial=3))
    first.cancel()
    assert (await asyncio.wait_for(third, 10))[0]
    assert engine.health().busy == 1
    second.cancel()
    await asyncio.wait({first, second})


class HangingFfmpeg:
    """An ffmpeg that hangs as soon as it is to merge; before, it says its process id."""

    def __init__(self, folder: Path, ffmpeg: str) -> None:
        folder.mkdir()
        self.folder = folder
        self._pipe = folder / "pid"
        os.mkfifo(self._pipe)
        # Open before anyone writes, and for both, so that neither side ever waits for the other to open it.
        self._fd = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        script = folder / "ffmpeg"
        script.write_text(
            f"#!/bin/sh\ncase \"$*\" in *'-map 0'*) echo $$ > '{self._pipe}'; exec tail -f /dev/null;; esac\n"
            f"exec '{ffmpeg}' \"$@\"\n"
        )
        script.chmod(0o755)

    def pidfd(self) -> int:
        """Return the process that hangs, once there is one."""
        readable, _, _ = select.select([self._fd], [], [], 20)
        assert readable, "nobody merged anything"
        return os.pidfd_open(int(os.read(self._fd, 100)))

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def hanging_ffmpeg(tmp_path: Path, ffmpeg: str) -> Iterator[HangingFfmpeg]:
    stub = HangingFfmpeg(tmp_path / "ffmpeg", ffmpeg)
    yield stub
    stub.close()


@pytest.mark.parametrize("end", ["cancelled", "killed"])
async def test_ffmpeg_dies_with_its_worker(
    end: str, start_engine: StartEngine, simulator: Simulator, tmp_path: Path, hanging_ffmpeg: HangingFfmpeg
) -> None:
    options = {"compat_opts": ["no-certifi"], "ffmpeg_location": str(hanging_ffmpeg.folder)}
    engine = await start_engine(ytdlp_options=options)
    task = asyncio.ensure_future(engine.run(work(tmp_path, simulator, platform="youtube"), ignore))
    ffmpeg = await asyncio.to_thread(hanging_ffmpeg.pidfd)
    if end == "cancelled":
        task.cancel()
    else:
        [pid] = workers(engine, busy=True)
        os.kill(pid, signal.SIGKILL)
    await asyncio.wait({task}, timeout=2)
    assert task.cancelled() if end == "cancelled" else task.result().error_code == "interrupted"
    assert await asyncio.to_thread(wait_for_exit, ffmpeg, 2)


async def test_who_has_nothing_to_do_sleeps_and_wakes(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(limits={"rest_seconds": 0.3})
    [pid] = workers(engine)
    fork_server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    ends = [os.pidfd_open(pid), os.pidfd_open(fork_server)]
    assert [await asyncio.to_thread(wait_for_exit, end) for end in ends] == [True, True]
    health = engine.health()
    assert (health.workers, health.busy, health.restarts, health.asleep) == (0, 0, 0, True)
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]
    assert not engine.health().asleep


async def test_who_has_something_to_do_does_not_sleep(
    start_engine: StartEngine, full_speed: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(limits={"rest_seconds": 0.2})
    full_speed.configure(media_bytes_per_second=SIZE_BYTES)
    assert (await engine.run(work(tmp_path, full_speed), ignore))[0]
    assert engine.health().restarts == 0


# Several in one process


@pytest.fixture
async def shared(start_engine: StartEngine, full_speed: Simulator, hanging_ffmpeg: HangingFfmpeg) -> ProcessEngine:
    """Return an engine of one process; downloads take a second and a half, and merging hangs."""
    full_speed.configure(media_bytes_per_second=SIZE_BYTES / 1.5)
    options = {"compat_opts": ["no-certifi"], "ffmpeg_location": str(hanging_ffmpeg.folder)}
    engine: ProcessEngine = await start_engine(
        ytdlp_options=options, socket_timeout_seconds=30, limits={"places": 2}, retries=3
    )
    return engine


def begun(simulator: Simulator, engine: ProcessEngine, job: Work) -> tuple[asyncio.Task[Outcome], asyncio.Event]:
    """Run *job*; return its task, and what is set when bytes of it arrive."""
    arriving = asyncio.Event()

    def note(progress: Progress) -> None:
        if progress.downloaded_bytes:
            arriving.set()

    return asyncio.create_task(engine.run(job, note)), arriving


@pytest.mark.parametrize("scenario", ["hang", "hang_in_body", "ok"])
async def test_who_is_cancelled_leaves_the_others_alone(
    scenario: str, shared: ProcessEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_engine, "GRACE_SECONDS", 30)  # which nobody waits for
    other, arriving = begun(simulator, shared, work(tmp_path, simulator, serial=7))
    await arriving.wait()
    task, begins = begun(simulator, shared, work(tmp_path, simulator, scenario))
    await (begins.wait() if scenario == "ok" else asyncio.to_thread(simulator.wait_until_hanging, 1))
    assert len(workers(shared, busy=True)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    await asyncio.to_thread(simulator.wait_until_hanging, 0, timeout_seconds=2)
    assert (await other)[0]
    assert simulator.stats().platforms["tiktok"].requests == (3 if scenario == "hang" else 4)
    assert (shared.health().busy, shared.health().restarts) == (0, 0)


async def test_who_was_given_a_worker_that_is_killed_right_then_goes_on_elsewhere(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start_engine(limits={"places": 2})
    hire = engine._crew.hire
    hired: list[Hand] = []

    async def hire_and_lose(*, alone: bool = False) -> Hand:
        hand: Hand = await hire(alone=alone)
        hired.append(hand)
        if len(hired) == 1:  # another attempt in it was to end, and would not
            engine._crew.send_away(hand)
        return hand

    monkeypatch.setattr(engine._crew, "hire", hire_and_lose)
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]
    assert len(hired) == 2
    assert not hired[0].taken


@pytest.mark.parametrize("end", ["cancelled", "stalled", "cancelled as it is ended for its stall"])
async def test_who_will_not_end_is_killed_and_the_others_go_on_elsewhere(
    end: str,
    start_engine: StartEngine,
    full_speed: Simulator,
    tmp_path: Path,
    hanging_ffmpeg: HangingFfmpeg,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop, asked_to_stop = WorkerProcess.stop, asyncio.Event()

    def note_and_stop(worker: WorkerProcess, job_id: str) -> None:
        asked_to_stop.set()
        stop(worker, job_id)

    monkeypatch.setattr(WorkerProcess, "stop", note_and_stop)
    monkeypatch.setattr("downloader.engines.attempt.FFMPEG_STALL_SECONDS", 1)
    options = {"compat_opts": ["no-certifi"], "ffmpeg_location": str(hanging_ffmpeg.folder)}
    stall = {} if end == "cancelled" else {"stall_timeout_seconds": 1}
    engine = await start_engine(ytdlp_options=options, limits={"places": 2}, **stall)
    task, _ = begun(full_speed, engine, work(tmp_path, full_speed, platform="youtube"))
    ffmpeg = await asyncio.to_thread(hanging_ffmpeg.pidfd)
    full_speed.configure(media_bytes_per_second=SIZE_BYTES / 3)
    other, arriving = begun(full_speed, engine, work(tmp_path, full_speed))
    await arriving.wait()
    assert len(workers(engine, busy=True)) == 1
    if end == "cancelled":
        task.cancel()
    elif end != "stalled":
        await asyncio.wait_for(asked_to_stop.wait(), 10)
        task.cancel()
    await asyncio.wait({task}, timeout=6)
    assert task.result().error_code == "timeout" if end == "stalled" else task.cancelled()
    assert await asyncio.to_thread(wait_for_exit, ffmpeg, 2)
    full_speed.configure(media_bytes_per_second=0)
    assert (await other)[0]
    assert engine.health().restarts == 1
    assert any(entry.range for entry in full_speed.stats().log)  # it did not begin anew


async def test_when_a_process_dies_with_several_each_goes_on_alone(
    start_engine: StartEngine, full_speed: Simulator, tmp_path: Path
) -> None:
    full_speed.configure(media_bytes_per_second=SIZE_BYTES / 2)
    engine = await start_engine(limits={"places": 2})
    first, one_arrives = begun(full_speed, engine, work(tmp_path, full_speed, serial=1))
    second, other_arrives = begun(full_speed, engine, work(tmp_path, full_speed, serial=2))
    await one_arrives.wait()
    await other_arrives.wait()
    [pid] = workers(engine, busy=True)
    os.kill(pid, signal.SIGKILL)
    assert (await first)[0]
    assert (await second)[0]
    assert engine.health().restarts == 1
    assert pid not in workers(engine)


async def test_who_kills_its_process_costs_the_others_nothing(
    start_engine: StartEngine, full_speed: Simulator, tmp_path: Path, ffmpeg: str
) -> None:
    folder = tmp_path / "ffmpeg"
    folder.mkdir()
    script = folder / "ffmpeg"
    script.write_text(f"#!/bin/sh\ncase \"$*\" in *'-map 0'*) kill -9 $PPID;; esac\nexec '{ffmpeg}' \"$@\"\n")
    script.chmod(0o755)
    options = {"compat_opts": ["no-certifi"], "ffmpeg_location": str(folder)}
    engine = await start_engine(ytdlp_options=options, limits={"places": 2})
    full_speed.configure(media_bytes_per_second=SIZE_BYTES / 3)
    other, arriving = begun(full_speed, engine, work(tmp_path, full_speed))
    await arriving.wait()
    full_speed.configure(media_bytes_per_second=0)
    outcome = await engine.run(work(tmp_path, full_speed, platform="youtube"), ignore)
    assert outcome.error_code == "interrupted"
    assert (await other)[0]
    assert engine.health().restarts == 2  # both together, then the one to blame


SERVER = """
    import asyncio, json, multiprocessing.forkserver, sys
    from pathlib import Path
    from downloader.jobs import Work
    from downloader.engines.processes import ProcessEngine
    from downloader.settings import Settings
    from downloader.engines.pool import CrewLimits, Hand

    print("started", flush=True)  # once: a worker must not run this program again
    told = json.loads(sys.stdin.readline())

    async def main():
        engine = ProcessEngine(Settings(**told["settings"]).for_downloads(), CrewLimits(attempts=3))
        await engine.start()
        run = asyncio.ensure_future(engine.run(Work(**told["work"]), lambda progress: None))
        await asyncio.to_thread(sys.stdin.readline)
        pids = {
            "workers": [hand.worker.pid for hand in engine._crew.ready],
            "forkserver": multiprocessing.forkserver._forkserver._forkserver_pid,
            "children": " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split(),
        }
        print(json.dumps(pids), flush=True)
        if told["end"] == "kill":
            await run
        if told["end"] == "close":
            await engine.close()
        # else: the interpreter ends with everything running

    asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["kill", "close", "exit"])
async def test_nothing_outlives_the_server(
    end: str,
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    hanging_ffmpeg: HangingFfmpeg,
) -> None:
    script = tmp_path / "server.py"
    script.write_text(textwrap.dedent(SERVER))
    job = work(tmp_path, simulator, platform="youtube")
    settings = {
        "storage_dir": str(tmp_path),
        "proxy": simulator.proxy,
        "ytdlp_options": {"compat_opts": ["no-certifi"], "ffmpeg_location": str(hanging_ffmpeg.folder)},
    }
    told = {"settings": settings, "end": end, "work": {name: getattr(job, name) for name in Work.__slots__}}
    server = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, **simulator.environment(), "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(told) + "\n")
        server.stdin.flush()
        ffmpeg = await asyncio.to_thread(hanging_ffmpeg.pidfd)
        assert server.stdout.readline() == "started\n"
        server.stdin.write("\n")
        server.stdin.flush()
        pids = json.loads(server.stdout.readline())
        assert len(pids["workers"]) >= 1
        others = [os.pidfd_open(pid) for pid in (*pids["workers"], pids["forkserver"])]
        # No process that keeps books for all the others: nothing of ours would be in them.
        assert pids["children"] == [str(pids["forkserver"])]
        for pid in (*pids["workers"], pids["forkserver"]):  # settings may hold secrets, and anyone may read this
            assert "no-certifi" not in Path(f"/proc/{pid}/cmdline").read_text()
        if end == "kill":
            server.kill()
        rest = await asyncio.to_thread(server.communicate, timeout=10)
        assert rest == ("", "")  # nobody holds its stdout open, nobody complained
        assert [wait_for_exit(pidfd) for pidfd in (ffmpeg, *others)] == [True] * (1 + len(others))
    finally:
        server.kill()
        server.wait()


async def test_many_starts_and_closes_leave_nothing(start_engine: StartEngine) -> None:
    def state() -> tuple[int, int]:
        for thread in threading.enumerate():
            if thread.name.startswith("worker-"):
                thread.join(5)
        return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208

    first = None
    pids: list[int] = []
    for _ in range(12):
        engine = await start_engine(max_workers=2)
        pids += workers(engine)
        started = time.monotonic()
        await engine.close()
        assert time.monotonic() - started < 4  # a process that does not go is waited for longer
        assert engine.health().workers == 0
        first = first or state()
    # Less is no fault: threads of earlier tests may end meanwhile.
    assert all(now <= before for now, before in zip(state(), first or (), strict=True))
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
