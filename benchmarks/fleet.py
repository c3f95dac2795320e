"""Measures what a fleet costs: the server's processor time for each download, and a machine's memory while it waits.

    python -m benchmarks.fleet [--rounds N] [--videos N] [--json FILE]

A server that downloads itself and one with a machine, RabbitMQ between them, take turns, each with a fresh server. Of
the server, only its own process counts: those that download belong to it in one case, and to the machine in the other.
Then a machine without work: the memory of all its processes, pages that they share counted once, when its workers have
gone to sleep. Last, how long it takes until downloads of a machine that is killed run on another one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import command_line
from benchmarks.contender import Failed
from benchmarks.process_tree import own_cpu_seconds, pss_bytes
from benchmarks.statistic import median
from benchmarks.tables import Cell, table
from tests.rabbitmq import RabbitMQ
from tests.real_server import REPOSITORY, Server
from tests.simulator.client import Simulator

_WAIT_SECONDS = 120.0

#: Longer than a worker process is kept that has nothing to do.
_ASLEEP_SECONDS = 75.0

_AT_ONCE = {"DOWNLOADER_WORKERS": "4", "DOWNLOADER_PLATFORM_CONCURRENCY": "8"}


def wait_for(what: str, is_true: Callable[[], bool]) -> None:
    """Return once *is_true*; raise Failed if that takes too long."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise Failed(f"it took too long: {what}")
        time.sleep(0.02)


@contextlib.contextmanager
def machine(simulator: Simulator, storage: Path, broker: RabbitMQ, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a machine called *name*."""
    own = {"DOWNLOADER_STORAGE_DIR": str(storage), "DOWNLOADER_BROKER_URL": broker.url, "DOWNLOADER_MACHINE": name}
    environment = {**os.environ, **simulator.environment(), **_AT_ONCE, **own}
    process = subprocess.Popen(
        [sys.executable, "downloader_main.py", "worker"], cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def machines(server: Server) -> list[dict[str, Any]]:
    """Return the machines that the server hears."""
    found: list[dict[str, Any]] = server.ask("GET", "/api/v1/machines")[1]["machines"]
    return [each for each in found if each["is_alive"]]


def server_ms(simulator: Simulator, broker: RabbitMQ | None, first: int, videos: int) -> float:
    """Return the milliseconds of processor time that the server's process takes for each of so many downloads."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        storage = Path(folder, "storage")
        settings: dict[str, Any] = {**_AT_ONCE, **({"DOWNLOADER_BROKER_URL": broker.url} if broker else {})}
        server = Server(simulator, storage, **settings)
        running.callback(server.close)
        if broker:
            running.enter_context(machine(simulator, storage, broker, "one"))
            wait_for("the machine's start", lambda: machines(server) != [])
        urls = [simulator.url("tiktok", "ok", first + number) for number in range(videos + 10)]
        server.ask("POST", "/download/batch", {"urls": urls[:10]}, timeout_seconds=_WAIT_SECONDS)
        before = own_cpu_seconds(server.process.pid)
        _, answer = server.ask("POST", "/download/batch", {"urls": urls[10:]}, timeout_seconds=_WAIT_SECONDS)
        if not all(record["success"] for record in answer["downloads"]):
            raise Failed("a download failed")
        return (own_cpu_seconds(server.process.pid) - before) * 1000 / videos


def idle_mb(simulator: Simulator, broker: RabbitMQ) -> float:
    """Return the memory of a machine that has downloaded something a while ago, in MB."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        storage = Path(folder, "storage")
        server = Server(simulator, storage, DOWNLOADER_BROKER_URL=broker.url)
        running.callback(server.close)
        process = running.enter_context(machine(simulator, storage, broker, "one"))
        server.ask("POST", "/download", {"url": simulator.url("tiktok", "ok")}, timeout_seconds=_WAIT_SECONDS)
        time.sleep(_ASLEEP_SECONDS)
        # All processes of this one's tree, of which those of the machine are taken.
        sizes = {process.pid: pss_bytes(os.getpid())[process.pid], **pss_bytes(process.pid)}
        return sum(sizes.values()) / 1e6


def seconds_to_restart(simulator: Simulator, broker: RabbitMQ) -> float:
    """Return the seconds from the kill of a machine until its download runs on another one."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        storage = Path(folder, "storage")
        server = Server(simulator, storage, DOWNLOADER_BROKER_URL=broker.url)
        running.callback(server.close)
        processes = {name: running.enter_context(machine(simulator, storage, broker, name)) for name in ("one", "two")}
        wait_for("the machines' start", lambda: len(machines(server)) == 2)
        server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "hang")]})

        def busy() -> list[str]:
            return [each["name"] for each in machines(server) if each["busy"]]

        wait_for("the start of the download", lambda: busy() != [])
        [name] = busy()
        processes[name].kill()
        killed_at = time.monotonic()
        [other] = processes.keys() - {name}
        wait_for("the other machine", lambda: other in busy())
        return time.monotonic() - killed_at


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it as the command line says."""
    parser = command_line.parser("fleet", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--videos", type=int, default=150)
    options = parser.parse_args(arguments)
    with command_line.measuring(options) as found, Simulator() as simulator, contextlib.closing(RabbitMQ()) as broker:
        taken: dict[str, list[float]] = {"itself": [], "with a machine": []}
        for number in range(2 * options.rounds):
            name = "with a machine" if number % 4 in (1, 2) else "itself"
            with_broker = broker if name == "with a machine" else None
            taken[name].append(server_ms(simulator, with_broker, number * (options.videos + 10), options.videos))
        restarts = [seconds_to_restart(simulator, broker) for _ in range(options.rounds)]
        found["server_cpu_ms_per_video"] = taken
        found["seconds_to_restart"] = restarts
        found["idle_machine_mb"] = idle_mb(simulator, broker)
    rows: list[list[Cell]] = [[f"server, ms CPU a video: {name}", median(each)] for name, each in taken.items()]
    rows.append(["idle machine, MB", found["idle_machine_mb"]])
    rows.append(["killed machine: seconds until its download runs again", median(restarts)])
    sys.stdout.write(table(["", "median"], rows) + "\n")


if __name__ == "__main__":
    main()
