"""Measures the egress guard: what a megabyte and a connection through it cost, against without it.

    python -m benchmarks.egress [bulk|ytdlp|download|connects] ... [--megabytes N]

Server, guard and client are processes of their own, on loopback; prints one line of JSON for each measurement. `bulk`
is curl at full speed, `ytdlp` reads as a download does: yt-dlp's requests, TLS, blocks of 16 kB. `download` is all that
a worker does for one video, and what the guard adds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trustme

from benchmarks.timing import seconds_of
from downloader.egress import guard as egress
from downloader.egress.dialer import Rules
from downloader.egress.http import basic
from downloader.egress.proxy import EgressProxy
from downloader.engines.pool import PoolLimits
from downloader.engines.processes import ProcessEngine
from downloader.jobs import Work
from downloader.settings import Settings, load_settings
from tests.simulator.client import Simulator

ROUNDS = 5
CONNECTS = 1000
_CHUNK = bytes(1024 * 1024)
_CONTEXT = multiprocessing.get_context("spawn")


def main() -> None:
    """Run the measurements named on the command line, or all."""
    measurements: dict[str, Callable[[int], dict[str, Any]]] = {
        "bulk": bulk,
        "ytdlp": ytdlp,
        "download": download,
        "connects": connects,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *measurements], metavar="|".join(measurements))
    parser.add_argument("--megabytes", type=int, default=1024)
    options = parser.parse_args()
    for name in options.names or measurements:
        sys.stdout.write(json.dumps({"measurement": name, **measurements[name](options.megabytes)}) + "\n")
        sys.stdout.flush()


# What is measured


def bulk(megabytes: int) -> dict[str, Any]:
    """One stream by curl, in plain bytes through a tunnel: megabytes a second, and the guard's processor time."""
    with running(serve, megabytes) as server, running(guard) as proxy:
        plain = f"http://127.0.0.1:{ask(server, 'ports')[0]}/"
        return compared(megabytes, proxy, lambda way: curl(plain, way))


def ytdlp(megabytes: int) -> dict[str, Any]:
    """One stream as yt-dlp reads it, by TLS: what of its own time the guard adds."""
    with running(serve, megabytes) as server, running(guard) as proxy:
        secure = f"https://127.0.0.1:{ask(server, 'ports')[1]}/"
        return compared(megabytes, proxy, lambda way: read_by_ytdlp(secure, way))


def download(megabytes: int) -> dict[str, Any]:
    """Large videos through the process engine: processor time of worker and guard."""
    workers, guards = [], []
    with Simulator(media_bytes=megabytes * 1024**2) as simulator, tempfile.TemporaryDirectory() as folder:
        os.environ.update(simulator.environment())
        settings = load_settings(storage_dir=folder, workers=1)
        for serial in range(ROUNDS):
            worker, guard_seconds = asyncio.run(one_download(settings, simulator.url("tiktok", "ok", serial)))
            workers.append(worker)
            guards.append(guard_seconds)
    gigabytes = megabytes / 1024
    return {
        "worker_cpu_s_per_gb": round(statistics.median(workers) / gigabytes, 2),
        "guard_cpu_s_per_gb": round(statistics.median(guards) / gigabytes, 2),
        "guard_of_worker_cpu": round(statistics.median(guards) / statistics.median(workers), 3),
    }


async def one_download(settings: Settings, link: str) -> tuple[float, float]:
    """Return the processor seconds of the worker and of the guard for the video at *link*."""
    engine = ProcessEngine(settings.for_downloads(), PoolLimits(attempts=1))
    await engine.start()
    try:
        with egress.open_egress(settings.for_downloads()):  # so that there is a guard whose clock can be read
            assert egress._GUARD is not None
            clock = time.pthread_getcpuclockid(egress._GUARD.thread.ident or 0)
        pid = engine.pool.ready[0].process.pid
        before = cpu_of(pid), time.clock_gettime(clock)
        job = Work(
            job_id="1",
            platform="tiktok",
            link=link,
            output_dir=str(settings.raw_dir),
            work_dir=str(settings.work_dir / link.rpartition("/")[2]),
        )
        outcome = await engine.run(job, lambda progress: None)
        assert outcome[0], outcome.detail
        Path(str(outcome[1])).unlink()
        return cpu_of(pid) - before[0], time.clock_gettime(clock) - before[1]
    finally:
        await engine.close()


def cpu_of(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # its own, and its children's


def connects(_: int) -> dict[str, Any]:
    """1,000 tunnels, one after another, a byte there and back in each: milliseconds, and the guard's processor time."""
    with running(echo) as server, running(guard) as proxy:
        port, url = ask(server, "port"), ask(proxy, "url")
        straight = [seconds_of(lambda: ping(port, None)) for _ in range(CONNECTS)]
        before = ask(proxy, "cpu")
        guarded = [seconds_of(lambda: ping(port, url)) for _ in range(CONNECTS)]
        cpu = ask(proxy, "cpu") - before
    return {
        "direct_ms": milliseconds(straight),
        "guarded_ms": milliseconds(guarded),
        "guarded_p99_ms": round(sorted(guarded)[int(CONNECTS * 0.99)] * 1000, 2),
        "guard_cpu_ms_each": round(cpu / CONNECTS * 1000, 3),
    }


def compared(megabytes: int, proxy: Connection, run: Callable[[str | None], float]) -> dict[str, Any]:
    """Return the medians of *run*, which returns its processor time, straight and by the guard, in turns."""
    url = ask(proxy, "url")
    wall: dict[bool, list[float]] = {False: [], True: []}
    client: dict[bool, list[float]] = {False: [], True: []}
    guard_cpu = []
    for _ in range(ROUNDS):
        for guarded in (False, True):
            before, started = ask(proxy, "cpu"), time.perf_counter()
            client[guarded].append(run(url if guarded else None))
            wall[guarded].append(time.perf_counter() - started)
            if guarded:
                guard_cpu.append(ask(proxy, "cpu") - before)
    straight, through = statistics.median(wall[False]), statistics.median(wall[True])
    gigabytes = megabytes / 1024
    return {
        "direct_mb_s": round(megabytes / straight),
        "guarded_mb_s": round(megabytes / through),
        "wall_ratio": round(through / straight, 3),
        "client_cpu_s_per_gb": round(statistics.median(client[True]) / gigabytes, 2),
        "guard_cpu_s_per_gb": round(statistics.median(guard_cpu) / gigabytes, 2),
        "guard_of_client_cpu": round(statistics.median(guard_cpu) / statistics.median(client[True]), 3),
    }


# Clients


def curl(url: str, way: str | None) -> float:
    config = f'url = "{url}"\noutput = "/dev/null"\nsilent\nfail\nnoproxy = ""\n'
    config += f'proxy = "{way}"\nproxytunnel\n' if way else ""
    return cpu_of_children(lambda: subprocess.run(["curl", "-K", "-"], input=config, text=True, check=True))


def read_by_ytdlp(url: str, way: str | None) -> float:
    script = (
        "import sys, yt_dlp\n"
        "options = {'quiet': True, 'nocheckcertificate': True, 'proxy': sys.stdin.readline().strip()}\n"
        "with yt_dlp.YoutubeDL(options, auto_init=False) as ydl:\n"
        "    response = ydl.urlopen(sys.argv[1])\n"
        "    while response.read(16384): pass\n"
    )
    command = [sys.executable, "-c", script, url]
    return cpu_of_children(lambda: subprocess.run(command, input=f"{way or ''}\n", text=True, check=True))


def ping(port: int, way: str | None) -> None:
    at = f"127.0.0.1:{port}"
    proxy = way.rpartition(":")[2] if way else port
    with socket.create_connection(("127.0.0.1", int(proxy))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if way:
            user, _, password = way.removeprefix("http://").partition("@")[0].partition(":")
            sock.sendall(f"CONNECT {at} HTTP/1.1\r\nProxy-Authorization: {basic(user, password)}\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += sock.recv(4096)
            assert b" 200 " in answer
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"


# The processes


@contextlib.contextmanager
def running(target: Callable[..., None], *args: Any) -> Iterator[Connection]:
    """Run *target* in a process of its own; yield the line to it."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


def ask(line: Connection, what: str) -> Any:
    line.send(what)
    return line.recv()


def answer(line: Connection, facts: Callable[[], dict[str, Any]]) -> None:
    while True:
        what = line.recv()
        line.send(facts()[what])


def guard(line: Connection) -> None:
    """Run the guard as the service does, but let it reach loopback."""

    async def run() -> None:
        proxy = EgressProxy()
        await proxy.start()
        url = proxy.grant(Rules(allow_private=True)).url
        facts = lambda: {"url": url, "cpu": time.process_time()}  # noqa: E731
        threading.Thread(target=answer, args=(line, facts), daemon=True).start()
        await proxy.wait()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())


def serve(line: Connection, megabytes: int) -> None:
    """Send *megabytes* to whoever asks, by http and by https."""
    certificate = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {megabytes * len(_CHUNK)}\r\nConnection: close\r\n\r\n".encode()
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- as long as the process
    for _ in range(megabytes):
        file.write(_CHUNK)
    file.flush()

    def send(sock: socket.socket, secure: bool) -> None:
        with contextlib.suppress(OSError):
            if secure:
                sock = context.wrap_socket(sock, server_side=True)
            with sock:
                sock.recv(65536)
                sock.sendall(head)
                if secure:
                    for _ in range(megabytes):
                        sock.sendall(_CHUNK)
                else:
                    offset = 0
                    while sent := os.sendfile(sock.fileno(), file.fileno(), offset, len(_CHUNK)):
                        offset += sent

    ports = [listen(lambda sock, secure=secure: send(sock, secure)) for secure in (False, True)]  # type: ignore[misc]
    answer(line, lambda: {"ports": ports})


def echo(line: Connection) -> None:
    """Say back one byte."""

    def say_back(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.sendall(sock.recv(1))

    port = listen(say_back)
    answer(line, lambda: {"port": port})


def listen(handle: Callable[[socket.socket], None]) -> int:
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=handle, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


# Figures


def cpu_of_children(run: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def milliseconds(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 3)


if __name__ == "__main__":
    main()
