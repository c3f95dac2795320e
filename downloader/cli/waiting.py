"""Waits until batches have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from downloader.cli.api import Server, ServerError
from downloader.cli.progress import Progress
from downloader.jobs import UNFINISHED_STATES

#: How often the server is asked: often at first, as most batches are short.
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 0.5, 3.0

#: How long it may be away, as for an update: its batches are still there when it is back.
PATIENCE_SECONDS = 600.0

_UNFINISHED = ",".join(sorted(UNFINISHED_STATES))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """The jobs of some batches."""

    total: int
    unfinished: int
    failed: int  #: or cancelled
    running: float = 0.0  #: of those that run, the parts that are done, together
    bytes_per_second: float = 0.0


def wait(server: Server, batch_ids: Sequence[str]) -> None:
    """Wait until all jobs of the batches have ended, and show how far they are.

    Raises:
        ServerError: the server refused, or was away for too long.
    """
    with Progress("Downloading", unit="done", total=1) as progress:
        interval = MIN_INTERVAL_SECONDS
        while True:
            counts = _patiently(lambda: _count(server, batch_ids, with_bytes=progress.is_bar), progress)
            note = f"{counts.failed} failed" if counts.failed else ""
            if counts.bytes_per_second:
                note = f"{note and f'{note}, '}{counts.bytes_per_second / 1e6:.1f} MB/s"
            progress.show(counts.total - counts.unfinished + counts.running, counts.total, note)
            if not counts.unfinished:
                return
            time.sleep(interval)
            interval = min(MAX_INTERVAL_SECONDS, interval * 1.2)


def failures(server: Server, batch_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the link and the sentence of each job that failed or was cancelled."""
    for batch_id in batch_ids:
        for job in server.jobs(batch=batch_id, state="failed,cancelled", sort="oldest"):
            yield str(job["url"]), str(job["error"] or "cancelled")


def _patiently(ask: Callable[[], _Counts], progress: Progress) -> _Counts:
    """Return what *ask* returns; where the server is away or busy, ask again until it is back."""
    gives_up_at = time.monotonic() + PATIENCE_SECONDS
    pause, said = 1.0, False
    while True:
        try:
            return ask()
        except ServerError as error:
            if not error.may_pass or time.monotonic() > gives_up_at:
                raise
            if not said:
                progress.say(f"{error} Trying again …")
                said = True
            time.sleep(min(error.wait_seconds or pause, 60))
            pause = min(15.0, pause * 2)


def _count(server: Server, batch_ids: Sequence[str], *, with_bytes: bool) -> _Counts:
    each = [_count_one(server, batch_id, with_bytes=with_bytes) for batch_id in batch_ids]
    return _Counts(
        total=sum(one.total for one in each),
        unfinished=sum(one.unfinished for one in each),
        failed=sum(one.failed for one in each),
        running=sum(one.running for one in each),
        bytes_per_second=sum(one.bytes_per_second for one in each),
    )


def _count_one(server: Server, batch_id: str, *, with_bytes: bool) -> _Counts:
    # The unfinished first: a list that is being read adds to all, never to those that have ended.
    def total(state: str | None) -> int:
        return int(server.ask("/api/v1/jobs", {"batch": batch_id, "state": state, "limit": 1})["total"])

    unfinished, failed, all_jobs = total(_UNFINISHED), total("failed,cancelled"), total(None)
    if not (with_bytes and unfinished):
        return _Counts(total=all_jobs, unfinished=unfinished, failed=failed)
    query = {"batch": batch_id}
    running = server.ask("/api/v1/events", query, headers={"Accept": "application/json"})["progress"]
    return _Counts(
        total=all_jobs,
        unfinished=unfinished,
        failed=failed,
        running=sum(min(1.0, one["downloaded_bytes"] / one["total_bytes"]) for one in running if one["total_bytes"]),
        bytes_per_second=sum(one["speed_bytes_per_second"] or 0 for one in running),
    )
