"""Lists of jobs: filters, orders and pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest

from downloader.errors import BadCursor
from downloader.jobs import JobFilter, JobOrder, JobState
from downloader.models import Media, Outcome
from downloader.store.repository import Store
from tests.store_world import (
    NOW,
    database_url,
    downloaded,
    finished,
    in_each_state,
    migrated_sqlite,
    nobody,
    open_store,
    pages,
    post,
    store,
    submit,
)

__all__ = ["database_url", "migrated_sqlite", "open_store", "store"]  # fixtures


def test_pages_of_jobs_join_up_newest_first(store: Store) -> None:
    ids = [job.id for job in submit(store, *(post(number) for number in range(7)))][::-1]
    assert pages(lambda cursor: store.jobs(JobFilter(cursor=cursor, limit=3))) == [ids[:3], ids[3:6], ids[6:]]
    assert pages(lambda cursor: store.jobs(JobFilter(cursor=cursor, limit=7))) == [ids]


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


def test_jobs_are_filtered_by_kind_preset_and_time(store: Store) -> None:
    new = [post(0), replace(post(1), preset="mp3", kind="audio"), replace(post(2), preset="720p")]
    ids = [submit(store, one, now=NOW + timedelta(days=day))[0].id for day, one in enumerate(new)]

    def found(**filters: Any) -> list[int]:
        wanted = JobFilter(**filters, sort="oldest")
        listed = [ids.index(job.id) for job in store.jobs(wanted)[0]]
        assert store.number_of_jobs(wanted) == len(listed)
        return listed

    assert found(kind="audio") == [1]
    assert found(preset="720p") == [2]
    assert found(preset="720p", kind="audio") == []
    assert found(since=NOW + timedelta(days=1)) == [1, 2]
    assert found(until=NOW + timedelta(days=1)) == [0]
    assert found(since=NOW, until=NOW + timedelta(days=2), states=["queued", "failed"]) == [0, 1]


#: What a job is, as (title, seconds, bytes); no title: it failed.
MEDIA: list[tuple[str | None, float | None, int]] = [
    ("beta", 2.5, 7),
    ("Alpha", 2.5, 6),
    (None, None, 0),
    ("alpha", 61.0, 2**33),
    ("", None, 7),
    ("Gamma \x00\udfff " + "x" * 500, 0.1, 0),
]
ORDERS: dict[JobOrder, list[int]] = {
    "newest": [5, 4, 3, 2, 1, 0],
    "oldest": [0, 1, 2, 3, 4, 5],
    "largest": [3, 4, 0, 1, 5, 2],
    "longest": [3, 1, 0, 5, 4, 2],
    "title": [1, 3, 0, 5, 2, 4],
}


def in_orders(store: Store) -> list[str]:
    """Return the ids of jobs, one for each of MEDIA."""
    ids = [job.id for job in submit(store, *(post(number) for number in range(len(MEDIA))))]
    for job in store.claim("tiktok", len(MEDIA), now=NOW):
        title, seconds, size = MEDIA[ids.index(job.id)]
        if title is None:
            finished(store, job, "failed", Outcome(False, None, "It is gone.", error_code="removed"))
        else:
            media = Media(files=("/a",), title=title, duration_seconds=seconds, size_bytes=size)
            finished(store, job, "succeeded", Outcome(True, "/a", None, media=media))
    return ids


def all_pages(store: Store, wanted: JobFilter) -> list[str]:
    found = pages(lambda cursor: store.jobs(replace(wanted, cursor=cursor)))
    return [job_id for page in found for job_id in page]


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_pages_join_up_in_every_order(store: Store, limit: int) -> None:
    ids = in_orders(store)
    assert ORDERS.keys() == set(get_args(JobOrder))
    some: list[list[JobState]] = [[], ["succeeded"], ["succeeded", "failed"]]
    for order, numbers in ORDERS.items():
        for states in some:
            expected = [ids[number] for number in numbers if states != ["succeeded"] or MEDIA[number][0] is not None]
            wanted = JobFilter(sort=order, states=states, limit=limit)
            assert all_pages(store, wanted) == expected, (order, states)
            assert store.number_of_jobs(wanted) == len(expected)


def test_a_cursor_holds_its_place_only_in_its_own_order(store: Store) -> None:
    ids = in_orders(store)
    cursors = {order: store.jobs(JobFilter(sort=order, limit=2))[1] for order in ORDERS}
    for order, cursor in cursors.items():
        assert cursor is not None
        assert len(cursor) < 500
        for other in ORDERS.keys() - {order}:
            with pytest.raises(BadCursor):
                store.jobs(JobFilter(sort=other, cursor=cursor))
    # The last of the page is deleted, and others come.
    store.delete([ids[1], ids[3], ids[4]], now=NOW)
    submit(store, nobody("rubbish"))
    rest = store.jobs(JobFilter(sort="title", cursor=cursors["title"]))[0]
    assert [ids.index(job.id) for job in rest if job.id in ids] == [0, 5, 2]
