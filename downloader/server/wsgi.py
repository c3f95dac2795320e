"""The production WSGI server: waitress, with JSON errors, a connection limit and a bounded shutdown."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import select
import socket
import sys
import threading
import time
from typing import Any

from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from downloader.errors import StartRefused
from downloader.server.parser import StrictParser

log = logging.getLogger(__name__)

#: An event stream holds a thread while its client listens, a waiting batch until it is done, a zip until it is sent.
#: Other requests need threads too, so this is more than web.events.MAX_STREAMS, web.download.MAX_WAITING_REQUESTS and
#: web.zip.MAX_ZIPS together.
THREADS = 416

#: Threads kept ready beyond those that are busy.
SPARE_THREADS = 8

#: Open connections, where the system allows as many files; the rest of the files is for downloads and databases.
MAX_CONNECTIONS = 4096
OPEN_FILES = 2 * MAX_CONNECTIONS

#: An idle connection is closed after this time.
IDLE_SECONDS = 30
CHECK_INTERVAL_SECONDS = 5

#: Above this share of the connection limit, each new connection closes the longest-idle one. Otherwise a client could
#: lock out all others by opening every connection and sending a byte on each now and then.
CROWDED_SHARE = 0.75

#: A streamed response waits while this much of it is unsent. Waitress allows 16 MB, most of it in a temporary file;
#: measured with 16 slow clients that save a zip: 205 MB more memory with that, 23 MB with this.
UNSENT_BYTES = 512 * 1024

#: Far more than browsers send. Headers such as `Accept` and cookies are parsed before the client is authenticated.
MAX_HEAD_BYTES = 64 * 1024

#: A body larger than this times the app's own limit is refused while it arrives.
MAX_BODY_FACTOR = 4


def _connection_limit() -> int:
    """Return how many connections this process can hold, after raising its limit of open files."""
    if sys.platform == "win32":
        return 400  # select() takes 512 sockets there
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
        except (OSError, ValueError):  # some systems have a lower limit that they do not report
            log.warning("the limit of open files is low", extra={"files": soft})
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


#: By status, for requests that never reach the app; any other is malformed.
_SENTENCES = {
    413: "The request is too large: send fewer URLs at once, or raise DOWNLOADER_MAX_REQUEST_BYTES.",
    431: "The request's headers are too large: send fewer cookies, or a shorter URL.",
}


class Threads(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    """Starts threads as requests need them, and keeps them. Waitress would start all at once: 16 kB each, 7 MB."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._growing = threading.Lock()  # `set_thread_count` is absolute, so two at once could stop a thread
        self.set_thread_count(min(SPARE_THREADS, limit))

    def add_task(self, task: Any) -> None:
        super().add_task(task)
        with self._growing:
            count = len(self.threads)
            if count < self._limit and count - self.active_count - len(self.queue) < SPARE_THREADS:
                with contextlib.suppress(RuntimeError):  # the system has no more: the task waits for one of ours
                    self.set_thread_count(count + 1)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        with self._growing:
            self._limit = 0
        return bool(super().shutdown(cancel_pending, timeout))


class _JsonErrorTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Answers requests that never reach the app: a malformed request line, a header or body too large."""

    def execute(self) -> None:
        error = self.request.error
        malformed = f"{error.reason}: this server cannot read the request as HTTP."
        body = json.dumps({"error": _SENTENCES.get(error.code, malformed)}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [
            ("Content-Type", "application/json"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Task(WSGITask):  # type: ignore[misc]  # waitress has no types
    """Answers a request; closes the connection after it if its response is unsent and another request is pipelined."""

    def finish(self) -> None:
        super().finish()
        # Waitress would hold the thread until the client has read the response, which it may never do. A client that
        # pipelines requests must expect to repeat some.
        if len(self.channel.requests) > 1 and self.channel.total_outbufs_len > UNSENT_BYTES:
            self.close_on_finish = True


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    parser_class = StrictParser
    task_class = _Task
    error_task_class = _JsonErrorTask

    def __init__(self, server: Any, *arguments: Any, **more: Any) -> None:
        self.waiting_since = time.monotonic()  #: since it was opened, or its last request was answered
        super().__init__(server, *arguments, **more)
        if len(server.active_channels) > server.adj.connection_limit * CROWDED_SHARE:
            self._close_longest_idle()

    def service(self) -> None:
        super().service()
        self.waiting_since = time.monotonic()

    def _close_longest_idle(self) -> None:
        """Close the connection that has waited longest for a complete request."""
        idle = [
            each
            for each in self.server.active_channels.values()
            if each is not self and not each.requests and not each.will_close
        ]
        if idle:
            # Those whose client is still reading a response go last.
            min(idle, key=lambda each: (each.total_outbufs_len > 0, each.waiting_since)).will_close = True


class WsgiServer:
    """An HTTP server in a thread of its own: `start` serves, `close` lets responses in progress finish."""

    def __init__(
        self, app: Any, listener: socket.socket, *, max_request_bytes: int, behind_proxy: bool = False
    ) -> None:
        """Serve *app* on *listener*, made by `listen`; drop `X-Forwarded-…` headers unless *behind_proxy*."""
        self.port: int = listener.getsockname()[1]
        self._server = create_server(
            app,
            sockets=[listener],
            _dispatcher=Threads(THREADS),
            connection_limit=_connection_limit(),
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=CHECK_INTERVAL_SECONDS,
            max_request_header_size=MAX_HEAD_BYTES,
            max_request_body_size=max_request_bytes * MAX_BODY_FACTOR,
            ident=None,
            outbuf_high_watermark=UNSENT_BYTES,
            clear_untrusted_proxy_headers=not behind_proxy,
            # Without it a disconnect would be noticed only when a write fails.
            channel_request_lookahead=1,
            # select() takes file descriptors below 1024, and streams, databases and workers together may need more.
            asyncore_use_poll=hasattr(select, "poll"),
        )
        self._server.channel_class = _Channel
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    def start(self) -> None:
        """Serve requests in the background."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the server is running."""
        return self._thread.is_alive()

    def close(self, timeout_seconds: float) -> None:
        """Accept no more requests; wait up to *timeout_seconds* for responses in progress."""
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=timeout_seconds)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on *host* and *port*; port 0 picks a free one.

    Raises:
        StartRefused: the address is not available; the message says why.
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise StartRefused(f"Cannot listen on {host}: there is no such address (set DOWNLOADER_HOST).") from error
    listener = socket.socket(family, kind, protocol)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where REUSEADDR would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise StartRefused(_bind_error(error, host, port)) from error
    return listener


def _bind_error(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use by another program: stop it, or choose another port with --port."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}: choose a port above 1023 with --port."
    return f"Cannot listen on {host}:{port}: {error.strerror} (see --host and --port)."
