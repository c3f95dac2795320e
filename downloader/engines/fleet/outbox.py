"""Sends messages from a thread of its own, in order; while the broker is away it keeps them."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery
from kombu import Producer
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

#: How long to wait before connecting again.
RECONNECT_SECONDS = 0.5

#: How often it does what is to be done regularly, and if that is urgent.
TICK_SECONDS, URGENT_SECONDS = 0.25, 0.1

#: Sends one message.
Sending = Callable[[Producer], object]


class Outbox:
    """A thread with a connection. What is sent, is with the broker; if the broker goes before it says so, twice."""

    def __init__(self, app: Celery, *, on_tick: Callable[[Producer], None] = lambda _: None) -> None:
        """Connect to the broker of *app*. *on_tick* is called in the thread, while there is a connection."""
        self._app = app
        self._on_tick = on_tick
        self._changed = threading.Condition()
        self._sendings: deque[Sending] = deque()
        self._is_closing = False
        self._is_urgent = False
        self._thread = threading.Thread(target=self._run, name="fleet-outbox", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def send(self, sending: Sending) -> None:
        """Call *sending* in the thread, again if the connection breaks meanwhile; return at once."""
        with self._changed:
            self._sendings.append(sending)
            self._changed.notify()

    def tick_now(self) -> None:
        """Call `on_tick` sooner."""
        with self._changed:
            self._is_urgent = True
            self._changed.notify()

    def close(self, timeout_seconds: float) -> None:
        """Send what is left, for *timeout_seconds* at most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        was_lost = False
        while not (self._is_closing and not self._sendings):
            connection = self._app.connection_for_write()
            try:
                connection.connect()
                if was_lost:
                    log.warning("the broker is back")
                was_lost = False
                self._serve(connection, Producer(connection.channel()))
            except (*connection.connection_errors, *connection.channel_errors, OperationalError) as error:
                if not was_lost:
                    log.warning("the broker does not answer", extra={"detail": f"{type(error).__name__}: {error}"})
                was_lost = True
                time.sleep(RECONNECT_SECONDS)
            except Exception:
                log.exception("the broker cannot be used")
                time.sleep(RECONNECT_SECONDS)
            finally:
                close_quietly(connection)

    def _serve(self, connection: Any, producer: Producer) -> None:
        ticked_at = ticks_at = 0.0
        errors = (*connection.connection_errors, *connection.channel_errors, OperationalError)
        while True:
            with self._changed:
                if not (self._sendings or self._is_closing):
                    self._changed.wait(max(0.0, ticks_at - time.monotonic()))
                sending = self._sendings[0] if self._sendings else None
                ticks_at = ticked_at + (URGENT_SECONDS if self._is_urgent else TICK_SECONDS)
            if sending is not None:
                try:
                    sending(producer)
                except errors:
                    raise
                except Exception:  # sent again it would fail again, and nothing behind it would ever be sent
                    log.exception("a message could not be sent")
                self._sendings.popleft()
            elif self._is_closing:
                return
            if time.monotonic() >= ticks_at:
                ticked_at, self._is_urgent = time.monotonic(), False
                ticks_at = ticked_at + TICK_SECONDS
                drain(connection, 0.001)
                self._on_tick(producer)


def drain(connection: Any, timeout_seconds: float) -> None:
    """Take what has come by *connection*, heartbeats too, and send one if it is time to."""
    with suppress(TimeoutError):
        connection.drain_events(timeout=timeout_seconds)
    connection.heartbeat_check()


def close_quietly(connection: Any) -> None:
    """Close *connection*, whatever state it is in."""
    try:
        connection.collapse() if hasattr(connection, "collapse") else connection.release()
    except Exception as error:
        log.debug("a connection could not be closed", extra={"detail": repr(error)})
