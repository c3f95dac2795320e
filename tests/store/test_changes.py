"""Moves of jobs: legal ones only, second rounds, and several changes at once."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from downloader.errors import (
    IllegalTransition,
    NotFound,
)
from downloader.jobs import (
    FINAL_STATES,
    AttemptEnd,
    Event,
    Job,
    JobState,
)
from downloader.models import Outcome
from downloader.store.repository import Store
from tests.store_world import (
    LATER,
    MINUTE,
    NETWORK,
    NOW,
    REPOSITORY,
    database_url,
    downloaded,
    finished,
    in_a_minute,
    migrated_sqlite,
    nobody,
    open_store,
    post,
    running,
    store,
    submit,
)

__all__ = ["database_url", "migrated_sqlite", "open_store", "store"]  # fixtures

pytestmark = pytest.mark.thorough


PRIVATE = Outcome(False, None, "This post is private.", error_code="private")


def test_a_move_that_the_table_does_not_have_is_refused_and_changes_nothing(store: Store) -> None:
    submit(store, post(1))
    [job] = store.claim("tiktok", 1, now=NOW)
    last = store.last_event_id()
    with pytest.raises(IllegalTransition, match="running cannot become running"):
        store.finish(job.id, state="running", result="failed", outcome=NETWORK, now=LATER)
    assert store.job(job.id) == job
    assert store.attempts(job.id)[0].result == "running"
    assert store.last_event_id() == last


def test_the_last_jobs_of_a_batch_deleted_by_several_at_once_take_it_along(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    for _ in range(10):
        submission = stores[0].submit([nobody("a"), nobody("b")], now=NOW)
        barrier = threading.Barrier(2)

        def delete(number: int, jobs: Sequence[Job] = submission.jobs, together: threading.Barrier = barrier) -> None:
            together.wait(30)
            assert len(stores[number].delete([jobs[number].id], now=NOW)) == 1

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(delete, range(2)))
        with pytest.raises(NotFound):
            stores[0].batch(submission.batch.id)


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


@pytest.fixture
def rounds(store: Store) -> Store:
    """Return a store that begins second rounds where they are wanted."""
    store.on_batch_end(in_a_minute)
    return store


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
        assert (put_back.counted_attempts, put_back.final_attempt, put_back.finished_at) == (1, True, None)
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
    assert (again.counted_attempts, again.final_attempt) == (2, True)
    assert finished(rounds, again, "failed", NETWORK).state == "failed"
    [by_hand] = rounds.retry([job.id], now=LATER)
    assert (by_hand.counted_attempts, by_hand.final_attempt) == (0, False)
    [by_hand] = rounds.claim("tiktok", 1, now=LATER)
    assert finished(rounds, by_hand, "failed", NETWORK).state == "failed"
    assert rounds.batch(batch_id).second_round_at == NOW
    assert len(told_of(rounds, batch_id)) == 1


def test_a_batch_that_was_cancelled_wants_no_second_round_any_more(rounds: Store) -> None:
    batch_id, [failed, runs, waits] = running(rounds, 3)
    finished(rounds, failed, "failed", NETWORK)
    finished(rounds, waits, "waiting", NETWORK, next_attempt_at=LATER)
    assert {job.id for job in rounds.cancel_batch(batch_id, now=LATER)} == {runs.id, waits.id}
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


def test_the_final_attempt_stays_final_however_often_it_is_interrupted(rounds: Store) -> None:
    _, [job] = running(rounds, 1)
    finished(rounds, job, "failed", NETWORK)
    rounds.release_waiting("tiktok", now=NOW)
    for number in (2, 3):
        [again] = rounds.claim("tiktok", 1, now=NOW)
        assert (again.counted_attempts, again.attempt_number, again.final_attempt) == (2, number, True)
        rounds.recover(now=NOW)
    rounds.claim("tiktok", 1, now=NOW)
    back = rounds.finish(job.id, state="waiting", result="interrupted", outcome=None, now=NOW, next_attempt_at=LATER)
    assert back is not None
    assert (back.counted_attempts, back.final_attempt) == (1, True)


def test_an_end_that_comes_too_late_begins_no_second_round(rounds: Store) -> None:
    batch_id, [first, last] = running(rounds, 2)
    finished(rounds, first, "failed", NETWORK)
    late: dict[str, Any] = {"state": "failed", "result": "failed", "outcome": NETWORK, "now": NOW}
    assert rounds.finish(last.id, attempt=last.attempt_number + 1, **late) is None
    assert rounds.batch(batch_id).counts == {"failed": 1, "running": 1}
    assert told_of(rounds, batch_id) == []


def end_of(job: Job, outcome: Outcome, *, at: datetime = NOW, attempt: int | None = None) -> AttemptEnd:
    result: Any = "succeeded" if outcome[0] else "failed"
    return AttemptEnd(job_id=job.id, state=result, result=result, outcome=outcome, at=at, attempt=attempt)


def test_ends_and_a_claim_are_one_change(store: Store) -> None:
    """Each end at its own time, as if it were stored by itself."""
    _, [good, bad, late] = running(store, 3)
    submit(store, post(50), post(51))
    changes: list[str] = []
    store.on_event(lambda told: changes.append(told.data["state"]))
    ends = [
        end_of(good, downloaded("/raw/a.mp4", "/raw/b.mp4"), at=NOW + MINUTE),
        end_of(late, NETWORK, attempt=late.attempt_number + 1),
        end_of(bad, PRIVATE, at=NOW + 2 * MINUTE),
    ]
    [first, none, second], claimed = store.exchange(ends, {"tiktok": [""], "youtube": [""]}, now=NOW + 3 * MINUTE)
    assert none is None
    assert (first, second) == (store.job(good.id), store.job(bad.id))
    assert first is not None
    assert second is not None
    assert (first.state, first.files) == ("succeeded", ("/raw/a.mp4", "/raw/b.mp4"))
    assert (first.finished_at, first.elapsed_seconds) == (NOW + MINUTE, 60)
    assert (second.state, second.finished_at, second.elapsed_seconds) == ("failed", NOW + 2 * MINUTE, 120)
    [attempt] = store.attempts(bad.id)
    assert (attempt.result, attempt.error_code, attempt.ended_at) == ("failed", "private", NOW + 2 * MINUTE)
    assert store.job(late.id).state == "running"
    [job] = claimed.jobs
    assert (job.state, job.started_at, list(claimed.more)) == ("running", NOW + 3 * MINUTE, ["tiktok"])
    assert changes == ["succeeded", "failed", "running"]
    assert not store.exchange([], {"tiktok": [""]}, now=NOW)[1].more


def test_of_ends_of_which_one_is_impossible_none_is_stored(store: Store) -> None:
    _, [good, bad] = running(store, 2)
    impossible = replace(end_of(bad, PRIVATE), state="running")
    with pytest.raises(IllegalTransition):
        store.exchange([end_of(good, downloaded("/raw/a.mp4")), impossible], {}, now=NOW)
    assert [store.job(job.id).state for job in (good, bad)] == ["running"] * 2


def test_the_last_jobs_of_a_batch_that_end_together_begin_its_second_round(rounds: Store) -> None:
    batch_id, jobs = running(rounds, 3)
    other_id, [other, _] = running(rounds, 2)
    ends = [end_of(job, NETWORK) for job in (*jobs, other)]
    assert [job and job.state for job in rounds.exchange(ends, {}, now=NOW)[0]] == ["waiting"] * 3 + ["failed"]
    assert (rounds.batch(batch_id).second_round_jobs, rounds.batch(other_id).second_round_jobs) == (3, 0)


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
    for each in stores:
        each.on_batch_end(in_a_minute)
    for number in range(20):
        batch_id, jobs = running(stores[0], 2)
        barrier = threading.Barrier(2)

        def end(
            each: int, number: int = number, jobs: Sequence[Job] = jobs, together: threading.Barrier = barrier
        ) -> None:
            together.wait(30)
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
    for each in stores:
        each.on_batch_end(lambda job, now: now)
    batch_ids = [running(stores[0], 30)[0] for _ in range(8)]
    ids = [job_id for batch_id in batch_ids for job_id in stores[0].job_ids(batch_id)]

    def work(number: int) -> None:
        store, random = stores[number % 2], Random(number)
        for _ in range(6):
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


# -- several at once


@pytest.mark.parametrize("number_of_stores", [1, 2])
def test_two_that_claim_never_get_the_same_job(open_store: Callable[[], Store], number_of_stores: int) -> None:
    stores = [open_store() for _ in range(number_of_stores)]
    submitted = {job.id for job in submit(stores[0], *(post(number) for number in range(500)))}
    barrier = threading.Barrier(2)

    def claim_all(store: Store) -> list[str]:
        barrier.wait(30)
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
            together.wait(30)
            return bool(stores[0].cancel([job.id], now=NOW))

        def finish(job: Job = job, together: threading.Barrier = barrier) -> bool:
            together.wait(30)
            outcome = downloaded("/a")
            return bool(stores[1].finish(job.id, state="succeeded", result="succeeded", outcome=outcome, now=NOW))

        with ThreadPoolExecutor(2) as threads:
            won = [threads.submit(cancel), threads.submit(finish)]
            assert [one.result(30) for one in won].count(True) == 1
        assert (stores[0].job(job.id).state == "cancelled") == won[0].result()


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
