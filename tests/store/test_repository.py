"""What the store keeps of batches and jobs, alike in SQLite and PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from downloader.errors import (
    IdempotencyConflict,
    NotFound,
)
from downloader.jobs import (
    CooldownState,
    Event,
    JobFilter,
    JobState,
    NewJob,
    Submission,
)
from downloader.models import Outcome
from downloader.store.repository import Store
from tests.store_world import (
    LATER,
    NETWORK,
    NOW,
    REPOSITORY,
    database_url,
    downloaded,
    finished,
    in_each_state,
    migrated_sqlite,
    nobody,
    open_store,
    post,
    store,
    submit,
)

__all__ = ["database_url", "migrated_sqlite", "open_store", "store"]  # fixtures


LIMITED = Outcome(False, None, "The platform asks for a pause.", error_code="rate_limited")


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


def test_a_link_with_two_presets_is_two_jobs(store: Store) -> None:
    low, sound = (replace(post(1), preset=preset) for preset in ("480p", "audio"))
    submission = store.submit([post(1), low, post(1), replace(sound, kind="audio"), low], now=NOW)
    best, first_low, same, audio, second_low = submission.jobs
    assert (same, second_low) == (best, first_low)
    assert submission.batch.counts == {"queued": 3}
    assert [(job.preset, job.kind) for job in (best, first_low, audio)] == [
        ("video", "video"),
        ("480p", "video"),
        ("audio", "audio"),
    ]
    assert [job for _, job in store.batch_jobs(submission.batch.id)] == list(submission.jobs)


def test_a_job_keeps_its_preset_through_attempts_and_retries(store: Store) -> None:
    [job] = submit(store, replace(post(1), preset="mp3", kind="audio"))
    [claimed] = store.claim("tiktok", 1, now=NOW)
    failed = finished(store, claimed, "failed", NETWORK)
    [retried] = store.retry([job.id], now=LATER)
    [again] = store.claim("tiktok", 1, now=LATER)
    done = finished(store, again, "succeeded", downloaded("/raw/a.mp3"))
    assert {(each.preset, each.kind) for each in (claimed, failed, retried, again, done)} == {("mp3", "audio")}
    assert store.job(job.id) == done


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


def test_a_known_key_with_another_preset_is_a_conflict(store: Store) -> None:
    low = replace(post(1), preset="480p")
    first = store.submit([low], now=NOW, idempotency_key="k")
    assert store.submit([low], now=LATER, idempotency_key="k").batch == first.batch
    for other in (post(1), replace(low, preset="720p")):
        with pytest.raises(IdempotencyConflict):
            store.submit([other], now=NOW, idempotency_key="k")


def test_without_a_key_the_same_links_are_another_batch(store: Store) -> None:
    assert store.submit([post(1)], now=NOW).batch.id != store.submit([post(1)], now=NOW).batch.id


def test_one_key_sent_by_many_at_once_makes_one_batch(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    barrier = threading.Barrier(8)

    def send(number: int) -> Submission:
        barrier.wait(30)
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
    assert (first.state, first.counted_attempts, first.started_at, first.updated_at) == ("running", 1, NOW, NOW)
    [attempt] = store.attempts(job.id)
    assert (attempt.number, attempt.result, attempt.started_at, attempt.ended_at) == (1, "running", NOW, None)
    waiting = finished(store, first, "waiting", NETWORK, next_attempt_at=LATER)
    assert (waiting.error_code, waiting.error, waiting.detail) == ("network", NETWORK[2], "Errno 104")
    [second] = store.claim("tiktok", 1, now=LATER)
    assert (second.counted_attempts, second.started_at, second.next_attempt_at) == (2, LATER, None)
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
    assert (back.state, back.counted_attempts, back.attempt_number) == ("queued", 0, 1)
    assert (back.error, back.elapsed_seconds) == (None, 90.0)
    [again] = store.claim("tiktok", 1, now=NOW)
    assert (again.counted_attempts, again.attempt_number) == (1, 2)
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
    assert store.finish(first.id, attempt=first.attempt_number, **late) is None
    assert store.job(first.id) == second
    assert store.finish(first.id, attempt=second.attempt_number, **late) is not None


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
    assert (back.state, back.counted_attempts, back.updated_at) == ("queued", 0, LATER)
    [attempt] = store.attempts(back.id)
    assert (attempt.result, attempt.ended_at) == ("interrupted", LATER)
    assert all(store.job(job.id) == job for state, job in before.items() if state != "running")
    assert store.recover(now=LATER) == 0


def test_recover_leaves_alone_what_somebody_runs(store: Store) -> None:
    submit(store, post(1), post(2))
    kept, lost = store.claim("tiktok", 2, now=NOW)
    assert store.recover(now=LATER, but={kept.id, "gone"}) == 1
    assert [store.job(job.id).state for job in (kept, lost)] == ["running", "queued"]


# -- by hand


def test_cancel_returns_the_jobs_as_they_are_then_and_leaves_final_ones_alone(store: Store) -> None:
    before = in_each_state(store)
    cancelled = store.cancel([job.id for job in before.values()] * 2 + ["nothing"], now=LATER)
    assert {job.id for job in cancelled} == {before[state].id for state in ("queued", "waiting", "running")}
    for after in cancelled:
        assert after == store.job(after.id)
        assert (after.state, after.error_code, after.finished_at) == ("cancelled", "cancelled", LATER)
        assert after.error == "Download cancelled."
        assert after.next_attempt_at is None
    [attempt] = store.attempts(before["running"].id)
    assert (attempt.result, attempt.ended_at, attempt.error) == ("cancelled", LATER, None)
    assert store.job(before["running"].id).elapsed_seconds == 90.0
    assert all(store.job(before[state].id) == before[state] for state in ("succeeded", "failed"))


def test_a_batch_is_cancelled_in_portions_what_runs_last(store: Store) -> None:
    jobs = submit(store, *(post(number) for number in range(6)))
    store.claim("tiktok", 2, now=NOW)
    last, batch_id = store.last_event_id(), jobs[0].batch_id
    portions = [store.cancel_batch(batch_id, now=LATER, most=3) for _ in range(3)]
    assert [[job.id for job in portion] for portion in portions] == [
        [job.id for job in jobs[2:5]], [*(job.id for job in jobs[:2]), jobs[5].id], []
    ]  # fmt: skip
    told = store.events_since(last)
    assert [each.id for each in told] == list(range(last + 1, last + 7))
    assert {each.job_id for each in told} == {job.id for job in jobs}
    for each in told:
        job = store.job(each.job_id or "")
        assert {name: each.data[name] for name in ("state", "error_code", "error", "next_attempt_at")} == {
            "state": "cancelled", "error_code": "cancelled", "error": job.error, "next_attempt_at": None
        }  # fmt: skip


def test_what_is_moved_with_others_is_found_by_its_new_error_alone(store: Store) -> None:
    [fails, rests] = submit(store, replace(post(1), title="Straße"), post(2))
    store.claim("tiktok", 1, now=NOW)
    finished(store, fails, "waiting", Outcome(False, None, "Too ẞlow.", error_code="network"), next_attempt_at=LATER)

    def found(text: str) -> set[str]:
        return {job.id for job in store.jobs(JobFilter(text=text))[0]}

    assert found("too sslow") == {fails.id}
    cancelled = store.cancel_batch(fails.batch_id, now=LATER)
    assert cancelled == [store.job(fails.id), store.job(rests.id)]
    assert (found("too sslow"), found("Download cancelled")) == (set(), {fails.id, rests.id})
    retried = store.retry([fails.id, rests.id], now=LATER)
    assert retried == [store.job(fails.id), store.job(rests.id)]
    assert (found("Download cancelled"), found("strasse"), found("post/")) == (set(), {fails.id}, {fails.id, rests.id})


def test_retry_puts_failed_and_cancelled_jobs_back(store: Store) -> None:
    before = in_each_state(store)
    retried = store.retry([job.id for job in before.values()], now=LATER)
    assert {job.id for job in retried} == {before["failed"].id, before["cancelled"].id}
    for job in retried:
        assert job == store.job(job.id)
        assert (job.state, job.counted_attempts, job.finished_at) == ("queued", 0, None)
        assert (job.error_code, job.error) == (None, None)


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
    assert (released.state, released.next_attempt_at, released.counted_attempts) == ("queued", None, 1)
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


def test_many_jobs_can_be_named_at_once(store: Store) -> None:
    ids = [job.id for job in submit(store, *(post(number) for number in range(1200)))]
    assert [job.id for job in store.cancel(ids, now=NOW)] == ids
    assert [job.id for job in store.retry(ids[::-1], now=NOW)] == ids
    store.cancel(ids, now=NOW)
    assert len(store.delete(ids, now=NOW)) == 1200
    assert store.counts() == {}


# -- what is remembered


def test_platform_rests_are_remembered_and_told_of_when_they_change(store: Store) -> None:
    assert store.cooldowns() == []
    tiktok = CooldownState(platform="tiktok", cap=2.5, cooling_until=LATER, strikes=2)
    youtube = CooldownState(platform="youtube", cap=4)
    for state in (tiktok, youtube, youtube):
        store.save_cooldown(state, now=NOW)
    assert store.cooldowns() == [tiktok, youtube]
    calm = CooldownState(platform="tiktok", cap=3)
    store.save_cooldown(calm, now=NOW)
    assert store.cooldowns() == [calm, youtube]
    told = store.events_since(0)
    assert [event.kind for event in told] == ["platform_changed"] * 3
    assert told[0].data == {"platform": "tiktok", "cap": 2.5, "cooling_until": LATER.isoformat(), "strikes": 2}


def test_each_way_out_has_cooldowns_of_its_own(store: Store) -> None:
    first, second = (CooldownState(platform="tiktok", egress=egress, cap=2, strikes=1) for egress in ("", "b"))
    for state in (first, second, first):
        store.save_cooldown(state, now=NOW)
    store.save_cooldown(replace(second, cap=3), now=NOW)
    assert store.cooldowns() == [first, replace(second, cap=3)]
    assert [event.data.get("egress") for event in store.events_since(0)] == [None, "b", "b"]


def test_an_attempt_remembers_its_way_out(store: Store) -> None:
    jobs = submit(store, *(post(number) for number in range(4)))
    ways = ["a", "b", "a", "", "b"]
    claimed = store.exchange((), {"tiktok": ways}, now=NOW)[1]
    assert [job.egress for job in claimed.jobs] == ways[:4]
    finished(store, claimed.jobs[1], "queued", None)
    assert [store.job(job.id).egress for job in jobs] == ways[:4]
    assert [job.egress for job in store.claim("tiktok", 1, now=NOW)] == [""]


def test_what_met_a_limit_is_released_and_the_attempt_does_not_count(store: Store) -> None:
    limited, failed, other = submit(store, post(1), post(2), post(3, "youtube"))
    for job in (*store.claim("tiktok", 2, now=NOW), *store.claim("youtube", 1, now=NOW)):
        finished(store, job, "waiting", NETWORK if job.id == failed.id else LIMITED, next_attempt_at=LATER)
    assert store.release_limited(["tiktok"], now=NOW) == 1
    released = store.job(limited.id)
    assert (released.state, released.counted_attempts, released.next_attempt_at) == ("queued", 0, None)
    assert [store.job(job.id).state for job in (failed, other)] == ["waiting", "waiting"]
    assert [job.id for job in store.claim("tiktok", 1, now=NOW)] == [limited.id]
    assert store.release_limited([], now=NOW) == 0


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
        stores[number % 2].save_cooldown(CooldownState(platform="tiktok", cap=2), now=NOW)
        stores[number % 2].set_paused(True, now=NOW)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(save, range(16)))
    assert stores[0].last_event_id() == 2


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
