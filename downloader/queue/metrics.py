"""Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from downloader.engines.base import EngineHealth
from downloader.jobs import JobState, Machine
from downloader.platforms import PlatformType
from downloader.queue.storage import QueueStatus
from downloader.ytdlp.tools import ytdlp_release

CONTENT_TYPE = CONTENT_TYPE_LATEST

_DURATIONS_SECONDS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of the service at a scrape."""

    counts: Mapping[PlatformType, Mapping[JobState, int]]
    cooling_until: Mapping[PlatformType, datetime | None]
    caps: Mapping[PlatformType, int]
    engine: EngineHealth
    machines: Sequence[Machine]
    status: QueueStatus


class Metrics(Collector):
    """Counts attempts; takes the gauges from *snapshot* at each scrape."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self._registry = CollectorRegistry()
        self._attempts = Counter(
            "downloader_attempts",
            "Attempts that ended, by outcome: succeeded, interrupted, or an error code.",
            ["platform", "outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "downloader_attempt_seconds",
            "How long attempts took.",
            ["platform"],
            buckets=_DURATIONS_SECONDS,
            registry=self._registry,
        )
        self._bytes = Counter(
            "downloader_media_bytes", "Bytes of finished media files.", ["platform"], registry=self._registry
        )
        self._registry.register(self)

    def attempt_ended(self, platform: PlatformType, outcome: str, seconds: float, size_bytes: int) -> None:
        """Count an attempt: *outcome* is `succeeded`, `interrupted`, `cancelled` or an error code."""
        self._attempts.labels(platform, outcome).inc()
        self._seconds.labels(platform).observe(seconds)
        if size_bytes:
            self._bytes.labels(platform).inc(size_bytes)

    def render(self) -> bytes:
        """Return all metrics as text; blocking, it asks the store."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: else the registry would take a snapshot when this is registered, before the queue is open."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return the gauges."""
        now = self._snapshot()
        status = now.status
        yield from _platform_gauges(now)
        if now.machines:
            yield from _machine_gauges(now.machines)
        age = GaugeMetricFamily("downloader_ytdlp_age_days", "Days since the release of the yt-dlp in use.")
        if (days := ytdlp_release().age_days) is not None:
            age.add_metric([], days)
        yield age
        for name, help_text, value in (
            ("workers", "Workers alive.", now.engine.workers),
            ("workers_busy", "Workers that run an attempt.", now.engine.busy),
            ("worker_restarts", "Workers that died or were terminated since the start.", now.engine.restarts),
            ("queue_paused", "1 while paused by hand.", status.paused),
            ("disk_low", "1 while the disk is too full.", status.disk_low),
            ("storage_full", "1 while the files have reached their limit.", status.storage_full),
            (
                "storage_unavailable",
                "1 while the storage folder or the database cannot be used.",
                status.fault is not None,
            ),
            ("disk_free_bytes", "Free bytes where media go.", status.free_bytes),
        ):
            yield GaugeMetricFamily(f"downloader_{name}", help_text, value=float(value))


def _platform_gauges(now: Snapshot) -> Iterable[Metric]:
    jobs = GaugeMetricFamily("downloader_jobs", "Jobs in the store.", labels=["platform", "state"])
    for platform, states in now.counts.items():
        for state, count in states.items():
            jobs.add_metric([platform, state], count)
    cooling = GaugeMetricFamily(
        "downloader_platform_cooling_until_seconds",
        "Until when a platform cools down, as Unix time; 0: it does not.",
        labels=["platform"],
    )
    for platform, until in now.cooling_until.items():
        cooling.add_metric([platform], until.timestamp() if until else 0)
    caps = GaugeMetricFamily("downloader_platform_cap", "Downloads at once allowed now.", labels=["platform"])
    for platform, cap in now.caps.items():
        caps.add_metric([platform], cap)
    return jobs, cooling, caps


def _machine_gauges(machines: Sequence[Machine]) -> Iterable[Metric]:
    labels = ["machine", "egress"]
    up = GaugeMetricFamily("downloader_machine_up", "1 while a machine is heard from.", labels=labels)
    places = GaugeMetricFamily("downloader_machine_places", "Attempts that a machine runs at once.", labels=labels)
    busy = GaugeMetricFamily("downloader_machine_busy", "Attempts that a machine runs.", labels=labels)
    for machine in machines:
        for gauge, value in ((up, machine.is_alive), (places, machine.places), (busy, machine.busy)):
            gauge.add_metric([machine.id, machine.egress], float(value))
    return up, places, busy
