"""Follows batches by our server's event stream until all their jobs have succeeded."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

from benchmarks.contender import Failed
from tests.real_server import Server

FINAL = frozenset({"succeeded", "failed", "cancelled"})

_TIMEOUT_SECONDS = 600


def wait_for(stream: Iterator[dict[str, Any]], batches: set[str], jobs: int) -> None:
    """Return when *jobs* jobs of *batches* have succeeded.

    Raises:
        Failed: one did not.
    """
    for event in stream:
        state = event["data"].get("state")
        if event["batch_id"] in batches and state in FINAL:
            if state != "succeeded":
                raise Failed(f"ours: a job ended as {state}: {event['data'].get('error_code')}")
            jobs -= 1
            if jobs == 0:
                return
    raise Failed("ours: the event stream ended")


@contextlib.contextmanager
def changes_of_jobs(server: Server, since: int | None = None) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield the changes of jobs, from event *since* on; None: from when the stream is open, which it then is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    with contextlib.closing(connection):
        path = "/api/v1/events" if since is None else f"/api/v1/events?since={since}"
        connection.request("GET", path, headers={"Accept": "text/event-stream"})
        answer = connection.getresponse()
        while since is None and b"event: hello" not in answer.readline():
            pass
        yield _changes(answer)


def _changes(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    wanted = False
    while line := answer.readline():
        if line.startswith(b"event:"):
            wanted = line == b"event: job_changed\n"
        elif wanted and line.startswith(b"data:"):
            yield json.loads(line[5:])


def newest_event(server: Server) -> int:
    """Return the number of the newest event."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/api/v1/events", headers={"Accept": "application/json"})
        number: int = json.load(connection.getresponse())["last_id"]
    return number


def read_again(server: Server, since: int, jobs: int) -> None:
    """Read all events after *since*, by which *jobs* jobs ended."""
    with changes_of_jobs(server, since) as stream:
        for event in stream:
            jobs -= event["data"].get("state") in FINAL
            if jobs == 0:
                return
