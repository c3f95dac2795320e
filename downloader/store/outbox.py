"""The outbox: what is to be told of batches that ended, stored with their end and kept until it is delivered."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import BindParameter, Connection, Engine, bindparam, case, delete, insert, literal, select, update

from downloader.jobs import UNFINISHED_STATES, Batch, JobState, Message
from downloader.store import queries
from downloader.store.database import reading, writing
from downloader.store.queries import chunks
from downloader.store.rows import new_id, utc
from downloader.store.schema import UtcTime, batches, jobs, outbox
from downloader.util.plain_text import plain

#: Problems that a message lists; it counts the others.
MAX_PROBLEMS = 20
#: Longest texts in a message, in characters: they come from strangers.
MAX_TEXT = 300
MAX_URL = 1000

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_unfinished = select(jobs.c.seq).where(jobs.c.batch_id == batches.c.id, jobs.c.state.in_(sorted(UNFINISHED_STATES)))
_FINAL = select(batches.c.id).where(batches.c.id.in_(_IDS), ~_unfinished.exists()).order_by(batches.c.seq)
#: See `Job.is_held`. Asked apart, of what is final: it looks at all that failed, each time.
_HELD = (
    select(jobs.c.seq)
    .where(
        jobs.c.batch_id == bindparam("batch"),
        jobs.c.state == "failed",
        jobs.c.error_code == "cancelled",
        jobs.c.attempt_number == 0,
    )
    .limit(1)
)
_PROBLEMS = (
    select(jobs.c.id, jobs.c.url, jobs.c.platform, jobs.c.title, jobs.c.error_code, jobs.c.error)
    .where(jobs.c.batch_id == bindparam("batch"), jobs.c.state == "failed")
    .order_by(jobs.c.seq)
    .limit(MAX_PROBLEMS)
)
_NEXT = (
    select(outbox)
    .where(outbox.c.receiver == bindparam("name"))
    .order_by(outbox.c.next_attempt_at, outbox.c.created_at, outbox.c.id)
    .limit(1)
)


class Outbox:
    """The messages of some receivers; callable from any thread."""

    def __init__(self, engine: Engine, receivers: Sequence[str], *, only_problems: bool) -> None:
        """For *receivers*, by name; *only_problems*: batches in which nothing failed have no messages."""
        self._engine = engine
        self._receivers = tuple(receivers)
        self._only_problems = only_problems
        #: called after each change that added messages, by the thread that made it
        self.on_added: Callable[[], None] = lambda: None

    def add_ended(self, connection: Connection, batch_ids: Collection[str], now: datetime) -> bool:
        """Store messages for those of the batches that have ended, which is part of the same transaction; return
        whether there are any."""
        rows = []
        for ids in chunks(batch_ids):
            for batch_id in connection.scalars(_FINAL, {"ids": ids}).all():
                if connection.scalar(_HELD, {"batch": batch_id}) is not None:
                    continue  # it has not been started yet
                batch = queries.batch(connection, batch_id)
                if self._only_problems and not batch.counts.get("failed"):
                    continue
                message_id = new_id()
                body = json.dumps(_body(connection, batch, message_id, now), separators=(",", ":"))
                rows += [
                    {
                        "id": message_id,
                        "receiver": name,
                        "body": body,
                        "created_at": now,
                        "attempts": 0,
                        "next_attempt_at": now,
                    }
                    for name in self._receivers
                ]
        if rows:
            connection.execute(insert(outbox), rows)
        return bool(rows)

    # Delivering

    def next(self, receiver: str) -> Message | None:
        """Return the message of *receiver* that is due first."""
        with reading(self._engine) as connection:
            row = connection.execute(_NEXT, {"name": receiver}).first()
        return None if row is None else Message(**row._mapping)

    def delivered(self, message: Message, *, now: datetime) -> None:
        """Forget *message*; what failed before is due now, as its receiver is back."""
        with writing(self._engine) as connection:
            connection.execute(delete(outbox).where(*_is(message)))
            late = outbox.c.receiver == message.receiver, outbox.c.next_attempt_at > utc(now)
            # The oldest first, and no two at one time, where `next` would have to sort them for each message.
            at = case((outbox.c.created_at < utc(now), outbox.c.created_at), else_=literal(utc(now), UtcTime))
            connection.execute(update(outbox).where(*late).values(next_attempt_at=at))

    def postpone(self, message: Message, until: datetime) -> None:
        """Count a failed attempt to deliver *message*, and have the next one *until* then."""
        values = {"attempts": message.attempts + 1, "next_attempt_at": utc(until)}
        with writing(self._engine) as connection:
            connection.execute(update(outbox).where(*_is(message)).values(values))

    def give_up(self, message: Message) -> None:
        """Forget *message*."""
        with writing(self._engine) as connection:
            connection.execute(delete(outbox).where(*_is(message)))

    def give_up_before(self, receiver: str, moment: datetime) -> int:
        """Forget the messages for *receiver* that are as old as that; return how many."""
        old = outbox.c.receiver == receiver, outbox.c.created_at <= utc(moment)
        with writing(self._engine) as connection:
            return connection.execute(delete(outbox).where(*old)).rowcount

    def drop_others(self) -> int:
        """Forget the messages of receivers that there are no more; return how many."""
        with writing(self._engine) as connection:
            return connection.execute(delete(outbox).where(outbox.c.receiver.not_in(self._receivers))).rowcount


def _is(message: Message) -> tuple[Any, Any]:
    return outbox.c.id == message.id, outbox.c.receiver == message.receiver


def _body(connection: Connection, batch: Batch, message_id: str, now: datetime) -> dict[str, Any]:
    counts = {state: batch.counts.get(state, 0) for state in get_args(JobState)}
    problems = [
        {
            "job_id": row.id,
            "url": plain(row.url, MAX_URL),
            "platform": row.platform,
            "title": row.title and plain(row.title, MAX_TEXT),
            "error_code": row.error_code,
            "error": row.error and plain(row.error, MAX_TEXT),
        }
        for row in connection.execute(_PROBLEMS, {"batch": batch.id})
    ]
    return {
        "id": message_id,
        "event": "batch_ended",
        "at": now.isoformat(),
        "batch": {
            "id": batch.id,
            "title": batch.title and plain(batch.title, MAX_TEXT),
            "created_at": batch.created_at.isoformat(),
            "total": batch.total,
            "counts": counts,
        },
        "problems": problems,
        "more_problems": counts["failed"] - len(problems),
    }
