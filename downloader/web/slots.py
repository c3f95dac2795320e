"""Limits how many requests may hold a server thread for long."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from flask import Response
from werkzeug.exceptions import ServiceUnavailable


class Slots:
    """A fixed number of slots; when all are taken, requests get 503 and *busy*, a sentence."""

    def __init__(self, count: int, busy: str, *, retry_after_seconds: int) -> None:
        self._semaphore = threading.BoundedSemaphore(count)
        self._busy = busy
        self._retry_after_seconds = retry_after_seconds

    def slot(self) -> Slot:
        """Take a slot; its `with` block releases it.

        Raises:
            ServiceUnavailable: all are taken.
        """
        if not self._semaphore.acquire(blocking=False):
            raise ServiceUnavailable(self._busy, retry_after=self._retry_after_seconds)
        slot = Slot()
        slot.callback(self._semaphore.release)
        return slot


class Slot(ExitStack):
    """One slot, released when it is closed."""

    def hold_until_sent(self, response: Response) -> Response:
        """Keep the slot until *response* is closed, even if its body is never read."""
        response.call_on_close(self.pop_all().close)
        return response
