"""Measures the queue: what 10,000 jobs cost, what dead addresses, a platform's cooldown and a
long playlist cost the others.

    python -m benchmarks.queue [scale|dead|cooldown|collection] ...

Starts the real server against the simulator, on loopback, in a folder of its own; prints one line of JSON for each
measurement.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.timing import seconds_of
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.lists import list_url

ROUNDS = 3


def main() -> None:
    """Run the measurements named on the command line, or all."""
    measurements: dict[str, Callable[[], dict[str, Any]]] = {
        "scale": scale,
        "dead": dead,
        "cooldown": cooldown,
        "collection": collection,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *measurements], metavar="|".join(measurements))
    for name in parser.parse_args().names or measurements:
        sys.stdout.write(json.dumps({"measurement": name, **measurements[name]()}) + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def service(simulator: Simulator, **settings: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(simulator, Path(folder), 0, **settings)
        try:
            yield server
        finally:
            server.close()


def submit(server: Server, urls: list[str]) -> str:
    status, answer = server.ask("POST", "/api/v1/batches", {"urls": urls})
    assert status == 202, answer
    batch_id: str = answer["batch"]["id"]
    return batch_id


def wait_for(server: Server, urls: list[str], batch_id: str) -> None:
    """Return when the jobs of *urls* are final."""
    pause = threading.Event()
    while True:
        _, answer = server.ask("GET", f"/api/v1/batches/{batch_id}")
        states = {job["url"]: job["state"] for job in answer["jobs"]}
        if all(states[url] in ("succeeded", "failed") for url in urls):
            assert all(states[url] == "succeeded" for url in urls), states
            return
        pause.wait(0.05)


def scale() -> dict[str, Any]:
    """10,000 queued jobs: median answer times in milliseconds, memory of the server process."""
    with Simulator() as simulator, service(simulator) as server:
        server.ask("POST", "/api/v1/queue/pause")
        empty_kb = resident_kb(server)
        posts = []
        for thousand in range(10):
            urls = [simulator.url("tiktok", "ok", thousand * 1000 + number) for number in range(1000)]
            posts.append(seconds_of(lambda urls=urls: submit(server, urls)))  # type: ignore[misc]
        _, page = server.ask("GET", "/api/v1/jobs?limit=50")
        job_id = page["jobs"][20]["job_id"]
        reads = {
            "list": "/api/v1/jobs?limit=50",
            "list_by_state": "/api/v1/jobs?state=queued&platform=tiktok&limit=50",
            "list_by_text": "/api/v1/jobs?text=ada&limit=50",
            "single": f"/api/v1/jobs/{job_id}",
            "platforms": "/api/v1/platforms",
            "healthz": "/healthz",
        }
        return {
            "post_1000_ms": milliseconds(posts),
            **{
                f"{name}_ms": milliseconds([seconds_of(lambda path=path: server.ask("GET", path)) for _ in range(30)])  # type: ignore[misc]
                for name, path in reads.items()
            },
            "event_after_post_ms": milliseconds([event_delay(server, simulator, number) for number in range(5)]),
            "server_rss_mb_empty": round(empty_kb / 1024, 1),
            "server_rss_mb_10000_queued": round(resident_kb(server) / 1024, 1),
        }


def event_delay(server: Server, simulator: Simulator, number: int) -> float:
    """Return the seconds from a submission to the moment an open event stream tells of it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/api/v1/events", headers={"Accept": "text/event-stream"})
        stream = connection.getresponse()
        while b"event: hello" not in stream.readline():
            pass
        started = time.perf_counter()
        submit(server, [simulator.url("youtube", "ok", number)])
        while b"event: batch_created" not in stream.readline():
            pass
        return time.perf_counter() - started


def dead() -> dict[str, Any]:
    """8 addresses that never answer, then 8 good ones, in one batch: seconds until the good ones are done."""
    figures: dict[str, list[float]] = {"alone_s": [], "behind_dead_s": [], "behind_dead_same_platform_s": []}
    with Simulator(latency_ms=300) as simulator:
        for number in range(ROUNDS):
            with service(simulator, DOWNLOADER_SOCKET_TIMEOUT_SECONDS="20") as server:

                def timed(dead_on: tuple[str, ...], serial: int, server: Server = server) -> float:
                    good = [simulator.url("youtube", "ok", serial + each) for each in range(8)]
                    gone = [simulator.url(platform, "hang", serial + each) for each in range(8) for platform in dead_on]  # type: ignore[arg-type]
                    started = time.perf_counter()
                    batch_id = submit(server, gone[:8] + good)
                    wait_for(server, good, batch_id)
                    seconds = time.perf_counter() - started
                    server.ask("POST", f"/api/v1/batches/{batch_id}/cancel")
                    return seconds

                timed((), 1000 * number)  # the first loads what the others share
                figures["alone_s"].append(timed((), 1000 * number + 100))
                figures["behind_dead_s"].append(timed(("tiktok", "instagram"), 1000 * number + 200))
                figures["behind_dead_same_platform_s"].append(timed(("youtube",), 1000 * number + 300))
    medians = {name: round(statistics.median(values), 2) for name, values in figures.items()}
    return medians | {"ratio": round(medians["behind_dead_s"] / medians["alone_s"], 2)}


def cooldown() -> dict[str, Any]:
    """What 40 Twitter videos take while TikTok cools down, against without: the ratio of the medians."""
    figures: dict[str, list[float]] = {"twitter_alone_s": [], "twitter_while_tiktok_cools_s": []}
    asked = 0
    with Simulator(latency_ms=50) as simulator:
        for number in range(ROUNDS):
            with service(simulator) as server:

                def timed(serial: int, server: Server = server) -> float:
                    urls = [simulator.url("twitter", "ok", serial + each) for each in range(40)]
                    return seconds_of(lambda: wait_for(server, urls, submit(server, urls)))

                timed(1000 * number)  # the first loads what the others share
                figures["twitter_alone_s"].append(timed(1000 * number + 100))
                limited = submit(server, [simulator.url("tiktok", "rate_limited", number)])
                pause = threading.Event()
                while server.ask("GET", f"/api/v1/batches/{limited}")[1]["jobs"][0]["state"] != "waiting":
                    pause.wait(0.05)
                submit(server, [simulator.url("tiktok", "ok", 1000 * number + each) for each in range(200)])
                before = simulator.stats().platforms["tiktok"].requests
                figures["twitter_while_tiktok_cools_s"].append(timed(1000 * number + 200))
                asked += simulator.stats().platforms["tiktok"].requests - before
    medians = {name: round(statistics.median(values), 2) for name, values in figures.items()}
    ratio = medians["twitter_while_tiktok_cools_s"] / medians["twitter_alone_s"]
    return medians | {"ratio": round(ratio, 3), "tiktok_requests_in_cooldown": asked}


def collection() -> dict[str, Any]:
    """A playlist of 5,000, taken apart while its first entries download: median answer times, memory of the server."""
    with Simulator(latency_ms=100) as simulator, service(simulator) as server:
        wait_for(server, [url := simulator.url("youtube", "ok", 900_000)], submit(server, [url]))  # loads what it needs
        before_kb, started = resident_kb(server), time.perf_counter()
        body = {"urls": [list_url("youtube", "plain", 5000)], "expand": {"limit": 5000}}
        batch_id = server.ask("POST", "/api/v1/batches", body)[1]["batch"]["id"]
        seconds: dict[str, list[float]] = {"batch": [], "list": [], "healthz": []}
        paths = {"batch": f"/api/v1/batches/{batch_id}", "list": "/api/v1/jobs?limit=50", "healthz": "/healthz"}
        state, done, most_kb = "queued", 0, 0
        while state in ("queued", "running"):
            for name, path in paths.items():
                seconds[name].append(seconds_of(lambda path=path: server.ask("GET", path)))  # type: ignore[misc]
            job = server.ask("GET", paths["batch"])[1]["jobs"][0]
            state, done = job["state"], job["entries"]["done"]
            most_kb = max(most_kb, resident_kb(server))
        assert (state, job["entries"]["taken"]) == ("succeeded", 5000), job
        figures = {
            "listed_s": round(time.perf_counter() - started, 1),
            "done_by_then": done,
            **{f"{name}_ms": milliseconds(each) for name, each in seconds.items()},
            "server_rss_mb_before": round(before_kb / 1024, 1),
            "server_rss_mb_most": round(most_kb / 1024, 1),
        }
        for action, method, path in (
            ("cancel", "POST", f"{paths['batch']}/cancel"),
            ("retry", "POST", f"{paths['batch']}/retry"),
            ("cancel_again", "POST", f"{paths['batch']}/cancel"),
            ("delete", "DELETE", paths["batch"]),
        ):
            figures |= {f"{action}_{name}": each for name, each in changed(server, method, path).items()}
        return figures


def changed(server: Server, method: str, path: str) -> dict[str, float]:
    """Change thousands of jobs by one request: seconds that it takes, of which the server's processor; others' median
    meanwhile; memory of the server after it."""
    others: list[float] = []
    done = threading.Event()

    def ask_meanwhile() -> None:
        while not done.is_set():
            others.append(seconds_of(lambda: server.ask("GET", "/api/v1/jobs?limit=50")))

    thread = threading.Thread(target=ask_meanwhile)
    thread.start()
    before = processor_seconds(server)
    taken = seconds_of(lambda: server.ask(method, path))
    processor = processor_seconds(server) - before
    done.set()
    thread.join()
    return {
        "s": round(taken, 2),
        "cpu_s": round(processor, 2),
        "list_ms": milliseconds(others),
        "rss_mb": round(resident_kb(server) / 1024, 1),
    }


def processor_seconds(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def milliseconds(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)


def resident_kb(server: Server) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return int(found[1])


if __name__ == "__main__":
    main()
