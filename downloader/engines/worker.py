"""A worker process: runs attempts in threads, reports on its pipe, and dies with its server."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Literal, NoReturn

from downloader.download_settings import DownloadSettings
from downloader.egress.connections import MAX_IDLE_SECONDS
from downloader.engines.attempt import run_attempt
from downloader.engines.malloc import tune_malloc
from downloader.jobs import Progress, Resolved, Work
from downloader.models import Outcome
from downloader.platforms import PLATFORMS
from downloader.ytdlp.transport import Transport
from downloader.ytdlp.warm_up import warm_up

log = logging.getLogger(__name__)

#: yt-dlp loads these where they are installed, 5 MB, for request handlers that ours replace.
_UNUSED = ("requests", "urllib3", "websockets")

#: Well above the largest block that a download reads, so that reading one costs no system call for its memory.
_LARGE_BYTES = 1024 * 1024

#: Objects allocated before Python collects garbage. An attempt allocates some thousands, and its cycles are found by
#: the collection after the next; Python's default of 700 costs half a millisecond more for each video.
_GC_THRESHOLD = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a worker needs to know; sent on a pipe, never on a command line."""

    settings: DownloadSettings
    log_level: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Asks the worker to end the attempt of this job, which it does when that next moves."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Permit:
    """Lets the attempt of this job download its media."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Proceed:
    """Lets the attempt of this job fetch what its short link leads to."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An attempt has ended."""

    job_id: str
    outcome: Outcome
    memory_bytes: int  #: held by the worker now; 0: unknown


#: The line after which a worker's stdout holds nothing but messages; the interpreter's start may print there too.
START = b"messages:\n"

#: What a worker receives.
Message = Work | Stop | Permit | Proceed

#: What it sends, beside log records.
Report = Literal["ready"] | Progress | Resolved | Done


def main() -> NoReturn:
    """Run attempts until the pipe closes, as it does when the server ends in any way; then kill the whole group."""
    # A service manager's SIGTERM reaches every process; the server decides what to do about it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    tune_malloc(_LARGE_BYTES)
    messages, reports = _take_pipes()
    load()
    # Objects loaded by now live forever, so collections need not look at them.
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    with contextlib.suppress(EOFError, OSError):
        config: WorkerConfig = pickle.load(messages)
        os.umask(config.settings.umask_bits)
        worker = _Worker(reports, config.settings)
        logging.basicConfig(level=config.log_level, handlers=[_LogHandler(worker)], force=True)
        worker.send("ready")
        worker.serve(messages)
    if sys.platform != "win32":
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(1)


def load() -> None:
    """Load what downloads need."""
    for name in _UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None: importing it raises ImportError
    warm_up(PLATFORMS.values())


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return the pipes from and to the server, kept from what libraries print and from the programs that they run."""
    messages, reports = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 -- no Path needed
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    reports.write(b"\n" + START)
    return messages, reports


class _Worker:
    """The attempts of this process, each in a thread, and the pipe that they share."""

    def __init__(self, reports: IO[bytes], settings: DownloadSettings) -> None:
        self._reports = reports
        self._settings = settings
        self._sending = threading.Lock()
        #: Of the attempts under way, by job
        self.stops: dict[str, threading.Event] = {}
        self._permits: dict[str, threading.Event] = {}
        self._proceeds: dict[str, threading.Event] = {}
        self._threads: dict[str, _DownloadThread] = {}  #: by the URL of their egress proxy
        self._lock = threading.Lock()  #: guards `_threads`

    def serve(self, messages: IO[bytes]) -> NoReturn:
        """Start and stop attempts as the server says. Raises EOFError or OSError when the pipe closes."""
        while True:
            message: Message = pickle.load(messages)
            if not isinstance(message, Work):
                events = {Stop: self.stops, Permit: self._permits, Proceed: self._proceeds}[type(message)]
                if event := events.get(message.job_id):
                    event.set()
                continue
            for events in (self.stops, self._permits, self._proceeds):
                events[message.job_id] = threading.Event()
            if message.may_download:
                self._permits[message.job_id].set()
            self._start(message)

    def _start(self, work: Work) -> None:
        # Not in the main thread, which has to notice that the pipe closes while a download hangs.
        assert work.proxy is not None
        with self._lock:  # until the thread has it, lest the thread retires before
            thread = self._threads.get(work.proxy)
            if thread is None:
                thread = self._threads[work.proxy] = _DownloadThread(self, work.proxy)
                thread.start()
            thread.works.put(work)

    def run(self, work: Work, transport: Transport) -> bool:
        """Run one attempt, report its end, and return whether it succeeded."""
        stop, permit, proceed = (events[work.job_id] for events in (self.stops, self._permits, self._proceeds))
        outcome = run_attempt(work, self._settings, stop, self.send, permit, transport, self.send, proceed)
        del self.stops[work.job_id], self._permits[work.job_id], self._proceeds[work.job_id]
        self.send(Done(job_id=work.job_id, outcome=outcome, memory_bytes=_memory_bytes()))
        return outcome[0]

    def retire(self, thread: _DownloadThread) -> bool:
        """Forget *thread* if it has nothing to do; return whether that is so."""
        with self._lock:
            if not thread.works.empty():
                return False
            del self._threads[thread.transport.proxy]
        if not self.stops:
            gc.collect()
        return True

    def send(self, message: Report | logging.LogRecord) -> None:
        """Send *message*; if the pipe is closed, the main thread ends the process."""
        with self._sending, contextlib.suppress(OSError):
            self._reports.write(pickle.dumps(message))
            self._reports.flush()


class _DownloadThread(threading.Thread):
    """Runs the attempts of one egress grant, one after the other, and keeps their connections open in between."""

    def __init__(self, worker: _Worker, proxy: str) -> None:
        super().__init__(daemon=True)
        self._worker = worker
        self.works: SimpleQueue[Work] = SimpleQueue()
        self.transport = Transport(proxy)

    def run(self) -> None:
        """Run attempts until one fails, or none has come for a while."""
        while True:
            try:
                work = self.works.get(timeout=MAX_IDLE_SECONDS)
            except Empty:
                if self._worker.retire(self):
                    break
                continue
            self.name = work.job_id
            if not self._worker.run(work, self.transport):
                self._worker.retire(self)  # its grant is revoked: no other attempt comes
                break
        self.transport.close()


class _LogHandler(logging.Handler):
    """Sends log records to the server, so that there is one log."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__()
        self._worker = worker
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record* as plain data, since its arguments may not pickle."""
        fields = {name: _plain(value) for name, value in vars(record).items()}
        fields["msg"], fields["args"], fields["exc_info"] = record.getMessage(), None, None
        if record.exc_info and not record.exc_text:
            fields["exc_text"] = self._formatter.formatException(record.exc_info)
        # The thread is named after its job; one that yt-dlp started works for the only attempt, if there is only one.
        jobs = tuple(self._worker.stops)
        if record.threadName in jobs or len(jobs) == 1:
            fields.setdefault("job_id", record.threadName if record.threadName in jobs else jobs[0])
        self._worker.send(logging.makeLogRecord(fields))


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else str(value)


def _memory_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # not Linux
        return 0
