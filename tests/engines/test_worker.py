"""The worker, on its own side of the pipe: its log, and the threads that keep connections from job to job."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from downloader.egress.guard import open_egress
from downloader.engines import worker as module
from downloader.engines.processes import ProcessEngine
from downloader.engines.worker import Done, Stop, _Worker
from downloader.jobs import Work
from downloader.platforms import PlatformType
from downloader.settings import Settings
from tests.engines.conftest import StartEngine
from tests.engines.helpers import ignore, started, work
from tests.real_server import REPOSITORY
from tests.simulator.client import Simulator

#: What only the server uses: memory of each worker, and ways to read the environment.
NOT_FOR_WORKERS = {"alembic", "flask", "multiprocessing", "pydantic", "sqlalchemy", "waitress"}
NOT_FOR_WORKERS |= {"requests", "urllib3", "websockets"}

pytestmark = pytest.mark.usefixtures("forked_workers")

PLATFORMS: tuple[PlatformType, ...] = ("tiktok", "instagram", "twitter", "youtube")


async def test_workers_log_through_the_server(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await start_engine()
    await engine.run(work(tmp_path, simulator), ignore)
    job = work(tmp_path, simulator, "removed")
    await engine.run(job, ignore)
    [record] = [record for record in caplog.records if record.message == "download failed"]
    assert record.name == "downloader.ytdlp.failures"
    assert vars(record)["job_id"] == job.job_id  # not that of the job before in the same thread
    assert vars(record)["error_code"] == "ip_blocked"
    assert record.process != os.getpid()


# Connections from one job to the next, as the other end sees them


def connections(simulator: Simulator) -> set[int]:
    return {entry.connection for entry in simulator.stats().log if entry.method != "CONNECT"}


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_the_next_job_uses_the_connections_of_the_one_before(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, platform: PlatformType
) -> None:
    engine = await start_engine(max_attempts=1)
    assert (await engine.run(work(tmp_path, simulator, platform=platform), ignore))[0]
    first = connections(simulator)
    simulator.reset()
    for serial in (1, 2, 3):
        assert (await engine.run(work(tmp_path, simulator, serial=serial, platform=platform), ignore))[0]
    assert set() < connections(simulator) <= first
    assert len(engine.pool.ready[0].grants) == 1


async def test_the_segments_of_a_stream_come_on_one_connection(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(max_attempts=1)
    assert (await engine.run(work(tmp_path, simulator, "stream_alone", platform="twitter"), ignore))[0]
    segments = [entry.connection for entry in simulator.stats().log if entry.path.endswith((".ts", ".m4s", ".mp4"))]
    assert len(segments) > 4
    assert len(set(segments)) == 1


async def test_fragments_in_several_threads_share_them_too(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    options = {"compat_opts": ["no-certifi"], "concurrent_fragment_downloads": 3}
    engine = await start_engine(max_attempts=1, ytdlp_options=options)
    for serial in range(2):
        assert (await engine.run(work(tmp_path, simulator, "stream_alone", serial, "twitter"), ignore))[0]
    media = {entry.connection for entry in simulator.stats().log if entry.path.endswith((".ts", ".m4s", ".mp4"))}
    # One for each thread; now and then a fourth, where one had to leave room for another host's.
    assert 0 < len(media) <= 4 < len([entry for entry in simulator.stats().log if entry.connection in media])


async def test_cookies_that_change_between_two_jobs_are_each_jobs_own(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(max_attempts=1, cookies_dir=tmp_path)
    cookies = tmp_path / "instagram.txt"
    asked: list[bool] = []
    for serial in range(4):
        if serial % 2:  # as an account, which has an address of its own
            cookies.write_text(".instagram.com\tTRUE\t/\tTRUE\t0\tsessionid\tabc\n")
        else:
            cookies.unlink(missing_ok=True)
        simulator.reset()
        outcome = await engine.run(work(tmp_path, simulator, serial=serial, platform="instagram"), ignore)
        assert outcome[0], outcome.detail
        asked.append(any(entry.path.endswith("/info/") for entry in simulator.stats().log))
    assert asked == [False, True, False, True]
    assert len(engine.pool.ready[0].grants) == 1


@pytest.mark.parametrize(
    ("scenario", "code"),
    [("removed", "ip_blocked"), ("rate_limited", "rate_limited"), ("html", None), ("cut_always", "network")],
)
async def test_after_a_failure_nothing_is_kept(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, scenario: str, code: str | None
) -> None:
    engine = await start_engine(max_attempts=1)
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]
    outcome = await engine.run(work(tmp_path, simulator, scenario), ignore)
    assert not outcome[0]
    assert code in (None, outcome.error_code)
    assert engine.pool.ready[0].grants == []
    before = connections(simulator)
    simulator.reset()
    assert (await engine.run(work(tmp_path, simulator, serial=1), ignore))[0]
    assert connections(simulator).isdisjoint(before)


@pytest.mark.parametrize("scenario", ["rate_limited_once", "cut"])
async def test_what_yt_dlp_survives_costs_a_connection_at_most(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, scenario: str
) -> None:
    engine = await start_engine(max_attempts=1, retries=2)
    first = await engine.run(work(tmp_path, simulator, scenario), ignore)
    assert (await engine.run(work(tmp_path, simulator, serial=1), ignore))[0]
    assert bool(engine.pool.ready[0].grants)
    assert first[0] or first.error_code == "rate_limited"


@pytest.mark.parametrize("end", ["cancelled", "stalled"])
async def test_an_attempt_that_is_ended_leaves_nothing_and_its_neighbour_alone(
    start_engine: StartEngine, full_speed: Simulator, tmp_path: Path, end: str
) -> None:
    options = {"stall_timeout_seconds": 1} if end == "stalled" else {}
    engine: ProcessEngine = await start_engine(
        limits={"attempts_per_process": 2, "processes": 1}, socket_timeout_seconds=30, **options
    )
    for platform in PLATFORMS[:2]:  # two grants are kept
        assert (await engine.run(work(tmp_path, full_speed, platform=platform), ignore))[0]
    full_speed.reset()
    full_speed.configure(media_bytes_per_second=100_000)
    other, arriving = started(engine, work(tmp_path, full_speed, serial=7))
    await arriving.wait()
    ended = asyncio.create_task(engine.run(work(tmp_path, full_speed, "hang"), ignore))
    await asyncio.to_thread(full_speed.wait_until_hanging, 1)
    if end == "cancelled":
        ended.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ended
    else:
        assert (await ended).error_code == "timeout"
    assert (await other)[0]
    assert engine.health().restarts == 0
    [worker] = [worker for worker in engine.pool.ready if worker.grants]
    assert [grant.valid for grant in worker.grants] == [True]  # the neighbour's


async def test_the_end_of_a_worker_revokes_its_grants(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(max_attempts=1)
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]
    [worker] = engine.pool.ready
    [grant] = worker.grants
    await engine.pool.terminate(worker)
    assert not grant.valid
    assert worker.grants == []
    assert (await engine.run(work(tmp_path, simulator, serial=1), ignore))[0]


# Its threads, in this process


class Pipe:
    """A worker in a thread, and the server's ends of its pipes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.for_downloads()
        messages, to_worker = os.pipe()
        from_worker, reports = os.pipe()
        self._messages, self._to_worker = os.fdopen(messages, "rb"), os.fdopen(to_worker, "wb")
        self._from_worker, self._reports = os.fdopen(from_worker, "rb"), os.fdopen(reports, "wb")
        self.worker = _Worker(self._reports, self.settings)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(EOFError):
            self.worker.serve(self._messages)

    def send(self, message: Work | Stop) -> None:
        self._to_worker.write(pickle.dumps(message))
        self._to_worker.flush()

    def run(self, job: Work) -> Done:
        self.send(job)
        return self.done()

    def done(self) -> Done:
        while not isinstance(message := pickle.load(self._from_worker), Done):
            pass
        return message

    def threads(self) -> list[module._DownloadThread]:
        return list(self.worker._threads.values())

    def close(self) -> None:
        self._to_worker.close()
        self._thread.join(30)
        for pipe in (self._messages, self._from_worker, self._reports):
            pipe.close()


@pytest.fixture
def pipe(make_settings: Callable[..., Settings]) -> Iterator[Pipe]:
    pipe = Pipe(make_settings())
    yield pipe
    pipe.close()


def test_one_thread_for_each_grant(pipe: Pipe, simulator: Simulator, tmp_path: Path) -> None:
    with open_egress(pipe.settings) as one, open_egress(pipe.settings) as other:
        for serial, grant in enumerate((one, other, one)):
            assert pipe.run(replace(work(tmp_path, simulator, serial=serial), proxy=grant.url)).outcome[0]
        assert [thread.transport.proxy for thread in pipe.threads()] == [one.url, other.url]
        assert pipe.worker.stops == {}


def test_a_thread_ends_when_no_job_has_come_for_a_while(
    pipe: Pipe, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_IDLE_SECONDS", 0.01)
    with open_egress(pipe.settings) as grant:
        for serial in (1, 2):  # the second one in a thread of its own
            assert pipe.run(replace(work(tmp_path, simulator, serial=serial), proxy=grant.url)).outcome[0]
            for thread in pipe.threads():
                thread.join(30)
            assert pipe.threads() == []
        assert len(connections(simulator)) > 2


def test_a_thread_that_is_just_retiring_gets_no_job(
    pipe: Pipe, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded: list[bool] = []

    class Watched(Queue[Any]):
        def put(self, item: Any, *options: Any) -> None:
            guarded.append(pipe.worker._lock.locked())
            super().put(item, *options)

    monkeypatch.setattr(module, "SimpleQueue", Watched)
    with open_egress(pipe.settings) as grant:
        for serial in (1, 2):
            assert pipe.run(replace(work(tmp_path, simulator, serial=serial), proxy=grant.url)).outcome[0]
    assert guarded == [True, True]


def test_a_thread_ends_with_a_failure_and_its_connections_with_it(
    pipe: Pipe, simulator: Simulator, tmp_path: Path
) -> None:
    with open_egress(pipe.settings) as grant:
        assert pipe.run(replace(work(tmp_path, simulator), proxy=grant.url)).outcome[0]
        [thread] = pipe.threads()
        assert grant.tasks
        assert not pipe.run(replace(work(tmp_path, simulator, "removed"), proxy=grant.url)).outcome[0]
        thread.join(30)
        assert pipe.threads() == []
        assert thread.transport._connections._idle == []


def test_a_stop_concerns_the_attempt_under_way_only(pipe: Pipe, simulator: Simulator, tmp_path: Path) -> None:
    with open_egress(pipe.settings) as grant:
        job = replace(work(tmp_path, simulator), proxy=grant.url)
        pipe.send(Stop(job.job_id))  # before it
        assert pipe.run(job).outcome[0]
        pipe.send(Stop(job.job_id))  # after it
        again = replace(job, work_dir=str(tmp_path / "again"))
        assert pipe.run(again).outcome[0]
        hanging = replace(work(tmp_path, simulator, "hang"), proxy=grant.url)
        pipe.send(hanging)
        simulator.wait_until_hanging(1)
        pipe.send(Stop(hanging.job_id))
        grant.revoke()
        assert pipe.done().outcome.error_code in ("interrupted", "network")


@pytest.mark.integration
def test_a_worker_loads_no_library_of_the_server() -> None:
    code = (
        "import sys; from downloader.engines import worker; worker.load();"
        "print(*{name.partition('.')[0] for name, module in sys.modules.items() if module})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "yt_dlp" in done.stdout.split()
    assert NOT_FOR_WORKERS.isdisjoint(done.stdout.split())
