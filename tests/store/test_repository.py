"""What every store must do: one suite, run on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import IntegrityError

from downloader.errors import (
    BadCursor,
    ErrorCode,
    IdempotencyConflict,
    IllegalTransition,
    NotFound,
    StartRefused,
    StoreUnavailable,
    is_retryable,
)
from downloader.jobs import (
    FINAL_STATES,
    AttemptResult,
    Event,
    Job,
    JobFilter,
    JobState,
    NewJob,
    PlatformRest,
    Submission,
)
from downloader.models import Media, Outcome
from downloader.platforms import PlatformType
from downloader.store import database as store_database
from downloader.store.database import _upgrade, open_database, reading, writing
from downloader.store.repository import Store
from downloader.store.schema import HEAD, metadata
from tests import postgres

REPOSITORY = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)
NETWORK = Outcome(False, None, "The connection broke off.", error_code="network", detail="Errno 104")
PRIVATE = Outcome(False, None, "This post is private.", error_code="private")
LIMITED = Outcome(False, None, "The platform asks for a pause.", error_code="rate_limited")
MINUTE = timedelta(minutes=1)
BACKENDS = ["sqlite", "postgresql"]


def post(number: int, platform: PlatformType = "tiktok") -> NewJob:
    url = f"https://www.{platform}.com/post/{number}"
    return NewJob(url=url, link=url, platform=platform)


def nobody(url: str) -> NewJob:
    return NewJob(
        url=url, link=None, platform="unknown", error_code="unsupported_platform", error="Unsupported platform"
    )


def downloaded(*files: str, title: str = "A film", seconds: float = 1.5) -> Outcome:
    media = Media(files=files, id="7", title=title, duration_seconds=seconds, size_bytes=3_000_000_000)
    return Outcome(True, files[0], None, media=media)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "template.sqlite3"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path) -> Iterator[str]:
    """Return the URL of a fresh database that has our tables."""
    if request.param == "sqlite":
        path = shutil.copy(migrated_sqlite, tmp_path / "store.sqlite3")
        yield f"sqlite:///{path}"
    else:
        with postgres.fresh_database() as url:
            yield url


@pytest.fixture(params=BACKENDS)
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.sqlite3'}"
    else:
        with postgres.empty_database() as url:
            yield url


@pytest.fixture
def open_store(database_url: str) -> Iterator[Callable[[], Store]]:
    """Return what opens one more Store on the same database."""
    opened: list[Store] = []

    def open_one() -> Store:
        opened.append(Store.open(database_url))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


def submit(store: Store, *new: NewJob, now: datetime = NOW) -> tuple[Job, ...]:
    return store.submit(new, now=now).jobs


def in_each_state(store: Store) -> dict[JobState, Job]:
    """Return one TikTok job in each state there is."""
    jobs: dict[JobState, Job] = {}
    submit(store, *(post(number) for number in range(5)))
    succeeds, fails, waits, runs, _ = store.claim("tiktok", 5, now=NOW)
    jobs["succeeded"] = finished(store, succeeds, "succeeded", downloaded("/raw/a.mp4"))
    jobs["failed"] = finished(store, fails, "failed", NETWORK)
    jobs["waiting"] = finished(store, waits, "waiting", NETWORK, next_attempt_at=LATER)
    jobs["running"] = runs
    [cancelled] = submit(store, post(6))
    store.cancel([cancelled.id], now=NOW)
    jobs["cancelled"] = store.job(cancelled.id)
    store.finish(_.id, state="queued", result="interrupted", outcome=None, now=NOW)
    jobs["queued"] = store.job(_.id)
    return jobs


def finished(
    store: Store, job: Job, state: JobState, outcome: Outcome | None, *, next_attempt_at: datetime | None = None
) -> Job:
    result: AttemptResult = "succeeded" if state == "succeeded" else "failed"
    ended = store.finish(job.id, state=state, result=result, outcome=outcome, now=NOW, next_attempt_at=next_attempt_at)
    assert ended is not None
    return ended


# -- submitting


def test_a_batch_has_a_job_for_each_link_in_the_order_sent(store: Store) -> None:
    submission = store.submit([post(2), post(1, "youtube"), nobody("https://example.com/")], now=NOW)
    assert submission.created
    assert submission.batch.total == 3
    assert submission.batch.counts == {"queued": 2, "failed": 1}
    assert [job.url for job in submission.jobs] == [post(2).url, post(1, "youtube").url, "https://example.com/"]
    assert [job.state for job in submission.jobs] == ["queued", "queued", "failed"]
    assert store.batch(submission.batch.id) == submission.batch
    assert [store.job(job.id) for job in submission.jobs] == list(submission.jobs)
    assert store.job_ids(submission.batch.id) == [job.id for job in submission.jobs]
    assert store.job_ids(submission.batch.id, states=["failed"]) == [submission.jobs[2].id]


def test_a_link_that_no_platform_owns_fails_at_once_and_says_why(store: Store) -> None:
    [job, silent] = submit(store, nobody("ftp://x"), NewJob(url="y", link=None, platform="unknown"))
    assert (job.state, job.error_code, job.error) == ("failed", "unsupported_platform", "Unsupported platform")
    assert (silent.state, silent.error_code, silent.error) == ("failed", "unsupported_platform", "Unsupported platform")
    assert job.finished_at == NOW
    assert store.due() == {}


def test_equal_links_are_one_job_each_under_the_url_that_was_sent(store: Store) -> None:
    link = "https://youtu.be/1"
    sent = [
        NewJob(url="http://youtu.be/1?si=x", link=link, platform="youtube"),
        post(1),
        NewJob(url=link, link=link, platform="youtube"),
        nobody("same"),
        nobody("same"),
    ]
    submission = store.submit(sent, now=NOW)
    first, other, again, *nobodies = submission.jobs
    assert first == again != other
    assert nobodies[0] == nobodies[1]
    assert submission.batch.total == 5
    assert sum(submission.batch.counts.values()) == 3
    pairs = store.batch_jobs(submission.batch.id)
    assert pairs == [(new.url, job) for new, job in zip(sent, submission.jobs, strict=True)]


def test_an_empty_batch_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="at least one"):
        store.submit([], now=NOW)


def test_a_known_key_returns_the_batch_of_the_first_time(store: Store) -> None:
    first = store.submit([post(1), post(1), post(2)], now=NOW, idempotency_key="k")
    [claimed] = store.claim("tiktok", 1, now=NOW)
    again = store.submit([post(1), post(1), post(2)], now=LATER, idempotency_key="k")
    assert not again.created
    assert again.batch.id == first.batch.id
    assert again.jobs == (claimed, claimed, first.jobs[2])
    assert store.counts() == {"tiktok": {"queued": 1, "running": 1}}
    assert store.last_event_id() == 2  # the batch, and the job that was claimed


def test_a_known_key_with_other_links_is_a_conflict(store: Store) -> None:
    store.submit([post(1)], now=NOW, idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        store.submit([post(2)], now=NOW, idempotency_key="k")
    assert store.counts() == {"tiktok": {"queued": 1}}


def test_without_a_key_the_same_links_are_another_batch(store: Store) -> None:
    assert store.submit([post(1)], now=NOW).batch.id != store.submit([post(1)], now=NOW).batch.id


def test_one_key_sent_by_many_at_once_makes_one_batch(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    barrier = threading.Barrier(8)

    def send(number: int) -> Submission:
        barrier.wait(10)
        return stores[number % 2].submit([post(1), post(2)], now=NOW, idempotency_key="k")

    with ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(send, range(8)))
    assert len({submission.batch.id for submission in sent}) == 1
    assert [submission.created for submission in sent].count(True) == 1
    assert stores[0].counts() == {"tiktok": {"queued": 2}}


def test_a_batch_is_told_of_once_and_not_for_each_job(store: Store) -> None:
    submission = store.submit([post(number) for number in range(20)], now=NOW)
    [told] = store.events_since(0)
    assert (told.kind, told.batch_id, told.job_id, told.at) == ("batch_created", submission.batch.id, None, NOW)
    assert told.data == {"total": 20}


@pytest.mark.parametrize(
    "strange", ["a\x00b", "lone \ud800", "\udfff\x00", "😀 Ünïcode ﷽", "'; DROP TABLE jobs; --", ""]
)
def test_any_text_can_be_stored_and_asked_for(store: Store, strange: str) -> None:
    new = NewJob(url=strange, link=f"l{strange}", platform="tiktok")
    submission = store.submit([new], now=NOW, idempotency_key=strange)
    assert not store.submit([new], now=NOW, idempotency_key=strange).created
    [claimed] = store.claim("tiktok", 1, now=NOW)
    outcome = downloaded(f"/raw/{strange}.mp4", title=strange)
    outcome.detail = strange
    ended = finished(store, claimed, "succeeded", outcome)
    kept = strange.translate({0: "\ufffd", 0xD800: "\ufffd", 0xDFFF: "\ufffd"})
    assert store.job(claimed.id) == ended
    assert (ended.url, ended.title, ended.detail, ended.files) == (kept, kept, kept, (f"/raw/{kept}.mp4",))
    assert submission.jobs[0].url == kept
    assert store.file_users(f"/raw/{strange}.mp4") == 1
    assert store.jobs(JobFilter(text=strange))[0] == [ended]
    assert store.events_since(0)[-1].data["title"] == kept
    for missing in (lambda: store.job(f"{strange}!"), lambda: store.batch(f"{strange}!")):
        with pytest.raises(NotFound):
            missing()
    assert store.add_event(Event(id=0, at=NOW, kind="queue_changed", data={"x": strange})).data == {"x": strange}


# -- times and ids


def test_times_keep_their_microseconds_and_come_back_in_utc(store: Store) -> None:
    tokyo = timezone(timedelta(hours=9))
    [job] = submit(store, post(1), now=NOW.astimezone(tokyo))
    for kept in (job, store.job(job.id)):
        assert kept.created_at == NOW
        assert kept.created_at.tzinfo is UTC
        assert kept.created_at.microsecond == 123456
    [claimed] = store.claim("tiktok", 1, now=NOW)
    finished(store, claimed, "waiting", NETWORK, next_attempt_at=LATER.astimezone(tokyo))
    assert store.due() == {"tiktok": LATER}
    assert store.events_since(0)[-1].data["next_attempt_at"] == LATER.isoformat()


def test_a_time_without_its_zone_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="time zone"):
        store.submit([post(1)], now=NOW.replace(tzinfo=None))
    assert store.counts() == {}


def test_ids_fit_addresses_command_lines_and_folders(store: Store) -> None:
    submission = store.submit([post(number) for number in range(200)], now=NOW)
    ids = [submission.batch.id, *(job.id for job in submission.jobs)]
    assert len(set(ids)) == 201
    assert all(len(given) == 16 and given.isalnum() and given.islower() for given in ids)


# -- reading


@pytest.mark.parametrize(
    "ask",
    [
        Store.batch,
        Store.batch_jobs,
        Store.job_ids,
        Store.job,
        Store.attempts,
        lambda store, batch_id: store.cancel_batch(batch_id, now=NOW),
    ],
)
def test_what_is_not_there_is_not_found(store: Store, ask: Callable[[Store, str], Any]) -> None:
    with pytest.raises(NotFound, match="no such"):
        ask(store, "nothing")


def pages(ask: Callable[[str | None], tuple[list[Any], str | None]]) -> list[list[str]]:
    """Return the ids of all pages."""
    found, cursor = ask(None)
    all_pages = [[one.id for one in found]]
    while cursor is not None:
        found, cursor = ask(cursor)
        all_pages.append([one.id for one in found])
    return all_pages


def test_pages_of_jobs_join_up_newest_first(store: Store) -> None:
    ids = [job.id for job in submit(store, *(post(number) for number in range(7)))][::-1]
    assert pages(lambda cursor: store.jobs(JobFilter(cursor=cursor, limit=3))) == [ids[:3], ids[3:6], ids[6:]]
    assert pages(lambda cursor: store.jobs(JobFilter(cursor=cursor, limit=7))) == [ids]


def test_pages_of_batches_join_up_newest_first(store: Store) -> None:
    ids = [store.submit([post(1), post(number)], now=NOW).batch.id for number in range(5)][::-1]
    assert pages(lambda cursor: store.batches(before=cursor, limit=2)) == [ids[:2], ids[2:4], ids[4:]]
    assert store.batches()[0] == [store.batch(batch_id) for batch_id in ids]


def test_jobs_that_come_meanwhile_move_no_page(store: Store) -> None:
    ids = [job.id for job in submit(store, *(post(number) for number in range(6)))][::-1]
    first, cursor = store.jobs(JobFilter(limit=3))
    submit(store, *(post(number) for number in range(10, 20)))
    store.cancel([ids[0]], now=NOW)
    store.delete([ids[0]], now=NOW)
    second, _ = store.jobs(JobFilter(limit=3, cursor=cursor))
    assert [job.id for job in first + second] == ids


def test_jobs_are_filtered_by_state_platform_and_batch(store: Store) -> None:
    by_state = in_each_state(store)
    batch_id = by_state["running"].batch_id
    other = submit(store, post(1, "youtube"), post(2, "youtube"))
    everything = pages(lambda cursor: store.jobs(JobFilter(cursor=cursor, limit=100)))[0]
    assert len(everything) == 8

    def ids(**filters: Any) -> list[str]:
        found = [
            job_id
            for page in pages(lambda cursor: store.jobs(JobFilter(**filters, cursor=cursor, limit=2)))
            for job_id in page
        ]
        assert found == [job_id for job_id in everything if job_id in found]  # newest first, none twice
        return found

    for state, job in by_state.items():
        assert set(ids(states=[state], platform="tiktok")) == {job.id}
    assert set(ids(states=["queued"])) == {by_state["queued"].id, other[0].id, other[1].id}
    assert set(ids(states=["failed", "running", "failed"])) == {by_state["failed"].id, by_state["running"].id}
    assert set(ids(platform="youtube")) == {job.id for job in other}
    assert set(ids(batch_id=batch_id)) == {job.id for job in by_state.values()} - {by_state["cancelled"].id}
    assert set(ids(batch_id=batch_id, states=["waiting", "succeeded"], platform="tiktok")) == {
        by_state["waiting"].id,
        by_state["succeeded"].id,
    }
    assert ids(batch_id=batch_id, platform="youtube") == []
    assert ids(batch_id="nothing") == []


#: What is searched for, and the numbers of the jobs that have it, newest first.
SEARCHES: list[tuple[str, list[int]]] = [
    ("äpfel", [0]),
    ("ÄPFEL", [0]),
    ("STRASSE", [0]),
    ("100%", [1]),
    ("%", [1]),
    ("under_score", [2]),
    ("under%score", []),
    ("_", [2]),
    ("back\\slash", [2]),
    ("BROKE off", [1]),
    ("/post/", [2, 1, 0]),
    ("", [2, 1, 0]),
    ("nowhere", []),
    ("x" * 100_000, []),
]


def test_text_is_looked_for_literally_in_url_title_and_error(store: Store) -> None:
    jobs = submit(store, post(0), post(1), post(2))
    for job in store.claim("tiktok", 3, now=NOW):
        number = [one.id for one in jobs].index(job.id)
        if number == 1:
            finished(store, job, "failed", Outcome(False, None, "It broke off at 100%", error_code="network"))
        else:
            title = ["Äpfel in der Straße", "", "under_score back\\slash"][number]
            finished(store, job, "succeeded", downloaded("/a", title=title))
    states: list[JobState] = ["failed", "succeeded"]
    for searched, found in SEARCHES:
        expected = [jobs[number].id for number in found]
        assert [job.id for job in store.jobs(JobFilter(text=searched))[0]] == expected, searched[:20]
        assert [job.id for job in store.jobs(JobFilter(text=searched, states=states))[0]] == expected, searched[:20]


BAD_CURSORS = [
    "",
    "x",
    "am9iOjE=",
    "am9iOi0x",
    "am9iOjAx",
    "am9iOjE ",
    "😀",
    "a\x00",
    "am9iOjE" * 999,
    "am9i\nOjE",
]


def test_a_cursor_that_is_none_of_ours_is_refused(store: Store) -> None:
    submit(store, post(1))
    job_cursor, batch_cursor = "am9iOjE", "YmF0Y2g6MQ"  # job:1 and batch:1
    assert store.jobs(JobFilter(cursor=job_cursor)) == ([], None)
    assert store.batches(before=batch_cursor) == ([], None)
    for cursor in [*BAD_CURSORS, batch_cursor]:
        with pytest.raises(BadCursor):
            store.jobs(JobFilter(cursor=cursor))
    for cursor in [*BAD_CURSORS, job_cursor]:
        with pytest.raises(BadCursor):
            store.batches(before=cursor)


# -- running


def test_claim_takes_the_oldest_of_its_platform_queued_or_due(store: Store) -> None:
    old, middle, other, new = submit(store, post(1), post(2), post(3, "youtube"), post(4))
    [claimed] = store.claim("tiktok", 1, now=NOW)
    assert claimed.id == old.id
    finished(store, claimed, "waiting", NETWORK, next_attempt_at=LATER)
    [claimed] = store.claim("tiktok", 1, now=LATER - timedelta(microseconds=1))
    assert claimed.id == middle.id
    assert [job.id for job in store.claim("tiktok", 5, now=LATER)] == [old.id, new.id]
    assert store.claim("tiktok", 5, now=LATER) == []
    assert store.claim("youtube", 0, now=LATER) == []
    assert [job.id for job in store.claim("youtube", 1, now=LATER)] == [other.id]


@pytest.mark.parametrize("released", [False, True])
def test_claim_takes_last_what_met_a_limit(store: Store, released: bool) -> None:
    limited, failed, fresh = submit(store, post(1), post(2), post(3))
    [claimed] = store.claim("tiktok", 1, now=NOW)
    finished(store, claimed, "waiting", LIMITED, next_attempt_at=LATER)
    if released:
        store.release_waiting("tiktok", now=NOW)
    [claimed] = store.claim("tiktok", 1, now=NOW)
    finished(store, claimed, "waiting", NETWORK, next_attempt_at=LATER)
    order = [job.id for _ in range(4) for job in store.claim("tiktok", 1, now=LATER)]
    assert order == [failed.id, fresh.id, limited.id]


def test_claim_takes_fresh_and_limited_ones_together_where_there_is_room_for_all(store: Store) -> None:
    limited, fresh = submit(store, post(1), post(2))
    finished(store, store.claim("tiktok", 1, now=NOW)[0], "waiting", LIMITED, next_attempt_at=LATER)
    store.release_waiting("tiktok", now=NOW)
    assert [job.id for job in store.claim("tiktok", 5, now=NOW)] == [limited.id, fresh.id]


def test_a_claimed_job_runs_its_next_attempt(store: Store) -> None:
    [job] = submit(store, post(1))
    [first] = store.claim("tiktok", 1, now=NOW)
    assert (first.state, first.attempts, first.started_at, first.updated_at) == ("running", 1, NOW, NOW)
    [attempt] = store.attempts(job.id)
    assert (attempt.number, attempt.result, attempt.started_at, attempt.ended_at) == (1, "running", NOW, None)
    waiting = finished(store, first, "waiting", NETWORK, next_attempt_at=LATER)
    assert (waiting.error_code, waiting.error, waiting.detail) == ("network", NETWORK[2], "Errno 104")
    [second] = store.claim("tiktok", 1, now=LATER)
    assert (second.attempts, second.started_at, second.next_attempt_at) == (2, LATER, None)
    assert (second.error_code, second.error, second.detail) == (None, None, None)
    assert [(one.number, one.result) for one in store.attempts(job.id)] == [(1, "failed"), (2, "running")]


def test_a_success_keeps_its_files_and_what_is_known_of_them(store: Store) -> None:
    submit(store, post(1))
    [job] = store.claim("tiktok", 1, now=NOW)
    ended = store.finish(
        job.id, state="succeeded", result="succeeded", outcome=downloaded("/raw/b.mp4", "/raw/a.mp4"), now=LATER
    )
    assert ended == store.job(job.id)
    assert ended is not None
    assert (ended.state, ended.finished_at, ended.elapsed_seconds) == ("succeeded", LATER, 90.0)
    assert ended.files == ("/raw/b.mp4", "/raw/a.mp4")
    assert (ended.media_id, ended.title, ended.duration_seconds, ended.size_bytes) == ("7", "A film", 1.5, 3 * 10**9)
    [attempt] = store.attempts(job.id)
    assert (attempt.result, attempt.ended_at, attempt.error) == ("succeeded", LATER, None)
    assert store.jobs(JobFilter(states=["succeeded"]))[0] == [ended]


def test_an_attempt_keeps_its_own_error(store: Store) -> None:
    submit(store, post(1))
    [job] = store.claim("tiktok", 1, now=NOW)
    finished(store, job, "failed", NETWORK)
    store.retry([job.id], now=NOW)
    [attempt] = store.attempts(job.id)
    assert (attempt.error_code, attempt.error, attempt.detail) == ("network", NETWORK[2], "Errno 104")


def test_an_interrupted_attempt_does_not_count_but_keeps_its_number(store: Store) -> None:
    submit(store, post(1))
    [job] = store.claim("tiktok", 1, now=NOW)
    back = store.finish(job.id, state="queued", result="interrupted", outcome=None, now=LATER)
    assert back is not None
    assert (back.state, back.attempts, back.tries, back.error, back.elapsed_seconds) == ("queued", 0, 1, None, 90.0)
    [again] = store.claim("tiktok", 1, now=NOW)
    assert (again.attempts, again.tries) == (1, 2)
    assert [(one.number, one.result) for one in store.attempts(job.id)] == [(1, "interrupted"), (2, "running")]


@pytest.mark.parametrize("state", ["queued", "waiting", "succeeded", "failed", "cancelled"])
def test_finish_leaves_alone_what_is_not_running(store: Store, state: JobState) -> None:
    job = in_each_state(store)[state]
    last = store.last_event_id()
    assert store.finish(job.id, state="failed", result="failed", outcome=NETWORK, now=LATER) is None
    assert store.job(job.id) == job
    assert store.last_event_id() == last


def test_finish_leaves_alone_what_was_deleted(store: Store) -> None:
    assert store.finish("nothing", state="failed", result="failed", outcome=NETWORK, now=LATER) is None


def test_the_end_of_an_attempt_does_not_end_a_later_one(store: Store) -> None:
    submit(store, post(1))
    [first] = store.claim("tiktok", 1, now=NOW)
    store.cancel([first.id], now=NOW)
    store.retry([first.id], now=NOW)
    [second] = store.claim("tiktok", 1, now=NOW)
    late: dict[str, Any] = {"state": "failed", "result": "failed", "outcome": NETWORK, "now": LATER}
    assert store.finish(first.id, attempt=first.tries, **late) is None
    assert store.job(first.id) == second
    assert store.finish(first.id, attempt=second.tries, **late) is not None


def test_a_move_that_the_table_does_not_have_is_refused_and_changes_nothing(store: Store) -> None:
    submit(store, post(1))
    [job] = store.claim("tiktok", 1, now=NOW)
    last = store.last_event_id()
    with pytest.raises(IllegalTransition, match="running cannot become running"):
        store.finish(job.id, state="running", result="failed", outcome=NETWORK, now=LATER)
    assert store.job(job.id) == job
    assert store.attempts(job.id)[0].result == "running"
    assert store.last_event_id() == last


@pytest.mark.parametrize(
    ("state", "result", "next_attempt_at"),
    [("waiting", "failed", None), ("failed", "failed", LATER), ("failed", "running", None)],
)
def test_an_end_that_contradicts_itself_is_refused(
    store: Store, state: JobState, result: Any, next_attempt_at: datetime | None
) -> None:
    submit(store, post(1))
    [job] = store.claim("tiktok", 1, now=NOW)
    with pytest.raises(ValueError, match="cannot end"):
        store.finish(job.id, state=state, result=result, outcome=NETWORK, now=LATER, next_attempt_at=next_attempt_at)
    assert store.job(job.id) == job


def test_recover_puts_running_jobs_back_and_nothing_else(store: Store) -> None:
    before = in_each_state(store)
    assert store.recover(now=LATER) == 1
    back = store.job(before["running"].id)
    assert (back.state, back.attempts, back.updated_at) == ("queued", 0, LATER)
    [attempt] = store.attempts(back.id)
    assert (attempt.result, attempt.ended_at) == ("interrupted", LATER)
    assert all(store.job(job.id) == job for state, job in before.items() if state != "running")
    assert store.recover(now=LATER) == 0


def test_recover_leaves_alone_what_somebody_runs(store: Store) -> None:
    submit(store, post(1), post(2))
    kept, lost = store.claim("tiktok", 2, now=NOW)
    assert store.recover(now=LATER, but={kept.id, "gone"}) == 1
    assert [store.job(job.id).state for job in (kept, lost)] == ["running", "queued"]


def test_due_tells_what_there_is_to_do(store: Store) -> None:
    assert store.due() == {}
    submit(store, post(1), post(2), post(1, "youtube"), post(1, "twitter"))
    assert store.due() == {"tiktok": None, "youtube": None, "twitter": None}
    for job, until in zip(store.claim("tiktok", 2, now=NOW), (LATER + timedelta(1), LATER), strict=True):
        finished(store, job, "waiting", NETWORK, next_attempt_at=until)
    store.claim("twitter", 1, now=NOW)
    assert store.due() == {"tiktok": LATER, "youtube": None}


# -- by hand


def test_cancel_returns_the_jobs_as_they_were_and_leaves_final_ones_alone(store: Store) -> None:
    before = in_each_state(store)
    cancelled = store.cancel([job.id for job in before.values()] * 2 + ["nothing"], now=LATER)
    assert {job.state: job for job in cancelled} == {state: before[state] for state in ("queued", "waiting", "running")}
    for job in cancelled:
        after = store.job(job.id)
        assert (after.state, after.error_code, after.finished_at) == ("cancelled", "cancelled", LATER)
        assert after.error == "This download was cancelled."
        assert after.next_attempt_at is None
    [attempt] = store.attempts(before["running"].id)
    assert (attempt.result, attempt.ended_at, attempt.error) == ("cancelled", LATER, None)
    assert store.job(before["running"].id).elapsed_seconds == 90.0
    assert all(store.job(before[state].id) == before[state] for state in ("succeeded", "failed"))


def test_retry_puts_failed_and_cancelled_jobs_back(store: Store) -> None:
    before = in_each_state(store)
    retried = store.retry([job.id for job in before.values()], now=LATER)
    assert {job.id for job in retried} == {before["failed"].id, before["cancelled"].id}
    for job in retried:
        assert job == store.job(job.id)
        assert (job.state, job.attempts, job.error_code, job.error, job.finished_at) == ("queued", 0, None, None, None)


def test_retry_leaves_what_no_platform_owns_failed(store: Store) -> None:
    [job] = submit(store, nobody("https://example.com/"))
    assert store.retry([job.id], now=LATER) == []
    assert store.job(job.id) == job


def test_release_waiting_ends_the_waiting_of_one_platform(store: Store) -> None:
    waiting = in_each_state(store)["waiting"]
    submit(store, post(1, "youtube"))
    [other] = store.claim("youtube", 1, now=NOW)
    finished(store, other, "waiting", NETWORK, next_attempt_at=LATER)
    assert store.release_waiting("tiktok", now=NOW) == 1
    released = store.job(waiting.id)
    assert (released.state, released.next_attempt_at, released.attempts) == ("queued", None, 1)
    assert store.job(other.id).state == "waiting"
    assert store.release_waiting("tiktok", now=NOW) == 0


def test_shifted_times_are_those_of_what_waits_and_runs_and_no_others(store: Store) -> None:
    before = in_each_state(store)
    step = timedelta(hours=-2, microseconds=1)
    store.shift_times(step, now=NOW + step)
    for state, job in before.items():
        after = store.job(job.id)
        assert after.next_attempt_at == (None if job.next_attempt_at is None else job.next_attempt_at + step)
        assert (after.started_at == job.started_at) == (state != "running")
    [attempt] = store.attempts(before["running"].id)
    assert attempt.started_at == store.job(before["running"].id).started_at == NOW + step
    [moved] = [event for event in store.events_since(0, limit=5000) if event.at == NOW + step]
    assert (moved.kind, moved.job_id) == ("job_changed", before["waiting"].id)


def test_delete_takes_final_jobs_with_all_that_is_theirs(store: Store) -> None:
    before = in_each_state(store)
    deleted = store.delete([job.id for job in before.values()], now=LATER)
    assert {job.id: job for job in deleted} == {
        before[state].id: before[state] for state in ("succeeded", "failed", "cancelled")
    }
    for job in deleted:
        for ask in (store.job, store.attempts):
            with pytest.raises(NotFound):
                ask(job.id)
    assert store.file_users("/raw/a.mp4") == 0
    batch_id = before["running"].batch_id
    assert store.batch(batch_id).total == 5
    assert {job.id for _, job in store.batch_jobs(batch_id)} == {
        before[state].id for state in ("queued", "running", "waiting")
    }


def test_a_batch_goes_with_its_last_job(store: Store) -> None:
    submission = store.submit([nobody("a"), nobody("b")], now=NOW, idempotency_key="k")
    first, second = submission.jobs
    store.delete([first.id], now=NOW)
    assert store.batch(submission.batch.id).counts == {"failed": 1}
    store.delete([second.id], now=NOW)
    with pytest.raises(NotFound):
        store.batch(submission.batch.id)
    told = [event.data["batch_deleted"] for event in store.events_since(0) if event.kind == "job_deleted"]
    assert told == [False, True]
    assert store.submit([nobody("c")], now=NOW, idempotency_key="k").created


def test_the_last_jobs_of_a_batch_deleted_by_several_at_once_take_it_along(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    for _ in range(10):
        submission = stores[0].submit([nobody("a"), nobody("b")], now=NOW)
        barrier = threading.Barrier(2)

        def delete(number: int, jobs: Sequence[Job] = submission.jobs, together: threading.Barrier = barrier) -> None:
            together.wait(10)
            assert len(stores[number].delete([jobs[number].id], now=NOW)) == 1

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(delete, range(2)))
        with pytest.raises(NotFound):
            stores[0].batch(submission.batch.id)


def test_many_jobs_can_be_named_at_once(store: Store) -> None:
    ids = [job.id for job in submit(store, *(post(number) for number in range(1200)))]
    assert [job.id for job in store.cancel(ids, now=NOW)] == ids
    assert [job.id for job in store.retry(ids[::-1], now=NOW)] == ids
    store.cancel(ids, now=NOW)
    assert len(store.delete(ids, now=NOW)) == 1200
    assert store.counts() == {}


def test_cancel_and_retry_of_the_same_jobs_at_once_do_not_block_each_other(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    ids = [job.id for job in submit(stores[0], *(post(number) for number in range(200)))]

    def work(number: int) -> None:
        for _ in range(3):
            stores[number % 2].cancel(ids if number % 2 else ids[::-1], now=NOW)
            stores[number % 2].retry(ids[30 * number :], now=NOW)
            stores[number % 2].claim("tiktok", 20, now=NOW)
            stores[number % 2].recover(now=NOW)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert sum(stores[0].counts()["tiktok"].values()) == 200


def test_a_file_of_two_jobs_has_two_users(store: Store) -> None:
    submit(store, post(1), post(2))
    for job in store.claim("tiktok", 2, now=NOW):
        finished(store, job, "succeeded", downloaded("/raw/a.mp4", f"/raw/{job.id}.mp4"))
    assert store.file_users("/raw/a.mp4") == 2
    assert store.file_users(f"/raw/{job.id}.mp4") == 1
    assert store.file_users("/raw/%") == 0
    assert store.file_users("/raw/a.mp4", [job.id]) == 1


def test_what_ended_before_a_moment_is_found_oldest_first_with_its_files(store: Store) -> None:
    before = in_each_state(store)
    ended = [job for state, job in before.items() if state in FINAL_STATES]
    last = max(job.finished_at for job in ended if job.finished_at is not None)
    found = store.finished_before(last + timedelta(microseconds=1), 10)
    assert {job.id: job for job in found} == {job.id: job for job in ended}
    assert store.finished_before(last + timedelta(microseconds=1), 1) == found[:1]
    assert all(job.finished_at != last for job in store.finished_before(last, 10))


# -- the second round


def in_a_minute(job: Job, now: datetime) -> datetime | None:
    """What a store is handed as its policy here."""
    return now + MINUTE if job.error_code is not None and is_retryable(job.error_code) else None


@pytest.fixture
def rounds(store: Store) -> Store:
    """Return a store that begins second rounds where they are wanted."""
    store.on_batch_end(in_a_minute)
    return store


def running(store: Store, number: int, *others: NewJob) -> tuple[str, list[Job]]:
    """Return a batch that wants a second round, and *number* jobs of it, all running."""
    new = [*(post(each) for each in range(number)), *others]
    batch_id = store.submit(new, now=NOW, retry_failed_once=True).batch.id
    return batch_id, store.claim("tiktok", number, now=NOW)


def told_of(store: Store, batch_id: str) -> list[Event]:
    """Return the events that tell of the second round."""
    return [event for event in store.events_since(0, batch_id=batch_id) if event.kind == "batch_changed"]


def test_what_may_pass_is_put_back_when_the_last_job_has_ended(rounds: Store) -> None:
    batch_id, [passing, lasting, succeeds, last] = running(rounds, 4, nobody("https://example.com/"))
    finished(rounds, passing, "failed", NETWORK)
    finished(rounds, lasting, "failed", PRIVATE)
    finished(rounds, succeeds, "succeeded", downloaded("/raw/a.mp4"))
    before = rounds.batch(batch_id)
    assert (before.retry_failed_once, before.second_round_at, before.second_round_jobs) == (True, None, 0)
    assert before.counts == {"failed": 3, "succeeded": 1, "running": 1}

    ended = finished(rounds, last, "failed", NETWORK)
    assert ended == rounds.job(last.id)
    for put_back in (rounds.job(passing.id), ended):
        assert (put_back.state, put_back.next_attempt_at) == ("waiting", NOW + MINUTE)
        assert (put_back.attempts, put_back.last_try, put_back.finished_at) == (1, True, None)
        assert (put_back.error_code, put_back.error) == ("network", NETWORK[2])  # of the try before, as ever
        assert [attempt.result for attempt in rounds.attempts(put_back.id)] == ["failed"]
    assert rounds.job(lasting.id).state == "failed"
    after = rounds.batch(batch_id)
    assert after.counts == {"failed": 2, "succeeded": 1, "waiting": 2}
    assert (after.retry_failed_once, after.second_round_at, after.second_round_jobs) == (True, NOW, 2)
    [told] = told_of(rounds, batch_id)
    assert (told.batch_id, told.job_id) == (batch_id, None)
    assert told.data == {"second_round_at": NOW.isoformat(), "second_round_jobs": 2}
    assert rounds.due() == {"tiktok": NOW + MINUTE}


Ending = Callable[[Store, Job], object]
ENDINGS: dict[str, Ending] = {
    "succeeded": lambda store, job: finished(store, job, "succeeded", downloaded("/a")),
    "failed for now": lambda store, job: finished(store, job, "failed", NETWORK),
    "failed for good": lambda store, job: finished(store, job, "failed", PRIVATE),
    "cancelled running": lambda store, job: store.cancel([job.id], now=NOW),
    "cancelled queued": lambda store, job: (store.recover(now=NOW), store.cancel([job.id], now=NOW)),
    "cancelled waiting": lambda store, job: (
        finished(store, job, "waiting", NETWORK, next_attempt_at=LATER),
        store.cancel([job.id], now=NOW),
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_ends_the_last_job_nobody_sees_the_batch_ended_before_its_second_round(
    rounds: Store, ending: str
) -> None:
    batch_id, [failed, last] = running(rounds, 2)
    finished(rounds, failed, "failed", NETWORK)
    ENDINGS[ending](rounds, last)
    put_back = 2 if ending == "failed for now" else 1
    assert rounds.batch(batch_id).counts["waiting"] == put_back
    assert rounds.batch(batch_id).second_round_jobs == put_back
    # Nor is it seen by those who follow events, one at a time.
    states: dict[str | None, JobState] = dict.fromkeys((failed.id, last.id), "queued")
    for told in rounds.events_since(0, batch_id=batch_id):
        if told.kind == "job_changed":
            states[told.job_id] = told.data["state"]
        assert not FINAL_STATES.issuperset(states.values())


def test_all_of_a_batch_cancelled_job_by_job_has_its_second_round(rounds: Store) -> None:
    batch_id, [failed, *others] = running(rounds, 4)
    finished(rounds, failed, "failed", NETWORK)
    assert len(rounds.cancel([job.id for job in others], now=NOW)) == 3
    assert rounds.batch(batch_id).counts == {"cancelled": 3, "waiting": 1}


def test_without_being_asked_there_is_no_second_round(rounds: Store) -> None:
    [job] = submit(rounds, post(1))
    [job] = rounds.claim("tiktok", 1, now=NOW)
    assert finished(rounds, job, "failed", NETWORK).state == "failed"
    batch = rounds.batch(job.batch_id)
    assert (batch.retry_failed_once, batch.second_round_at, batch.second_round_jobs) == (False, None, 0)
    assert told_of(rounds, job.batch_id) == []


def test_a_second_round_with_nothing_to_retry_is_none(rounds: Store) -> None:
    batch_id, [job] = running(rounds, 1)
    assert finished(rounds, job, "failed", PRIVATE).state == "failed"
    assert rounds.batch(batch_id).second_round_at is None
    assert told_of(rounds, batch_id) == []
    # Hence it is still to come, should somebody retry by hand.
    rounds.retry([job.id], now=NOW)
    [job] = rounds.claim("tiktok", 1, now=NOW)
    assert finished(rounds, job, "failed", NETWORK).state == "waiting"


def test_there_is_one_second_round_and_no_third(rounds: Store) -> None:
    batch_id, [job] = running(rounds, 1)
    finished(rounds, job, "failed", NETWORK)
    [again] = rounds.claim("tiktok", 1, now=NOW + MINUTE)
    assert (again.attempts, again.last_try) == (2, True)
    assert finished(rounds, again, "failed", NETWORK).state == "failed"
    [by_hand] = rounds.retry([job.id], now=LATER)
    assert (by_hand.attempts, by_hand.last_try) == (0, False)
    [by_hand] = rounds.claim("tiktok", 1, now=LATER)
    assert finished(rounds, by_hand, "failed", NETWORK).state == "failed"
    assert rounds.batch(batch_id).second_round_at == NOW
    assert len(told_of(rounds, batch_id)) == 1


def test_a_batch_that_was_cancelled_wants_no_second_round_any_more(rounds: Store) -> None:
    batch_id, [failed, runs, waits] = running(rounds, 3)
    finished(rounds, failed, "failed", NETWORK)
    finished(rounds, waits, "waiting", NETWORK, next_attempt_at=LATER)
    before = rounds.cancel_batch(batch_id, now=LATER)
    assert {job.id: job.state for job in before} == {runs.id: "running", waits.id: "waiting"}
    assert rounds.attempts(runs.id)[0].result == "cancelled"
    assert rounds.batch(batch_id).counts == {"failed": 1, "cancelled": 2}
    assert not rounds.batch(batch_id).retry_failed_once
    rounds.retry([failed.id], now=LATER)
    [again] = rounds.claim("tiktok", 1, now=LATER)
    assert finished(rounds, again, "failed", NETWORK).state == "failed"
    assert told_of(rounds, batch_id) == []
    assert rounds.cancel_batch(batch_id, now=LATER) == []


def test_a_second_round_can_be_cancelled(rounds: Store) -> None:
    batch_id, [job] = running(rounds, 1)
    finished(rounds, job, "failed", NETWORK)
    assert len(rounds.cancel_batch(batch_id, now=LATER)) == 1
    assert rounds.batch(batch_id).counts == {"cancelled": 1}
    assert rounds.batch(batch_id).second_round_at == NOW


def test_a_retry_by_hand_puts_the_second_round_off(rounds: Store) -> None:
    batch_id, [first, second] = running(rounds, 2)
    finished(rounds, first, "failed", NETWORK)
    rounds.retry([first.id], now=NOW)
    assert finished(rounds, second, "failed", NETWORK).state == "failed"
    [first] = rounds.claim("tiktok", 1, now=NOW)
    assert finished(rounds, first, "failed", NETWORK).state == "waiting"
    assert rounds.batch(batch_id).second_round_jobs == 2


def test_the_last_try_stays_the_last_however_often_it_is_interrupted(rounds: Store) -> None:
    _, [job] = running(rounds, 1)
    finished(rounds, job, "failed", NETWORK)
    rounds.release_waiting("tiktok", now=NOW)
    for tries in (2, 3):
        [again] = rounds.claim("tiktok", 1, now=NOW)
        assert (again.attempts, again.tries, again.last_try) == (2, tries, True)
        rounds.recover(now=NOW)
    rounds.claim("tiktok", 1, now=NOW)
    back = rounds.finish(job.id, state="waiting", result="interrupted", outcome=None, now=NOW, next_attempt_at=LATER)
    assert back is not None
    assert (back.attempts, back.last_try) == (1, True)


def test_an_end_that_comes_too_late_begins_no_second_round(rounds: Store) -> None:
    batch_id, [first, last] = running(rounds, 2)
    finished(rounds, first, "failed", NETWORK)
    late: dict[str, Any] = {"state": "failed", "result": "failed", "outcome": NETWORK, "now": NOW}
    assert rounds.finish(last.id, attempt=last.tries + 1, **late) is None
    assert rounds.batch(batch_id).counts == {"failed": 1, "running": 1}
    assert told_of(rounds, batch_id) == []


def test_a_known_key_returns_the_first_batch_whatever_it_wants_now(store: Store) -> None:
    first = store.submit([post(1)], now=NOW, idempotency_key="k", retry_failed_once=True)
    again = store.submit([post(1)], now=NOW, idempotency_key="k")
    assert (again.created, again.batch) == (False, first.batch)
    assert again.batch.retry_failed_once


def test_a_second_round_can_be_large(rounds: Store) -> None:
    failed = [replace(post(number), error_code="network") for number in range(1100)]
    batch_id, [job] = running(rounds, 1, *(replace(new, link=f"{new.link}/") for new in failed))
    rounds.cancel([job.id], now=NOW)
    assert rounds.batch(batch_id).counts == {"cancelled": 1, "waiting": 1100}
    assert rounds.batch(batch_id).second_round_jobs == 1100


def test_of_two_that_end_the_last_jobs_at_once_one_begins_the_second_round(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    for store in stores:
        store.on_batch_end(in_a_minute)
    for number in range(20):
        batch_id, jobs = running(stores[0], 2)
        barrier = threading.Barrier(2)

        def end(
            each: int, number: int = number, jobs: Sequence[Job] = jobs, together: threading.Barrier = barrier
        ) -> None:
            together.wait(10)
            if each and number % 2:
                stores[each].cancel([jobs[each].id], now=NOW)
            else:
                finished(stores[each], jobs[each], "failed", NETWORK)

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(end, range(2)))
        put_back = 1 if number % 2 else 2
        assert stores[0].batch(batch_id).counts.get("waiting") == put_back
        assert [event.data["second_round_jobs"] for event in told_of(stores[0], batch_id)] == [put_back]
        stores[0].cancel_batch(batch_id, now=NOW)


def test_all_that_can_be_done_to_a_batch_at_once_is_done_without_blocking(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    for store in stores:
        store.on_batch_end(lambda job, now: now)
    batch_ids = [running(stores[0], 30)[0] for _ in range(8)]
    ids = [job_id for batch_id in batch_ids for job_id in stores[0].job_ids(batch_id)]

    def work(number: int) -> None:
        store, random = stores[number % 2], Random(number)
        for _ in range(12):
            some = random.sample(ids, 60)
            for job in store.claim("tiktok", 40, now=NOW):
                store.finish(job.id, state="failed", result="failed", outcome=NETWORK, now=NOW)
            store.cancel(some, now=NOW)
            store.retry(some[10:], now=NOW)
            store.delete(random.sample(ids, 2), now=NOW)
            store.release_waiting("tiktok", now=NOW)
            with contextlib.suppress(NotFound):  # gone with its last job
                store.cancel_batch(random.choice(batch_ids), now=NOW)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    for batch_id in batch_ids:
        assert len(told_of(stores[0], batch_id)) <= 1


# -- figures


def test_counts_are_by_platform_and_state(store: Store) -> None:
    assert store.counts() == {}
    states = in_each_state(store)
    submit(store, post(1, "youtube"), post(2, "youtube"))
    assert store.counts() == {"tiktok": dict.fromkeys(states, 1), "youtube": {"queued": 2}}


def test_recent_sums_up_the_attempts_that_ended_since(store: Store) -> None:
    submit(store, *(post(number) for number in range(5)), post(1, "youtube"))
    first, second, fails, interrupted, _runs = store.claim("tiktok", 5, now=NOW)
    [early] = store.claim("youtube", 1, now=NOW)
    moments = [NOW + timedelta(seconds=2), NOW + timedelta(seconds=3.5)]
    for job, moment in zip((first, second), moments, strict=True):
        store.finish(job.id, state="succeeded", result="succeeded", outcome=downloaded("/a"), now=moment)
    store.finish(fails.id, state="failed", result="failed", outcome=NETWORK, now=LATER)
    store.finish(interrupted.id, state="queued", result="interrupted", outcome=None, now=LATER)
    store.finish(early.id, state="failed", result="failed", outcome=NETWORK, now=NOW + timedelta(seconds=1))
    assert store.recent(since=NOW) == {"tiktok": (2, 1, 5.5), "youtube": (0, 1, 0.0)}
    assert store.recent(since=moments[1]) == {"tiktok": (1, 1, 3.5)}
    assert store.recent(since=LATER + timedelta(1)) == {}


def test_ended_counts_attempts_that_are_alike(store: Store) -> None:
    """By platform, bucket, error and tenths of a second; those that succeeded, with what they weigh."""
    submit(store, *(post(number) for number in range(9)), post(1, "youtube"))
    claimed = store.claim("tiktok", 9, now=NOW)
    [other] = store.claim("youtube", 1, now=NOW)

    def end(
        job: Job, seconds: float, code: ErrorCode | None = None, *, size_bytes: int | None = 5 * 10**18 // 2
    ) -> None:
        media = Media(files=(f"/raw/{job.id}",), size_bytes=size_bytes)  # type: ignore[arg-type]
        outcome = (
            Outcome(True, media.files[0], None, media=media)
            if code is None
            else Outcome(False, None, "A sentence.", error_code=code)
        )
        ends: Literal["succeeded", "failed"] = "succeeded" if code is None else "failed"
        store.finish(job.id, state=ends, result=ends, outcome=outcome, now=NOW + timedelta(seconds=seconds))

    end(claimed[0], 1.96)
    end(claimed[1], 2.04)
    end(claimed[2], 2.06, size_bytes=7)
    end(claimed[3], 3600, size_bytes=None)
    end(claimed[4], 5, "network")
    end(claimed[5], 6, "network")
    end(claimed[6], 7, "removed")
    store.finish(claimed[7].id, state="queued", result="interrupted", outcome=None, now=NOW + timedelta(seconds=8))
    store.cancel([claimed[8].id], now=NOW + timedelta(seconds=8))
    end(other, -5, size_bytes=0)  # the clock was set back

    def ended(since: datetime, until: datetime) -> dict[tuple[Any, ...], tuple[int, int, int]]:
        found = store.ended(since=since, until=until, bucket_seconds=1800)
        return {
            (each.platform, each.bucket, each.error_code, each.tenths): (
                each.count,
                each.bytes,
                each.timed_microseconds,
            )
            for each in found
        }

    early = NOW - timedelta(seconds=10)
    everything = {
        ("tiktok", 0, None, 20): (2, 5 * 10**18, 4_000_000),
        ("tiktok", 0, None, 21): (1, 7, 2_060_000),
        ("tiktok", 2, None, 36_000): (1, 0, 0),
        ("tiktok", 0, "network", 0): (2, 0, 0),
        ("tiktok", 0, "removed", 0): (1, 0, 0),
        ("youtube", 0, None, 0): (1, 0, 0),
    }
    assert ended(early, NOW + timedelta(hours=2)) == everything
    assert ended(NOW + timedelta(seconds=5), NOW + timedelta(seconds=7)) == {("tiktok", 0, "network", 0): (2, 0, 0)}
    assert ended(NOW + timedelta(seconds=3600), NOW + timedelta(hours=2)) == {("tiktok", 0, None, 36_000): (1, 0, 0)}
    assert ended(early, NOW - timedelta(seconds=5)) == {}


# -- what is remembered


def test_platform_rests_are_remembered_and_told_of_when_they_change(store: Store) -> None:
    assert store.platform_rests() == {}
    tiktok = PlatformRest(platform="tiktok", cap=2.5, cooling_until=LATER, strikes=2)
    youtube = PlatformRest(platform="youtube", cap=4)
    for rest in (tiktok, youtube, youtube):
        store.save_platform_rest(rest, now=NOW)
    assert store.platform_rests() == {"tiktok": tiktok, "youtube": youtube}
    calm = PlatformRest(platform="tiktok", cap=3)
    store.save_platform_rest(calm, now=NOW)
    assert store.platform_rests() == {"tiktok": calm, "youtube": youtube}
    told = store.events_since(0)
    assert [event.kind for event in told] == ["platform_changed"] * 3
    assert told[0].data == {"platform": "tiktok", "cap": 2.5, "cooling_until": LATER.isoformat(), "strikes": 2}


def test_pausing_is_remembered_and_told_of_when_it_changes(open_store: Callable[[], Store]) -> None:
    store = open_store()
    assert not store.paused()
    for paused in (False, True, True, False, True):
        store.set_paused(paused, now=NOW)
        assert store.paused() is paused
    assert [(event.kind, event.data) for event in store.events_since(0)] == [
        ("queue_changed", {"paused": paused}) for paused in (True, False, True)
    ]
    store.close()
    assert open_store().paused()


def test_the_same_thing_remembered_by_many_at_once_is_remembered_once(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]

    def save(number: int) -> None:
        stores[number % 2].save_platform_rest(PlatformRest(platform="tiktok", cap=2), now=NOW)
        stores[number % 2].set_paused(True, now=NOW)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(save, range(16)))
    assert stores[0].last_event_id() == 2


# -- events


def test_an_event_tells_enough_to_paint_a_row(store: Store) -> None:
    [job] = submit(store, post(1))
    store.claim("tiktok", 1, now=NOW)
    finished(store, job, "succeeded", downloaded("/raw/a.mp4"))
    told = store.events_since(0)
    assert [event.id for event in told] == [1, 2, 3]
    assert [(event.kind, event.batch_id, event.job_id) for event in told[1:]] == [
        ("job_changed", job.batch_id, job.id)
    ] * 2
    assert told[2].data == {
        "state": "succeeded",
        "platform": "tiktok",
        "attempts": 1,
        "error_code": None,
        "error": None,
        "next_attempt_at": None,
        "title": "A film",
        "files": ["/raw/a.mp4"],
        "size_bytes": 3_000_000_000,
    }


def test_events_are_given_from_any_number_on_for_all_or_for_one_batch(store: Store) -> None:
    first, second = (store.submit([post(1)], now=NOW).batch.id for _ in range(2))
    store.claim("tiktok", 2, now=NOW)
    everything = store.events_since(0)
    assert [event.id for event in everything] == [1, 2, 3, 4]
    assert store.last_event_id() == 4
    assert store.events_since(2) == everything[2:]
    assert store.events_since(1, limit=2) == everything[1:3]
    assert store.events_since(4) == []
    assert [event.id for event in store.events_since(0, batch_id=first)] == [1, 3]
    assert [event.id for event in store.events_since(1, batch_id=second, limit=1)] == [2]


def test_an_added_event_gets_the_next_number(store: Store) -> None:
    assert store.last_event_id() == 0
    added = [store.add_event(Event(id=99, at=NOW, kind="queue_changed", data={"n": n})) for n in range(2)]
    assert [event.id for event in added] == [1, 2]
    assert store.events_since(0) == added


def test_pruned_numbers_are_never_given_again(store: Store) -> None:
    for _ in range(5):
        store.add_event(Event(id=0, at=NOW, kind="queue_changed"))
    store.prune_events(2)
    assert [event.id for event in store.events_since(0)] == [4, 5]
    store.prune_events(0)
    assert store.events_since(0) == []
    assert store.last_event_id() == 5
    assert store.add_event(Event(id=0, at=NOW, kind="queue_changed")).id == 6


def test_who_follows_events_misses_none_while_many_write(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    reader = open_store()
    jobs = submit(stores[0], *(post(number) for number in range(120)))

    def write(number: int) -> None:
        for job in jobs[number::4]:
            stores[number % 2].cancel([job.id], now=NOW)

    last = 0
    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, number) for number in range(4)]
        while last < 121:
            if all(writer.done() for writer in writers):
                assert [writer.exception() for writer in writers] == [None] * 4
            for seen in reader.events_since(last):
                assert seen.id == last + 1  # numbers have no gaps, so one that is skipped would turn up later
                last = seen.id
    assert reader.last_event_id() == 121


def test_listeners_hear_every_event_in_order_after_it_is_stored(store: Store) -> None:
    heard: list[Event] = []
    missing: list[int] = []

    def listen(event: Event) -> None:
        heard.append(event)
        if store.last_event_id() < event.id:
            missing.append(event.id)

    store.on_event(listen)
    jobs = submit(store, *(post(number) for number in range(80)))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda job: store.cancel([job.id], now=NOW), jobs))
    assert heard == store.events_since(0)
    assert missing == []


def test_a_listener_hears_in_the_thread_that_made_the_change(store: Store) -> None:
    heard: list[int] = []
    store.on_event(lambda _event: heard.append(threading.get_ident()))
    submit(store, post(1))
    assert heard == [threading.get_ident()]


def test_a_listener_that_raises_or_makes_changes_keeps_nobody_from_hearing_in_order(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def meddle(event: Event) -> None:
        if event.kind == "batch_created":
            store.set_paused(True, now=NOW)
        raise RuntimeError("broken")

    store.on_event(meddle)
    store.on_event(lambda event: heard.append(event.id))
    submit(store, post(1))
    assert heard == [1, 2]
    assert "event listener failed" in caplog.text


def test_a_change_that_fails_is_not_told_of(store: Store) -> None:
    heard: list[Event] = []
    store.on_event(heard.append)
    with pytest.raises(ValueError, match="JSON"):
        store.add_event(Event(id=0, at=NOW, kind="queue_changed", data={"n": float("nan")}))
    assert heard == store.events_since(0) == []
    assert store.last_event_id() == 0


# -- several at once


@pytest.mark.parametrize("number_of_stores", [1, 2])
def test_two_that_claim_never_get_the_same_job(open_store: Callable[[], Store], number_of_stores: int) -> None:
    stores = [open_store() for _ in range(number_of_stores)]
    submitted = {job.id for job in submit(stores[0], *(post(number) for number in range(500)))}
    barrier = threading.Barrier(2)

    def claim_all(store: Store) -> list[str]:
        barrier.wait(10)
        claimed: list[str] = []
        while some := store.claim("tiktok", 7, now=NOW):
            claimed += [job.id for job in some]
        return claimed

    with ThreadPoolExecutor(2) as threads:
        claimed = [job_id for ids in threads.map(claim_all, (stores * 2)[:2]) for job_id in ids]
    assert len(claimed) == 500
    assert set(claimed) == submitted
    assert stores[0].counts() == {"tiktok": {"running": 500}}


def test_a_job_cancelled_and_finished_at_once_ends_one_way(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    submit(stores[0], *(post(number) for number in range(30)))
    for job in stores[0].claim("tiktok", 30, now=NOW):
        barrier = threading.Barrier(2)

        def cancel(job: Job = job, together: threading.Barrier = barrier) -> bool:
            together.wait(10)
            return bool(stores[0].cancel([job.id], now=NOW))

        def finish(job: Job = job, together: threading.Barrier = barrier) -> bool:
            together.wait(10)
            outcome = downloaded("/a")
            return bool(stores[1].finish(job.id, state="succeeded", result="succeeded", outcome=outcome, now=NOW))

        with ThreadPoolExecutor(2) as threads:
            won = [threads.submit(cancel), threads.submit(finish)]
            assert [one.result(10) for one in won].count(True) == 1
        assert (stores[0].job(job.id).state == "cancelled") == won[0].result()


def test_a_second_running_attempt_is_refused_by_the_database_itself(store: Store, database_url: str) -> None:
    submit(store, post(1))
    [job] = store.claim("tiktok", 1, now=NOW)
    statement = text("INSERT INTO attempts (job_id, number, result, started_at) VALUES (:id, 2, 'running', 0)")
    with opened(database_url) as engine, pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(statement, {"id": job.id})


def test_a_time_to_wait_for_without_waiting_is_refused_by_the_database_itself(store: Store, database_url: str) -> None:
    submit(store, post(1))
    with opened(database_url) as engine, pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(text("UPDATE jobs SET next_attempt_at = 1"))


# -- crashes and durability

CRASH = """
import os, signal, sys
from datetime import UTC, datetime
from downloader.jobs import NewJob
from downloader.store.repository import Store

store = Store.open(sys.argv[1])
jobs = [NewJob(url=f"u{n}", link=f"u{n}", platform="tiktok") for n in range(100)]
submission = store.submit(jobs, now=datetime.now(UTC))
claimed = store.claim("tiktok", 10, now=datetime.now(UTC))
os.write(1, submission.batch.id.encode())
os.kill(os.getpid(), signal.SIGKILL)
"""


CRASH_AT_THE_END = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from sqlalchemy import Engine, event
from downloader.jobs import NewJob
from downloader.models import Outcome
from downloader.store.repository import Store

url, batch_id, job_id, moment = sys.argv[1:]
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store = Store.open(url)
store.on_batch_end(lambda job, now: now + timedelta(minutes=1))
if moment == "after":
    store.on_event(kill)
elif moment == "before":
    event.listen(Engine, "commit", kill)
else:  # as soon as the database is told of it, everything else is still to come
    event.listen(Engine, "after_cursor_execute", lambda *a: kill() if a[2].startswith("UPDATE batches") else None)
broke = Outcome(False, None, "It broke off.", error_code="network")
store.finish(job_id, state="failed", result="failed", outcome=broke, now=datetime.now(UTC))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("moment", ["amid", "before", "after"])
def test_a_process_killed_around_the_end_of_a_batch_neither_loses_nor_repeats_its_second_round(
    rounds: Store, database_url: str, moment: str
) -> None:
    batch_id, [failed, last] = running(rounds, 2)
    finished(rounds, failed, "failed", NETWORK)
    command = [sys.executable, "-c", CRASH_AT_THE_END, database_url, batch_id, last.id, moment]
    killed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=30, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    begun = moment == "after"
    assert (rounds.batch(batch_id).second_round_at is not None) == begun
    assert rounds.batch(batch_id).counts == ({"waiting": 2} if begun else {"failed": 1, "running": 1})
    assert rounds.recover(now=LATER) == (0 if begun else 1)
    for _ in range(2):  # what was interrupted, and the second round; or this and nothing more
        for job in rounds.claim("tiktok", 5, now=datetime.now(UTC) + 2 * MINUTE):
            rounds.finish(job.id, state="failed", result="failed", outcome=NETWORK, now=NOW)
    assert rounds.batch(batch_id).counts == {"failed": 2}
    assert [event.data["second_round_jobs"] for event in told_of(rounds, batch_id)] == [2]
    results = [[attempt.result for attempt in rounds.attempts(job.id)] for job in (failed, last)]
    assert results == [["failed"] * 2, ["failed"] * 2 if begun else ["interrupted", "failed", "failed"]]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_batch_outlives_the_process_that_took_it(database_url: str, open_store: Callable[[], Store]) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", CRASH, database_url], cwd=REPOSITORY, capture_output=True, timeout=30, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    store = open_store()
    batch = store.batch(killed.stdout.decode())
    assert batch.counts == {"queued": 90, "running": 10}
    assert store.recover(now=NOW) == 10
    assert store.counts() == {"tiktok": {"queued": 100}}
    assert store.last_event_id() == 21  # the batch, ten claimed, ten put back


def test_sqlite_syncs_a_submission_to_the_disk_and_nothing_else(tmp_path: Path, migrated_sqlite: Path) -> None:
    path = shutil.copy(migrated_sqlite, tmp_path / "store.sqlite3")
    store = Store.open(f"sqlite:///{path}")
    synchronous: list[int] = []

    def note(connection: Connection) -> None:
        synchronous.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    event.listen(Engine, "commit", note)
    try:
        submit(store, post(1))
        store.set_paused(True, now=NOW)
    finally:
        event.remove(Engine, "commit", note)
        store.close()
    full, normal = 2, 1
    assert synchronous == [full, normal]


def test_a_sqlite_file_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite3'}")
        submit(store, post(1))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    store.close()
    assert modes == {f"store.sqlite3{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}


# -- the schema


@contextmanager
def opened(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def described(connection: Connection) -> dict[str, Any]:
    """Return all that the database says of its tables, but for the order of columns and constraints."""

    def plain(entry: Any) -> str:
        options = entry.get("dialect_options", {})
        return repr(entry | {"dialect_options": {name: str(value) for name, value in sorted(options.items())}})

    inspector = inspect(connection)
    facts = {}
    for table in inspector.get_table_names():
        facts[table] = {
            "columns": sorted(map(plain, inspector.get_columns(table))),
            "key": inspector.get_pk_constraint(table),
            "foreign": sorted(map(plain, inspector.get_foreign_keys(table))),
            "unique": sorted(map(plain, inspector.get_unique_constraints(table))),
            "checks": sorted(map(plain, inspector.get_check_constraints(table))),
            "indexes": sorted(map(plain, inspector.get_indexes(table))),
        }
    return facts


def test_the_migrations_make_what_a_new_database_has(new_database_url: str) -> None:
    rows = [text("SELECT name, value FROM numbers ORDER BY name"), text("SELECT * FROM alembic_version")]
    with opened(new_database_url) as engine:
        with writing(engine) as connection:
            context = MigrationContext.configure(connection, opts={"compare_server_default": True})
            assert compare_metadata(context, metadata) == []
            made = described(connection), [connection.execute(each).all() for each in rows]
            metadata.drop_all(connection)
            connection.execute(text("DROP TABLE alembic_version"))
        with writing(engine) as connection:
            _upgrade(connection, None, "this one")
        with reading(engine) as connection:
            context = MigrationContext.configure(connection, opts={"compare_server_default": True})
            assert compare_metadata(context, metadata) == []
            assert (described(connection), [connection.execute(each).all() for each in rows]) == made


def test_the_head_that_is_written_down_is_that_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "downloader" / "store" / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def migrate(database_url: str, revision: str) -> None:
    """Bring a database to *revision*, as a version of us that knew no later one did."""
    url = make_url(database_url)
    engine = create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() != "sqlite" else url)
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "downloader" / "store" / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


#: A batch with one job that failed and one that waits, as version 0.1.0 of the schema has them.
OF_0001 = """
INSERT INTO batches (id, created_at, total, idempotency_key, fingerprint) VALUES ('b', 1, 2, 'k', 'f');
INSERT INTO jobs (id, batch_id, url, link, platform, state, attempts, tries, created_at, updated_at, next_attempt_at,
  error_code, elapsed_seconds, search) VALUES ('j1', 'b', 'u1', 'u1', 'tiktok', 'failed', 3, 4, 1, 1, NULL, 'network',
  0.5, 'u1'), ('j2', 'b', 'u2', 'u2', 'tiktok', 'waiting', 1, 1, 1, 1, 2, 'network', 0.5, 'u2');
INSERT INTO links (batch_id, position, job_id, url) VALUES ('b', 0, 'j1', 'u1'), ('b', 1, 'j2', 'u2');
INSERT INTO attempts (job_id, number, result, started_at, ended_at) VALUES ('j2', 1, 'failed', 1, 2);
INSERT INTO events (id, at, kind, batch_id, data) VALUES (1, 1, 'batch_created', 'b', '{"total":2}');
UPDATE numbers SET value = 1 WHERE name = 'last_event_id';
"""


def test_a_database_of_the_first_schema_keeps_all_that_is_in_it(new_database_url: str) -> None:
    migrate(new_database_url, "0001")
    url = make_url(new_database_url)
    engine = create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() != "sqlite" else url)
    with engine.begin() as connection:
        for statement in OF_0001.split(";\n")[:-1]:
            connection.exec_driver_sql(statement)
    engine.dispose()

    store = Store.open(new_database_url)
    store.on_batch_end(in_a_minute)
    batch = store.batch("b")
    assert (batch.total, batch.counts) == (2, {"failed": 1, "waiting": 1})
    assert (batch.retry_failed_once, batch.second_round_at, batch.second_round_jobs) == (False, None, 0)
    failed, waits = (job for _, job in store.batch_jobs("b"))
    assert [(job.id, job.attempts, job.tries, job.last_try) for job in (failed, waits)] == [
        ("j1", 3, 4, False),
        ("j2", 1, 1, False),
    ]
    assert [attempt.result for attempt in store.attempts("j2")] == ["failed"]
    assert store.last_event_id() == 1
    [again] = store.claim("tiktok", 5, now=NOW)
    assert finished(store, again, "failed", NETWORK).state == "failed"  # nobody asked for a second round then
    batch_id, [job] = running(store, 1)
    assert finished(store, job, "failed", NETWORK).state == "waiting"
    assert store.batch(batch_id).second_round_jobs == 1
    store.close()
    with opened(new_database_url) as engine, reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_many_that_open_a_new_database_at_once_all_get_it(new_database_url: str) -> None:
    barrier = threading.Barrier(8)

    def open_one(_: int) -> int:
        barrier.wait(10)
        store = Store.open(new_database_url)
        try:
            return store.last_event_id()
        finally:
            store.close()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(open_one, range(8))) == [0] * 8


def test_only_a_database_of_an_older_version_needs_alembic(new_database_url: str) -> None:
    program = (
        "import sys; from downloader.store.repository import Store; Store.open(sys.argv[1]).close();"
        " sys.exit('alembic' in sys.modules)"
    )
    command_line = [sys.executable, "-c", program, new_database_url]
    for _ in range(2):
        assert subprocess.run(command_line, cwd=REPOSITORY, timeout=30, check=False).returncode == 0


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database_url: str) -> None:
    with opened(database_url) as engine, writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for _ in range(2):
        with pytest.raises(StartRefused, match="newer version"):
            Store.open(database_url)


def refused(database_url: str) -> str:
    with pytest.raises(StartRefused) as refusal:
        Store.open(database_url)
    return str(refusal.value)


def test_a_database_that_cannot_be_opened_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("This is not a database. " * 100)
    assert "does not exist: make it" in refused(f"sqlite:///{tmp_path / 'nowhere' / 'store.sqlite3'}")
    assert "cannot be opened" in refused(f"sqlite:///{tmp_path / 'text'}")
    assert "cannot be opened" in refused(f"sqlite:///{tmp_path}")
    assert "must name a file" in refused("sqlite://")
    assert "not the address of a database" in refused("rubbish")
    assert "cannot use" in refused("mysql://u:p@h/d")


def test_a_database_that_cannot_be_locked_belongs_on_a_local_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.store.database.BUSY_SECONDS", 0.01)
    with contextlib.closing(sqlite3.connect(tmp_path / "queue.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        sentence = refused(f"sqlite:///{tmp_path / 'queue.db'}")
    assert "database is locked" in sentence
    assert "put it on a local disk with DOWNLOADER_DATABASE_URL" in sentence


def test_a_server_that_is_not_there_is_refused_without_a_word_of_the_password(tmp_path: Path) -> None:
    sentence = refused(f"postgresql://ada:secret@/videos?host={tmp_path}")
    assert "videos" in sentence
    assert "cannot be opened" in sentence
    assert "secret" not in sentence


def _delete(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    shutil.copyfile(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize(("harm", "word"), [(_delete, "was deleted"), (_replace, "was replaced")])
def test_a_database_that_was_taken_away_is_noticed_and_takes_nothing_more(
    tmp_path: Path, suffix: str, harm: Callable[[Path], None], word: str
) -> None:
    path = tmp_path / "queue.db"
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store:
        batch = store.submit([post(1)], now=NOW).batch
        assert store.fault() is None
        harm(tmp_path / f"queue.db{suffix}")
        fault = store.fault()
        assert fault is not None
        assert word in fault
        with pytest.raises(StoreUnavailable, match=word):
            store.submit([post(1)], now=NOW)
        assert store.batch(batch.id).total == 1  # what it knew it still tells


def test_a_database_that_is_back_is_taken_for_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store:
        path.rename(tmp_path / "aside")
        assert store.fault() is not None
        (tmp_path / "aside").rename(path)
        assert store.fault() is None
        store.submit([post(1)], now=NOW)


def test_what_sqlite_itself_does_to_its_files_is_no_fault(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    with contextlib.closing(Store.open(url)) as store:
        for _ in range(3):
            store.submit([post(number) for number in range(50)], now=NOW)
            with contextlib.closing(Store.open(url)) as other:
                other.submit([post(1)], now=NOW)
            with contextlib.closing(sqlite3.connect(tmp_path / "queue.db")) as tool:
                tool.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                tool.execute("VACUUM")
            store._engine.dispose()  # as after a broken connection
            assert store.fault() is None


# -- speed


def test_the_queue_is_read_by_indexes_alone(tmp_path: Path, migrated_sqlite: Path) -> None:
    path = shutil.copy(migrated_sqlite, tmp_path / "store.sqlite3")
    store = Store.open(f"sqlite:///{path}")
    jobs = in_each_state(store)
    submit(store, post(1))
    wants = store.submit([post(1), replace(post(2), error_code="network")], now=NOW, retry_failed_once=True).jobs[0]
    store.on_batch_end(in_a_minute)
    plans: dict[str, list[str]] = {}

    def explain(
        connection: Connection, _cursor: object, statement: str, given: Any, _context: object, many: bool
    ) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            rows = connection.connection.driver_connection.execute(  # type: ignore[union-attr]
                f"EXPLAIN QUERY PLAN {statement}", given[0] if many else given
            )
            plans.setdefault(statement, []).extend(row[3] for row in rows)

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        store.due()
        store.claim("tiktok", 2, now=LATER)
        store.finish(jobs["running"].id, state="failed", result="failed", outcome=NETWORK, now=NOW)
        store.cancel([jobs["queued"].id], now=NOW)
        store.cancel([wants.id], now=NOW)
        store.cancel_batch(wants.batch_id, now=NOW)
        store.retry([jobs["failed"].id], now=NOW)
        store.job(jobs["succeeded"].id)
        store.attempts(jobs["succeeded"].id)
        store.recover(now=NOW)
        store.release_waiting("tiktok", now=NOW)
        store.file_users("/raw/a.mp4")
        store.ended(since=NOW, until=LATER, bucket_seconds=3600)
        store.delete([jobs["cancelled"].id], now=NOW)
        store.events_since(1, batch_id=jobs["queued"].batch_id)
        store.batch(jobs["queued"].batch_id)
        store.batch_jobs(jobs["queued"].batch_id)
        some_states: list[list[JobState]] = [[], ["failed"], ["failed", "queued"]]
        for states in some_states:
            store.jobs(JobFilter(states=states, platform="tiktok"))
            store.jobs(JobFilter(states=states, batch_id=jobs["queued"].batch_id))
            if states:
                store.jobs(JobFilter(states=states))
    finally:
        event.remove(Engine, "before_cursor_execute", explain)
        store.close()
    assert len(plans) > 25
    # A subquery may be gone through: it is a page at most.
    tables = ("jobs", "attempts", "files", "links", "events", "batches")
    scans = {step for steps in plans.values() for step in steps if step.startswith(tuple(f"SCAN {t}" for t in tables))}
    assert scans == set()


def test_a_thousand_links_are_taken_by_a_few_statements(store: Store) -> None:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        store.submit([post(number) for number in range(1000)], now=NOW, idempotency_key="k")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert len(statements) < 15


def test_one_server_has_a_postgresql_database_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has a lock file beside it instead, see tests/end_to_end/test_chaos.py."""
    with postgres.empty_database() as url:
        first, second = Store.open(url), Store.open(url)
        try:
            first.lock_out_others()
            with monkeypatch.context() as impatient:
                impatient.setattr(store_database, "HANDOVER_SECONDS", 0.1)
                with pytest.raises(StartRefused, match="Another server is at work"):
                    second.lock_out_others()
            first.close()
            second.lock_out_others()
        finally:
            first.close()
            second.close()


def test_a_server_keeps_its_postgresql_database_to_itself_when_that_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_database, "HANDOVER_SECONDS", 0.1)
    with postgres.own_server() as running:
        url = running.url(running.create())
        first, second = Store.open(url), Store.open(url)
        try:
            first.lock_out_others()
            running.stop()
            assert first.fault() is None  # it is away, and that is told of otherwise
            running.start()
            assert first.fault() is None
            second._engine.dispose()  # its connections ended too, and it has not noticed
            with pytest.raises(StartRefused, match="Another server is at work"):
                second.lock_out_others()

            running.stop()
            running.start()
            second._engine.dispose()
            second.lock_out_others()  # quicker than the first, which must start nothing more
            assert "Another server is at work" in str(first.fault())
        finally:
            first.close()
            second.close()


def test_a_server_waits_until_postgresql_has_seen_the_end_of_the_one_before_it() -> None:
    """Who restarts a killed server starts the next one at once."""
    with postgres.empty_database() as url:
        first, second, watcher = Store.open(url), Store.open(url), open_database(url)
        try:
            first.lock_out_others()
            with ThreadPoolExecutor() as threads:
                start = threads.submit(second.lock_out_others)
                with watcher.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    waiting = text(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
                    while connection.execute(waiting).scalar() == 0 and not start.done():
                        pass
                assert not start.done()
                first.close()
                start.result(timeout=10)
        finally:
            first.close()
            second.close()
            watcher.dispose()
