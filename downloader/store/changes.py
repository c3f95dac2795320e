"""Changes of the store: legal moves of jobs, and the events that tell of them, in one transaction each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, bindparam, delete, insert, select, update

from downloader.errors import IllegalTransition
from downloader.jobs import (
    FINAL_STATES,
    TRANSITIONS,
    UNFINISHED_STATES,
    AttemptEnd,
    AttemptResult,
    Described,
    Event,
    EventKind,
    Job,
    JobState,
)
from downloader.store.outbox import Outbox
from downloader.store.paths import stored_path
from downloader.store.queries import chunks, jobs_of
from downloader.store.rows import changed_columns, details_fields, end_fields, event_row, job_view, search_with, utc
from downloader.store.schema import attempts, batches, events, files, jobs, numbers

# What is written and locked for each job is put together once: doing so takes longer than running it.
_UPDATE_JOB = update(jobs).where(jobs.c.id == bindparam("job"))
_END_ATTEMPT = update(attempts).where(attempts.c.job_id == bindparam("job"), attempts.c.number == bindparam("attempt"))
_BEGIN_ATTEMPT, _ADD_FILE, _ADD_EVENT = insert(attempts), insert(files), insert(events)
_TAKE_NUMBERS = (
    update(numbers)
    .where(numbers.c.name == "last_event_id")
    .values(value=numbers.c.value + bindparam("count"))
    .returning(numbers.c.value)
)
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_LOCK_JOBS = select(jobs).where(jobs.c.id.in_(_IDS)).order_by(jobs.c.id).with_for_update()


class _BatchLock:
    """Finds the batches of some jobs that meet *conditions*, and locks them."""

    def __init__(self, *conditions: ColumnElement[bool]) -> None:
        theirs = select(jobs.c.batch_id).where(jobs.c.id.in_(_IDS))
        self.find = select(batches.c.id).where(batches.c.id.in_(theirs), *conditions)
        named = batches.c.id.in_(_IDS)
        self.lock = select(batches.c.id).where(named, *conditions).order_by(batches.c.id).with_for_update()


_ANY_BATCH = _BatchLock()
_SECOND_ROUND = _BatchLock(batches.c.retry_failed_once, batches.c.second_round_at.is_(None))

#: What `Change.move_alike` may change, and events tell.
_TOLD_AS = {"counted_attempts": "attempts", "error_code": "error_code", "error": "error"}

#: Says when a failed job, now that all of its batch has ended, is tried once more; None: not at all.
SecondTry = Callable[[Job, datetime], datetime | None]


class Change:
    """What is to become of some jobs; their moves are written by `write`, at the end.

    Locks are taken on batches first, then jobs, each in the order of their ids, and on the numbers of events last, so
    that there is no deadlock.

    Attributes:
        events: with their numbers, once they are written.
        ended_batches: those that may have ended other than by the moves.
        has_messages: once they are written, whether it put some in the outbox.
    """

    def __init__(
        self, connection: Connection, now: datetime, take_turn: Callable[[], object], outbox: Outbox | None = None
    ) -> None:
        self.connection = connection
        self.now = now
        self.events: list[Event] = []
        self.ended_batches: set[str] = set()
        self.has_messages = False
        self._outbox = outbox
        self._take_turn = take_turn
        self._moved: list[Job] = []
        self._unwritten: dict[str, dict[str, Any]] = {}  #: columns of these, by job
        self._started: list[Job] = []
        self._ended: list[dict[str, Any]] = []
        # Of batches that have a second round to come, and end when these are final:
        self._last: dict[str, set[str]] = {}
        self._failed: list[Job] = []  # what of them failed before

    # -- jobs

    def lock(self, *conditions: Any) -> list[Job]:
        """Return the jobs that meet *conditions*, oldest first; locked until the end."""
        query = select(jobs).where(*conditions).order_by(jobs.c.id).with_for_update()
        return self.jobs_of(self.connection.execute(query).all())

    def lock_ids(self, ids: Collection[str]) -> list[Job]:
        """Return those of *ids* that there are, oldest first; locked until the end."""
        return self.jobs_of([row for some in chunks(ids) for row in self.connection.execute(_LOCK_JOBS, {"ids": some})])

    def lock_to_end(self, ids: Collection[str]) -> list[Job]:
        """As `lock_ids`, for what may become final; `begin_second_rounds` goes with it.

        Of two changes that end the last two jobs of a batch, exactly one must see itself as the last: hence the batch
        is locked, where it has a second round to come, or its end is to be told. Until then nothing of it can become
        final, or be retried.
        """
        if self._outbox is not None:
            self.lock_batches(ids)
        named, failed = set(ids), set[str]()
        for batch_id in self.lock_second_rounds(ids):
            of_batch = select(jobs.c.id).where(jobs.c.batch_id == batch_id)
            # One more than are named is enough to see that it has others.
            unfinished = of_batch.where(jobs.c.state.in_(UNFINISHED_STATES)).limit(len(named) + 1)
            left = set(self.connection.scalars(unfinished))
            if left and left <= named:
                self._last[batch_id] = left
                owned = jobs.c.link.is_not(None)  # the others are never claimed
                failed.update(self.connection.scalars(of_batch.where(jobs.c.state == "failed", owned)))
        locked = self.lock_ids(named | failed)
        self._failed += (job for job in locked if job.id in failed)
        return [job for job in locked if job.id in named]

    def lock_second_rounds(self, ids: Collection[str]) -> list[str]:
        """Lock and return the batches of the jobs *ids* that have a second round to come."""
        return self.lock_batches(ids, _SECOND_ROUND)

    def lock_batches(self, ids: Collection[str], query: _BatchLock = _ANY_BATCH) -> list[str]:
        """Lock and return the batches of the jobs *ids*."""
        found = {batch for some in chunks(ids) for batch in self.connection.scalars(query.find, {"ids": some})}
        return [locked for some in chunks(found) for locked in self.connection.scalars(query.lock, {"ids": some})]

    def jobs_of(self, rows: Sequence[Row[Any]]) -> list[Job]:
        """Return the jobs of *rows*, oldest first."""
        return jobs_of(self.connection, sorted(rows, key=lambda row: int(row.seq)))

    def move(self, job: Job, state: JobState, *, next_attempt_at: datetime | None = None, **changes: Any) -> Job:
        """Return *job* in *state*, with *changes*. The only place where a stored job gets another state.

        Raises:
            IllegalTransition: the table of legal moves does not have it.
        """
        if state not in TRANSITIONS[job.state]:
            raise IllegalTransition(job.state, state)
        finished_at = self.now if state in FINAL_STATES else None
        return self.revise(job, state=state, finished_at=finished_at, next_attempt_at=next_attempt_at, **changes)

    def move_alike(self, those: Sequence[Job], state: JobState, **changes: Any) -> list[Job]:
        """As `move`, with the same *changes* for all of them, which alone are written and told.

        Those may be the thousands of entries of a collection.
        """
        for job in those:
            if state not in TRANSITIONS[job.state]:
                raise IllegalTransition(job.state, state)
        finished_at = self.now if state in FINAL_STATES else None
        values = {
            "state": state,
            "updated_at": self.now,
            "finished_at": finished_at,
            "next_attempt_at": None,
            **changes,
        }
        by_error = defaultdict[str | None, list[str]](list)
        for job in those:
            by_error[job.error].append(job.id)
        for before, ids in by_error.items():
            text = jobs.c.search if "error" not in changes else search_with(changes["error"], before)
            for some in chunks(ids):
                self.connection.execute(update(jobs).where(jobs.c.id.in_(some)).values(**values, search=text))
        moved = [replace(job, **values) for job in those]
        self._moved += moved
        told = {"state": state, "next_attempt_at": None}
        told |= {_TOLD_AS[name]: value for name, value in changes.items() if name in _TOLD_AS}
        for job in moved:
            self.tell("job_changed", batch_id=job.batch_id, job_id=job.id, data=told)
        return moved

    def postpone(self, job: Job, step: timedelta) -> None:
        """Have *job*, which waits, wait until *step* later."""
        assert job.next_attempt_at is not None
        self.revise(job, next_attempt_at=job.next_attempt_at + step)

    def revise(self, job: Job, **changes: Any) -> Job:
        """Return *job*, as the store has it or as this change left it, with *changes*; for its state, see `move`."""
        changes["updated_at"] = self.now
        revised = replace(job, **changes)
        self._moved.append(revised)
        self._unwritten.setdefault(job.id, {}).update(changed_columns(job, revised, changes))
        self.tell("job_changed", batch_id=job.batch_id, job_id=job.id, data=job_view(revised))
        return revised

    def begin(self, job: Job, egress: str) -> Job:
        """Return *job* running its next attempt, which takes the way out *egress*."""
        moved = self.move(
            job,
            "running",
            counted_attempts=job.counted_attempts + 1,
            attempt_number=job.attempt_number + 1,
            egress=egress,
            started_at=self.now,
            error_code=None,
            error=None,
            detail=None,
        )
        self._started.append(moved)
        return moved

    def end(self, job: Job, state: JobState, result: AttemptResult, **changes: Any) -> Job:
        """Return *job*, which is running, in *state*; its attempt ended with *result* and the errors in *changes*."""
        moved = self.move(job, state, **changes)
        has_error = result in {"failed", "interrupted"}  # a success has no error, and "cancelled" says it all
        self._ended.append(
            {
                "job": job.id,
                "attempt": job.attempt_number,
                "result": result,
                "ended_at": self.now,
                "error_code": moved.error_code if has_error else None,
                "error": moved.error if has_error else None,
                "detail": moved.detail if has_error else None,
            }
        )
        return moved

    def finish(self, ends: Sequence[AttemptEnd]) -> dict[str, Job]:
        """Lock the jobs of *ends*, and end those that run that attempt; return these by id."""
        running = {job.id: job for job in self.lock_to_end([end.job_id for end in ends]) if job.state == "running"}
        ended: dict[str, Job] = {}
        now = self.now
        for end in ends:
            job = running.get(end.job_id)
            if job is None or job.id in ended or end.attempt not in {None, job.attempt_number}:
                continue
            self.now = utc(end.at)
            ended[job.id] = self.end(
                job,
                end.state,
                end.result,
                next_attempt_at=None if end.next_attempt_at is None else utc(end.next_attempt_at),
                counted_attempts=job.counted_attempts - (end.result == "interrupted" and job.counted_attempts > 0),
                elapsed_seconds=elapsed_seconds(job, self.now),
                **end_fields(job, end),
            )
        self.now = now
        return ended

    def describe(self, described: Sequence[Described]) -> None:
        """Store what running attempts told, where it is news."""
        jobs = {job.id: job for job in self.lock_ids([one.job_id for one in described])}
        for one in described:
            job = jobs.get(one.job_id)
            if job is None or job.state != "running" or job.attempt_number != one.attempt:
                continue
            news = details_fields(job, one.details)
            if any(getattr(job, name) != value for name, value in news.items()):
                self.revise(job, **news)

    def begin_second_rounds(self, second_try: SecondTry) -> dict[str, Job]:
        """Put back what *second_try* says of each batch that ended with the moves so far; return it by id.

        No event says in between that the batch has ended: the second round comes before the moves that ended it, and a
        job that failed just now has one event, as waiting.
        """
        ended = {job.id: job for job in self._moved if job.state in FINAL_STATES}
        before, self.events = self.events, []
        put_back: dict[str, Job] = {}
        for batch_id, last in self._last.items():
            if not last <= ended.keys():
                continue
            failed = [job for job in self._failed if job.batch_id == batch_id]
            failed += (job for job in ended.values() if job.id in last and job.state == "failed")
            again = [(job, at) for job in failed if (at := second_try(job, self.now)) is not None]
            if again:
                self._tell_second_round(batch_id, len(again))
            for job, at in again:
                put_back[job.id] = self.move(job, "waiting", next_attempt_at=utc(at), final_attempt=True)
        self.events += [event for event in before if event.job_id not in put_back]
        return put_back

    def _tell_second_round(self, batch_id: str, number: int) -> None:
        values = {"second_round_at": self.now, "second_round_jobs": number}
        self.connection.execute(update(batches).where(batches.c.id == batch_id).values(values))
        self.tell("batch_changed", batch_id=batch_id, data=values | {"second_round_at": self.now.isoformat()})

    def delete(self, deleted: Sequence[Job]) -> None:
        """Delete the records of *deleted*, and their batches where these have no jobs left.

        The batches must be locked: of two that delete the last two jobs of one, each would else leave it to the other.
        """
        for ids in chunks([job.id for job in deleted]):
            self.connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
        gone: set[str] = set()
        for ids in chunks([job.batch_id for job in deleted]):
            left = select(jobs.c.seq).where(jobs.c.batch_id == batches.c.id).exists()
            query = delete(batches).where(batches.c.id.in_(ids), ~left).returning(batches.c.id)
            gone.update(self.connection.scalars(query))
        for job in deleted:
            self.tell(
                "job_deleted",
                batch_id=job.batch_id,
                job_id=job.id,
                data={"platform": job.platform, "batch_deleted": job.batch_id in gone},
            )

    # -- events

    def tell(
        self, kind: EventKind, *, data: dict[str, Any], batch_id: str | None = None, job_id: str | None = None
    ) -> None:
        """Have an event stored with the change."""
        self.events.append(Event(id=0, at=self.now, kind=kind, batch_id=batch_id, job_id=job_id, data=data))

    def flush(self) -> None:
        """Write the moves so far, so that queries see them."""
        # Alike changes are one statement. Of some 40 columns, a start has 5 and a success 15.
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for job_id, columns in self._unwritten.items():
            alike[tuple(columns)].append({"job": job_id, **columns})
        for rows in alike.values():
            self.connection.execute(_UPDATE_JOB, rows)
        self._unwritten = {}

    def write(self) -> None:
        """Write the moves, what is to be told of batches that ended with them, and the events last."""
        self.flush()
        if self._outbox is not None:
            ended = self.ended_batches | {job.batch_id for job in self._moved if job.state in FINAL_STATES}
            self.has_messages = bool(ended) and self._outbox.add_ended(self.connection, ended, self.now)
        if self._started:
            rows = [
                {"job_id": job.id, "number": job.attempt_number, "result": "running", "started_at": self.now}
                for job in self._started
            ]
            self.connection.execute(_BEGIN_ATTEMPT, rows)
        if self._ended:
            self.connection.execute(_END_ATTEMPT, self._ended)
        paths = [
            {"job_id": job.id, "position": position, "path": stored_path(self.connection, path)}
            for job in self._moved
            for position, path in enumerate(job.files)
        ]
        if paths:
            self.connection.execute(_ADD_FILE, paths)
        if self.events:
            self._number_events()

    def lock_numbers(self) -> None:
        """Lock what there is only one of, until the end."""
        self._take_turn()
        last = select(numbers.c.value).where(numbers.c.name == "last_event_id")
        self.connection.execute(last.with_for_update()).all()

    def _number_events(self) -> None:
        # A number's row stays locked until the end of the transaction, so that numbers become visible in
        # their order: after number 7 there is never a new 6. A sequence would not promise that.
        self._take_turn()
        last = self.connection.execute(_TAKE_NUMBERS, {"count": len(self.events)}).scalar_one()
        first = last - len(self.events) + 1
        self.events = [replace(event, id=first + index) for index, event in enumerate(self.events)]
        self.connection.execute(_ADD_EVENT, [event_row(event) for event in self.events])


def elapsed_seconds(job: Job, now: datetime) -> float:
    """Return what all attempts of *job*, which is running, took together if it ends now."""
    if job.started_at is None:
        return job.elapsed_seconds
    # A clock that was set back must not make a download take less than no time.
    return job.elapsed_seconds + max(0.0, (now - job.started_at).total_seconds())
