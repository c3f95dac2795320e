"""The pool of workers: how many, for how long, and for whom."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

import pytest

from downloader.egress.guard import open_egress
from downloader.egress.http import Request
from downloader.engines.pool import PooledWorker, PoolLimits, default_processes
from downloader.jobs import Progress
from downloader.settings import Settings
from tests.engines.conftest import StartEngine
from tests.engines.helpers import SIZE_BYTES, ignore, started, wait_for_exit, work, workers
from tests.simulator.client import Simulator

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.mark.parametrize(
    ("attempts_per_process", "processes", "expected"),
    [(1, 1, 4), (2, 7, 2), (4, 1, 1)],
)
async def test_sixteen_jobs_four_at_once(
    attempts_per_process: int,
    processes: int,
    expected: int,
    start_engine: StartEngine,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    limits = {"attempts_per_process": attempts_per_process, "processes": processes}
    engine = await start_engine(max_attempts=4, limits=limits)
    pids: set[int] = set()
    busy: list[int] = []

    def note(progress: Progress) -> None:
        busy.append(engine.health().busy)
        pids.update(workers(engine, busy=True))

    held = [await engine.pool.acquire() for _ in range(4)]  # as many as start all workers
    async with asyncio.timeout(20):
        while engine.health().workers < expected:
            await asyncio.sleep(0.01)
    for worker in held:
        engine.pool.release(worker)
    outcomes = await asyncio.gather(*(engine.run(work(tmp_path, simulator, serial=n), note) for n in range(16)))
    assert all(outcome[0] for outcome in outcomes)
    assert len({outcome[1] for outcome in outcomes}) == 16
    assert len(pids) == expected
    assert max(busy) == 4
    health = engine.health()
    assert (health.workers, health.busy, health.restarts) == (expected, 0, 0)


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
    engine = await start_engine(max_attempts=1, limits=limits)
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
    ("processes", "expected"),
    [
        (1, [0, 1, 1, 1, 1, 2, 3, 3]),
        (2, [0, 1, 2, 2, 2, 2, 3, 3]),
        (3, [0, 1, 2, 2, 2, 3, 3, 3]),
        (15, [0, 1, 2, 2, 2, 3, 5, 5]),
    ],
)
def test_processes_follow_the_number_of_attempts(processes: int, expected: list[int]) -> None:
    limits = PoolLimits(attempts=18, processes=processes)
    assert [limits.processes_for(attempts) for attempts in (0, 1, 2, 4, 8, 9, 18, 1000)] == expected


@pytest.mark.parametrize(("cpus", "processes"), [(1, 1), (2, 1), (4, 3)])
def test_the_server_keeps_one_of_the_cpus_it_may_use(
    cpus: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cpus)), raising=False)
    assert default_processes() == processes


async def test_a_waiting_attempt_gets_a_new_worker_when_the_old_one_drains(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    limits = {"attempts_per_process": 2, "max_jobs_per_worker": 1}
    engine = await start_engine(max_attempts=2, limits=limits, socket_timeout_seconds=30)
    hanging, _ = started(engine, work(tmp_path, simulator, "hang"))
    await asyncio.to_thread(simulator.wait_until_hanging, 1)
    [pid] = workers(engine, busy=True)
    # The second one makes the worker drain, which the first one still holds, while the third one waits.
    rest = [engine.run(work(tmp_path, simulator, serial=serial), ignore) for serial in (1, 2)]
    assert all(outcome[0] for outcome in await asyncio.wait_for(asyncio.gather(*rest), 30))
    assert pid in workers(engine, busy=True)
    hanging.cancel()
    await asyncio.wait({hanging})
    assert pid not in workers(engine)


async def test_a_waiting_attempt_runs_when_another_ends_with_its_worker(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    limits = {"attempts_per_process": 2, "processes": 1, "max_jobs_per_worker": 1}
    engine = await start_engine(max_attempts=2, limits=limits, socket_timeout_seconds=30)
    first, _ = started(engine, work(tmp_path, simulator, "hang", 1))
    await asyncio.to_thread(simulator.wait_until_hanging, 1)
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]  # after which its worker drains
    second, _ = started(engine, work(tmp_path, simulator, "hang", 2))
    await asyncio.to_thread(simulator.wait_until_hanging, 2)
    third, _ = started(engine, work(tmp_path, simulator, serial=3))
    first.cancel()
    assert (await asyncio.wait_for(third, 30))[0]
    assert engine.health().busy == 1
    second.cancel()
    await asyncio.wait({first, second})


async def test_an_idle_engine_stops_its_processes_and_wakes(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path
) -> None:
    engine = await start_engine(limits={"idle_timeout_seconds": 0.3})
    [pid] = workers(engine)
    assert await asyncio.to_thread(wait_for_exit, os.pidfd_open(pid))
    health = engine.health()
    assert (health.workers, health.busy, health.restarts, health.asleep) == (0, 0, 0, True)
    assert (await engine.run(work(tmp_path, simulator), ignore))[0]
    assert not engine.health().asleep


async def test_a_busy_engine_does_not_sleep(start_engine: StartEngine, full_speed: Simulator, tmp_path: Path) -> None:
    engine = await start_engine(limits={"idle_timeout_seconds": 0.2})
    full_speed.configure(media_bytes_per_second=SIZE_BYTES)
    assert (await engine.run(work(tmp_path, full_speed), ignore))[0]
    assert engine.health().restarts == 0


async def test_starting_and_closing_leaks_nothing(start_engine: StartEngine) -> None:
    def state() -> tuple[int, int]:
        for thread in threading.enumerate():
            if thread.name.startswith("worker-"):
                thread.join(30)
        return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208

    first = None
    pids: list[int] = []
    for _ in range(4):
        engine = await start_engine(max_attempts=2)
        pids += workers(engine)
        closing_at = time.monotonic()
        await engine.close()
        assert time.monotonic() - closing_at < 4  # less than the time a worker is given to end
        assert engine.health().workers == 0
        first = first or state()
    # Fewer are fine: threads of earlier tests may end in between.
    assert all(now <= before for now, before in zip(state(), first or (), strict=True))
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


# Grants


def test_a_kept_grant_inherits_no_refusals(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings().for_downloads()
    worker = PooledWorker()
    with open_egress(settings) as grant:
        grant.refuse(Request(method="CONNECT", host="10.0.0.1", port=443), "a private address")
        worker.keep_grant(grant)
        assert worker.take_grant() is grant
        assert grant.refusals == []
        assert worker.take_grant() is None  # it is for one attempt at a time


def test_a_grant_that_is_not_valid_any_more_is_not_used(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings().for_downloads()
    worker = PooledWorker()
    grants = [open_egress(settings) for _ in range(3)]
    for grant in grants:
        worker.keep_grant(grant)
    for grant in grants[1:]:
        grant.revoke()
    assert worker.take_grant() is grants[0]
    grants[0].revoke()
    worker.keep_grant(grants[0])  # as where its attempt succeeded just as it was cancelled
    assert worker.grants == []


@pytest.mark.parametrize("state", ["lost", "draining"])
def test_a_worker_that_gets_no_more_attempts_keeps_no_grant(make_settings: Callable[..., Settings], state: str) -> None:
    worker = PooledWorker()
    setattr(worker, state, True)
    grant = open_egress(make_settings().for_downloads())
    worker.keep_grant(grant)
    assert (grant.valid, worker.grants) == (False, [])
