"""Counts what was asked of the simulator, so that a test can prove what a downloader did and did not do."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from .model import PLATFORMS, Platform, Post

#: How many requests the log remembers, and how many names of hosts and posts are told apart.
LOG_LIMIT = 10_000
NAMES_LIMIT = 100_000


@dataclass(slots=True, kw_only=True)
class Load:
    """How busy one host or platform is and was."""

    requests: int = 0
    peak_concurrency: int = 0
    in_flight: int = 0


@dataclass(slots=True, kw_only=True)
class PostCount:
    """How often one post was asked for."""

    page_requests: int = 0
    media_requests: int = 0


@dataclass(slots=True, kw_only=True)
class LogEntry:
    """One request, as it came in; `seconds` is the machine's monotonic clock, as Python tells it."""

    seconds: float
    method: str
    host: str
    path: str  #: without the query
    range: str | None = None
    post_id: str | None = None
    status: int | None = None  #: None: no response was started
    connection: int = 0  #: on which it came; counted from 1


@dataclass(slots=True, kw_only=True)
class Counts:
    """Everything that `reset` sets back to zero."""

    hosts: dict[str, Load] = field(default_factory=dict)
    platforms: dict[Platform, Load] = field(default_factory=lambda: {name: Load() for name in PLATFORMS})
    media_bytes_sent: Counter[Platform] = field(default_factory=lambda: Counter(dict.fromkeys(PLATFORMS, 0)))
    posts: dict[str, PostCount] = field(default_factory=dict)
    unknown_hosts: Counter[str] = field(default_factory=Counter)
    canary_hits: int = 0
    refused_connections: int = 0
    tls_failures: int = 0  #: clients that did not trust the test CA, mostly
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=100))  #: faults of the simulator itself
    log: deque[LogEntry] = field(default_factory=lambda: deque(maxlen=LOG_LIMIT))


class Ledger:
    """The counts of one running simulator; used from its event loop alone."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.connections = 0
        self.hanging = 0

    def reset(self) -> None:
        """Set every count to zero; what is in flight stays in flight."""
        fresh = Counts()
        for old, new in ((self.counts.hosts, fresh.hosts), (self.counts.platforms, fresh.platforms)):
            for name, load in old.items():
                if load.in_flight:
                    # The same object, for the requests in flight will count themselves out of it.
                    load.requests, load.peak_concurrency = 0, load.in_flight
                    new[name] = load  # type: ignore[index]
        self.counts = fresh

    @contextmanager
    def in_flight(self, host: str, platform: Platform | None) -> Iterator[None]:
        """Count one request to *host*, from its arrival until its answer is sent."""
        loads = [self.counts.hosts.setdefault(host, Load())]
        if platform:
            loads.append(self.counts.platforms[platform])
        for load in loads:
            load.requests += 1
            load.in_flight += 1
            load.peak_concurrency = max(load.peak_concurrency, load.in_flight)
        try:
            yield
        finally:
            for load in loads:
                load.in_flight -= 1

    def record(self, method: str, host: str, path: str, range: str | None, connection: int) -> LogEntry:
        """Note a request in the log and return the entry, so that its post and status can be added."""
        entry = LogEntry(
            seconds=time.monotonic(), method=method, host=host, path=path, range=range, connection=connection
        )
        self.counts.log.append(entry)
        return entry

    def post(self, post: Post) -> PostCount:
        """Return the count of *post*."""
        return _count_of(self.counts.posts, post.id)

    def unknown_host(self, host: str) -> None:
        """Count a request to a host that is not simulated."""
        known = host in self.counts.unknown_hosts or len(self.counts.unknown_hosts) < NAMES_LIMIT
        self.counts.unknown_hosts[host if known else "(others)"] += 1

    def as_json(self) -> dict[str, Any]:
        """Return all counts as plain JSON values."""
        counts = self.counts
        return {
            "hosts": {host: asdict(load) for host, load in counts.hosts.items()},
            "platforms": {
                name: {**asdict(load), "media_bytes_sent": counts.media_bytes_sent[name]}
                for name, load in counts.platforms.items()
            },
            "posts": {id: asdict(count) for id, count in counts.posts.items()},
            "unknown_hosts": dict(counts.unknown_hosts),
            "canary_hits": counts.canary_hits,
            "refused_connections": counts.refused_connections,
            "tls_failures": counts.tls_failures,
            "errors": list(counts.errors),
            "connections": self.connections,
            "hanging": self.hanging,
            "log": [asdict(entry) for entry in counts.log],
        }


def _count_of(posts: dict[str, PostCount], id: str) -> PostCount:
    if id not in posts and len(posts) >= NAMES_LIMIT:
        id = "(others)"
    return posts.setdefault(id, PostCount())
