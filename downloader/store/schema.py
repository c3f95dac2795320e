"""The tables of the store, and how times and text are kept in them, alike in SQLite and PostgreSQL."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
    true,
)
from sqlalchemy.schema import conv

from downloader.presets import Expand

#: The newest revision in migrations/versions. Written down here so that a start with a database that has it
#: needs neither Alembic nor its import.
HEAD = "0007"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# PostgreSQL has no text with NUL, and no UTF-8 has lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(value: str) -> str:
    """Return *value* with what no database can store replaced by U+FFFD."""
    if value.isascii() and "\0" not in value:  # as most of it, and told sooner
        return value
    return _UNSTORABLE.sub("\ufffd", value)


class CleanText(TypeDecorator[str]):
    """Text from strangers: `clean`ed on its way in, also where it is only compared with."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean(value)


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept as whole microseconds since 1970.

    A number is exact, sorts, subtracts and means the same in both databases; SQLite has no type for times, and what
    PostgreSQL returns depends on its session's time zone.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without its time zone cannot be stored")
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + value * _MICROSECOND


class TextList(TypeDecorator[tuple[str, ...]]):
    """Some texts in order, as a JSON list; see `clean`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str:
        return json.dumps([clean(text) for text in value], separators=(",", ":")) if value else "[]"

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:
        return tuple(json.loads(value)) if value and value != "[]" else ()


class ExpandJson(TypeDecorator[Expand]):
    """How a collection is taken apart, as a JSON list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Expand | None, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(expand_values(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Expand | None:
        if value is None:
            return None
        limit, order, since = json.loads(value)
        return Expand(limit=limit, order=order, since=None if since is None else date.fromisoformat(since))


def expand_values(expand: Expand) -> list[str | int | None]:
    """Return *expand* as JSON."""
    return [expand.limit, expand.order, None if expand.since is None else expand.since.isoformat()]


# SQLite numbers rows by itself only where the key is called INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

batches = Table(
    "batches",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),  # the order of pages
    Column("id", CleanText, nullable=False, unique=True),
    Column("created_at", UtcTime, nullable=False),
    Column("total", Integer, nullable=False),
    Column("idempotency_key", CleanText, unique=True),
    Column("fingerprint", Text, nullable=False),  # of its URLs: is a repeated key the same submission?
    # It only ever goes from true to false, and second_round_at from nothing to a time: code that finds
    # no second round to come may rely on it, without a lock.
    Column("retry_failed_once", Boolean, nullable=False, server_default=false()),
    Column("second_round_at", UtcTime),
    Column("second_round_jobs", Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,  # a number is never given twice, so that a cursor keeps its place
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("id", CleanText, nullable=False, unique=True),
    Column("batch_id", CleanText, ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
    Column("url", CleanText, nullable=False),
    Column("link", CleanText),
    Column("platform", Text, nullable=False),
    Column("preset", CleanText, nullable=False, server_default="video"),
    Column("kind", Text, nullable=False, server_default="video"),
    Column("wanted_subtitles", TextList, nullable=False, server_default="[]"),
    Column("folder", CleanText, nullable=False, server_default=text("''")),
    Column("again", Boolean, nullable=False, server_default=false()),
    Column("photos", Boolean, nullable=False, server_default=true()),
    Column("post_key", CleanText),
    Column("reused", Boolean, nullable=False, server_default=false()),
    Column("parent_id", CleanText),  # no foreign key: the entries of a deleted collection stay
    Column("expand", ExpandJson),
    Column("listed", Integer, nullable=False, server_default="0"),
    Column("found", Integer),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, key="counted_attempts", nullable=False),
    Column("tries", Integer, key="attempt_number", nullable=False),
    Column("egress", Text, nullable=False, server_default=text("''")),
    Column("last_try", Boolean, key="final_attempt", nullable=False, server_default=false()),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("next_attempt_at", UtcTime),
    Column("error_code", Text),
    Column("error", CleanText),
    Column("detail", CleanText),
    Column("media_id", CleanText),
    Column("title", CleanText),
    Column("uploader", CleanText),
    Column("uploaded_at", UtcTime),
    Column("duration_seconds", Float),
    Column("width", Integer),
    Column("height", Integer),
    Column("size_bytes", BigInteger),
    Column("thumbnails", TextList, nullable=False, server_default="[]"),
    Column("thumbnail_failures", Integer, nullable=False, server_default="0"),
    Column("subtitles", TextList, nullable=False, server_default="[]"),
    Column("subtitles_missing", TextList, nullable=False, server_default="[]"),
    Column("elapsed_seconds", Float, nullable=False),
    # url, title and error in folded case: neither database folds more than ASCII alike.
    Column("search", CleanText, nullable=False),
    # The first migration named it twice over, and so it is called everywhere.
    CheckConstraint("(state = 'waiting') = (next_attempt_at IS NOT NULL)", name=conv("ck_jobs_ck_jobs_waits_until")),
    sqlite_autoincrement=True,
)
Index("ix_jobs_state", jobs.c.state, jobs.c.seq)
Index("ix_jobs_platform_state", jobs.c.platform, jobs.c.state, jobs.c.seq)
Index("ix_jobs_batch_state", jobs.c.batch_id, jobs.c.state, jobs.c.seq)
Index("ix_jobs_post_key", jobs.c.post_key, jobs.c.state)
Index("ix_jobs_parent", jobs.c.parent_id, jobs.c.state, jobs.c.seq, sqlite_where=text("parent_id IS NOT NULL"))
_waiting = text("next_attempt_at IS NOT NULL")
Index(  # partial in PostgreSQL too: see `use_postgresql`
    "ix_jobs_waiting",
    jobs.c.platform,
    jobs.c.next_attempt_at,
    sqlite_where=_waiting,
)

#: Each link of a batch as it was sent, repeated ones too.
links = Table(
    "links",
    metadata,
    Column("batch_id", CleanText, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("job_id", CleanText, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("url", CleanText, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", CleanText, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("result", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime, index=True),
    Column("error_code", Text),
    Column("error", CleanText),
    Column("detail", CleanText),
)
_running = text("result = 'running'")
Index("uq_attempts_running", attempts.c.job_id, unique=True, sqlite_where=_running)

files = Table(
    "files",
    metadata,
    Column("job_id", CleanText, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("path", CleanText, nullable=False, index=True),
)

#: Posts that count as had; `post` is the name that `platform_detector` gives them.
archive = Table(
    "archive",
    metadata,
    Column("platform", Text, primary_key=True),
    Column("post", CleanText, primary_key=True),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # from `numbers`
    Column("at", UtcTime, nullable=False),
    Column("kind", Text, nullable=False),
    Column("batch_id", CleanText),
    Column("job_id", CleanText),
    Column("data", Text, nullable=False),  # JSON
)
Index("ix_events_batch", events.c.batch_id, events.c.id)

#: What is to be told of batches that ended, for each receiver. A batch may be deleted before that.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("receiver", Text, primary_key=True),
    Column("body", Text, nullable=False),  # JSON
    Column("created_at", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcTime, nullable=False),
)
Index("ix_outbox_next", outbox.c.receiver, outbox.c.next_attempt_at)

#: Of platforms, by way out.
cooldowns = Table(
    "cooldowns",
    metadata,
    Column("platform", Text, primary_key=True),
    Column("egress", Text, primary_key=True),
    Column("cap", Float, nullable=False),
    Column("cooling_until", UtcTime),
    Column("strikes", Integer, nullable=False),
)

#: Single numbers, by name: `last_event_id` and `paused` (0 or 1).
numbers = Table(
    "numbers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)


def use_postgresql() -> None:
    """Make indexes partial in PostgreSQL as in SQLite. Said at their definition, it would load PostgreSQL's dialect."""
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
