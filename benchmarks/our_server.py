"""Our server as a contender: started as the README says, driven by HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import process_tree, supervisor
from benchmarks.contender import Failed, Run, sampling
from benchmarks.workload import Workload
from tests.server import Server
from tests.simulator.client import Simulator

_FINAL = frozenset({"succeeded", "failed", "cancelled"})

#: What the server does after the last job was told belongs to the jobs; it is quiet by then.
_SETTLING_SECONDS = 0.3
_REPLAYS = 20
_TIMEOUT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class OurServer:
    """A fresh server for each run, warmed up by one download."""

    name: str = "ours"
    #: Also measures, at the cost of the run's other figures: `/healthz` while it works, what following it costs.
    probe: bool = False

    def run(self, work: Workload, folder: Path, *, sample: bool) -> Run:
        """See `Contender.run`."""
        with running(work.simulator, folder, at_once=work.at_once) as server:
            pid = server.process.pid
            cold_seconds = download_one(server, work.spare(0))
            warm_seconds = download_one(server, work.spare(1))
            work.simulator.reset()
            before = settled_cpu_seconds(pid)
            with sampling(pid, sample) as peak, probing(server, self.probe) as healthz:
                started, since = time.time(), newest_event(server)
                wall_seconds = seconds_of(lambda: download_all(server, work.urls))
            cpu_seconds = settled_cpu_seconds(pid) - before
            more = {
                "cold_download_s": cold_seconds,
                "warm_download_s": warm_seconds,
                "files_s": last_arrival(folder) - started,
                **healthz,
            }
            if self.probe:
                more["following_cpu_s"] = following_cpu_seconds(server, since, work.videos)
        return Run(wall_seconds=wall_seconds, cpu_seconds=cpu_seconds, peak_pss_bytes=peak.pss_bytes, more=more)


@contextlib.contextmanager
def running(simulator: Simulator, folder: Path, *, at_once: int, **settings: str) -> Iterator[Server]:
    """Run a server that keeps everything in *folder*; its `process` is the supervisor, whose tree is the server's."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as notes:
        server = Server(
            simulator,
            folder,
            0,
            under=supervisor.command(Path(notes, "report.json"), []),
            DOWNLOADER_WORKERS=str(at_once),
            DOWNLOADER_PLATFORM_CONCURRENCY=str(at_once),
            DOWNLOADER_SOCKET_TIMEOUT_SECONDS="20",
            DOWNLOADER_LOG_LEVEL="WARNING",
            **settings,
        )
        try:
            status, _ = server.ask("GET", "/healthz")
            assert status == 200
            yield server
            server.stop()
        finally:
            server.close()


def download_one(server: Server, url: str) -> float:
    """Return the seconds that `POST /download` takes to answer.

    Raises:
        Failed: it answers that it could not.
    """
    started = time.perf_counter()
    _, record = server.ask("POST", "/download", {"url": url})
    if not record.get("success"):
        raise Failed(f"ours: {record.get('error')}")
    return time.perf_counter() - started


def download_all(server: Server, urls: Sequence[str], batch_size: int = 1000) -> None:
    """Submit *urls*, follow the event stream until the last has ended.

    Raises:
        Failed: one did not succeed.
    """
    with event_stream(server) as stream:
        batches = set()
        for first in range(0, len(urls), batch_size):
            status, answer = server.ask("POST", "/api/v1/batches", {"urls": urls[first : first + batch_size]})
            if status != 202:
                raise Failed(f"ours: {answer.get('error')}")
            batches.add(answer["batch"]["id"])
        wait_for(stream, batches, len(urls))


def wait_for(stream: Iterator[dict[str, Any]], batches: set[str], jobs: int) -> None:
    """Return when *jobs* jobs of *batches* have succeeded.

    Raises:
        Failed: one did not.
    """
    for event in stream:
        state = event["data"].get("state")
        if event["batch_id"] in batches and state in _FINAL:
            if state != "succeeded":
                raise Failed(f"ours: a job ended as {state}: {event['data'].get('error_code')}")
            jobs -= 1
            if jobs == 0:
                return
    raise Failed("ours: the event stream ended")


@contextlib.contextmanager
def event_stream(server: Server, path: str = "/api/v1/events") -> Iterator[Iterator[dict[str, Any]]]:
    """Open the event stream; yield the changes of jobs, from when it is open."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Accept": "text/event-stream"})
        answer = connection.getresponse()
        if "since" not in path:
            while b"event: hello" not in answer.readline():
                pass
        yield _changes(answer)


def _changes(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    wanted = False
    while line := answer.readline():
        if line.startswith(b"event:"):
            wanted = line == b"event: job_changed\n"
        elif wanted and line.startswith(b"data:"):
            yield json.loads(line[5:])


# What only our server is asked


def newest_event(server: Server) -> int:
    """Return the number of the newest event."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/api/v1/events", headers={"Accept": "application/json"})
        answer = json.load(connection.getresponse())
    number: int = answer["last_id"]
    return number


def following_cpu_seconds(server: Server, since: int, jobs: int) -> float:
    """Return what it costs the server to tell all events after *since*, by which *jobs* jobs ended."""

    def follow() -> None:
        with event_stream(server, f"/api/v1/events?since={since}") as stream:
            left = jobs
            for event in stream:
                left -= event["data"].get("state") in _FINAL
                if left == 0:
                    return

    before = settled_cpu_seconds(server.process.pid)
    for _ in range(_REPLAYS):
        follow()
    return (settled_cpu_seconds(server.process.pid) - before) / _REPLAYS


@contextlib.contextmanager
def probing(server: Server, wanted: bool) -> Iterator[dict[str, float]]:
    """Ask `/healthz` all the time, where *wanted*; the figures are there after the `with` block."""
    figures: dict[str, float] = {}
    if not wanted:
        yield figures
        return
    command = [sys.executable, "-m", "benchmarks.probe", str(server.port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()  # it has begun
        try:
            yield figures
        finally:
            out, _ = process.communicate()
    figures.update(json.loads(out))


def last_arrival(folder: Path) -> float:
    """Return when the newest file was put in place: a move keeps a file's other times."""
    return max(path.stat().st_ctime for path in (folder / "raw").iterdir())


def settled_cpu_seconds(pid: int) -> float:
    """Return the processor seconds of the tree, when what was told last has been tidied up."""
    threading.Event().wait(_SETTLING_SECONDS)
    return process_tree.cpu_seconds(pid)


def seconds_of(action: Callable[[], object]) -> float:
    """Return how long *action* takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
