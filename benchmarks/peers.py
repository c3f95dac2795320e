"""The contenders that are other people's servers, each in a checkout with an environment of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import process_tree, supervisor
from benchmarks.contender import Failed, Run, sampling
from benchmarks.ports import free_port
from benchmarks.workload import Workload

#: Downloads before it is measured, as many as ours has.
_WARMING = 2

_START_SECONDS = 60.0
_WORK_SECONDS = 600.0
_LOOK_SECONDS = 0.02
_SETTLING_SECONDS = 0.3

Post = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server that is told what to fetch by HTTP; when all files are there it is done, and nobody has to ask it."""

    name: str
    checkout: Path
    alive: str  #: a path that it answers with 200 when it is ready
    #: Settings for *work*, with files going to the first folder, its own notes to the second, and a port.
    environment: Callable[[Workload, Path, Path, int], Mapping[str, str]]
    submit: Callable[[Post, Workload], None]

    def run(self, work: Workload, folder: Path, *, sample: bool) -> Run:
        """See `Contender.run`."""
        with tempfile.TemporaryDirectory(prefix="benchmark-") as notes:
            (files := folder / "files").mkdir()
            port = free_port()
            environment = self.environment(work, files, Path(notes), port)
            with self._running(work, Path(notes), port, environment) as process:

                def post(path: str, body: Any) -> Any:
                    return self._post(port, path, body)

                self.submit(post, replace(work, first=work.first + work.videos, videos=_WARMING))
                self._wait_for_files(files, _WARMING)
                work.simulator.reset()
                before = self._cpu_seconds(process.pid)
                with sampling(process.pid, sample) as peak:
                    started = time.perf_counter()
                    self.submit(post, work)
                    self._wait_for_files(files, _WARMING + work.videos)
                    wall_seconds = time.perf_counter() - started
                cpu_seconds = self._cpu_seconds(process.pid) - before
        return Run(wall_seconds=wall_seconds, cpu_seconds=cpu_seconds, peak_pss_bytes=peak.pss_bytes)

    @contextlib.contextmanager
    def _running(
        self, work: Workload, notes: Path, port: int, environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        python = self.checkout / ".venv" / "bin" / "python"
        main = self.checkout / "app" / "main.py"
        if not python.exists() or not main.exists():
            raise Failed(
                f"{self.name}: {self.checkout} must hold app/main.py and, with what it needs, .venv/bin/python"
            )
        log = notes / "log"
        with (
            log.open("wb") as out,
            subprocess.Popen(
                supervisor.command(notes / "report.json", [str(python), str(main)]),
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
                    process.kill()

    def _wait_until_alive(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        pause = threading.Event()
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if _ask(port, "GET", self.alive)[0] == 200:
                    return
            pause.wait(0.1)
        raise Failed(f"{self.name} did not start; its log ends: {log.read_text(errors='replace')[-500:].strip()}")

    def _post(self, port: int, path: str, body: Any) -> Any:
        status, answer = _ask(port, "POST", path, body)
        if status != 200:
            raise Failed(f"{self.name} refused a link with {status}: {answer[:300].decode(errors='replace')}")
        return json.loads(answer)

    def _wait_for_files(self, folder: Path, videos: int) -> None:
        pause = threading.Event()
        until = time.monotonic() + _WORK_SECONDS
        while (there := len(list(folder.rglob("*.mp4")))) < videos:
            if time.monotonic() > until:
                raise Failed(f"{self.name}: only {there} of {videos} files after {_WORK_SECONDS:.0f} s")
            pause.wait(_LOOK_SECONDS)

    def _cpu_seconds(self, pid: int) -> float:
        threading.Event().wait(_SETTLING_SECONDS)
        return process_tree.cpu_seconds(pid)


def _ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WORK_SECONDS)
    with contextlib.closing(connection):
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def metube(checkout: Path) -> Peer:
    """Return MeTube, its page built (`ui/dist`); newer versions look up each link's host, and need a DNS."""

    def environment(work: Workload, files: Path, notes: Path, port: int) -> dict[str, str]:
        (notes / "state").mkdir()
        (notes / "part").mkdir()
        options = {"proxy": work.simulator.proxy, "compat_opts": ["no-certifi"], "cachedir": False}
        return {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "BASE_DIR": str(checkout),
            "DOWNLOAD_DIR": str(files),
            "STATE_DIR": str(notes / "state"),
            "TEMP_DIR": str(notes / "part"),
            "MAX_CONCURRENT_DOWNLOADS": str(work.at_once),
            "OUTPUT_TEMPLATE": "%(id)s.%(ext)s",
            "YTDL_OPTIONS": json.dumps(options),
            "LOGLEVEL": "WARNING",
        }

    def submit(post: Post, work: Workload) -> None:
        def add(url: str) -> None:
            # "codec" and "download_type" are for newer versions, which older ones pass over.
            answer = post(
                "/add", {"url": url, "download_type": "video", "codec": "auto", "format": "any", "quality": "best"}
            )
            if answer.get("status") != "ok":
                raise Failed(f"metube: {answer.get('msg')}")

        # It answers when it has read the page; a list sent one after the other would wait for that each time.
        with ThreadPoolExecutor(work.at_once) as pool:
            list(pool.map(add, work.urls))

    return Peer(name="metube", checkout=checkout, alive="/version", environment=environment, submit=submit)


def ytptube(checkout: Path) -> Peer:
    """Return YTPTube, told to fetch as many at once from one platform as from all."""

    def environment(work: Workload, files: Path, notes: Path, port: int) -> dict[str, str]:
        (notes / "config").mkdir()
        (notes / "part").mkdir()
        return {
            "YTP_HOST": "127.0.0.1",
            "YTP_PORT": str(port),
            "YTP_DOWNLOAD_PATH": str(files),
            "YTP_CONFIG_PATH": str(notes / "config"),
            "YTP_TEMP_PATH": str(notes / "part"),
            "YTP_MAX_WORKERS": str(work.at_once),
            "YTP_MAX_WORKERS_PER_EXTRACTOR": str(work.at_once),
            "YTP_EXTRACT_INFO_CONCURRENCY": str(work.at_once),
            "YTP_OUTPUT_TEMPLATE": "%(id)s.%(ext)s",
            "YTP_IGNORE_UI": "true",
            "YTP_ACCESS_LOG": "false",
            "YTP_FILE_LOGGING": "false",
            "YTP_CHECK_FOR_UPDATES": "false",
            "YTP_YTDLP_AUTO_UPDATE": "false",
        }

    def submit(post: Post, work: Workload) -> None:
        cli = f"--compat-options no-certifi --proxy {work.simulator.proxy} --no-cache-dir"
        template = "%(id)s.%(ext)s"
        answers = post("/api/history", [{"url": url, "cli": cli, "template": template} for url in work.urls])
        for answer in answers:
            if answer.get("status") not in ("queued", "ok"):
                raise Failed(f"ytptube: {answer.get('msg') or answer.get('message') or answer}")

    return Peer(name="ytptube", checkout=checkout, alive="/api/ping", environment=environment, submit=submit)
