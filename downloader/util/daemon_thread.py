"""Runs a blocking function in a daemon thread and hands its result to the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

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
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()  # from now on it cannot be cancelled: the thread continues
    context = contextvars.copy_context()

    def run() -> None:
        try:
            settle = partial(result.set_result, context.run(function, *args))
        except BaseException as error:
            # SystemExit would end the loop that awaits it, and a future refuses StopIteration.
            harmless = isinstance(error, Exception) and not isinstance(error, StopIteration)
            settle = partial(result.set_exception, error if harmless else RuntimeError(f"ended by {error!r}"))
        finally:
            on_end()
        settle()

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        on_end()
        raise
    return asyncio.wrap_future(result)
