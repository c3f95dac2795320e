"""Claims: which jobs run next, and which wait until another one for the same post has ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, and_, bindparam, case, func, or_, select

from downloader.jobs import Claimed, Job, JobState
from downloader.platforms import PlatformType
from downloader.store.changes import Change
from downloader.store.schema import archive, jobs

PLATFORMS: tuple[PlatformType, ...] = get_args(PlatformType)

# Frequent queries are built once: building one takes longer than running it.

_other = jobs.alias("other")


def _has_same_post(state: JobState) -> ColumnElement[bool]:
    return select(_other.c.seq).where(_other.c.post_key == jobs.c.post_key, _other.c.state == state).exists()


#: Of all jobs for one post, one runs at a time; the others then reuse its files. But for those that fetch it again.
_IS_FREE = or_(jobs.c.again, ~_has_same_post("running"))
#: Only then is it worth asking.
_MAY_BE_HAD = or_(_has_same_post("succeeded"), select(archive.c.post).exists())


def _due_query() -> Select[Any]:
    columns: list[ColumnElement[Any]] = []
    for platform in PLATFORMS:
        of_platform = jobs.c.platform == platform
        queued = select(jobs.c.seq).where(of_platform, jobs.c.state == "queued").exists()
        # The index needs this condition; the schema ensures that only waiting jobs have a time.
        waiting = select(func.min(jobs.c.next_attempt_at)).where(of_platform, jobs.c.next_attempt_at.is_not(None))
        columns += [queued.label(f"{platform}_queued"), waiting.scalar_subquery().label(f"{platform}_waiting")]
    return select(*columns)


_DUE = _due_query()


def due(connection: Connection) -> dict[PlatformType, datetime | None]:
    """For each platform with something to do: None where a job is queued, else when the first that waits is due."""
    row = connection.execute(_DUE).one()
    found: dict[PlatformType, datetime | None] = {}
    for platform, queued, waiting in zip(PLATFORMS, row[::2], row[1::2], strict=True):
        if queued:
            found[platform] = None
        elif waiting is not None:
            found[platform] = waiting
    return found


# What met a rate limit comes last: should it meet it again, its platform would cool down, and the others would wait.
_MET_A_LIMIT = case((jobs.c.error_code == "rate_limited", 1), else_=0)
_QUEUED = jobs.c.state == "queued"


def _is_due(table: FromClause) -> ColumnElement[bool]:
    at = table.c.next_attempt_at
    return and_(table.c.platform == bindparam("platform"), at.is_not(None), at <= bindparam("now"))


_ONE_WAITED = select(_other.c.seq).where(_is_due(_other)).exists()


def _next_jobs(*conditions: ColumnElement[bool], order: Sequence[ColumnElement[Any]] = (jobs.c.seq,)) -> Select[Any]:
    query = select(jobs, _MAY_BE_HAD.label("may_be_had"), _ONE_WAITED.label("one_waited"))
    query = query.where(*conditions, _IS_FREE).order_by(*order)
    return query.limit(bindparam("most")).with_for_update(skip_locked=True)


_OF_PLATFORM = jobs.c.platform == bindparam("platform")
_NEXT_QUEUED = _next_jobs(_OF_PLATFORM, _QUEUED, _MET_A_LIMIT == 0)
_NEXT_RELEASED = _next_jobs(
    _OF_PLATFORM, _QUEUED, _MET_A_LIMIT == 1
)  # which waited until the cooldown was ended by hand
_NEXT_WAITING = _next_jobs(_is_due(jobs), order=(_MET_A_LIMIT, jobs.c.seq))


def claim(change: Change, wanted: Mapping[PlatformType, Sequence[str]], *, but: Collection[str]) -> Claimed:
    """Make a job run by each way out *wanted* for its platform, none of the ids *but*; see `Store.exchange`."""
    claimed, more, had = list[Job](), set[PlatformType](), set[str]()
    for platform, ways in wanted.items():
        limit, by = len(ways), iter(ways)
        has_others = limit > 0
        while limit and has_others:
            change.flush()  # the post of a job that just ended is free, that of one that just began is not
            # One more than are wanted shows whether there are others.
            rows = _claimable(change.connection, platform, limit + 1, change.now)
            has_others = len(rows) > limit
            chosen = _one_of_each_post(row for row in rows[:limit] if row.id not in but)
            had |= {row.id for row in chosen if row.may_be_had and row.post_key is not None and not row.again}
            claimed += (change.begin(job, next(by)) for job in change.jobs_of(chosen))
            limit -= len(chosen)
            if not chosen:
                break
        if has_others and not limit:
            more.add(platform)
    return Claimed(jobs=tuple(claimed), more=frozenset(more), had=frozenset(had))


def _one_of_each_post(rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    """Return *rows*; of those for one post only the first, and those that fetch it again."""
    chosen, posts = [], set[str]()
    for row in rows:
        if row.again or row.post_key not in posts:
            chosen.append(row)
        if row.post_key is not None:
            posts.add(row.post_key)
    return chosen


def _claimable(connection: Connection, platform: PlatformType, limit: int, now: datetime) -> Sequence[Row[Any]]:
    """Lock and return the jobs to start next: the oldest first, those that met a rate limit last.

    Those that another transaction holds are passed over.
    """
    which = {"platform": platform, "most": limit, "now": now}
    rows = list(connection.execute(_NEXT_QUEUED, which))
    if not rows or rows[0].one_waited:
        rows += connection.execute(_NEXT_WAITING, which)
    if len(rows) < limit:  # to find none of these, all that are queued are read
        rows += connection.execute(_NEXT_RELEASED, which)
    return sorted(rows, key=lambda row: (row.error_code == "rate_limited", int(row.seq)))[:limit]
