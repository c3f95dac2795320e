"""Our server as a contender: started as the README says, driven by HTTP."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import process_tree, server_tree, supervisor, versions
from benchmarks.contender import Failed, Run, sampling
from benchmarks.following import changes_of_jobs, newest_event, read_again, wait_for
from benchmarks.timing import seconds_of
from benchmarks.workload import Workload
from tests.real_server import Server
from tests.simulator.client import Simulator

#: What the server does after the last job was told belongs to the jobs; it is quiet by then.
_SETTLING_SECONDS = 0.3
_REPLAYS = 10


@dataclass(frozen=True, slots=True)
class OurServer:
    """A fresh server for each run, warmed up by two downloads."""

    name: str = "ours"
    checkout: Path = supervisor.HOME  #: of which version; all run with this process's Python
    #: Also measures, at the cost of the run's other figures: `/healthz` while it works, what following it costs.
    probe: bool = False
    #: Called when the server is warm, right before it is measured.
    before: Callable[[], object] = lambda: None
    cannot: Mapping[str, str] = field(default_factory=dict)

    def version(self) -> dict[str, str]:
        """See `Contender.version`."""
        return {"commit": versions.commit(self.checkout)}

    def run(self, work: Workload, folder: Path, *, sample: bool) -> Run:
        """See `Contender.run`."""
        with running(work.simulator, folder, at_once=work.at_once, checkout=self.checkout) as server:
            pid = server.process.pid
            cold_seconds = download_one(server, work.spare(0))
            warm_seconds = download_one(server, work.spare(1))
            work.simulator.reset()
            self.before()
            server_pid = server_tree.server_pid(pid)
            before, by_kind = settled_cpu_seconds(pid), server_tree.cpu_seconds(pid)
            with sampling(pid, sample) as peak, probing(server, self.probe) as healthz:
                since = newest_event(server)
                started = time.time()
                wall_seconds = seconds_of(lambda: download_all(server, work.urls))
            cpu_seconds = settled_cpu_seconds(pid) - before
            more = {
                "cold_download_s": cold_seconds,
                "warm_download_s": warm_seconds,
                "files_s": last_arrival(folder) - started,
                **{f"{kind}_cpu_s": used - by_kind[kind] for kind, used in server_tree.cpu_seconds(pid).items()},
                "server_pss_mb": process_tree.pss_bytes(pid)[server_pid] / 1024**2,
                **healthz,
            }
            if self.probe:
                more["following_cpu_s"] = following_cpu_seconds(server, since, work.videos)
        return Run(wall_seconds=wall_seconds, cpu_seconds=cpu_seconds, peak_pss_bytes=peak.pss_bytes, more=more)


@contextlib.contextmanager
def running(
    simulator: Simulator,
    folder: Path,
    *,
    at_once: int,
    port: int = 0,
    supervised: bool = True,
    checkout: Path = supervisor.HOME,
) -> Iterator[Server]:
    """Run a server that keeps everything in *folder*.

    Where it is *supervised* its `process` is the supervisor, whose tree is the server's; it may then be the server of
    another *checkout*.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as notes:
        server = Server(
            simulator,
            folder,
            port,
            # In the checkout: the fork server imports what is in the working directory.
            under=supervisor.command(Path(notes, "report.json"), [], checkout) if supervised else (),
            DOWNLOADER_WORKERS=str(at_once),
            DOWNLOADER_PLATFORM_CONCURRENCY=str(at_once),
            DOWNLOADER_SOCKET_TIMEOUT_SECONDS="20",
            DOWNLOADER_RETRIES="3",
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
    with changes_of_jobs(server) as stream:
        batches = set()
        for first in range(0, len(urls), batch_size):
            status, answer = server.ask("POST", "/api/v1/batches", {"urls": urls[first : first + batch_size]})
            if status != 202:
                raise Failed(f"ours: {answer.get('error')}")
            batches.add(answer["batch"]["id"])
        wait_for(stream, batches, len(urls))


# What only our server is asked


def following_cpu_seconds(server: Server, since: int, jobs: int) -> float:
    """Return what it costs the server to tell all events after *since*, by which *jobs* jobs ended."""
    before = settled_cpu_seconds(server.process.pid)
    for _ in range(_REPLAYS):
        read_again(server, since, jobs)
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
