"""Worker processes as the server sees them: started, read from and reaped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import count
from typing import IO, TypeVar

from downloader.egress.environment import child_environment
from downloader.engines.worker import START, Message, Report, WorkerConfig

log = logging.getLogger(__name__)

T = TypeVar("T")

#: How long a killed process may take to go; one that waits for a broken disk takes longer.
REAP_TIMEOUT_SECONDS = 5.0

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from downloader.engines.worker import main; main()"

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
        self._messages: IO[bytes] | None = None
        self._lock = threading.Lock()  #: guards the next two
        self._process: subprocess.Popen[bytes] | None = None  #: while it may be killed
        self._killed = False
        threading.Thread(target=self._run, name=f"worker-{next(_NUMBERS)}", daemon=True).start()

    def send(self, message: Message) -> None:
        """Send *message* to the worker, which must be ready; if it is gone, `on_end` will say so."""
        assert self._messages is not None
        _send(self._messages, message)

    def kill(self) -> None:
        """Kill it with all its child processes; return at once, `on_end` follows."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                _kill_group(self._process)

    # In its thread

    def _run(self) -> None:
        try:
            process = _PRESTARTED.pop() if _PRESTARTED else _start()
        except Exception as error:  # out of memory, processes or file descriptors
            self._finish(f"the worker could not be started: {type(error).__name__}: {error}")
            return
        assert process.stdin
        assert process.stdout
        self._messages, self.pid = process.stdin, process.pid
        with self._lock:
            self._process = process
            if self._killed:  # during the start
                _kill_group(process)
        try:
            _send(process.stdin, self.config)
            self._read(process.stdout)
        finally:
            end = self._reap(process)
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()
            self._finish(end)

    def _finish(self, end: str) -> None:
        self._call(self._on_end, end)

    def _call(self, function: Callable[[T], None], argument: T) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended without closing the pool
            self._loop.call_soon_threadsafe(function, argument)

    def _read(self, reports: IO[bytes]) -> None:
        while reports.readline() not in (START, b""):
            pass
        while True:
            try:
                message: Report | logging.LogRecord = pickle.load(reports)
            except (EOFError, OSError):
                return
            except Exception:
                if not self._killed:  # while it was sending
                    log.exception("a worker sent an unreadable message")
                return
            if isinstance(message, logging.LogRecord):
                logger = logging.getLogger(message.name)
                if logger.isEnabledFor(message.levelno):
                    logger.handle(message)
            else:
                self._call(self._on_message, message)

    def _reap(self, process: subprocess.Popen[bytes]) -> str:
        """Kill what is left of the worker's group, wait for the worker to end, and return how it did."""
        with self._lock:
            self._process = None  # from here on its process id may be reused
            _kill_group(process)
        try:
            return _describe_exit(process.wait(REAP_TIMEOUT_SECONDS))
        except subprocess.TimeoutExpired:
            return "the worker was killed but has not ended"


def _send(messages: IO[bytes], message: WorkerConfig | Message) -> None:
    with contextlib.suppress(OSError, ValueError):  # it is gone; ValueError: the pipe is closed already
        messages.write(pickle.dumps(message))
        messages.flush()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):  # gone
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


# Starting

_PRESTARTED: list[subprocess.Popen[bytes]] = []


def prestart() -> None:
    """Start a process for the first worker, so that it loads yt-dlp while the server starts; return at once."""
    with contextlib.suppress(OSError):  # the first worker's start tries again and reports it
        _PRESTARTED.append(_start())


def _start() -> subprocess.Popen[bytes]:
    """Start a process that loads what downloads need, and then waits for its `WorkerConfig`.

    Not a fork: children of a loaded process share its memory at first, but Python counts references in the objects
    themselves, and after two downloads what they still share is less than what that process takes.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(os.environ),
        start_new_session=True,  # leads a group of its own, which its ffmpeg will be in too
    )
