"""Delivers the outbox: a thread for each receiver, so that none holds up another, nor any download."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from downloader.jobs import LONGEST_ASKED_SECONDS, Message
from downloader.notify.receivers import NotDelivered, Receiver

log = logging.getLogger(__name__)

#: The pause after the first failed attempt of a message; it doubles with each further one.
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0
#: A message that is older is given up if it fails once more.
GIVE_UP_SECONDS = 86_400.0
#: All that are older are, if their receiver failed so often in a row, which takes a quarter of an hour: many have not
#: each a turn in a day, so that there would be more and more.
HOPELESS_FAILURES = 20

#: A receiver that fails at one message after the other gets a pause between them, which doubles up to this.
LONGEST_RECEIVER_PAUSE_SECONDS = 60.0

#: How long to wait after an error of the database's, or ours.
ERROR_PAUSE_SECONDS = 5.0
#: A thread looks at the clock again after this, as that may be set.
LONGEST_WAIT_SECONDS = 600.0
CLOSE_SECONDS = 1.0


class Outbox(Protocol):
    """Where messages wait; see `store.outbox.Outbox`."""

    def next(self, receiver: str) -> Message | None: ...
    def delivered(self, message: Message, *, now: datetime) -> None: ...
    def postpone(self, message: Message, until: datetime) -> None: ...
    def give_up(self, message: Message) -> None: ...
    def give_up_before(self, receiver: str, moment: datetime) -> int: ...


class Delivery:
    """Delivers the messages of one receiver. All methods but `closing` are called by one thread."""

    def __init__(self, receiver: Receiver, outbox: Outbox, clock: Callable[[], datetime], random: Random) -> None:
        """Deliver what *outbox* has for *receiver*, at the times that *clock* says."""
        self.receiver = receiver
        self.closing = False  #: set: what fails now is no failure
        self._outbox = outbox
        self._clock = clock
        self._random = random
        self._failures = 0  #: in a row
        self._not_before: datetime | None = None  #: the receiver gets nothing until then

    def step(self) -> float | None:
        """Deliver a message if one is due; return the seconds until the next is, None: until one is added."""
        message = self._outbox.next(self.receiver.name)
        if message is None:
            self.receiver.rest()
            return None
        now = self._clock()
        wait_seconds = max(self._seconds_until(at, now) for at in (message.next_attempt_at, self._not_before))
        if wait_seconds > 0:
            self.receiver.rest()
            return wait_seconds
        try:
            self.receiver.send(message)
        except NotDelivered as failure:
            if not self.closing:
                self._failed(message, failure)
        else:
            self._outbox.delivered(message, now=self._clock())
            self._failures, self._not_before = 0, None
            facts = {"receiver": self.receiver.name, "message_id": message.id, "attempts": message.attempts + 1}
            log.info("notification delivered", extra=facts)
        return 0.0

    def _seconds_until(self, moment: datetime | None, now: datetime) -> float:
        seconds = 0.0 if moment is None else (moment - now).total_seconds()
        return seconds if seconds <= LONGEST_ASKED_SECONDS else 0.0  # the clock was set back

    def _failed(self, message: Message, failure: NotDelivered) -> None:
        now = self._clock()
        facts = {
            "receiver": self.receiver.name,
            "message_id": message.id,
            "attempts": message.attempts + 1,
            "detail": str(failure),
        }
        asked_seconds = failure.retry_after_seconds or 0.0
        self._failures += 1
        pause_seconds = max(asked_seconds, min(2.0 ** min(self._failures, 10), LONGEST_RECEIVER_PAUSE_SECONDS))
        self._not_before = now + timedelta(seconds=pause_seconds)
        if (now - message.created_at).total_seconds() >= GIVE_UP_SECONDS:
            self._outbox.give_up(message)
            if self._failures >= HOPELESS_FAILURES:
                before = now - timedelta(seconds=GIVE_UP_SECONDS)
                facts["older_ones"] = self._outbox.give_up_before(self.receiver.name, before)
            log.error("a notification was given up", extra=facts)
            return
        until = now + timedelta(seconds=max(asked_seconds, self._pause_seconds(message.attempts)))
        if message.attempts == 0:  # the others say the same
            log.warning("a notification was not delivered", extra={**facts, "next_attempt_at": until.isoformat()})
        self._outbox.postpone(message, until)

    def _pause_seconds(self, attempts: int) -> float:
        # Jitter, so that servers that lost a receiver at one time do not all come back at one time.
        pause_seconds: float = FIRST_PAUSE_SECONDS * 2 ** min(attempts, 20) * self._random.uniform(0.75, 1)
        return min(pause_seconds, LONGEST_PAUSE_SECONDS)


class Deliverer:
    """The threads. Nothing of a message is lost if the process is killed: it is forgotten once it arrived."""

    def __init__(self, receivers: Sequence[Receiver], outbox: Outbox, clock: Callable[[], datetime]) -> None:
        """Deliver what *outbox* has for *receivers*; see `start`."""
        random = Random()
        self._deliveries = [Delivery(receiver, outbox, clock, random) for receiver in receivers]
        self._wakes = [threading.Event() for _ in receivers]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start with what an earlier process left."""
        for delivery, wake in zip(self._deliveries, self._wakes, strict=True):
            name = f"notify-{delivery.receiver.name}"
            # A daemon: a receiver that hangs must not keep a stopped server alive.
            self._threads.append(threading.Thread(target=self._run, args=(delivery, wake), name=name, daemon=True))
            self._threads[-1].start()

    def wake(self) -> None:
        """Look for new messages; from any thread."""
        for wake in self._wakes:
            wake.set()

    def close(self) -> None:
        """Stop; what is not sent within a second is sent again after the next start. Blocking."""
        for delivery in self._deliveries:
            delivery.closing = True
        self.wake()
        for _ in range(2):
            until = time.monotonic() + CLOSE_SECONDS
            for thread in self._threads:
                thread.join(max(0.0, until - time.monotonic()))
            for delivery in self._deliveries:
                delivery.receiver.close()

    def _run(self, delivery: Delivery, wake: threading.Event) -> None:
        while not delivery.closing:
            wake.clear()
            try:
                pause_seconds = delivery.step()
            except Exception:
                if delivery.closing:
                    break
                log.exception("notifications cannot be delivered", extra={"receiver": delivery.receiver.name})
                pause_seconds = ERROR_PAUSE_SECONDS
            if pause_seconds != 0:
                wake.wait(min(pause_seconds or LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS))
        with contextlib.suppress(Exception):
            delivery.receiver.rest()
