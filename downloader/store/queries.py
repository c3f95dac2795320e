"""Queries: each a function of a connection, which changes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    bindparam,
    case,
    cast,
    func,
    select,
    type_coerce,
)

from downloader.errors import HOPELESS, NotFound
from downloader.jobs import FINAL_STATES, Attempt, Batch, CooldownState, EndedAttempts, Event, Job, JobState
from downloader.platforms import PlatformType
from downloader.store.paths import path_of, stored_path
from downloader.store.rows import attempt_of, batch_of, event_of, job_of, read_cursor, utc, write_cursor
from downloader.store.schema import attempts, batches, cooldowns, events, files, jobs, links, numbers

PLATFORMS: tuple[PlatformType, ...] = get_args(PlatformType)
#: How many ids one statement names; databases bound it.
CHUNK = 500

# Frequent queries are built once: building one takes longer than running it.


def chunks(ids: Collection[str]) -> Iterator[list[str]]:
    """Cut *ids* into lists short enough for a statement: each id once, in one order for all callers.

    Rows are locked in this order, so that no two callers wait for each other.
    """
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]


# -- batches


def batch(connection: Connection, batch_id: str) -> Batch:
    """Raises NotFound."""
    row = connection.execute(select(batches).where(batches.c.id == batch_id)).first()
    if row is None:
        raise NotFound("batch")
    return batch_of(row, _of_jobs(connection, [row.id])[row.id])


def batch_page(connection: Connection, *, before: str | None = None, limit: int = 50) -> tuple[list[Batch], str | None]:
    """Newest first; the second value is the cursor of the next page, None at the end. Raises BadCursor."""
    query = select(batches).order_by(batches.c.seq.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(batches.c.seq < read_cursor("batch", before, int)[0])
    rows = connection.execute(query).all()
    page = rows[:limit]
    of_jobs = _of_jobs(connection, [row.id for row in page])
    following = write_cursor("batch", page[-1].seq) if len(rows) > limit else None
    return [batch_of(row, of_jobs[row.id]) for row in page], following


_LINKS_OF_BATCH = (
    select(jobs, links.c.url.label("sent_url"))
    .select_from(links)
    .join(jobs, jobs.c.id == links.c.job_id)
    .where(links.c.batch_id == bindparam("batch"))
    .order_by(links.c.position)
)


def batch_links(connection: Connection, batch_id: str) -> list[tuple[str, Job]]:
    """(url as sent, job) for each link; none where there is no such batch."""
    rows = connection.execute(_LINKS_OF_BATCH, {"batch": batch_id}).all()
    paths = _paths_of(connection, rows)
    return [(row.sent_url, job_of(row, paths[row.id])) for row in rows]


def batch_jobs(connection: Connection, batch_id: str) -> list[tuple[str, Job]]:
    """(url as sent, job) for each link sent, in that order; deleted jobs are left out. Raises NotFound."""
    found = batch_links(connection, batch_id)
    if not found:
        batch(connection, batch_id)
    return found


_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_COUNTS_OF_BATCHES = (
    select(jobs.c.batch_id, jobs.c.state, func.count().label("number"))
    .where(jobs.c.batch_id.in_(_IDS))
    .group_by(jobs.c.batch_id, jobs.c.state)
)
_IS_COLLECTION = jobs.c.kind == "collection"
#: Entries are neither.
_FIRST_AND_COLLECTIONS = (
    select(links.c.batch_id, links.c.position, jobs.c.id, jobs.c.title, jobs.c.state, _IS_COLLECTION.label("collects"))
    .join(jobs, jobs.c.id == links.c.job_id)
    .where(links.c.batch_id.in_(_IDS), (links.c.position == 0) | _IS_COLLECTION)
)
_WORTH_RETRYING = (
    select(jobs.c.batch_id, func.count())
    .where(jobs.c.batch_id.in_(_IDS), jobs.c.state.in_(("failed", "cancelled")), jobs.c.platform != "unknown")
    .where(jobs.c.error_code.is_(None) | jobs.c.error_code.not_in(sorted(HOPELESS)))
    .group_by(jobs.c.batch_id)
)


def _of_jobs(connection: Connection, batch_ids: Sequence[str]) -> Mapping[str, dict[str, Any]]:
    """Return the fields of each batch that its jobs set."""
    found: dict[str, dict[str, Any]] = {id: {"counts": {}} for id in batch_ids}
    for batch_id, state, number in connection.execute(_COUNTS_OF_BATCHES, {"ids": batch_ids}):
        found[batch_id]["counts"][state] = number
    collections: dict[str, dict[str, JobState]] = defaultdict(dict)
    for row in connection.execute(_FIRST_AND_COLLECTIONS, {"ids": batch_ids}):
        if row.position == 0:
            found[row.batch_id]["title"] = row.title
        if row.collects:
            collections[row.batch_id][row.id] = row.state
    for batch_id, states in collections.items():
        found[batch_id]["collections"] = dict(Counter(states.values()))
    ended = [id for id in batch_ids if not found[id]["counts"].keys().isdisjoint(("failed", "cancelled"))]
    if ended:
        for batch_id, number in connection.execute(_WORTH_RETRYING, {"ids": ended}):
            found[batch_id]["worth_retrying"] = number
    return found


# -- jobs


def jobs_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[Job]:
    """Return the jobs of *rows* of `jobs`, with their files."""
    paths = _paths_of(connection, rows)
    return [job_of(row, paths[row.id]) for row in rows]


def job(connection: Connection, job_id: str) -> Job:
    """Raises NotFound."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
    if row is None:
        raise NotFound("job")
    return jobs_of(connection, [row])[0]


_PATHS = (
    select(files.c.job_id, files.c.path)
    .where(files.c.job_id.in_(bindparam("ids", expanding=True)))
    .order_by(files.c.job_id, files.c.position)
)


def _paths_of(connection: Connection, rows: Sequence[Row[Any]]) -> Mapping[str, list[str]]:
    paths: dict[str, list[str]] = defaultdict(list)
    for ids in chunks([row.id for row in rows if row.state == "succeeded"]):
        for job_id, path in connection.execute(_PATHS, {"ids": ids}):
            paths[job_id].append(path_of(connection, path))
    return paths


def job_ids(connection: Connection, batch_id: str, *, states: Sequence[JobState] = ()) -> list[str]:
    """Oldest first. Raises NotFound."""
    query = select(jobs.c.id).where(jobs.c.batch_id == batch_id).order_by(jobs.c.seq)
    if states:
        query = query.where(jobs.c.state.in_(states))
    found = list(connection.scalars(query))
    if not found:
        batch(connection, batch_id)
    return found


def jobs_with_urls(connection: Connection, urls: Collection[str], states: Collection[JobState]) -> list[Job]:
    """Jobs of *urls*, as they were sent, in one of *states*; newest first."""
    found = [
        row
        for some in chunks(urls)
        for row in connection.execute(select(jobs).where(jobs.c.state.in_(sorted(states)), jobs.c.url.in_(some)))
    ]
    return jobs_of(connection, sorted(found, key=lambda row: -int(row.seq)))


def job_attempts(connection: Connection, job_id: str) -> list[Attempt]:
    """In their order. Raises NotFound."""
    rows = connection.execute(select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)).all()
    if not rows:
        job(connection, job_id)
    return [attempt_of(row) for row in rows]


def file_users(connection: Connection, path: str, but: Collection[str] = ()) -> int:
    """How many jobs have *path* among their files (two jobs of one post share a file), those of *but* left out."""
    spellings = {path, stored_path(connection, path)}
    users = connection.scalars(select(files.c.job_id).where(files.c.path.in_(spellings)).distinct())
    return len(set(users).difference(but))


def finished_before(connection: Connection, moment: datetime, limit: int) -> list[Job]:
    """Final jobs that have been so since before *moment*; those submitted first come first."""
    old = select(jobs).where(jobs.c.state.in_(sorted(FINAL_STATES)), jobs.c.finished_at < utc(moment))
    return jobs_of(connection, connection.execute(old.order_by(jobs.c.seq).limit(limit)).all())


def counts(connection: Connection) -> dict[PlatformType, dict[JobState, int]]:
    """How many jobs, by platform and state; without zeros."""
    query = select(jobs.c.platform, jobs.c.state, func.count().label("number")).group_by(jobs.c.platform, jobs.c.state)
    found: dict[PlatformType, dict[JobState, int]] = {}
    for row in connection.execute(query):
        found.setdefault(row.platform, {})[row.state] = row.number
    return found


#: Reading a list is no download, and would blur what those take.
_DOWNLOADS = jobs.c.kind != "collection"


def recent(connection: Connection, *, since: datetime) -> dict[PlatformType, tuple[int, int, float]]:
    """For each platform: (succeeded, failed, seconds of the succeeded together) of attempts ended since then."""
    taken = type_coerce(attempts.c.ended_at, BigInteger) - type_coerce(attempts.c.started_at, BigInteger)
    succeeded = attempts.c.result == "succeeded"
    query = (
        select(
            jobs.c.platform,
            func.count(case((succeeded, 1))),
            func.count(case((~succeeded, 1))),
            _total(case((succeeded, taken))),
        )
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(attempts.c.ended_at >= utc(since), attempts.c.result.in_(("succeeded", "failed")), _DOWNLOADS)
        .group_by(jobs.c.platform)
    )
    rows = connection.execute(query)
    return {platform: (won, lost, microseconds / 1e6) for platform, won, lost, microseconds in rows}


def _total(column: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)  # PostgreSQL sums in decimals


def ended(connection: Connection, *, since: datetime, until: datetime, bucket_seconds: int) -> list[EndedAttempts]:
    """Attempts that succeeded or failed from *since* up to, but without, *until*, counted where they are alike."""
    since, until = utc(since), utc(until)
    began_at, ended_at = (type_coerce(attempts.c[name], BigInteger) for name in ("started_at", "ended_at"))
    after = type_coerce(attempts.c.ended_at - since, BigInteger)
    # A clock that was set back must not make an attempt take less than no time.
    taken = case((ended_at > began_at, ended_at - began_at), else_=0)
    succeeded = attempts.c.result == "succeeded"
    each = (
        select(
            jobs.c.platform,
            (after // (bucket_seconds * 1_000_000)).label("bucket"),
            case((~succeeded, func.coalesce(attempts.c.error_code, "internal"))).label("error_code"),
            case((succeeded, (taken + 50_000) // 100_000), else_=0).label("tenths"),
            case((succeeded, jobs.c.size_bytes)).label("bytes"),
            case((succeeded & jobs.c.size_bytes.is_not(None), taken)).label("microseconds"),
        )
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(attempts.c.ended_at >= since, attempts.c.ended_at < until)
        .where(attempts.c.result.in_(("succeeded", "failed")), _DOWNLOADS)
        .subquery()
    )
    alike = (each.c.platform, each.c.bucket, each.c.error_code, each.c.tenths)
    sums = (
        func.count().label("count"),
        _total(each.c.bytes).label("bytes"),
        _total(each.c.microseconds).label("timed_microseconds"),
    )
    rows = connection.execute(select(*alike, *sums).group_by(*alike))
    return [EndedAttempts(**row._mapping) for row in rows]


# -- events, and what is remembered


def events_since(
    connection: Connection, event_id: int, *, batch_id: str | None = None, limit: int = 500
) -> list[Event]:
    """Events with greater numbers, in order; no number below one that was seen turns up later."""
    query = select(events).where(events.c.id > event_id).order_by(events.c.id).limit(limit)
    if batch_id is not None:
        query = query.where(events.c.batch_id == batch_id)
    return [event_of(row) for row in connection.execute(query)]


def number(connection: Connection, name: str) -> int:
    """Return the number of that name."""
    return int(connection.scalars(select(numbers.c.value).where(numbers.c.name == name)).one())


def last_event_id(connection: Connection) -> int:
    """Return the number of the newest event; 0 where there is none yet."""
    return number(connection, "last_event_id")


def paused(connection: Connection) -> bool:
    """Whether the queue was paused by hand."""
    return number(connection, "paused") == 1


def cooldown_states(connection: Connection) -> list[CooldownState]:
    """What is remembered of platforms; those of which nothing is are absent."""
    query = select(cooldowns).order_by(cooldowns.c.platform, cooldowns.c.egress)
    return [CooldownState(**row._mapping) for row in connection.execute(query)]
