"""Measures how soon our server is there, what it costs while nothing is to be done.

    python -m benchmarks.start [--rounds N] [--rest SECONDS] [--json FILE]

From the start of the process until it listens, answers `/healthz`, has its first download done; the same download by
the yt-dlp command. Then processor time at rest, with a page looking on or none; memory by process.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import command_line, commands, process_tree, server_tree
from benchmarks.contender import Failed, measured
from benchmarks.following import changes_of_jobs
from benchmarks.our_server import download_all, running
from benchmarks.ports import free_port
from benchmarks.statistic import median, ratio
from benchmarks.tables import table
from benchmarks.workload import Workload
from tests.real_server import Server
from tests.simulator.client import Simulator

#: The server's default.
_WORKERS = 8
_CALM_SECONDS = 5.0
_KNOCK_SECONDS = 0.002
_START_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it as the command line says."""
    parser = command_line.parser("start", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rest", type=float, default=20, metavar="SECONDS", help="how long it is watched at rest")
    options = parser.parse_args(arguments)
    with command_line.measuring(options) as found, Simulator(latency_ms=50, media_bytes=200_000) as simulator:
        work = Workload(simulator=simulator, videos=1, media_bytes=200_000, at_once=_WORKERS)
        starts = [start(work) for _ in range(options.rounds)]
        alone = [measured(commands.one_by_one(), work) for _ in range(options.rounds)]
        found |= {name: median([each[name] for each in starts]) for name in starts[0]}
        found["ytdlp_s"] = median([run.wall_seconds for run in alone])
        found["download_to_ytdlp"] = ratio(found["download_s"], found["ytdlp_s"])
        found |= rest(work, options.rest)
    sys.stdout.write(report(found) + "\n")


class Caller(threading.Thread):
    """Knocks at a port from now on until somebody opens, then asks for `/healthz`, then for a download."""

    def __init__(self, port: int, url: str) -> None:
        super().__init__(daemon=True)
        self.seconds: dict[str, float] = {}
        self._port, self._url = port, url
        self._began = time.perf_counter()
        self.start()

    def run(self) -> None:
        """Fill in `seconds`."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_START_SECONDS)
        with contextlib.closing(connection):
            self._connect(connection)
            self._note("listening_s")
            connection.request("GET", "/healthz")
            if connection.getresponse().read():
                self._note("healthz_s")
            body = json.dumps({"url": self._url})
            connection.request("POST", "/download", body, {"Content-Type": "application/json"})
            if json.load(connection.getresponse())["success"]:
                self._note("download_s")

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        pause = threading.Event()
        while time.perf_counter() - self._began < _START_SECONDS:
            with contextlib.suppress(ConnectionRefusedError):
                connection.connect()
                return
            pause.wait(_KNOCK_SECONDS)
        raise Failed("ours: nobody listens")

    def _note(self, name: str) -> None:
        self.seconds[name] = time.perf_counter() - self._began


def start(work: Workload) -> dict[str, float]:
    """Return the seconds from the start of a server until each of its firsts.

    Raises:
        Failed: its first download did not succeed.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        caller = Caller(port, work.urls[0])
        with running(work.simulator, Path(folder), at_once=_WORKERS, port=port, supervised=False):
            caller.join()
    if "download_s" not in caller.seconds:
        raise Failed("ours: the first download did not succeed")
    return caller.seconds


def rest(work: Workload, seconds: float) -> dict[str, Any]:
    """Return what a server costs that has nothing to do: a core's share in percent, memory in MB by kind of process."""
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        running(work.simulator, Path(folder), at_once=_WORKERS) as server,
    ):
        found: dict[str, Any] = {"idle_cpu_percent": busy_percent(server, seconds)}
        with changes_of_jobs(server):
            found["idle_with_page_cpu_percent"] = busy_percent(server, seconds)
        found["pss_mb_fresh"] = megabytes(server)
        download_all(server, [work.spare(number) for number in range(3 * _WORKERS)])
        found["idle_after_work_cpu_percent"] = busy_percent(server, seconds)
        found["pss_mb_after_work"] = megabytes(server)
    return found


def busy_percent(server: Server, seconds: float) -> float:
    """Return how busy the whole tree keeps one core over *seconds*, after some to calm down."""
    pause = threading.Event()
    pause.wait(_CALM_SECONDS)
    before, began = process_tree.cpu_seconds(server.process.pid), time.perf_counter()
    pause.wait(seconds)
    used = process_tree.cpu_seconds(server.process.pid) - before
    return used / (time.perf_counter() - began) * 100


def megabytes(server: Server) -> dict[str, float]:
    """Return the proportional set size by kind of process."""
    return {kind: size / 1024**2 for kind, size in server_tree.pss_bytes(server.process.pid).items()}


def report(found: dict[str, Any]) -> str:
    """Return *found* as text."""
    names = {
        "listening_s": "from the start until it listens, s",
        "healthz_s": "until /healthz is answered, s",
        "download_s": "until the first download is done, s",
        "ytdlp_s": "the yt-dlp command for the same video, s",
        "download_to_ytdlp": "ours against that, from the start",
        "idle_cpu_percent": "at rest, % of a core",
        "idle_with_page_cpu_percent": "at rest, a page looking on, % of a core",
        "idle_after_work_cpu_percent": "at rest after work, % of a core",
    }
    fresh, after = found["pss_mb_fresh"], found["pss_mb_after_work"]
    kinds = [kind for kind in after if kind in fresh or after[kind]]
    rows = [[kind, fresh.get(kind), after[kind]] for kind in kinds]
    rows.append(["together", sum(fresh.values()), sum(after.values())])
    return "\n".join(
        [
            table(["", "median"], [[words, found[name]] for name, words in names.items()]),
            "",
            table(["memory (PSS), MB", "fresh", "after work"], rows),
        ]
    )


if __name__ == "__main__":
    main()
