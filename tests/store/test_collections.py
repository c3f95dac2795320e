"""Collections in the store: pages of entries, each post once; in both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from downloader.errors import NotExpandable, NotFound
from downloader.jobs import EntryCounts, Job, JobFilter, Listed, NewJob, Page
from downloader.models import Outcome
from downloader.presets import MAX_ENTRIES, Expand
from downloader.store.repository import Store
from tests.store_world import LATER, NETWORK, NOW, database_url, downloaded, migrated_sqlite, open_store, post, store

__all__ = ["database_url", "migrated_sqlite", "open_store", "store"]  # fixtures

EXPAND = Expand(limit=5, order="oldest", since=date(2026, 1, 31))


def entry(number: int) -> NewJob:
    return replace(post(number), post_key=f"tiktok:{number}:video:", title=f"Part {number}")


def collection(name: str = "ada") -> NewJob:
    url = f"https://www.tiktok.com/@{name}"
    return NewJob(url=url, link=url, platform="tiktok", kind="collection", expand=EXPAND)


def begun(store: Store, *beside: NewJob) -> Job:
    """Store a collection, and what is sent *beside* it; return it running."""
    submission = store.submit([collection(), *beside], now=NOW)
    [job] = store.claim("tiktok", 1, now=NOW)
    assert job.id == submission.jobs[0].id
    return job


def list_page(store: Store, job: Job, *numbers: int, position: int, **page: Any) -> bool:
    listed = Listed(
        job_id=job.id,
        attempt=job.attempt_number,
        page=Page(entries=(), position=position, **page),
        new_jobs=tuple(map(entry, numbers)),
    )
    return store.add_entries(listed, now=LATER)


def entries(store: Store, job: Job) -> list[Job]:
    return store.jobs(JobFilter(parent_id=job.id, limit=100))[0][::-1]


def end(store: Store, job: Job, outcome: Outcome = Outcome(True), **changes: Any) -> Job:  # noqa: B008 -- immutable
    state = "succeeded" if outcome[0] else "failed"
    found = store.finish(job.id, **{"state": state, "result": state, "outcome": outcome, "now": LATER, **changes})
    assert found is not None
    return found


def test_how_a_collection_is_taken_apart_is_kept(store: Store) -> None:
    job = begun(store)
    assert store.job(job.id).expand == EXPAND
    assert (job.kind, job.listed, job.found, job.parent_id) == ("collection", 0, None, None)


def test_collections_that_are_taken_apart_otherwise_are_others(store: Store) -> None:
    other = replace(collection(), expand=replace(EXPAND, limit=6))
    submission = store.submit([collection(), collection(), other], now=NOW, idempotency_key="a")
    assert len({job.id for job in submission.jobs}) == 2
    assert not store.submit([collection(), collection(), other], now=NOW, idempotency_key="a").created


def test_entries_are_jobs_of_the_batch_each_post_once(store: Store) -> None:
    job = begun(store, entry(2), post(9))
    assert list_page(store, job, 1, 2, 3, 3, position=4, found=240, title="Ada's garden", uploader="Ada")
    assert list_page(store, job, 3, 4, position=6, found=240)
    found = entries(store, job)
    assert [each.post_key for each in found] == [f"tiktok:{number}:video:" for number in (1, 3, 4)]
    assert {(each.batch_id, each.parent_id, each.state) for each in found} == {(job.batch_id, job.id, "queued")}
    assert [each.title for each in found] == ["Part 1", "Part 3", "Part 4"]
    now = store.job(job.id)
    assert (now.listed, now.found, now.title, now.uploader) == (6, 240, "Ada's garden", "Ada")
    batch = store.batch(job.batch_id)
    assert (batch.total, sum(batch.counts.values())) == (3, 6)


def test_a_short_link_that_leads_to_a_collection_becomes_one(store: Store) -> None:
    short = replace(post(7), expand=EXPAND)
    [job] = store.submit([short], now=NOW).jobs
    assert (job.kind, job.expand, job.entries) == ("video", EXPAND, None)
    with pytest.raises(NotExpandable, match="not a collection"):
        store.take_more(job.id, None, now=NOW)
    store.claim("tiktok", 1, now=NOW)
    link = "https://www.tiktok.com/@ada"
    assert not store.resolve(job.id, link, None, is_collection=True, attempt=1, now=NOW)
    store.finish(job.id, state="queued", result="interrupted", outcome=None, now=NOW, attempt=1)
    event = store.events_since(store.last_event_id() - 1)[0]
    assert (event.data["kind"], event.data["entries"]) == ("collection", {"found": None, "taken": 0})
    [job] = store.claim("tiktok", 1, now=NOW)
    assert (job.kind, job.link, job.counted_attempts) == ("collection", link, 1)
    assert list_page(store, job, 1, position=1)
    assert store.job(job.id).entries == EntryCounts()


def test_a_page_is_one_event_of_the_collection(store: Store) -> None:
    job = begun(store)
    before = store.last_event_id()
    list_page(store, job, *range(50), position=50, found=60)
    [event] = store.events_since(before)
    assert (event.kind, event.job_id, event.data["entries"]) == ("job_changed", job.id, {"found": 60, "taken": 50})


def test_pages_of_an_attempt_that_ended_are_dropped(store: Store) -> None:
    job = begun(store)
    store.recover(now=NOW)
    assert not list_page(store, job, 1, position=1)
    [again] = store.claim("tiktok", 1, now=NOW)
    assert not list_page(store, job, 1, position=1)
    assert list_page(store, again, 1, position=1)
    store.cancel([job.id], now=NOW)
    assert not list_page(store, again, 2, position=2)
    assert len(entries(store, job)) == 1


def test_what_is_there_is_reused_and_what_is_known_to_fail_fails(store: Store) -> None:
    [source] = store.submit([entry(1)], now=NOW).jobs
    store.claim("tiktok", 1, now=NOW)
    source = end(store, source, downloaded("/raw/a.mp4"))
    job = begun(store)
    new_jobs = (
        replace(entry(1), reused=True, source=source),
        replace(entry(2), error_code="private", error="It is private."),
    )
    page = Page(entries=(), position=2)
    store.add_entries(Listed(job_id=job.id, attempt=job.attempt_number, page=page, new_jobs=new_jobs), now=LATER)
    first, second = entries(store, job)
    assert (first.state, first.reused, first.files, first.title) == ("succeeded", True, ("/raw/a.mp4",), "A film")
    assert (second.state, second.error_code, second.error) == ("failed", "private", "It is private.")


def test_a_collection_has_the_counts_and_files_of_its_entries(store: Store) -> None:
    job = begun(store)
    list_page(store, job, 1, 2, 3, position=3)
    first, second, _ = entries(store, job)
    store.claim("tiktok", 2, now=NOW)
    end(store, first, downloaded("/raw/a.mp4", "/raw/b.mp4"))
    end(store, second, NETWORK)
    end(store, job)
    seen = [store.job(job.id), store.batch_jobs(job.batch_id)[0][1], store.jobs(JobFilter(limit=10))[0][-1]]
    for each in seen:
        assert each.entries == EntryCounts(done=1, failed=1)
        assert each.files == ("/raw/a.mp4", "/raw/b.mp4")
        assert each.size_bytes == 3_000_000_000
    assert store.file_users("/raw/a.mp4") == 1


def test_more_is_taken_of_a_final_collection_alone(store: Store) -> None:
    job = begun(store, post(9))
    other = store.batch_jobs(job.batch_id)[1][1]
    for job_id, error in ((job.id, NotExpandable), (other.id, NotExpandable), ("none", NotFound)):
        with pytest.raises(error):
            store.take_more(job_id, 5, now=NOW)
    list_page(store, job, *range(1, 6), position=5)
    end(store, job)
    more = store.take_more(job.id, 7, now=NOW)
    assert (more.state, more.expand, more.listed, more.counted_attempts) == (
        "queued", replace(EXPAND, limit=12), 5, 0
    )  # fmt: skip
    store.cancel([job.id], now=NOW)
    assert store.take_more(job.id, None, now=NOW).expand == replace(EXPAND, limit=MAX_ENTRIES)
    [again] = store.claim("tiktok", 1, now=NOW)
    list_page(store, again, position=MAX_ENTRIES)
    end(store, again)
    with pytest.raises(NotExpandable, match="10,000 entries"):
        store.take_more(job.id, None, now=NOW)


def test_a_deleted_collection_leaves_its_entries(store: Store) -> None:
    job = begun(store)
    list_page(store, job, 1, position=1)
    end(store, job)
    [deleted] = store.delete([job.id], now=NOW)
    assert deleted.files == ()
    assert len(entries(store, job)) == 1
    assert store.batch(job.batch_id).total == 1


def test_entries_are_due_until_they_are_final_or_far_off(store: Store) -> None:
    job = begun(store)
    assert not store.entries_due(job.id, LATER)
    list_page(store, job, 1, position=1)
    assert store.entries_due(job.id, LATER)
    end(store, job)
    [running] = store.claim("tiktok", 1, now=NOW)
    assert store.entries_due(job.id, NOW)
    end(store, running, NETWORK, state="waiting", next_attempt_at=LATER)
    assert store.entries_due(job.id, LATER)
    assert not store.entries_due(job.id, NOW)


def test_reading_a_list_is_no_download_in_the_statistics(store: Store) -> None:
    job = begun(store)
    end(store, job)
    assert store.recent(since=NOW) == {}
    assert store.ended(since=NOW, until=LATER.replace(year=2027), bucket_seconds=3600) == []


def test_a_batch_tells_its_title_its_collections_and_what_is_worth_a_retry(store: Store) -> None:
    job = begun(store, post(9), collection("eve"), replace(post(8), link=None, platform="unknown"))
    list_page(store, job, 1, 2, 3, position=3, title="Ada's garden")
    first, second, third = entries(store, job)
    store.claim("tiktok", 5, now=NOW)
    end(store, first, NETWORK)
    end(store, second, Outcome(False, None, "It is gone.", error_code="removed"))
    store.cancel([third.id], now=NOW)
    [batch], _ = store.batches()
    assert (batch.title, batch.collections) == ("Ada's garden", {"running": 2})
    assert (batch.counts["failed"], batch.counts["cancelled"], batch.worth_retrying) == (3, 1, 2)
    assert store.batch(batch.id) == batch
