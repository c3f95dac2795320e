"""A real server in a process of its own, for tests that use it as a person would."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.forked import CAN_FORK, ForkedProcess
from tests.simulator.client import Simulator

REPOSITORY = Path(__file__).parent.parent


def run_main(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the server's command, which must end; *environment* is added to that of the tests."""
    return subprocess.run(
        [sys.executable, "downloader_main.py", *arguments],
        cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def run_forked(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Do the same in a process that is forked, where that is possible."""
    if not CAN_FORK:
        return run_main(*arguments, **environment)
    process = ForkedProcess(arguments, {**os.environ, **environment})
    with process.stdout, process.stderr:
        stdout, stderr = process.stdout.read(), process.stderr.read()
        return subprocess.CompletedProcess(arguments, process.wait(30), stdout, stderr)


def reserve_port() -> tuple[socket.socket, int]:
    """Return a free port, and what keeps others from getting it by chance until it is closed, before and after use.

    It does not listen: a server can, which sets `SO_REUSEADDR` too.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    if not sys.platform.startswith("linux"):  # elsewhere it would keep the server away too
        reserved.close()
    return reserved, port


def interruptible(*arguments: str) -> list[str]:
    """Return a command that obeys Ctrl-C: a shell that runs the tests in the background has its programs ignore it."""
    program = "import signal, runpy, sys; signal.signal(signal.SIGINT, signal.default_int_handler); del sys.argv[0];"
    program += "runpy.run_path(sys.argv[0], run_name='__main__')"
    return [sys.executable, "-c", program, "downloader_main.py", *arguments]


class Server:
    """A server in a process of its own, started as the README says."""

    def __init__(
        self, simulator: Simulator, storage: Path, /, port: int = 0, *, under: Sequence[str] = (), **settings: str
    ) -> None:
        """Start it, as an argument of the command *under* where one is given, which is then `process`."""
        self.storage = storage
        # A test may start another one at the same port.
        self._reserved, free = reserve_port()
        self.environment = environment = {
            **os.environ,
            **simulator.environment(),
            "DOWNLOADER_STORAGE_DIR": str(storage),
            "DOWNLOADER_SOCKET_TIMEOUT_SECONDS": "2",
            "DOWNLOADER_RETRIES": "1",
            **settings,
        }
        self.process = self._start(under, ["--host", "127.0.0.1", "--port", str(port or free)], environment)
        assert self.process.stdout
        assert self.process.stderr
        self.start_line = self.process.stdout.readline()
        self.log: list[str] = []
        # Read as it comes: a full pipe would stop the server.
        self._reader = threading.Thread(target=self.log.extend, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        found = re.search(r"http://127\.0\.0\.1:(\d+)[^ ]*/dashboard ", self.start_line)
        assert found, self.start_line
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def _start(
        self, under: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[str] | ForkedProcess:
        return subprocess.Popen(
            [*under, sys.executable, "downloader_main.py", *arguments],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def refused(self) -> subprocess.CompletedProcess[str]:
        """Start a second server with the same settings, which must end; return how it did."""
        return run_main("--host", "127.0.0.1", "--port", "0", **self.environment)

    def ask(self, method: str, path: str, body: Any = None, timeout_seconds: float = 50) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)
        with contextlib.closing(connection):
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.load(answer)

    def read(self, path: str, timeout_seconds: float = 50) -> tuple[str | None, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.headers["Content-Type"], answer.read()

    def stop(self) -> int:
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(timeout=30)  # a busy machine takes its time
        self._reader.join(30)
        return status

    def close(self) -> None:
        self._reserved.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(30)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()


class ForkedServer(Server):
    """The same in a process that is forked, where that is possible: for tests of what a server does once it runs."""

    def _start(
        self, under: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[str] | ForkedProcess:
        if CAN_FORK:
            return ForkedProcess(arguments, environment)
        return super()._start(under, arguments, environment)
