"""A worker process as the server sees it: started, read from and reaped in a thread of its own."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal

from downloader.engines import fork_server
from downloader.engines.worker import Done, Logged, Message, Stop, WorkerConfig
from downloader.jobs import Progress, Work

log = logging.getLogger(__name__)

#: How long a killed process may take to go; one that waits for a broken disk takes longer.
REAP_TIMEOUT_SECONDS = 5.0

_NUMBERS = count(1)


class WorkerLost(Exception):
    """A worker is gone; str() says how it ended."""


class WorkerProcess:
    """A worker process; its thread calls *on_message* for each message, and at last *on_end*, once, with the reason."""

    def __init__(
        self,
        config: WorkerConfig,
        *,
        on_message: Callable[[Literal["ready"] | Progress | Done], None],
        on_end: Callable[[str], None],
    ) -> None:
        """Start it in the background."""
        self.config = config
        self.pid: int | None = None  #: once it has been started
        self._on_message = on_message
        self._on_end = on_end
        self._connection: Connection | None = None
        self._lock = threading.Lock()  #: guards the next two
        self._process: BaseProcess | None = None  #: while it may be killed
        self._killed = False
        _ALIVE.add(self)
        threading.Thread(target=self._run, name=f"worker-{next(_NUMBERS)}", daemon=True).start()

    def send(self, message: Work | Stop) -> None:
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
            connection, process = fork_server.launch(self.config)
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
        self._on_end(end)

    def _read(self, connection: Connection) -> None:
        while True:
            try:
                message: Message = connection.recv()
            except (EOFError, OSError):
                return
            except Exception:
                log.exception("a worker sent an unreadable message")
                return
            if isinstance(message, Logged):
                _log_here(message)
            elif self._killed:
                self.kill()  # again: it was so new that it led no group yet
            else:
                self._on_message(message)

    def _reap(self, process: BaseProcess) -> str:
        """Kill what is left of the worker's group, wait for the worker to end, and return how it did."""
        with self._lock:
            self._process = None  # from here on its process id may be reused
            _kill_group(process)
        wait([process.sentinel], REAP_TIMEOUT_SECONDS)
        with fork_server.LOCK:
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


def _log_here(message: Logged) -> None:
    record = logging.makeLogRecord(dict(message.fields))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


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
