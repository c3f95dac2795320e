"""Cancels jobs, whatever they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from downloader.errors import NotFound, sentence
from downloader.jobs import FINAL_STATES, UNFINISHED_STATES, Job
from downloader.store.changes import Change, elapsed_seconds
from downloader.store.schema import batches, jobs


def cancel(change: Change, locked: Sequence[Job]) -> list[Job]:
    """Cancel those of the *locked* jobs that are not final; return them as they are then."""
    why: dict[str, Any] = {"error_code": "cancelled", "error": sentence("cancelled"), "detail": None}
    running = [job for job in locked if job.state == "running"]
    idle = [job for job in locked if job.state not in {"running", *FINAL_STATES}]
    cancelled = {job.id: job for job in change.move_alike(idle, "cancelled", **why)}
    for job in running:
        seconds = elapsed_seconds(job, change.now)
        cancelled[job.id] = change.end(job, "cancelled", "cancelled", elapsed_seconds=seconds, **why)
    return [cancelled[job.id] for job in locked if job.id in cancelled]


def cancel_batch(change: Change, batch_id: str, most: int) -> list[Job]:
    """Cancel up to *most* jobs of a batch, and its second round for good; see `Store.cancel_batch`."""
    # First, which also locks it: a cancelled batch must not start a second round.
    query = update(batches).where(batches.c.id == batch_id).values(retry_failed_once=False)
    if change.connection.execute(query).rowcount == 0:
        raise NotFound("batch")
    # Those that run come last: until then they leave no room for others, which would only be cancelled too.
    unfinished = (
        select(jobs.c.id)
        .where(jobs.c.batch_id == batch_id, jobs.c.state.in_(sorted(UNFINISHED_STATES)))
        .order_by(jobs.c.state == "running", jobs.c.seq)
        .limit(most)
    )
    return cancel(change, change.lock_ids(change.connection.scalars(unfinished).all()))
