"""Asks a server's `/healthz` every 10 ms on one connection, times the answers.

    python -m benchmarks.probe PORT

prints a line when it has begun, asks until its stdin closes, then prints the figures as JSON.
"""

from __future__ import annotations

import http.client
import json
import select
import sys
import time

from benchmarks.statistic import percentile

INTERVAL_SECONDS = 0.01


def main(port: int) -> None:
    """Ask until stdin closes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took: list[float] = []
    due = time.perf_counter()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while True:
        started = time.perf_counter()
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        took.append(time.perf_counter() - started)
        assert answer.status == 200
        due = max(due + INTERVAL_SECONDS, time.perf_counter())
        if select.select([sys.stdin], [], [], max(due - time.perf_counter(), 0))[0]:
            break
    connection.close()
    figures = {
        "healthz_p50_ms": percentile(took, 0.5) * 1000,
        "healthz_p99_ms": percentile(took, 0.99) * 1000,
        "healthz_max_ms": max(took) * 1000,
        "healthz_answers": len(took),
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]))
