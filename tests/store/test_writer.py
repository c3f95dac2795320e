"""Events: numbered, stored with their change, delivered in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from downloader.jobs import (
    Event,
)
from downloader.store.repository import Store
from tests.store_world import NOW, database_url, migrated_sqlite, open_store, post, store, submit

__all__ = ["database_url", "migrated_sqlite", "open_store", "store"]  # fixtures


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
