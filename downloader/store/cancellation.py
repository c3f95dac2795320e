"""Cancels jobs, whatever they do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from downloader.errors import sentence
from downloader.jobs import Job
from downloader.store.changes import Change, elapsed_seconds


def cancel(change: Change, unfinished: Iterable[Job]) -> None:
    """Cancel *unfinished* jobs."""
    why: dict[str, Any] = {"error_code": "cancelled", "error": sentence("cancelled"), "detail": None}
    for job in unfinished:
        if job.state == "running":
            change.end(job, "cancelled", "cancelled", elapsed_seconds=elapsed_seconds(job, change.now), **why)
        else:
            change.move(job, "cancelled", **why)
