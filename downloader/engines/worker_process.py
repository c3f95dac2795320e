"""A worker process as the server sees it: a thread of its own starts it, listens to it, and buries it."""

from __future__ import annotations

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
from typing import Any

from downloader.engines import worker
from downloader.engines.worker import Done, Logged, Message, Stop, WorkerStart
from downloader.jobs import Progress, Work

log = logging.getLogger(__name__)

#: A fork server starts a worker in a few milliseconds, and shares yt-dlp's memory among them.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"

#: How long a process that was killed may take to go; one that waits for a broken disk takes longer.
_BURIAL_SECONDS = 5.0

# multiprocessing looks after all its children whenever one is started or asked about, in any thread; two at once take
# each other's exit codes.
_PROCESSES = threading.Lock()

_NUMBERS = count(1)


class WorkerLost(Exception):
    """A worker is gone; str() says how it ended."""


class WorkerProcess:
    """One worker. Its thread calls *on_message* for what it says, and at last *on_end*, once, with how it ended."""

    def __init__(
        self,
        start: WorkerStart,
        *,
        on_message: Callable[[WorkerProcess, Progress | Done | None], None],
        on_end: Callable[[WorkerProcess, str], None],
    ) -> None:
        """Start it, without waiting for it; None as a message says that it is ready."""
        self.jobs_done = 0
        self._start = start
        self._on_message = on_message
        self._on_end = on_end
        self.pid: int | None = None  #: once it has one
        self._connection: Connection | None = None
        self._lock = threading.Lock()  #: around the next two
        self._process: BaseProcess | None = None  #: None: not yet, or not any more
        self._killed = False
        _ALIVE.add(self)
        threading.Thread(target=self._live, name=f"worker-{next(_NUMBERS)}", daemon=True).start()

    def send(self, work: Work) -> None:
        """Give it *work*, besides what it has; it must be ready. Where it is gone, `on_end` will say so."""
        assert self._connection is not None
        with contextlib.suppress(OSError):
            self._connection.send(work)

    def stop(self, job_id: str) -> None:
        """Ask it to end the attempt of *job_id*, which it does when that next moves; the rest goes on."""
        assert self._connection is not None
        with contextlib.suppress(OSError):
            self._connection.send(Stop(job_id))

    def kill(self) -> None:
        """End it and all its children, at once and without waiting; `on_end` follows."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                _kill_group(self._process)

    # In its thread

    def _live(self) -> None:
        try:
            connection, process = self._launch()
        except Exception as error:  # no memory, no process, no file descriptor to be had
            _ALIVE.discard(self)
            self._on_end(self, f"the worker could not be started: {type(error).__name__}: {error}")
            return
        try:
            self._listen(connection)
        finally:
            end = self._bury(process)
            connection.close()
            _ALIVE.discard(self)
            self._on_end(self, end)

    def _launch(self) -> tuple[Connection, BaseProcess]:
        context: Any = multiprocessing.get_context(METHOD)  # typeshed's base class has no Process
        with _PROCESSES:
            _name_preload()
            ours, theirs = context.Pipe()
            try:
                process = context.Process(target=worker.main, args=(theirs, self._start), daemon=True)
                with _no_main_module(), _no_tracker():
                    process.start()
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
        self._connection, self.pid = ours, process.pid
        with self._lock:
            self._process = process
            if self._killed:  # while it was being started
                _kill_group(process)
        return ours, process

    def _listen(self, connection: Connection) -> None:
        while True:
            try:
                message: Message = connection.recv()
            except (EOFError, OSError):
                return
            except Exception:
                log.exception("a worker talks nonsense")
                return
            if isinstance(message, Logged):
                _log_here(message)
            else:
                self._on_message(self, None if message == "ready" else message)

    def _bury(self, process: BaseProcess) -> str:
        """Kill what is left of the worker's group, wait for the worker's end; return how it ended."""
        with self._lock:
            self._process = None  # nobody else may kill it: its number may soon be another's
            _kill_group(process)
        wait([process.sentinel], _BURIAL_SECONDS)
        with _PROCESSES:
            process.join(0)
            code = process.exitcode
            if code is None:
                return "the worker was killed and will not go"
            process.close()
        return _how(code)


def begin_fork_server() -> None:
    """Start the process that workers are forked from, which then loads what they need beside us; return at once."""
    # OSError: whoever needs it will try again, and say why.
    with _PROCESSES, _no_main_module(), _no_tracker(), contextlib.suppress(OSError):
        _name_preload()
        if METHOD == "forkserver":
            forkserver.ensure_running()


def _name_preload() -> None:
    if METHOD == "forkserver":
        multiprocessing.set_forkserver_preload(["downloader.engines.preload"])


def end_fork_server() -> None:
    """End the process that workers are forked from, if there are none; the next worker's start begins it anew.

    Blocking, some milliseconds.
    """
    with _PROCESSES:
        if METHOD == "forkserver" and not _ALIVE:
            with contextlib.suppress(OSError, AttributeError):
                forkserver._forkserver._stop()  # type: ignore[attr-defined]


_ALIVE: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


@atexit.register
def _kill_all() -> None:
    # multiprocessing, at the interpreter's end, would ask them kindly and then wait for ever. This runs before it does.
    for process in tuple(_ALIVE):
        process.kill()


def _log_here(message: Logged) -> None:
    record = logging.makeLogRecord(dict(message.fields))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the program that was started, for a moment: each worker would run it again under another name.

    That costs what its imports cost, and starts everything twice where it does not ask for its `__name__`.
    """
    ours = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = ours


@contextlib.contextmanager
def _no_tracker() -> Iterator[None]:
    """Have no tracker of resources started, for a moment: a Python of its own, 7 MB, for what nothing of ours uses.

    It would remove semaphores and shared memory that died processes left behind.
    """
    tracker = getattr(forkserver, "resource_tracker", None)
    if tracker is None:  # a Python that is built otherwise
        yield
        return
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 -- its name is no path on every system
        forkserver.resource_tracker = types.SimpleNamespace(ensure_running=lambda: None, getfd=nowhere.fileno)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            forkserver.resource_tracker = tracker  # type: ignore[attr-defined]


def _kill_group(process: BaseProcess) -> None:
    assert process.pid is not None
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
            return
    # So young that it leads no group yet, or gone. ValueError: buried.
    with contextlib.suppress(OSError, ValueError):
        process.kill()


def _how(code: int) -> str:
    if code >= 0:
        return f"the worker ended with exit code {code}"
    try:
        return f"the worker was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"the worker was killed by signal {-code}"
