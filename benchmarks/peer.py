"""Runs another project's server, from its checkout, as a contender."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import process_tree, supervisor, versions
from benchmarks.contender import Failed, Run, sampling
from benchmarks.ports import free_port
from benchmarks.workload import Workload

#: Downloads before it is measured, as many as ours has.
_WARMING = 2

_START_SECONDS = 60.0
_STALL_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_SETTLING_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server that is told by HTTP what to fetch; it is done when all files are there."""

    name: str
    checkout: Path
    script: str  #: in the checkout
    runtime: Sequence[str]  #: the command that runs the script
    runs_on: Callable[[], str]  #: what that is, in words; raises `Failed`
    alive: str  #: a path that it answers with 200 when it is ready
    #: Settings for *work*, with files going to the first folder, its own notes to the second, and a port.
    environment: Callable[[Workload, Path, Path, int], Mapping[str, str]]
    #: Submits the work to the server at a port. May return before all files are in the folder.
    submit: Callable[[int, Workload, Path], None]
    cannot: Mapping[str, str] = field(default_factory=dict)

    def version(self) -> dict[str, str]:
        """See `Contender.version`."""
        if not (self.checkout / self.script).exists():
            raise Failed(f"{self.name}: {self.checkout} must hold {self.script}")
        return {"commit": versions.commit(self.checkout), "runs_on": self.runs_on()}

    def run(self, work: Workload, folder: Path, *, sample: bool) -> Run:
        """See `Contender.run`."""
        with tempfile.TemporaryDirectory(prefix="benchmark-") as notes:
            (files := folder / "files").mkdir()
            port, log = free_port(), Path(notes, "log")
            environment = self.environment(work, files, Path(notes), port)
            with self._running(work, log, port, environment) as process:
                self._fetch(port, replace(work, first=work.first + work.videos, videos=_WARMING), files, log)
                work.simulator.reset()
                before = self._cpu_seconds(process.pid)
                with sampling(process.pid, sample) as peak:
                    started = time.perf_counter()
                    self._fetch(port, work, files, log, already=_WARMING)
                    wall_seconds = time.perf_counter() - started
                cpu_seconds = self._cpu_seconds(process.pid) - before
        return Run(wall_seconds=wall_seconds, cpu_seconds=cpu_seconds, peak_pss_bytes=peak.pss_bytes)

    def _fetch(self, port: int, work: Workload, files: Path, log: Path, *, already: int = 0) -> None:
        """Return when the server has fetched *work* into *files*, which holds *already* so many."""
        self.submit(port, work, files)
        wanted, there, changed = already + work.videos, 0, time.monotonic()
        pause = threading.Event()
        while (found := len(list(files.rglob("*.mp4")))) < wanted:
            if found != there:
                there, changed = found, time.monotonic()
            if time.monotonic() > changed + _STALL_SECONDS:
                raise Failed(f"{self.name}: {there - already} of {work.videos} files, then none; {_end(log)}")
            pause.wait(_LOOK_SECONDS)

    @contextlib.contextmanager
    def _running(
        self, work: Workload, log: Path, port: int, environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        words = [*self.runtime, str(self.checkout / self.script)]
        with (
            log.open("wb") as out,
            subprocess.Popen(
                supervisor.command(log.with_name("report.json"), words, self.checkout),
                cwd=supervisor.HOME,
                env={**os.environ, **work.simulator.environment(), **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                self._wait_until_alive(process, port, log)
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    for pid in [*process_tree.descendants(process.pid), process.pid]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)

    def _wait_until_alive(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        pause = threading.Event()
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException), connected(port) as connection:
                if ask(connection, "GET", self.alive)[0] == 200:
                    return
            pause.wait(0.1)
        raise Failed(f"{self.name} did not start; {_end(log)}")

    def _cpu_seconds(self, pid: int) -> float:
        threading.Event().wait(_SETTLING_SECONDS)
        return process_tree.cpu_seconds(pid)


@contextlib.contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    """Yield a connection to a server of this machine, opened by the first request."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        yield connection


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """Return the status and body of the answer to a request, whose *body* is sent as JSON."""
    json_alone = {"Accept": "application/json", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), json_alone)
    answer = connection.getresponse()
    return answer.status, answer.read()


def submit_json(name: str, connection: http.client.HTTPConnection, path: str, body: Any) -> dict[str, Any]:
    """Return what the server called *name* answers to *body*.

    Raises:
        Failed: it refuses it.
    """
    status, answer = ask(connection, "POST", path, body)
    if status not in (200, 202):
        raise Failed(f"{name} refused a link with {status}: {answer[:300].decode(errors='replace')}")
    found: dict[str, Any] = json.loads(answer)
    return found


def _end(log: Path) -> str:
    return f"its log ends: {log.read_text(errors='replace')[-500:].strip()}"
