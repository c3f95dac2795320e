"""Collections: their entries, stored page by page, each once; and what a collection has of its entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, or_, select

from downloader.errors import NotExpandable, NotFound
from downloader.jobs import FINAL_STATES, EntryCounts, Job, JobFilter, Listed, NewJob
from downloader.presets import MAX_ENTRIES
from downloader.store import listing, queries
from downloader.store.changes import Change
from downloader.store.paths import path_of
from downloader.store.queries import chunks
from downloader.store.rows import first_job
from downloader.store.schema import files, jobs
from downloader.store.submission import insert_jobs, still_there

_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_POSTS_OF_BATCH = select(jobs.c.post_key).where(jobs.c.batch_id == bindparam("batch"), jobs.c.post_key.in_(_KEYS))

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_STATES = (
    select(jobs.c.parent_id, jobs.c.state, func.count().label("number"), func.sum(jobs.c.size_bytes).label("bytes"))
    .where(jobs.c.parent_id.in_(_IDS))
    .group_by(jobs.c.parent_id, jobs.c.state)
)
_PATHS = (
    select(jobs.c.parent_id, files.c.path)
    .join(files, files.c.job_id == jobs.c.id)
    .where(jobs.c.parent_id.in_(_IDS), jobs.c.state == "succeeded")
    .order_by(jobs.c.seq, files.c.position)
)


def add_entries(change: Change, listed: Listed) -> bool:
    """Store a page of a collection: its entries become jobs of the batch, each post once, and how far it is read.

    Return False if that attempt does not run any more: then nothing is stored.
    """
    change.lock_batches([listed.job_id])  # of two collections of a batch that hold one post, one comes first
    sources = {new.source.id for new in listed.new_jobs if new.source is not None}
    locked = {job.id: job for job in change.lock_ids({listed.job_id, *sources})}
    job = locked.get(listed.job_id)
    if job is None or job.state != "running" or job.attempt_number != listed.attempt:
        return False
    new = [first_job(each, job.batch_id, change.now, job.id) for each in _new(change, job, listed.new_jobs)]
    if new:
        insert_jobs(change, new)
    page = listed.page
    change.revise(
        job,
        listed=max(job.listed, page.position),
        found=page.found,
        title=page.title or job.title,
        uploader=page.uploader or job.uploader,
    )
    return True


def _new(change: Change, job: Job, entries: Sequence[NewJob]) -> list[NewJob]:
    """Return those of *entries* that are no jobs of the batch of *job*, each post once."""
    keys = {new.post_key for new in entries if new.post_key is not None}
    known = {
        key
        for some in chunks(keys)
        for key in change.connection.scalars(_POSTS_OF_BATCH, {"batch": job.batch_id, "keys": some})
    }
    posts: dict[str, NewJob] = {}
    for new in entries:
        if new.post_key not in known:
            posts.setdefault(new.post_key or new.url, new)
    return still_there(change, list(posts.values()))


def take_more(change: Change, job_id: str, number: int | None) -> Job:
    """Queue a collection again, to take *number* more of its entries; see `Store.take_more`."""
    change.lock_second_rounds([job_id])
    job = next(iter(change.lock_ids([job_id])), None)
    if job is None:
        raise NotFound("job")
    if job.kind != "collection" or job.expand is None:
        raise NotExpandable("This job is not a collection: only of a playlist, channel or profile more can be taken.")
    if job.state not in FINAL_STATES:
        raise NotExpandable("This collection is still being read: wait until that is done, or cancel it first.")
    if job.listed >= MAX_ENTRIES:
        raise NotExpandable(
            f"This collection gives no more: {MAX_ENTRIES:,} entries, the most there can be, are taken."
        )
    limit = MAX_ENTRIES if number is None else min(MAX_ENTRIES, job.listed + number)
    nothing = {"error_code": None, "error": None, "detail": None}
    expand = replace(job.expand, limit=limit)
    return change.move(job, "queued", expand=expand, counted_attempts=0, final_attempt=False, **nothing)


# -- reading: the queries of others, with entries


def job(connection: Connection, job_id: str) -> Job:
    """Raises NotFound."""
    return with_entries(connection, [queries.job(connection, job_id)])[0]


def job_page(connection: Connection, wanted: JobFilter = JobFilter()) -> tuple[list[Job], str | None]:  # noqa: B008 -- frozen
    """See `listing.job_page`."""
    page, cursor = listing.job_page(connection, wanted)
    return with_entries(connection, page), cursor


def jobs_by_id(connection: Connection, ids: Sequence[str]) -> dict[str, Job]:
    """Those of *ids* that there are."""
    rows = [row for some in chunks(ids) for row in connection.execute(select(jobs).where(jobs.c.id.in_(some)))]
    return {found.id: found for found in with_entries(connection, queries.jobs_of(connection, rows))}


def batch_jobs(connection: Connection, batch_id: str) -> list[tuple[str, Job]]:
    """See `queries.batch_jobs`."""
    sent = queries.batch_jobs(connection, batch_id)
    found = with_entries(connection, [job for _, job in sent])
    return [(url, job) for (url, _), job in zip(sent, found, strict=True)]


def with_entries(connection: Connection, found: Sequence[Job]) -> list[Job]:
    """Return *found*; collections with the counts, the sizes and the files of their entries."""
    ids = [job.id for job in found if job.kind == "collection"]
    if not ids:
        return list(found)
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    sizes: dict[str, int | None] = {}
    paths: dict[str, dict[str, None]] = defaultdict(dict)
    for row in connection.execute(_STATES, {"ids": ids}):
        numbers[row.parent_id][row.state] = row.number
        if row.state == "succeeded":
            sizes[row.parent_id] = None if row.bytes is None else int(row.bytes)
    for parent_id, path in connection.execute(_PATHS, {"ids": ids}):
        paths[parent_id][path_of(connection, path)] = None
    return [
        replace(
            job,
            entries=EntryCounts(done=numbers[job.id].get("succeeded", 0), failed=numbers[job.id].get("failed", 0)),
            files=tuple(paths[job.id]),
            size_bytes=sizes.get(job.id),
        )
        if job.kind == "collection"
        else job
        for job in found
    ]


def entries_due(connection: Connection, job_id: str, until: datetime) -> bool:
    """Tell whether an entry of a collection runs, or is to be tried before *until*."""
    due = or_(jobs.c.state.in_(("queued", "running")), jobs.c.next_attempt_at <= until)
    unfinished = jobs.c.state.in_(("queued", "running", "waiting"))
    query = select(jobs.c.seq).where(jobs.c.parent_id == job_id, unfinished, due).limit(1)
    return connection.execute(query).first() is not None
