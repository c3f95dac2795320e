"""The process engine: what it adds to the contract, by attempts that share processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from downloader.engines import processes
from downloader.engines.pool import PooledWorker
from downloader.engines.processes import ProcessEngine
from downloader.engines.worker import Stop
from downloader.engines.worker_process import WorkerProcess
from downloader.jobs import Progress, Work
from tests.engines.conftest import StartEngine
from tests.engines.helpers import (
    LARGE_BYTES,
    SIZE_BYTES,
    HangingFfmpeg,
    ignore,
    started,
    wait_for_exit,
    work,
    workers,
)
from tests.simulator.client import Simulator

pytestmark = pytest.mark.usefixtures("forked_workers")


async def test_a_killed_worker_costs_one_attempt_and_the_next_resumes(
    start_engine: StartEngine, large: Simulator, tmp_path: Path
) -> None:
    await resumes_after_a_kill(start_engine, large, tmp_path, "tiktok", LARGE_BYTES)
    assert any(entry.range for entry in large.stats().log)


async def test_a_stream_of_segments_resumes_too(
    start_engine: StartEngine, large: Simulator, tmp_path: Path, ffmpeg: str
) -> None:
    path, whole = await resumes_after_a_kill(start_engine, large, tmp_path, "twitter", None, "stream_alone")
    assert path.read_bytes() == whole  # no segment is missing, none is there twice


async def resumes_after_a_kill(
    start_engine: StartEngine,
    large: Simulator,
    tmp_path: Path,
    platform: Any,
    total_bytes: int | None,
    scenario: str = "ok",
) -> tuple[Path, bytes]:
    """Kill a worker in the middle of a download and try again; return the file, and what it should hold."""
    engine = await start_engine(proxy=large.proxy)
    job = work(tmp_path, large, scenario, platform=platform)
    whole = await engine.run(work(tmp_path / "undisturbed", large, scenario, platform=platform), ignore)
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


# Several in one process


@pytest.fixture
async def shared(start_engine: StartEngine, full_speed: Simulator, hanging_ffmpeg: HangingFfmpeg) -> ProcessEngine:
    """Return an engine of one process; downloads take a second and a half, and merging hangs."""
    full_speed.configure(media_bytes_per_second=SIZE_BYTES / 1.5)
    options = {"compat_opts": ["no-certifi"], "ffmpeg_location": str(hanging_ffmpeg.folder)}
    engine: ProcessEngine = await start_engine(
        ytdlp_options=options, socket_timeout_seconds=30, limits={"attempts_per_process": 2}, retries=3
    )
    return engine


@pytest.mark.parametrize("scenario", ["hang", "hang_in_body", "ok"])
async def test_cancelling_one_leaves_the_others_alone(
    scenario: str, shared: ProcessEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 30)  # it stops well before
    other, arriving = started(shared, work(tmp_path, simulator, serial=7))
    await arriving.wait()
    task, begins = started(shared, work(tmp_path, simulator, scenario))
    await (begins.wait() if scenario == "ok" else asyncio.to_thread(simulator.wait_until_hanging, 1))
    assert len(workers(shared, busy=True)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    await asyncio.to_thread(simulator.wait_until_hanging, 0, timeout_seconds=15)
    assert (await other)[0]
    assert simulator.stats().platforms["tiktok"].requests == (3 if scenario == "hang" else 4)
    assert (shared.health().busy, shared.health().restarts) == (0, 0)


@pytest.mark.parametrize("scenario", ["hang", "hang_in_body"])
async def test_cancelling_the_only_one_leaves_its_worker_alive(
    scenario: str, start_engine: StartEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 30)  # it stops well before
    engine = await start_engine(max_attempts=1)
    [pid] = workers(engine)
    task, _ = started(engine, work(tmp_path, simulator, scenario))
    await asyncio.to_thread(simulator.wait_until_hanging, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    assert (workers(engine), engine.health().restarts) == ([pid], 0)
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]


async def test_an_attempt_whose_worker_is_terminated_before_it_starts_gets_another(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start_engine(limits={"attempts_per_process": 2})
    acquire = engine.pool.acquire
    acquired: list[PooledWorker] = []

    async def acquire_and_lose(*, dedicated: bool = False) -> PooledWorker:
        worker: PooledWorker = await acquire(dedicated=dedicated)
        acquired.append(worker)
        if len(acquired) == 1:  # as if another attempt in it had not stopped when asked
            engine.pool.terminate(worker)
        return worker

    monkeypatch.setattr(engine.pool, "acquire", acquire_and_lose)
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]
    assert len(acquired) == 2
    assert not acquired[0].attempts


@pytest.mark.parametrize("end", ["cancelled", "stalled", "cancelled while being ended for its stall"])
async def test_one_that_does_not_stop_is_killed_and_the_others_are_resumed(
    end: str,
    start_engine: StartEngine,
    full_speed: Simulator,
    tmp_path: Path,
    hanging_ffmpeg: HangingFfmpeg,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send, asked_to_stop = WorkerProcess.send, asyncio.Event()

    def note_and_send(worker: WorkerProcess, message: Work | Stop) -> None:
        if isinstance(message, Stop):
            asked_to_stop.set()
        send(worker, message)

    monkeypatch.setattr(WorkerProcess, "send", note_and_send)
    monkeypatch.setattr("downloader.engines.stall.FFMPEG_STALL_SECONDS", 1)
    options = {"compat_opts": ["no-certifi"], "ffmpeg_location": str(hanging_ffmpeg.folder)}
    # Enough for the other one's page, on a machine that is busy.
    stall = {} if end == "cancelled" else {"stall_timeout_seconds": 2}
    engine = await start_engine(ytdlp_options=options, limits={"attempts_per_process": 2}, **stall)
    task, _ = started(engine, work(tmp_path, full_speed, platform="youtube"))
    ffmpeg = await asyncio.to_thread(hanging_ffmpeg.pidfd)
    full_speed.configure(media_bytes_per_second=SIZE_BYTES / 6)
    other, arriving = started(engine, work(tmp_path, full_speed))
    await arriving.wait()
    assert len(workers(engine, busy=True)) == 1
    if end == "cancelled":
        task.cancel()
    elif end != "stalled":
        await asyncio.wait_for(asked_to_stop.wait(), 30)
        task.cancel()
    await asyncio.wait({task}, timeout=6)
    assert task.result().error_code == "timeout" if end == "stalled" else task.cancelled()
    assert await asyncio.to_thread(wait_for_exit, ffmpeg, 2)
    full_speed.configure(media_bytes_per_second=0)
    assert (await other)[0]
    assert engine.health().restarts == 1
    assert any(entry.range for entry in full_speed.stats().log)  # it resumed


async def test_attempts_whose_process_dies_are_resumed_alone(
    start_engine: StartEngine, full_speed: Simulator, tmp_path: Path
) -> None:
    full_speed.configure(media_bytes_per_second=SIZE_BYTES / 6)
    engine = await start_engine(limits={"attempts_per_process": 2})
    first, one_arrives = started(engine, work(tmp_path, full_speed, serial=1))
    second, other_arrives = started(engine, work(tmp_path, full_speed, serial=2))
    await one_arrives.wait()
    await other_arrives.wait()
    [pid] = workers(engine, busy=True)
    os.kill(pid, signal.SIGKILL)
    full_speed.configure(media_bytes_per_second=0)
    assert (await first)[0]
    assert (await second)[0]
    assert engine.health().restarts == 1
    assert pid not in workers(engine)


async def test_one_that_kills_its_process_costs_the_others_nothing(
    start_engine: StartEngine, full_speed: Simulator, tmp_path: Path, ffmpeg: str
) -> None:
    folder = tmp_path / "ffmpeg"
    folder.mkdir()
    script, first, second = (folder / name for name in ("ffmpeg", "first", "second"))
    os.mkfifo(first)
    os.mkfifo(second)
    script.write_text(
        f"#!/bin/sh\ncd '{folder}'\ncase \"$*\" in *'-map 0'*)\n"
        "mkdir met 2>/dev/null && go=first || go=second\nread -r _ < $go\nkill -9 $PPID;; esac\n"
        f"exec '{ffmpeg}' \"$@\"\n"
    )
    script.chmod(0o755)
    options = {"compat_opts": ["no-certifi"], "ffmpeg_location": str(folder)}
    engine = await start_engine(ytdlp_options=options, limits={"attempts_per_process": 2})
    culprit, _ = started(engine, work(tmp_path, full_speed, platform="youtube"))
    with await asyncio.to_thread(first.open, "w"):  # once it reads, after which it kills
        full_speed.configure(media_bytes_per_second=SIZE_BYTES / 20)
        other, arriving = started(engine, work(tmp_path, full_speed))
        await arriving.wait()
        assert len(workers(engine, busy=True)) == 1
    (await asyncio.to_thread(second.open, "w")).close()  # again, alone
    assert (await culprit).error_code == "interrupted"
    full_speed.configure(media_bytes_per_second=0)
    assert (await other)[0]
    assert engine.health().restarts == 2  # the shared one, then that of the culprit
