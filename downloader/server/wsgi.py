"""Serves the app with waitress: listens, answers broken requests in JSON too, ends within seconds."""

from __future__ import annotations

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
from waitress.task import ErrorTask, WSGITask

from downloader.errors import StartRefused
from downloader.server.parser import StrictParser
from downloader.server.threads import Threads

log = logging.getLogger(__name__)

#: An event stream holds a thread as long as somebody listens, a waiting batch until it is done, a zip until it is sent.
#: There must be some left for everyone else: more than web.events.MAX_STREAMS, web.download.MAX_WAITING_REQUESTS and
#: web.zip.MAX_ZIPS together. They are started when they are needed. Measured: 256 more of them cost 4 MB, 200 open
#: streams 5 MB.
THREADS = 416
#: Of those with nothing to do, this many stay for the next requests.
SPARE_THREADS = 8

#: Connections that may be open at once, where the system allows so many files: the rest is for downloads and databases.
MAX_CONNECTIONS = 4096
OPEN_FILES = 2 * MAX_CONNECTIONS

#: One that has nothing under way and says nothing is closed after this, and looked for this often. Whoever opens
#: thousands of them must keep at it.
IDLE_SECONDS = 30
LOOK_SECONDS = 5

#: From this part of them on, each that comes closes another which says too little: or who opens them all, and sends a
#: byte on each before its time, would keep everybody out.
FULL = 0.75

#: What is made while it is sent waits when this much of it is unsent. Waitress has 16 MB, and puts most of that into a
#: temporary file; measured with 16 slow clients that save a zip: 205 MB more memory so, 23 MB with this.
UNSENT_BYTES = 512 * 1024

#: Far more than browsers send. What is read of a head before anybody is known, `Accept` and cookies, takes its time.
MAX_HEAD_BYTES = 64 * 1024

#: A body beyond this is refused while it arrives, far above what the app itself accepts.
MAX_BODY_FACTOR = 4


def _connection_limit() -> int:
    """Return how many connections this process can hold, having asked the system for as many files as we like."""
    if sys.platform == "win32":
        return 400  # what select takes there, and then some
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
        except (OSError, ValueError):  # some systems have a lower limit that they do not tell
            log.warning("the system allows few open files", extra={"files": soft})
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


#: What is wrong with a request that never gets as far as the app, by status; the others are broken.
_SENTENCES = {
    413: "The request is too large: send fewer URLs at once, or raise DOWNLOADER_MAX_REQUEST_BYTES.",
    431: "The request's headers are too large: send fewer cookies, or a shorter address.",
}


class _JsonErrorTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Answers what never got as far as the app: a broken request line, a header or body too large."""

    def execute(self) -> None:
        error = self.request.error
        broken = f"{error.reason}: the request is not HTTP as this server can take it."
        body = json.dumps({"error": _SENTENCES.get(error.code, broken)}).encode()
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
    """Answers a request; one that came along with it only if there is room for its answer."""

    def finish(self) -> None:
        super().finish()
        # Waitress would hold the thread until the client has taken what is unsent, which it may never do. Who sends
        # requests before it has its answers must expect to send some again.
        if len(self.channel.requests) > 1 and self.channel.total_outbufs_len > UNSENT_BYTES:
            self.close_on_finish = True


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    parser_class = StrictParser
    task_class = _Task
    error_task_class = _JsonErrorTask

    def __init__(self, server: Any, *arguments: Any, **more: Any) -> None:
        self.waiting_since = time.monotonic()  #: when it was opened, or its last request answered
        super().__init__(server, *arguments, **more)
        if len(server.active_channels) > server.adj.connection_limit * FULL:
            self._make_room()

    def service(self) -> None:
        super().service()
        self.waiting_since = time.monotonic()

    def _make_room(self) -> None:
        """Close the one that has waited longest for a request to come, of which bytes now and then are none."""
        idle = [
            each
            for each in self.server.active_channels.values()
            if each is not self and not each.requests and not each.will_close
        ]
        if idle:
            # What somebody is still taking goes last.
            min(idle, key=lambda each: (each.total_outbufs_len > 0, each.waiting_since)).will_close = True


class WsgiServer:
    """Serves what comes in at a socket; `start` begins to answer, `close` lets answers under way finish."""

    def __init__(
        self, app: Any, listener: socket.socket, *, max_request_bytes: int, behind_proxy: bool = False
    ) -> None:
        """Serve *app* at *listener*, which `listen` made; `X-Forwarded-…` reach it only if it is *behind_proxy*."""
        self.port: int = listener.getsockname()[1]
        self._server = create_server(
            app,
            sockets=[listener],
            _dispatcher=Threads(THREADS, SPARE_THREADS),
            connection_limit=_connection_limit(),
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=LOOK_SECONDS,
            max_request_header_size=MAX_HEAD_BYTES,
            max_request_body_size=max_request_bytes * MAX_BODY_FACTOR,
            ident=None,
            outbuf_high_watermark=UNSENT_BYTES,
            clear_untrusted_proxy_headers=not behind_proxy,
            # Without it the end of a client would be noticed only by the next write that fails.
            channel_request_lookahead=1,
            # select() ends at file number 1023, which streams, databases and workers together may pass.
            asyncore_use_poll=hasattr(select, "poll"),
        )
        self._server.channel_class = _Channel
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    def start(self) -> None:
        """Answer requests, in the background."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    def close(self, timeout_seconds: float) -> None:
        """Take no more requests; wait at most *timeout_seconds* for the answers under way."""
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=timeout_seconds)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on *host* and *port*; 0 takes a free port.

    Raises:
        StartRefused: the address cannot be had; the sentence says why.
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
        raise StartRefused(_why(error, host, port)) from error
    return listener


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program: stop that one, or choose another with --port."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}: choose one above 1023 with --port."
    return f"Cannot listen on {host}:{port}: {error.strerror} (see --host and --port)."
