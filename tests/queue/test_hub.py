"""Changes reach every onlooker in order, and no onlooker can hold them up."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from downloader.jobs import Event, Progress
from downloader.queue.hub import MAX_BEHIND, EventHub, Overrun

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int, batch_id: str | None = "b1") -> Event:
    return Event(id=number, at=NOW, kind="job_changed", batch_id=batch_id, job_id="j")


def progress(job_id: str, downloaded_bytes: int, batch_id: str = "b1") -> Progress:
    return Progress(job_id=job_id, batch_id=batch_id, phase="downloading", downloaded_bytes=downloaded_bytes)


def test_changes_come_in_order_to_everyone() -> None:
    hub = EventHub()
    subscriptions = [hub.subscribe() for _ in range(3)]
    for number in range(5):
        hub.publish(event(number))
    for subscription in subscriptions:
        assert [subscription.get(30) for _ in range(5)] == [event(number) for number in range(5)]
        assert subscription.get(0) is None


def test_one_batch_is_followed_alone_with_what_concerns_all() -> None:
    hub = EventHub()
    subscription = hub.subscribe("b1")
    hub.publish(event(1, "b2"))
    hub.publish(event(2, "b1"))
    hub.publish(event(3, None))
    hub.publish(progress("x", 1, "b2"))
    hub.publish(progress("y", 2))
    assert [subscription.get(0) for _ in range(4)] == [event(2), event(3, None), progress("y", 2), None]


def test_only_the_latest_progress_of_a_job_is_told_and_changes_come_first() -> None:
    hub = EventHub()
    subscription = hub.subscribe()
    for number in range(1000):
        hub.publish(progress("x", number))
    hub.publish(event(1))
    assert subscription.get(0) == event(1)
    assert subscription.get(0) == progress("x", 999)
    assert subscription.get(0) is None


def test_progress_of_a_job_that_has_ended_is_dropped() -> None:
    hub = EventHub()
    subscription = hub.subscribe()
    hub.publish(progress("j", 5))
    ended = Event(id=1, at=NOW, kind="job_changed", batch_id="b1", job_id="j", data={"state": "succeeded"})
    hub.publish(ended)
    assert [subscription.get(0), subscription.get(0)] == [ended, None]


def test_a_reader_that_falls_behind_is_told_so_and_memory_stays_bounded() -> None:
    hub = EventHub()
    slow, quick = hub.subscribe(), hub.subscribe()
    for number in range(MAX_BEHIND + 10):
        hub.publish(event(number))
        assert quick.get(0) == event(number)
    with pytest.raises(Overrun):
        slow.get(0)


def test_a_waiting_reader_wakes_at_once() -> None:
    hub = EventHub()
    subscription = hub.subscribe()
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(subscription.get(30)))
    thread.start()
    hub.publish(event(7))
    thread.join(30)
    assert got == [event(7)]


def test_closing_wakes_and_forgets() -> None:
    hub = EventHub()
    subscription = hub.subscribe()
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(subscription.get(30)))
    thread.start()
    hub.close()
    thread.join(30)
    assert got == [None]
    assert subscription.closed
    assert len(hub) == 0
