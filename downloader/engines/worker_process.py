"""Worker processes as the server sees them: launched, from a fork server where there is one, read from and reaped."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from downloader.engines import worker
from downloader.engines.worker import Permit, Report, Stop, WorkerConfig
from downloader.jobs import Work

log = logging.getLogger(__name__)

T = TypeVar("T")

#: How long a killed process may take to go; one that waits for a broken disk takes longer.
REAP_TIMEOUT_SECONDS = 5.0

#: A fork server starts a worker in a few milliseconds, and workers share the memory in which it has loaded yt-dlp.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_PRELOAD = ["downloader.engines.preload"]

#: Held around every call into multiprocessing that starts or polls a process: each of them polls all children, in any
#: thread, and two at once take each other's exit codes.
_LOCK = threading.Lock()

_NUMBERS = count(1)


class WorkerLost(Exception):
    """A worker is gone; str() says how it ended."""


class WorkerProcess:
    """A worker process, and the thread that starts it, reads from it and reaps it."""

    def __init__(
        self, config: WorkerConfig, *, on_message: Callable[[Report], None], on_end: Callable[[str], None]
    ) -> None:
        """Start it; on the running loop call *on_message* for each message, and at last *on_end*, with the reason."""
        self.config = config
        self._loop = asyncio.get_running_loop()
        self.pid: int | None = None  #: once it has been started
        self._on_message = on_message
        self._on_end = on_end
        self._connection: Connection | None = None
        self._lock = threading.Lock()  #: guards the next two
        self._process: BaseProcess | None = None  #: while it may be killed
        self._killed = False
        _ALIVE.add(self)
        threading.Thread(target=self._run, name=f"worker-{next(_NUMBERS)}", daemon=True).start()

    def send(self, message: Work | Stop | Permit) -> None:
        """Send *message* to the worker, which must be ready; if it is gone, `on_end` will say so."""
        assert self._connection is not None
        with contextlib.suppress(OSError):
            self._connection.send(message)

    def kill(self) -> None:
        """Kill it with all its child processes; return at once, `on_end` follows."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                _kill_group(self._process)

    # In its thread

    def _run(self) -> None:
        try:
            connection, process = _launch(self.config)
        except Exception as error:  # out of memory, processes or file descriptors
            self._finish(f"the worker could not be started: {type(error).__name__}: {error}")
            return
        self._connection, self.pid = connection, process.pid
        with self._lock:
            self._process = process
            if self._killed:  # during the start
                _kill_group(process)
        try:
            self._read(connection)
        finally:
            end = self._reap(process)
            connection.close()
            self._finish(end)

    def _finish(self, end: str) -> None:
        _ALIVE.discard(self)
        self._call(self._on_end, end)

    def _call(self, function: Callable[[T], None], argument: T) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended without closing the pool
            self._loop.call_soon_threadsafe(function, argument)

    def _read(self, connection: Connection) -> None:
        while True:
            try:
                message: Report | logging.LogRecord = connection.recv()
            except (EOFError, OSError):
                return
            except Exception:
                log.exception("a worker sent an unreadable message")
                return
            if isinstance(message, logging.LogRecord):
                logger = logging.getLogger(message.name)
                if logger.isEnabledFor(message.levelno):
                    logger.handle(message)
            elif self._killed:
                self.kill()  # again: it was so new that it led no group yet
            else:
                self._call(self._on_message, message)

    def _reap(self, process: BaseProcess) -> str:
        """Kill what is left of the worker's group, wait for the worker to end, and return how it did."""
        with self._lock:
            self._process = None  # from here on its process id may be reused
            _kill_group(process)
        wait([process.sentinel], REAP_TIMEOUT_SECONDS)
        with _LOCK:
            process.join(0)
            code = process.exitcode
            if code is None:
                return "the worker was killed but has not ended"
            process.close()
        return _describe_exit(code)


_ALIVE: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


@atexit.register
def _kill_all() -> None:
    # Runs before multiprocessing's own exit handler, which sends SIGTERM, which workers ignore, and waits forever.
    for process in tuple(_ALIVE):
        process.kill()


def _kill_group(process: BaseProcess) -> None:
    assert process.pid is not None
    with contextlib.suppress(OSError):  # gone, or so new that it leads no group yet
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"the worker ended with exit code {code}"
    try:
        return f"the worker was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"the worker was killed by signal {-code}"


# Launching


def _launch(config: WorkerConfig) -> tuple[Connection, BaseProcess]:
    """Start a worker; return our end of its pipe and the process. Raises whatever the system refuses."""
    context: Any = multiprocessing.get_context(METHOD)  # typeshed's base class has no Process
    with _LOCK:
        multiprocessing.set_forkserver_preload(_PRELOAD)
        ours, theirs = context.Pipe()
        try:
            process = context.Process(target=worker.main, args=(theirs, config), daemon=True)
            with _no_main_module():
                process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
    return ours, process


def start_fork_server() -> None:
    """Start the fork server, which loads yt-dlp in the background; return at once."""
    if METHOD != "forkserver":
        return
    # OSError: the first worker's start tries again and reports it.
    with _LOCK, _no_main_module(), contextlib.suppress(OSError):
        multiprocessing.set_forkserver_preload(_PRELOAD)
        forkserver.ensure_running()


def stop_fork_server() -> None:
    """Stop the fork server unless a worker is alive; the next worker starts it again. Blocks for some milliseconds."""
    with _LOCK:
        # It would wait for living workers. There is no public way to stop it; without this one it keeps its 45 MB.
        if METHOD == "forkserver" and not multiprocessing.active_children():
            with contextlib.suppress(OSError, AttributeError):
                forkserver._forkserver._stop()  # type: ignore[attr-defined]


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the main program, which multiprocessing would otherwise run again in each worker.

    That costs the memory of its imports, and starts everything twice if it does not check `__name__`.
    """
    main_module = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main_module
