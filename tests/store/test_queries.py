"""What the store is asked: pages, filters, what is due, and that indexes answer it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import Connection, Engine, event

from downloader.errors import (
    BadCursor,
    ErrorCode,
    NotFound,
)
from downloader.jobs import (
    FINAL_STATES,
    Job,
    JobFilter,
    JobState,
)
from downloader.models import Media, Outcome
from downloader.store.repository import Store
from tests.store_world import (
    LATER,
    NETWORK,
    NOW,
    database_url,
    downloaded,
    finished,
    in_a_minute,
    in_each_state,
    migrated_sqlite,
    open_store,
    pages,
    post,
    store,
    submit,
)

__all__ = ["database_url", "migrated_sqlite", "open_store", "store"]  # fixtures


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


def test_pages_of_batches_join_up_newest_first(store: Store) -> None:
    ids = [store.submit([post(1), post(number)], now=NOW).batch.id for number in range(5)][::-1]
    assert pages(lambda cursor: store.batches(before=cursor, limit=2)) == [ids[:2], ids[2:4], ids[4:]]
    assert store.batches()[0] == [store.batch(batch_id) for batch_id in ids]


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


def test_due_tells_what_there_is_to_do(store: Store) -> None:
    assert store.due() == {}
    submit(store, post(1), post(2), post(1, "youtube"), post(1, "twitter"))
    assert store.due() == {"tiktok": None, "youtube": None, "twitter": None}
    for job, until in zip(store.claim("tiktok", 2, now=NOW), (LATER + timedelta(1), LATER), strict=True):
        finished(store, job, "waiting", NETWORK, next_attempt_at=until)
    store.claim("twitter", 1, now=NOW)
    assert store.due() == {"tiktok": LATER, "youtube": None}


def test_a_file_of_two_jobs_has_two_users(store: Store) -> None:
    submit(store, post(1), post(2))
    for job in store.claim("tiktok", 2, now=NOW):
        finished(store, job, "succeeded", downloaded("/raw/a.mp4", f"/raw/{job.id}.mp4"))
    assert store.file_users("/raw/a.mp4") == 2
    assert store.file_users(f"/raw/{job.id}.mp4") == 1
    assert store.file_users("/raw/%") == 0
    assert store.file_users("/raw/a.mp4", [job.id]) == 1


def test_jobs_are_found_by_their_urls_newest_first(store: Store) -> None:
    first, second = (submit(store, post(1), post(2))[0] for _ in range(2))
    store.cancel([first.id], now=NOW)
    urls = [post(1).url, "https://nothing.example", "x" * 9]
    assert [job.id for job in store.jobs_with_urls(urls, FINAL_STATES | {"queued"})] == [second.id, first.id]
    assert [job.id for job in store.jobs_with_urls(urls, FINAL_STATES)] == [first.id]
    assert store.jobs_with_urls([], FINAL_STATES) == []


def test_what_ended_before_a_moment_is_found_oldest_first_with_its_files(store: Store) -> None:
    before = in_each_state(store)
    ended = [job for state, job in before.items() if state in FINAL_STATES]
    last = max(job.finished_at for job in ended if job.finished_at is not None)
    found = store.finished_before(last + timedelta(microseconds=1), 10)
    assert {job.id: job for job in found} == {job.id: job for job in ended}
    assert store.finished_before(last + timedelta(microseconds=1), 1) == found[:1]
    assert all(job.finished_at != last for job in store.finished_before(last, 10))


# -- statistics


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
