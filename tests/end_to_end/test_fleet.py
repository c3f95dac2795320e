"""A server whose downloads run on machines loses nothing and does nothing twice, whatever is killed."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.batches import all_final, check_files, check_mixed, follow, let_run, mixed_urls, submit
from tests.rabbitmq import RabbitMQ
from tests.real_machine import RunningMachine
from tests.real_server import Server
from tests.relay import Relay
from tests.simulator.client import Simulator

JOBS = 60
PACE = 60_000


@pytest.mark.timeout(180)
def test_machines_and_server_are_killed_and_the_batch_is_finished(
    start_server: Callable[..., Server], simulator: Simulator, rabbitmq: RabbitMQ, ffmpeg: str, tmp_path: Path
) -> None:
    settings = {"DOWNLOADER_BROKER_URL": rabbitmq.url, "DOWNLOADER_PLATFORM_CONCURRENCY": "6"}
    urls = mixed_urls(simulator, JOBS)
    server = start_server(**settings)
    status, answer = server.ask("GET", "/readyz")
    assert (status, answer["checks"]["machines"]) == (
        503,
        "No machine is connected: start `batch-video-downloader worker` on one.",
    )
    batch_id = submit(server, urls)

    def running(jobs: list[dict[str, object]]) -> int:
        return sum(job["state"] == "running" for job in jobs)

    with contextlib.ExitStack() as machines:

        def start(name: str) -> RunningMachine:
            machine = RunningMachine(simulator, server.storage, rabbitmq, name, DOWNLOADER_WORKERS="6")
            machines.callback(machine.close)
            return machine

        try:
            simulator.configure(media_bytes_per_second=PACE)
            first, second = start("first"), start("second")
            follow(server, batch_id, lambda jobs: running(jobs) >= 10)
            assert server.ask("GET", "/readyz")[0] == 200
            let_run(server, 1)
            first.signal(signal.SIGKILL)
            first = start("first")
            let_run(server, 3)
            server.process.kill()
            server.wait()
            server = start_server(**settings)
            follow(server, batch_id, lambda jobs: running(jobs) >= 6 or all_final(jobs))
            second.signal(signal.SIGTERM)
            simulator.configure(media_bytes_per_second=0)
            jobs = follow(server, batch_id, all_final, polls=400)
            assert second.process.wait(20) == 0
        finally:
            simulator.configure(media_bytes_per_second=0)

    check_mixed(jobs, ffmpeg)
    check_files(server.storage, jobs)
    interrupted = 0
    for job in jobs:
        _, answer = server.ask("GET", f"/api/v1/jobs/{job['job_id']}")
        results = Counter(attempt["result"] for attempt in answer["attempts"])
        interrupted += results["interrupted"]
        assert results["succeeded"] + results["failed"] == 1, answer  # so no attempt was spent
    assert 0 < interrupted < JOBS


@pytest.mark.timeout(180)
def test_a_limited_way_out_asks_nothing_while_the_other_goes_on(
    start_server: Callable[..., Server], simulator: Simulator, rabbitmq: RabbitMQ
) -> None:
    server = start_server(DOWNLOADER_BROKER_URL=rabbitmq.url, DOWNLOADER_PLATFORM_CONCURRENCY="3")
    urls = [simulator.url("tiktok", "ok", serial) for serial in range(30)]
    urls.insert(3, simulator.url("tiktok", "rate_limited"))  # for half a minute
    with contextlib.ExitStack() as exits:
        ways = {name: exits.enter_context(Relay(simulator)) for name in ("a", "b")}
        for name, way in ways.items():
            settings = {"DOWNLOADER_EGRESS": name, "DOWNLOADER_PROXY": way.url, "DOWNLOADER_WORKERS": "4"}
            exits.callback(RunningMachine(simulator, server.storage, rabbitmq, name, **settings).close)
        exits.callback(lambda: simulator.configure(media_bytes_per_second=0))
        simulator.configure(media_bytes_per_second=2 * PACE)
        while sum(machine["is_alive"] for machine in server.ask("GET", "/api/v1/machines")[1]["machines"]) < 2:
            let_run(server, 0.1)

        batch_id = submit(server, urls)
        follow(server, batch_id, lambda _: any(entry.status == 429 for entry in simulator.stats().log))
        limited_at = min(entry.seconds for entry in simulator.stats().log if entry.status == 429)

        def asked() -> list[str]:
            """Return the ways that were asked since; a busy machine takes a while to end what it was doing."""
            return [name for name, way in ways.items() if any(at > limited_at + 5 for at in tuple(way.asked_at))]

        follow(server, batch_id, lambda _: asked() != [])
        let_run(server, 1)
        assert len(asked()) == 1
        [limited] = ways.keys() - asked()

        ended_at = time.monotonic()
        server.ask("POST", "/api/v1/platforms/tiktok/end-cooldown")
        follow(server, batch_id, lambda _: ways[limited].asked_at[-1] > ended_at)
