"""Lists of jobs: filtered, in one of several orders, page by page; and how many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Select,
    case,
    func,
    literal,
    select,
    tuple_,
    type_coerce,
    union_all,
)

from downloader.jobs import Job, JobFilter, JobOrder, JobState
from downloader.store.queries import jobs_of
from downloader.store.rows import Key, read_cursor, utc, write_cursor
from downloader.store.schema import CleanText, jobs

STATES: tuple[JobState, ...] = get_args(JobState)

#: Of a title, so many characters count for the order: a cursor, which repeats them, has to fit into an address.
_TITLE_CHARACTERS = 60

_ALL_JOBS = JobFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What rows are sorted by: first *keys*, if there are any, then when they were submitted."""

    kind: str  #: of its cursors
    keys: tuple[ColumnElement[Any], ...] = ()
    types: tuple[type[Key], ...] = ()
    descending: bool = True

    @property
    def columns(self) -> tuple[ColumnElement[Any], ...]:
        return (*self.keys, jobs.c.seq)

    def sorted(self, query: Select[Any]) -> Select[Any]:
        return query.order_by(*(column.desc() if self.descending else column.asc() for column in self.columns))

    def after(self, cursor: str) -> ColumnElement[bool]:
        """Return the condition of the rows behind the one of *cursor*. Raises BadCursor."""
        keys = read_cursor(self.kind, cursor, *self.types, int)
        last = tuple_(*(literal(key, column.type) for key, column in zip(keys, self.columns, strict=True)))
        return tuple_(*self.columns) < last if self.descending else tuple_(*self.columns) > last


_title = func.coalesce(jobs.c.title, "")
_ORDERS: Mapping[JobOrder, _Order] = {
    "newest": _Order(kind="job"),
    "oldest": _Order(kind="oldest", descending=False),
    "largest": _Order(kind="largest", keys=(func.coalesce(jobs.c.size_bytes, -1),), types=(int,)),
    "longest": _Order(
        kind="longest", keys=(type_coerce(func.coalesce(jobs.c.duration_seconds, -1.0), Float),), types=(float,)
    ),
    "title": _Order(
        kind="title",
        keys=(
            case((_title == "", 1), else_=0),
            type_coerce(func.lower(func.substr(_title, 1, _TITLE_CHARACTERS)), CleanText),
        ),
        types=(int, str),
        descending=False,
    ),
}


def job_page(connection: Connection, wanted: JobFilter = _ALL_JOBS) -> tuple[list[Job], str | None]:
    """The second value is the cursor of the next page, None at the end; new jobs move no page.

    Raises:
        BadCursor: it is not ours, or of another order.
    """
    conditions, states, order = _conditions(connection, wanted), wanted.states, _ORDERS[wanted.sort]
    if not states and conditions:
        states = STATES  # for the indexes: all of them have the state before the order
    if wanted.cursor is not None:
        conditions.append(order.after(wanted.cursor))
    rows = connection.execute(_first(order, conditions, states, wanted.limit + 1)).all()
    page = rows[: wanted.limit]
    following = None
    if len(rows) > wanted.limit:
        following = write_cursor(order.kind, *(page[-1]._mapping[f"key{place}"] for place in range(len(order.columns))))
    return jobs_of(connection, page), following


def number_of_jobs(connection: Connection, wanted: JobFilter) -> int:
    """Return how many jobs there are on all pages together."""
    conditions = _conditions(connection, wanted)
    if wanted.states:
        conditions.append(jobs.c.state.in_(sorted(set(wanted.states))))
    return connection.execute(select(func.count()).select_from(jobs).where(*conditions)).scalar_one()


def _conditions(connection: Connection, wanted: JobFilter) -> list[ColumnElement[bool]]:
    """Return what jobs on any page of *wanted* meet, besides their states."""
    conditions = [
        jobs.c[name] == value
        for name in ("platform", "batch_id", "parent_id", "kind", "preset")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.since is not None:
        conditions.append(jobs.c.created_at >= utc(wanted.since))
    if wanted.until is not None:
        conditions.append(jobs.c.created_at < utc(wanted.until))
    if wanted.text:
        conditions.append(_contains(connection, jobs.c.search, wanted.text.casefold()))
    return conditions


def _first(
    order: _Order, conditions: Sequence[ColumnElement[bool]], states: Sequence[JobState], limit: int
) -> Select[Any]:
    """Return what asks for the first jobs, and their keys, that meet *conditions* in one of *states*; none: in any.

    By age, each state by itself is read in order from an index, a page at most; asked for several at once, a database
    would read and sort all that there are.
    """
    keys = (column.label(f"key{place}") for place, column in enumerate(order.columns))
    found = order.sorted(select(jobs, *keys)).limit(limit)
    if len(states) < 2:
        return found.where(*conditions, *(jobs.c.state == state for state in states))
    if order.keys:
        return found.where(*conditions, jobs.c.state.in_(sorted(set(states))))
    parts = (
        order.sorted(select(jobs.c.seq).where(*conditions, jobs.c.state == state)).limit(limit).subquery()
        for state in sorted(set(states))
    )
    return found.where(jobs.c.seq.in_(union_all(*(select(part.c.seq) for part in parts))))


def _contains(connection: Connection, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    # Not LIKE: it has wildcards, and SQLite refuses long patterns.
    position = func.instr if connection.dialect.name == "sqlite" else func.strpos
    return position(column, type_coerce(text, column.type)) > 0
