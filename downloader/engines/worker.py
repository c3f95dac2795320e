"""A worker process: runs attempts in threads, says on its pipe how they go, and dies with its server."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NoReturn

from downloader import batch_downloader
from downloader.download_settings import DownloadSettings
from downloader.engines.attempt import run_attempt
from downloader.engines.malloc import share_one_heap
from downloader.jobs import Progress, Work
from downloader.models import Outcome

log = logging.getLogger(__name__)

#: Well above the largest block that a download reads, for each of which it would else ask the system anew.
_LARGE_BYTES = 1024 * 1024

#: Objects that may come without going before garbage is looked for by itself. An attempt makes some thousands, and
#: their garbage is looked for when it has ended: by Python's own 700 that takes half a millisecond more a video.
_NEW_OBJECTS = 10_000

#: In a worker that is never idle, garbage is collected after so many attempts.
_COLLECT_EVERY = 4
_ENDED = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStart:
    """What a worker needs to know; it reaches the worker by a pipe, never on a command line."""

    settings: DownloadSettings
    environment: Mapping[str, str]  #: the server's, which may differ from that of the process that forks
    log_level: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The attempt of this job is to end."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An attempt ended."""

    job_id: str
    outcome: Outcome
    memory_bytes: int  #: that the worker holds now; 0: nobody knows


@dataclass(frozen=True, slots=True)
class Logged:
    """A log record, as plain data."""

    fields: Mapping[str, Any]


#: What a worker says. The server says a Work, or a Stop.
Message = Literal["ready"] | Progress | Done | Logged


def main(connection: Connection, start: WorkerStart) -> NoReturn:
    """Serve until the pipe ends, which it does with the server, however that ended; then kill the whole group."""
    _lead_a_group()
    share_one_heap(_LARGE_BYTES)
    os.environ.clear()
    os.environ.update(start.environment)
    os.umask(start.settings.umask_bits)
    line = _Line(connection)
    logging.basicConfig(level=start.log_level, handlers=[_LogLine(line)], force=True)
    batch_downloader.warm_up_engine()
    gc.set_threshold(_NEW_OBJECTS)
    line.send("ready")
    running: dict[str, threading.Event] = {}
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            _die()
        if isinstance(message, Stop):
            if stop := running.get(message.job_id):
                stop.set()
            continue
        # Not in this thread, which must notice the end of the pipe while a download hangs.
        running[message.job_id] = stop = threading.Event()
        arguments = (message, start.settings, stop, running, line)
        threading.Thread(target=_run, args=arguments, name="download", daemon=True).start()


def _run(
    work: Work, settings: DownloadSettings, stop: threading.Event, running: dict[str, threading.Event], line: _Line
) -> None:
    line.jobs[threading.get_ident()] = work.job_id
    outcome = run_attempt(work, settings, stop, line.send)
    del line.jobs[threading.get_ident()]
    del running[work.job_id]
    if not running or next(_ENDED) % _COLLECT_EVERY == 0:
        # yt-dlp's objects refer to one another, and hold threads and buffers until they are looked for: a millisecond.
        gc.collect()
    line.send(Done(job_id=work.job_id, outcome=outcome, memory_bytes=_memory_bytes()))


class _Line:
    """The way to the server; threads take turns on it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.jobs: dict[int, str] = {}  #: of the attempts under way, by thread

    def job_id(self) -> str | None:
        """Return the job that this thread is at; of a thread that yt-dlp started, the only one, or None."""
        jobs = tuple(self.jobs.values())
        return self.jobs.get(threading.get_ident()) or (jobs[0] if len(jobs) == 1 else None)

    def send(self, message: Message) -> None:
        """Say *message*, if there is still somebody to hear it; where not, the main thread ends everything."""
        with self._lock, contextlib.suppress(OSError):
            self._connection.send(message)


class _LogLine(logging.Handler):
    """Sends log records to the server, so that there is one log."""

    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record* as plain data: what it refers to may not be fit for travel."""
        fields = {name: _plain(value) for name, value in vars(record).items()}
        fields["msg"], fields["args"], fields["exc_info"] = record.getMessage(), None, None
        if record.exc_info and not record.exc_text:
            fields["exc_text"] = self._formatter.formatException(record.exc_info)
        if job_id := self._line.job_id():
            fields.setdefault("job_id", job_id)
        self._line.send(Logged(fields))


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else str(value)


def _lead_a_group() -> None:
    """Make this process the leader of its own group, in which its ffmpeg will be too."""
    # Ctrl-C and a service manager's SIGTERM reach every process; it is the server that decides what then happens.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        os.setsid()


def _die() -> NoReturn:
    if sys.platform != "win32":
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(1)


def _memory_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # not Linux
        return 0
