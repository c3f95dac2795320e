"""Stores what is submitted: a batch, a job for each of its posts, and the links as they were sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import insert, select

from downloader.errors import IdempotencyConflict
from downloader.jobs import FINAL_STATES, Job, NewJob, Submission
from downloader.presets import DEFAULT_PRESET
from downloader.store import queries
from downloader.store.changes import Change
from downloader.store.paths import stored_path
from downloader.store.rows import first_job, new_id, new_row
from downloader.store.schema import batches, expand_values, files, jobs, links


def first_submission(change: Change, new_jobs: Sequence[NewJob], key: str | None) -> Submission | None:
    """Return what was submitted before with the same idempotency *key*, or None.

    Raises:
        IdempotencyConflict: that was something else.
    """
    if key is None:
        return None
    first = change.connection.execute(select(batches).where(batches.c.idempotency_key == key)).first()
    if first is None:
        return None
    if first.fingerprint != _fingerprint(new_jobs):
        raise IdempotencyConflict
    sent = queries.batch_links(change.connection, first.id)
    batch = queries.batch(change.connection, first.id)
    return Submission(batch=batch, jobs=tuple(job for _, job in sent), created=False)


def store_batch(change: Change, new_jobs: Sequence[NewJob], key: str | None, retry_failed_once: bool) -> Submission:
    """Store *new_jobs* as a batch; see `Store.submit`."""
    batch_id = new_id()
    by_link: dict[tuple[Any, ...], Job] = {}
    in_order: list[Job] = []
    for new in still_there(change, new_jobs):
        same = (new.post_key or new.link or new.url, repr(_choices(new)))
        if same not in by_link:
            by_link[same] = first_job(new, batch_id, change.now)
        in_order.append(by_link[same])
    change.connection.execute(
        insert(batches),
        {
            "id": batch_id,
            "created_at": change.now,
            "total": len(new_jobs),
            "idempotency_key": key,
            "fingerprint": _fingerprint(new_jobs),
            "retry_failed_once": retry_failed_once,
        },
    )
    insert_jobs(change, by_link.values())
    change.connection.execute(
        insert(links),
        [
            {"batch_id": batch_id, "position": position, "job_id": job.id, "url": new.url}
            for position, (new, job) in enumerate(zip(new_jobs, in_order, strict=True))
        ],
    )
    change.tell("batch_created", batch_id=batch_id, data={"total": len(new_jobs)})
    if all(job.state in FINAL_STATES for job in by_link.values()):
        change.ended_batches.add(batch_id)
    batch = queries.batch(change.connection, batch_id)
    return Submission(batch=batch, jobs=tuple(in_order), created=True)


def still_there(change: Change, new_jobs: Sequence[NewJob]) -> list[NewJob]:
    """Return *new_jobs*; those to be queued whose sources were deleted since."""
    sources = {new.source.id for new in new_jobs if new.source is not None}
    # From here on they cannot be deleted, and then it will be seen that others have their files.
    there = {job.id for job in change.lock_ids(sources)} if sources else set()
    return [
        new if new.source is None or new.source.id in there else replace(new, reused=False, source=None)
        for new in new_jobs
    ]


def insert_jobs(change: Change, new: Collection[Job]) -> None:
    """Store *new* jobs, and their files where they reuse some."""
    change.connection.execute(insert(jobs), [new_row(job) for job in new])
    paths = [
        {"job_id": job.id, "position": position, "path": stored_path(change.connection, path)}
        for job in new
        for position, path in enumerate(job.files)
    ]
    if paths:
        change.connection.execute(insert(files), paths)


def _fingerprint(new_jobs: Sequence[NewJob]) -> str:
    # Keys that were stored before there was anything to choose keep their fingerprints: defaults are left out.
    sent = [[new.url, *choices] if (choices := _choices(new)) else new.url for new in new_jobs]
    return hashlib.sha256(json.dumps(sent).encode("ascii")).hexdigest()


def _choices(new: NewJob) -> list[Any]:
    """Return what was chosen for *new*, as JSON; empty: the defaults."""
    choices: list[Any] = [
        new.preset,
        new.wanted_subtitles,
        new.folder,
        new.again,
        new.photos,
        new.expand and expand_values(new.expand),
    ]
    defaults = [DEFAULT_PRESET, (), "", False, True, None]
    while choices and choices[-1] == defaults[len(choices) - 1]:
        choices.pop()
    return choices
