"""What goes into rows and comes out: text, times, ids, what events say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest

from downloader.errors import (
    NotFound,
)
from downloader.jobs import (
    Event,
    JobFilter,
    NewJob,
)
from downloader.store.repository import Store
from tests.store_world import (
    LATER,
    NETWORK,
    NOW,
    database_url,
    downloaded,
    finished,
    migrated_sqlite,
    open_store,
    post,
    store,
    submit,
)

__all__ = ["database_url", "migrated_sqlite", "open_store", "store"]  # fixtures


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


def test_a_job_learns_that_its_files_are_photos(store: Store) -> None:
    for number, kind in enumerate(("photos", "video")):
        new = NewJob(url=f"u{number}", link=f"l{number}", platform="tiktok", photos=False)
        store.submit([new], now=NOW)
        [claimed] = store.claim("tiktok", 1, now=NOW)
        assert (claimed.kind, claimed.photos) == ("video", False)
        outcome = downloaded("/raw/1.jpg")
        assert outcome.media is not None
        outcome.media = replace(outcome.media, kind=kind)  # type: ignore[arg-type]
        assert finished(store, claimed, "succeeded", outcome).kind == kind
        assert store.job(claimed.id).kind == kind


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
        "preset": "video",
        "kind": "video",
        "attempts": 1,
        "error_code": None,
        "error": None,
        "next_attempt_at": None,
        "title": "A film",
        "uploader": None,
        "duration_seconds": 1.5,
        "thumbnail_url": None,
        "files": ["/raw/a.mp4"],
        "size_bytes": 3_000_000_000,
        "reused": False,
        "parent_id": None,
        "entries": None,
    }
