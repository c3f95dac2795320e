"""The server's connection to the broker: hears what machines say, tells them, and hands them attempts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery
from kombu import Consumer, Queue

from downloader.engines.fleet.codec import decode, encode
from downloader.engines.fleet.outbox import RECONNECT_SECONDS, Outbox, Sending, close_quietly, drain
from downloader.engines.fleet.wire import COMMAND, REPORTS, SIGNS, TASK, Command, Order, Report, Sign, attempts_queue

log = logging.getLogger(__name__)

_RESOURCE_LOCKED = 405

#: How long to wait before looking after the connection.
_PATIENCE_SECONDS = 0.5


def is_locked(error: Exception) -> bool:
    """Return whether *error* means that a queue belongs to another connection."""
    return getattr(error, "reply_code", None) == _RESOURCE_LOCKED


class Link:
    """One thread that listens, and one that sends."""

    def __init__(self, app: Celery, on_heard: Callable[[Report | Sign], None], on_link: Callable[[bool], None]) -> None:
        """Call *on_heard* with what machines say, and *on_link* when the broker comes and goes; in the thread."""
        self._app = app
        self._on_heard = on_heard
        self._on_link = on_link
        self._closing = threading.Event()
        self._outbox = Outbox(app)
        self._listener = threading.Thread(target=self._run, name="fleet-listener", daemon=True)

    def start(self) -> None:
        """Start both threads."""
        self._outbox.start()
        self._listener.start()

    def close(self, timeout_seconds: float) -> None:
        """Hear no more, and send what is left, for *timeout_seconds* at most."""
        self._closing.set()
        if self._listener.is_alive():
            self._listener.join(timeout_seconds)
        self._outbox.close(timeout_seconds)

    def hand_out(self, order: Order, egress: str, is_wanted: Callable[[], bool]) -> None:
        """Give *order* to a machine that takes *egress*, if it is still wanted once the broker is there."""
        queue = attempts_queue(egress)

        def publish(producer: Any) -> None:
            if is_wanted():
                self._app.send_task(
                    TASK,
                    (encode(order),),
                    producer=producer,
                    queue=queue,
                    exchange=queue.exchange,
                    retry=False,
                    argsrepr="",  # for logs; it takes as long as all the rest
                    kwargsrepr="",
                )

        self._outbox.send(publish)

    def command(self, node: str, command: Command) -> None:
        """Tell *node* something."""
        self._outbox.send(self._sending(node, command))

    def _sending(self, node: str, command: Command) -> Sending:
        return lambda producer: self._app.control.broadcast(
            COMMAND, encode(command), [node], producer.connection, channel=producer.channel
        )

    # In the listener's thread

    def _run(self) -> None:
        was_told = ""
        while not self._closing.is_set():
            connection = self._app.connection_for_read()
            try:
                connection.connect()
                self._listen(connection)
            except Exception as error:
                told = "another server uses this broker" if is_locked(error) else f"{type(error).__name__}: {error}"
                if told != was_told:
                    log.warning("the fleet cannot be heard", extra={"detail": told})
                was_told = told
            finally:
                self._on_link(False)
                close_quietly(connection)
            self._closing.wait(RECONNECT_SECONDS)

    def _listen(self, connection: Any) -> None:
        channel = connection.channel()
        # Only one server can have it: this one would stop the attempts of another.
        signs = Queue("downloader.server", SIGNS, exclusive=True, durable=False)
        with (
            Consumer(channel, [signs], on_message=self._receive_sign, on_decode_error=_refuse, no_ack=True),
            Consumer(
                channel,
                [REPORTS],
                on_message=self._receive_report,
                on_decode_error=_refuse_report,
                prefetch_count=100,
            ),
        ):
            self._on_link(True)
            while not self._closing.is_set():
                drain(connection, _PATIENCE_SECONDS)

    def _receive_sign(self, message: Any) -> None:
        self._hear(Sign.read, message)

    def _receive_report(self, message: Any) -> None:
        self._hear(partial(decode, Report), message)
        message.ack()

    def _hear(self, read: Callable[[object], Report | Sign], message: Any) -> None:
        try:
            said = read(message.decode())
        except Exception as error:  # kombu's own too: anyone who has the broker can send anything
            _refuse(message, error)
            return
        self._on_heard(said)


def _refuse(_: Any, error: Exception) -> None:
    log.warning("a message of the fleet was refused", extra={"detail": repr(error)[:300]})


def _refuse_report(message: Any, error: Exception) -> None:
    _refuse(message, error)
    message.ack()  # else it would come again and again, and nothing behind it
