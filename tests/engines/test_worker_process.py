"""Worker processes: what kills them, and that they end with all their children."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from downloader.engines import worker_process
from downloader.engines.worker_process import WorkerProcess, prestart
from downloader.jobs import Progress, Work
from downloader.settings import Settings
from tests.engines.conftest import StartEngine
from tests.engines.helpers import HangingFfmpeg, ignore, wait_for_exit, work, workers
from tests.real_server import REPOSITORY
from tests.simulator.client import Simulator


async def test_a_worker_ignores_signals_meant_for_the_server(
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


@pytest.mark.parametrize("end", ["cancelled", "killed"])
async def test_ffmpeg_ends_with_its_worker(
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


async def test_a_worker_that_never_becomes_ready_costs_one_attempt(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("downloader.engines.pool.READY_TIMEOUT_SECONDS", 0)
        engine = await start_engine()
        assert engine.health().workers == 0
        outcome = await asyncio.wait_for(engine.run(work(tmp_path, simulator), ignore), 30)
        assert outcome.error_code == "interrupted"
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]


async def test_a_worker_that_cannot_start_costs_one_attempt(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start_engine(max_attempts=1)
    [pid] = workers(engine)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "missing"))
        os.kill(pid, signal.SIGKILL)
        outcome = await asyncio.wait_for(engine.run(work(tmp_path, simulator), ignore), 30)
        if outcome.error_code is None or "could not be started" not in (outcome.detail or ""):
            outcome = await asyncio.wait_for(engine.run(work(tmp_path, simulator), ignore), 30)
        assert outcome.error_code == "interrupted"
        assert "could not be started" in (outcome.detail or "")
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]


async def test_a_worker_can_be_killed_while_it_starts(start_engine: StartEngine) -> None:
    engine = await start_engine()
    config = engine.pool.ready[0].process.config
    ended = asyncio.get_running_loop().create_future()
    messages: list[object] = []
    WorkerProcess(config, on_message=messages.append, on_end=ended.set_result).kill()
    assert await asyncio.wait_for(ended, 30) == "the worker was killed by SIGKILL"
    assert messages == []


async def test_a_process_that_was_started_early_is_the_first_worker(start_engine: StartEngine) -> None:
    prestart()
    [early] = [process.pid for process in worker_process._PRESTARTED]
    engine = await start_engine()
    assert workers(engine) == [early]


async def test_what_the_interpreter_prints_as_it_starts_is_no_message(
    start_engine: StartEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('a line', 'and a part of one', sep='\\n', end='', flush=True)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = await start_engine()
    assert (engine.health().workers, engine.health().restarts) == (1, 0)


SERVER = """
    import asyncio, json, sys
    from pathlib import Path
    from downloader.jobs import Work
    from downloader.engines.processes import ProcessEngine
    from downloader.settings import Settings
    from downloader.engines.pool import PoolLimits

    print("started", flush=True)  # once: a worker must not run this program again
    request = json.loads(sys.stdin.readline())

    async def main():
        engine = ProcessEngine(Settings(**request["settings"]).for_downloads(), PoolLimits(attempts=3))
        await engine.start()
        run = asyncio.ensure_future(engine.run(Work(**request["work"]), lambda progress: None))
        await asyncio.to_thread(sys.stdin.readline)
        pids = {
            "workers": [worker.process.pid for worker in engine.pool.ready],
            "children": [
                int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()
            ],
        }
        print(json.dumps(pids), flush=True)
        if request["end"] == "kill":
            await run
        if request["end"] == "close":
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
    request = {"settings": settings, "end": end, "work": {name: getattr(job, name) for name in Work.__slots__}}
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
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        ffmpeg = await asyncio.to_thread(hanging_ffmpeg.pidfd)
        assert server.stdout.readline() == "started\n"
        server.stdin.write("\n")
        server.stdin.flush()
        pids = json.loads(server.stdout.readline())
        assert len(pids["workers"]) >= 1
        assert set(pids["workers"]) <= set(pids["children"])
        others = [os.pidfd_open(pid) for pid in pids["children"]]
        for pid in pids["children"]:  # settings may hold secrets, and anyone may read this
            assert "no-certifi" not in Path(f"/proc/{pid}/cmdline").read_text()
        if end == "kill":
            server.kill()
        rest = await asyncio.to_thread(server.communicate, timeout=10)
        assert rest == ("", "")  # no process holds its stdout open, and none complained
        assert [wait_for_exit(pidfd) for pidfd in (ffmpeg, *others)] == [True] * (1 + len(others))
    finally:
        server.kill()
        server.wait()
