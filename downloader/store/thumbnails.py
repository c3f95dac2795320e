"""What the store knows of thumbnails: which jobs have one, and how often it could not be had."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from downloader.jobs import FINAL_STATES, MAX_THUMBNAIL_FAILURES, Job
from downloader.store.queries import chunks
from downloader.store.schema import jobs

_MAX_SHARING = 20


def known_ids(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of *ids* that are jobs'."""
    return {id for some in chunks(ids) for id in connection.scalars(select(jobs.c.id).where(jobs.c.id.in_(some)))}


def with_thumbnails(connection: Connection, limit: int) -> list[str]:
    """Of the newest *limit* jobs those that are final and have a thumbnail that was not given up; oldest first."""
    newest = select(jobs).order_by(jobs.c.seq.desc()).limit(limit).subquery()
    hopeful = (newest.c.thumbnails != (), newest.c.thumbnail_failures < MAX_THUMBNAIL_FAILURES)
    final = select(newest.c.id).where(newest.c.state.in_(sorted(FINAL_STATES)), *hopeful)
    return list(connection.scalars(final.order_by(newest.c.seq)))


def sharing_ids(connection: Connection, job: Job) -> list[str]:
    """Some other jobs of the post of *job*, newest first: their thumbnails are its own too."""
    same = select(jobs.c.id).where(jobs.c.post_key == job.post_key, jobs.c.state == "succeeded", jobs.c.id != job.id)
    return list(connection.scalars(same.order_by(jobs.c.seq.desc()).limit(_MAX_SHARING)))


def count_failure(connection: Connection, job_id: str) -> None:
    """Note that the thumbnail of a job could not be had; no event tells of it."""
    failures = {"thumbnail_failures": jobs.c.thumbnail_failures + 1}
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(failures))
