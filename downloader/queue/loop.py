"""The event loop of the service, in a thread of its own.

Flask gives every async view a loop that ends with the request; caps that all requests share cannot live there. Views
hand their coroutines to this loop instead.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class ServiceLoop:
    """Runs coroutines from any thread; its thread starts with the first one, and again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* on the service's loop and return its result.

        If the caller is cancelled (a client gave up), the coroutine continues.
        """
        future = self.submit(coroutine)
        return await asyncio.shield(asyncio.wrap_future(future))

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start *coroutine* on the service's loop."""
        loop = self._started()
        # From an empty context: else Flask's request would live as long as the coroutine does.
        return contextvars.Context().run(asyncio.run_coroutine_threadsafe, coroutine, loop)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                # In an empty context, which it keeps.
                loop = self._loop = contextvars.Context().run(asyncio.new_event_loop)
                self._pid = os.getpid()
                # A daemon: the service decides how long it waits for its downloads, not the interpreter.
                threading.Thread(target=_run, args=(loop,), name="service-loop", daemon=True).start()
                # Not when the service closes: who waits then is still answered.
                weakref.finalize(self, _stop, loop, self._pid).atexit = False
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, pid: int) -> None:
    if pid == os.getpid():  # the loop of a fork's parent is not its own
        loop.call_soon_threadsafe(loop.stop)
