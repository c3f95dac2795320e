"""Posts that are there already: found by their keys, and reused; and the archive of those that were had before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select, update

from downloader.jobs import Had, Job
from downloader.platforms import PlatformType
from downloader.store.changes import Change
from downloader.store.queries import chunks, jobs_of
from downloader.store.rows import reused_fields
from downloader.store.schema import archive, attempts, clean, files, jobs

#: How many downloads of a post are looked at, in case the files of the first were deleted.
_MOST_SOURCES = 3

_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
# Those that reused files come last, as there may be any number of them, all with the same files.
_BEST = (jobs.c.reused, jobs.c.seq.desc())
_ranked = (
    select(jobs.c.seq, func.row_number().over(partition_by=jobs.c.post_key, order_by=_BEST).label("rank"))
    .where(jobs.c.post_key.in_(_KEYS), jobs.c.state == "succeeded")
    .where(select(files.c.job_id).where(files.c.job_id == jobs.c.id).exists())
    .subquery()
)
_SOURCES = (
    select(jobs).where(jobs.c.seq.in_(select(_ranked.c.seq).where(_ranked.c.rank <= _MOST_SOURCES))).order_by(*_BEST)
)
_FOLLOWERS = select(jobs.c.id).where(jobs.c.post_key.in_(_KEYS), jobs.c.state.in_(("queued", "waiting")), ~jobs.c.again)


def had(connection: Connection, keys: Collection[str]) -> dict[str, Had]:
    """Return what there is of the posts with these *keys*; those of which nothing is known are absent."""
    sources: dict[str, list[Job]] = defaultdict(list)
    archived = _archived(connection, keys)
    for some in chunks(keys):
        for job in jobs_of(connection, connection.execute(_SOURCES, {"keys": some}).all()):
            assert job.post_key is not None
            sources[job.post_key].append(job)
    found = sources.keys() | archived
    return {key: Had(sources=tuple(sources.get(key, ())), archived=key in archived) for key in found}


def _archived(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return those of *keys* whose posts the archive names."""
    if connection.execute(select(archive.c.post).limit(1)).first() is None:
        return set()
    keys_of: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for key in keys:
        platform, post, _ = key.split(":", 2)
        keys_of[platform][post].append(key)
    return {
        key
        for platform, keys_of_post in keys_of.items()
        for post in _known(connection, platform, keys_of_post)
        for key in keys_of_post[post]
    }


def resolve(
    change: Change, job_id: str, attempt: int, link: str, key: str | None, *, is_collection: bool = False
) -> bool:
    """Store where the link of a running job leads; return whether its attempt continues. See `Store.resolve`."""
    job = next(iter(change.lock_ids([job_id])), None)
    if job is None or job.state != "running" or job.attempt_number != attempt:
        return False
    values = {"link": link, "post_key": key} | ({"kind": "collection"} if is_collection else {})
    change.connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
    if is_collection:
        return False
    if key is None or job.again:
        return True
    others = select(jobs.c.id).where(jobs.c.post_key == key, jobs.c.state == "running", jobs.c.id != job_id)
    if change.connection.execute(others.limit(1)).first() is not None:
        return False
    return not had(change.connection, [key])


def reuse(change: Change, by_job: Mapping[str, Job | None]) -> list[Job]:
    """End the running jobs *by_job*, and what is queued for the same posts; see `Store.reuse`."""
    connection = change.connection
    keys = select(jobs.c.id, jobs.c.post_key).where(jobs.c.id.in_(bindparam("ids", expanding=True)))
    key_of = {row.id: row.post_key for ids in chunks(by_job) for row in connection.execute(keys, {"ids": ids})}
    by_key = {key_of[job_id]: source for job_id, source in by_job.items() if key_of.get(job_id) is not None}
    followers = [id for some in chunks(by_key) for id in connection.scalars(_FOLLOWERS, {"keys": some})]
    sources = {source.id for source in by_key.values() if source is not None}
    locked = change.lock_to_end([*key_of, *followers, *sources])
    # One that was deleted has perhaps taken its files along.
    there = {job.id for job in locked if job.state == "succeeded"}
    ended = []
    for job in locked:
        if job.state in ("queued", "waiting") or (job.state == "running" and job.id in by_job):
            source = by_key.get(job.post_key or "")
            if job.post_key in by_key and not job.again and (source is None or source.id in there):
                ended.append(_end(change, job, source))
    return ended


def _end(change: Change, job: Job, source: Job | None) -> Job:
    changes = {"error_code": None, "error": None, "detail": None} | reused_fields(source)
    if job.state == "running":  # its attempt was claimed, but never started: no one needs to know
        claimed = attempts.c.job_id == job.id, attempts.c.number == job.attempt_number
        change.connection.execute(delete(attempts).where(*claimed))
        changes |= {
            "attempt_number": job.attempt_number - 1,
            "counted_attempts": job.counted_attempts - 1,
            "started_at": None,
        }
    return change.move(job, "succeeded", **changes)


# -- the archive


def add_to_archive(change: Change, platform: PlatformType, posts: Sequence[str]) -> int:
    """Have *posts* count as had; return how many did not before."""
    change.lock_numbers()  # of two that add the same, one comes first
    new = {clean(post) for post in posts}
    new -= set(_known(change.connection, platform, new))
    if new:
        change.connection.execute(insert(archive), [{"platform": platform, "post": post} for post in sorted(new)])
    return len(new)


def clear_archive(change: Change) -> int:
    """Forget all of it; return how many posts that were."""
    return change.connection.execute(delete(archive)).rowcount


def _known(connection: Connection, platform: str, posts: Collection[str]) -> list[str]:
    query = select(archive.c.post).where(archive.c.platform == platform, archive.c.post.in_(_KEYS))
    return [post for some in chunks(posts) for post in connection.scalars(query, {"keys": some})]
