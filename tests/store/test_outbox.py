"""The outbox: one message for each end of a batch, in the transaction of the end; in both databases."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import event

from downloader.jobs import Entry, Listed, Page
from downloader.models import Outcome
from downloader.presets import Expand
from downloader.store.outbox import MAX_PROBLEMS, Outbox
from downloader.store.repository import Store
from tests.store_world import (
    LATER,
    NETWORK,
    NOW,
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


def opened(store: Store, *receivers: str, only_problems: bool = False) -> Outbox:
    return store.open_outbox(receivers or ("webhook",), only_problems=only_problems)


def taken(outbox: Outbox, receiver: str = "webhook") -> list[dict[str, Any]]:
    """Return the bodies of all messages, which are delivered with that."""
    bodies = []
    while (message := outbox.next(receiver)) is not None:
        bodies.append(json.loads(message.body))
        outbox.delivered(message, now=NOW)
    return bodies


def ends(outbox: Outbox) -> list[tuple[str, dict[str, int]]]:
    """Return batch and counts of all messages."""
    return [
        (body["batch"]["id"], {state: number for state, number in body["batch"]["counts"].items() if number})
        for body in taken(outbox)
    ]


def test_the_last_job_of_a_batch_ends_it_and_a_retry_ends_it_again(store: Store) -> None:
    outbox, woken = opened(store), list[bool]()
    outbox.on_added = lambda: woken.append(True)
    batch_id = submit(store, post(1), post(2))[0].batch_id
    one, two = store.claim("tiktok", 2, now=NOW)
    finished(store, one, "waiting", NETWORK, next_attempt_at=LATER)
    finished(store, two, "succeeded", downloaded("/raw/a.mp4"))
    assert (outbox.next("webhook"), woken) == (None, [])
    store.release_waiting("tiktok", now=NOW)
    [one] = store.claim("tiktok", 1, now=NOW)
    finished(store, one, "failed", NETWORK)
    assert woken == [True]
    first = outbox.next("webhook")
    assert first is not None
    assert ends(outbox) == [(batch_id, {"succeeded": 1, "failed": 1})]

    store.retry([one.id], now=LATER)
    assert outbox.next("webhook") is None
    [one] = store.claim("tiktok", 1, now=LATER)
    finished(store, one, "succeeded", downloaded("/raw/b.mp4"))
    again = outbox.next("webhook")
    assert again is not None
    assert again.id != first.id
    assert ends(outbox) == [(batch_id, {"succeeded": 2})]


def test_a_second_round_comes_before_the_end(store: Store) -> None:
    outbox = opened(store)
    store.on_batch_end(in_a_minute)
    batch_id, [one, two] = running(store, 2)
    finished(store, one, "failed", NETWORK)
    finished(store, two, "succeeded", downloaded("/raw/a.mp4"))
    assert outbox.next("webhook") is None
    store.cancel([one.id], now=LATER)
    assert ends(outbox) == [(batch_id, {"succeeded": 1, "cancelled": 1})]


def test_what_has_ended_when_it_is_submitted_is_told_too(store: Store) -> None:
    outbox = opened(store)
    batch_id = submit(store, nobody("a"), nobody("b"))[0].batch_id
    assert ends(outbox) == [(batch_id, {"failed": 2})]
    mixed = submit(store, nobody("a"), post(1))[0].batch_id
    [job] = store.claim("tiktok", 1, now=NOW)
    source = finished(store, job, "succeeded", downloaded("/raw/a.mp4"))
    assert ends(outbox) == [(mixed, {"failed": 1, "succeeded": 1})]
    reused = submit(store, replace(post(1), reused=True, source=source))[0].batch_id
    assert ends(outbox) == [(reused, {"succeeded": 1})]


def test_a_batch_that_is_held_has_not_ended(store: Store) -> None:
    outbox = opened(store)
    held = replace(post(1), error_code="cancelled", error="It waits to be started.")
    [job] = submit(store, held)
    assert job.is_held
    assert ends(outbox) == []
    store.retry([job.id], now=NOW)
    [job] = store.claim("tiktok", 1, now=NOW)
    finished(store, job, "succeeded", downloaded("/raw/a.mp4"))
    assert ends(outbox) == [(job.batch_id, {"succeeded": 1})]


def test_one_that_ran_and_failed_as_cancelled_is_not_held(store: Store) -> None:
    """The operator's options may end a download with that word of yt-dlp's."""
    outbox = opened(store)
    batch_id, [one] = running(store, 1)
    ended = finished(store, one, "failed", Outcome(False, None, "It was stopped.", error_code="cancelled"))
    assert not ended.is_held
    assert ends(outbox) == [(batch_id, {"failed": 1})]


def test_what_waited_for_a_receiver_has_times_of_its_own(store: Store) -> None:
    """Thousands may wait after a day: to sort those of one time takes 20 ms of the processor, for each of them."""
    outbox, times = opened(store), [NOW + timedelta(seconds=number) for number in range(4)]
    sent = [store.submit([nobody("a")], now=time).batch.id for time in times]
    for minutes in (3, 2, 1):
        waiting = outbox.next("webhook")
        assert waiting is not None
        outbox.postpone(waiting, LATER + timedelta(minutes=minutes))
    last = outbox.next("webhook")
    assert last is not None
    outbox.delivered(last, now=LATER)
    due = []
    while (message := outbox.next("webhook")) is not None:
        due.append((json.loads(message.body)["batch"]["id"], message.next_attempt_at))
        outbox.delivered(message, now=LATER)
    assert due == list(zip(sent[:3], times[:3], strict=True))


def test_a_batch_that_is_cancelled_part_by_part_ends_once(store: Store) -> None:
    outbox = opened(store)
    batch_id = submit(store, *map(post, range(3)))[0].batch_id
    store.cancel_batch(batch_id, now=NOW, most=2)
    assert outbox.next("webhook") is None
    store.cancel_batch(batch_id, now=NOW, most=2)
    store.cancel_batch(batch_id, now=NOW, most=2)
    assert ends(outbox) == [(batch_id, {"cancelled": 3})]


def test_jobs_that_end_with_others_end_their_batches(store: Store) -> None:
    outbox = opened(store)
    keyed = replace(post(1), post_key="tiktok:1:video:")
    [first], [second] = submit(store, keyed), submit(store, keyed)
    [job] = store.claim("tiktok", 5, now=NOW)
    source = finished(store, job, "succeeded", downloaded("/raw/a.mp4"))
    assert ends(outbox) == [(first.batch_id, {"succeeded": 1})]
    store.claim("tiktok", 5, now=NOW)
    store.reuse({second.id: source}, now=NOW)
    assert ends(outbox) == [(second.batch_id, {"succeeded": 1})]


def test_a_collection_ends_with_its_entries(store: Store) -> None:
    outbox = opened(store)
    collection = replace(post(1, "youtube"), kind="collection", expand=Expand())
    batch_id = submit(store, collection)[0].batch_id
    [job] = store.claim("youtube", 1, now=NOW)
    page = Page(entries=(Entry(url="u", platform="youtube"),), position=1, is_last=True)
    store.add_entries(Listed(job_id=job.id, attempt=1, page=page, new_jobs=(post(2, "youtube"), nobody("x"))), now=NOW)
    finished(store, job, "succeeded", Outcome(True, None, None))
    assert outbox.next("webhook") is None
    [entry] = store.claim("youtube", 5, now=NOW)
    finished(store, entry, "succeeded", downloaded("/raw/a.mp4"))
    assert ends(outbox) == [(batch_id, {"succeeded": 2, "failed": 1})]


def test_only_problems_are_told_where_that_is_wanted(store: Store) -> None:
    outbox = opened(store, only_problems=True)
    submit(store, post(1), post(2))
    one, two = store.claim("tiktok", 2, now=NOW)
    finished(store, one, "succeeded", downloaded("/raw/a.mp4"))
    store.cancel([two.id], now=NOW)  # which is what someone wanted
    assert outbox.next("webhook") is None
    batch_id = submit(store, nobody("a"))[0].batch_id
    assert ends(outbox) == [(batch_id, {"failed": 1})]


def test_a_message_outlives_its_batch_and_a_restart(open_store: Callable[[], Store]) -> None:
    store = open_store()
    opened(store)
    [job] = submit(store, nobody("a"))
    store.delete([job.id], now=NOW)
    store.close()
    [body] = taken(opened(open_store()))
    assert (body["batch"]["id"], body["problems"][0]["job_id"]) == (job.batch_id, job.id)


def test_a_message_is_bounded_and_without_control_characters(store: Store) -> None:
    outbox = opened(store)
    urls = [f"https://x.com/\x1b[31m\u202e{number}{'é' * 20_000}" for number in range(MAX_PROBLEMS + 3)]
    submit(store, post(1), *map(nobody, urls))
    [job] = store.claim("tiktok", 1, now=NOW)
    finished(store, job, "succeeded", downloaded("/raw/a.mp4", title="A\nfilm\x07 \u202e" + "x" * 10_000))
    [body] = taken(outbox)
    assert body["event"] == "batch_ended"
    assert body["at"] == NOW.isoformat()
    assert body["batch"]["title"].startswith("A film xxx")
    assert (len(body["problems"]), body["more_problems"]) == (MAX_PROBLEMS, 3)
    assert body["problems"][0].keys() == {"job_id", "url", "platform", "title", "error_code", "error"}
    assert body["problems"][0]["url"].startswith("https://x.com/[31m0é")
    assert "/raw/" not in json.dumps(body)
    assert len(json.dumps(body, ensure_ascii=False)) < 30_000


def test_each_receiver_has_its_own(store: Store) -> None:
    outbox = opened(store, "webhook", "apprise-1")
    submit(store, nobody("a"))
    [body] = taken(outbox)
    message = outbox.next("apprise-1")
    assert message is not None
    assert message.id == body["id"]
    outbox.postpone(message, LATER)
    submit(store, nobody("b"))
    second = outbox.next("apprise-1")
    assert second is not None
    assert (second.id != message.id, second.attempts) == (True, 0)
    outbox.delivered(second, now=NOW)  # it is back: what failed before is due
    assert outbox.next("apprise-1") == replace(message, attempts=1, next_attempt_at=NOW)
    outbox.give_up(message)
    assert outbox.next("apprise-1") is None
    assert opened(store, "apprise-1").drop_others() == 1
    assert outbox.next("webhook") is None


def test_of_two_that_end_the_last_jobs_at_once_one_tells(store: Store) -> None:
    outbox = opened(store)
    batch_id = submit(store, *map(post, range(8)))[0].batch_id
    jobs = store.claim("tiktok", 8, now=NOW)
    barrier = threading.Barrier(8)

    def cancel(job_id: str) -> None:  # unlike the ends of attempts, which come one after another
        barrier.wait(30)
        store.cancel([job_id], now=NOW)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(cancel, [job.id for job in jobs]))
    assert ends(outbox) == [(batch_id, {"cancelled": 8})]


def test_no_statement_is_added_where_no_one_is_told(store: Store) -> None:
    statements: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    def run(number: int) -> list[str]:
        statements.clear()
        submit(store, post(number))
        [job] = store.claim("tiktok", 1, now=NOW)
        finished(store, job, "succeeded", downloaded(f"/raw/{number}.mp4"))
        return list(statements)

    before = run(1)
    assert not any("outbox" in statement for statement in before)
    opened(store)
    assert sum("outbox" in statement for statement in run(2)) == 1
    assert len(statements) > len(before)
