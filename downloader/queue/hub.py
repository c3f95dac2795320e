"""Publishes changes and progress to subscribers, without ever blocking the publisher.

Thread-safe: publishing is quick and never waits; each subscriber reads at its own speed. One that falls too far behind
is cut off and resumes from the store, where every change has a number.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

from downloader.jobs import Event, Progress

#: Changes that a subscriber may be behind.
MAX_BEHIND = 2000


class Overrun(Exception):
    """A subscriber was too slow, and has missed changes: resume from the store."""


class Subscription(AbstractContextManager["Subscription"]):
    """What one subscriber has not read yet. Of progress only the latest of each job is kept."""

    def __init__(self, batch_id: str | None, on_close: Callable[[Subscription], None]) -> None:
        self.batch_id = batch_id
        self._on_close = on_close
        self._changed = threading.Condition()
        self._events: deque[Event] = deque()
        self._progress: dict[str, Progress] = {}
        self._overrun = False
        self.closed = False  #: nothing more will come

    def get(self, timeout_seconds: float) -> Event | Progress | None:
        """Return the next change or progress, changes first; None where none came in time, or after `close`.

        Raises:
            Overrun: changes were missed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._events or self._progress or self._overrun or self.closed, timeout_seconds
            )
            if self._overrun:
                raise Overrun
            if self._events:
                return self._events.popleft()
            if self._progress:
                return self._progress.pop(next(iter(self._progress)))
            return None

    def close(self) -> None:
        """Stop listening; wake a waiting reader."""
        self._on_close(self)
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, news: Event | Progress) -> None:
        """Add a change, or progress, which replaces what was there of the same job."""
        with self._changed:
            if isinstance(news, Progress):
                self._progress[news.job_id] = news
            else:
                self._put_event(news)
            self._changed.notify_all()

    def _put_event(self, event: Event) -> None:
        if len(self._events) >= MAX_BEHIND:
            self._overrun = True
            self._events.clear()
        elif not self._overrun:
            self._events.append(event)
        if event.job_id is not None and event.data.get("state") != "running":
            # Otherwise it would come after the end of its job.
            self._progress.pop(event.job_id, None)


class EventHub:
    """Passes what is published to the subscriptions that want it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()

    def subscribe(self, batch_id: str | None = None) -> Subscription:
        """Return a subscription to everything from now on, or to what concerns one batch."""
        subscription = Subscription(batch_id, self._forget)
        with self._lock:
            self._subscriptions.add(subscription)
        return subscription

    def publish(self, news: Event | Progress) -> None:
        """Publish a change, or progress."""
        for subscription in self._current():
            if subscription.batch_id is None or news.batch_id in (None, subscription.batch_id):
                subscription.put(news)

    def close(self) -> None:
        """End every subscription."""
        for subscription in self._current():
            subscription.close()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def _current(self) -> tuple[Subscription, ...]:
        with self._lock:
            return tuple(self._subscriptions)

    def _forget(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions.discard(subscription)
