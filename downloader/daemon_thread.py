"""Runs a blocking function in a daemon thread and hands its result to the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


def in_thread(
    function: Callable[..., T], *args: object, on_end: Callable[[], None] = lambda: None, name: str = "download"
) -> asyncio.Future[T]:
    """Run *function* in a thread of its own; return the future of its result. *on_end* is called in that thread.

    A daemon thread, not a pool's: the interpreter joins a pool at exit, so a download that hangs would keep a stopped
    server alive. Limiting how many run at once is up to the caller.

    Raises:
        RuntimeError: no thread could be started; *on_end* has been called.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is None:
            result.set_result(value)  # type: ignore[arg-type]  # the function's own T
        else:
            result.set_exception(error)

    def run() -> None:
        value: T | None = None
        error: BaseException | None = None
        try:
            value = context.run(function, *args)
        except BaseException as caught:
            # SystemExit would end the loop that awaits it, and a future refuses StopIteration.
            harmless = isinstance(caught, Exception) and not isinstance(caught, StopIteration)
            error = caught if harmless else RuntimeError(f"ended by {caught!r}")
        finally:
            on_end()
        try:
            loop.call_soon_threadsafe(settle, value, error)
        except RuntimeError:
            log.debug("the event loop has closed: dropping a thread's result")

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        on_end()
        raise
    return result
