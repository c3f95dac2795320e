"""Writes changes of the store: one transaction each, whose events are delivered once it is committed."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

from sqlalchemy import Engine

from downloader.errors import StoreUnavailable
from downloader.jobs import Event
from downloader.store.changes import Change
from downloader.store.database import DatabaseFiles, writing
from downloader.store.outbox import Outbox
from downloader.store.rows import utc

log = logging.getLogger(__name__)


class Writer:
    """Callable from any thread."""

    def __init__(self, engine: Engine, files: DatabaseFiles) -> None:
        """Write to *engine*, as long as its *files* are in place."""
        self._engine = engine
        self._files = files
        # Held from the numbering of events until they are delivered, so that they are delivered in that order.
        self._turn = threading.RLock()
        self._listeners: list[Callable[[Event], None]] = []
        self._undelivered: deque[Event] = deque()
        self._delivering = False
        self.outbox: Outbox | None = None  #: set: what is told of batches that end is stored there

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Register a callable that gets every event after its transaction is committed, in order, in the thread that
        made the change; it must be quick and never raise."""
        self._listeners.append(listener)

    @contextmanager
    def change(self, now: datetime, *, durable: bool = False) -> Iterator[Change]:
        """Give a change; write, commit and announce it at the end, or none of these if the block raises.

        Raises:
            StoreUnavailable: it would be lost: the database is another than the one that was opened.
        """
        if fault := self._files.fault():
            raise StoreUnavailable(fault)
        with ExitStack() as held:
            if self._engine.dialect.name == "sqlite":
                # It has one writer at a time anyway, and makes the others poll for their turn.
                held.enter_context(self._turn)
            with writing(self._engine, durable=durable) as connection:
                change = Change(connection, utc(now), lambda: held.enter_context(self._turn), self.outbox)
                yield change
                change.write()
            self._deliver(change.events)
        if self.outbox is not None and change.has_messages:
            self.outbox.on_added()

    def _deliver(self, events: list[Event]) -> None:
        self._undelivered.extend(events)
        if self._delivering:
            return  # a listener made this change; its event comes after the one that is being delivered
        self._delivering = True
        try:
            while self._undelivered:
                event = self._undelivered.popleft()
                for listener in self._listeners:
                    try:
                        listener(event)
                    except Exception:
                        log.exception("event listener failed", extra={"event_id": event.id})
        finally:
            self._delivering = False
