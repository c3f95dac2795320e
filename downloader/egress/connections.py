"""HTTP requests through the egress proxy, on connections that stay open between requests."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from email.message import Message
from functools import partial
from typing import IO
from urllib.parse import urlsplit

from downloader.egress.http import basic

#: An idle connection is not used again after this: routers forget it, and a request would wait for nothing.
MAX_IDLE_SECONDS = 15.0

#: A connection is not used for longer than this, because its host's name may have moved to another address.
MAX_AGE_SECONDS = 300.0

#: So many idle connections are kept: a download's page, API and media are on three or four hosts. Each takes three file
#: descriptors, two of them in the server.
MAX_IDLE = 4

Body = bytes | Iterable[bytes] | IO[bytes] | None

#: How a reused connection fails that the other side had closed before it saw the request, or where bytes beyond the
#: last response, which no one asked for, arrived late.
_STALE = (http.client.BadStatusLine, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

#: Whose repetition changes nothing at the other side (RFC 9110, 9.2.2), as far as yt-dlp uses them.
_IDEMPOTENT = frozenset({"GET", "HEAD"})

_Key = tuple[str, int, ssl.SSLContext]


class Connections:
    """Connections through one proxy. Only tunnels are kept: the proxy takes one plain http request per connection."""

    def __init__(self, proxy: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Send all requests through *proxy*, an http:// URL with a credential."""
        self._clock = clock
        parts = urlsplit(proxy)
        self._proxy = (parts.hostname or "", parts.port or 0)
        self._credential = {"Proxy-Authorization": basic(parts.username or "", parts.password or "")}
        self._idle: list[_Connection] = []  #: the one that was used last at the end
        self._lock = threading.Lock()  # yt-dlp may fetch fragments in several threads
        self._closed = False

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        body: Body = None,
        timeout_seconds: float,
        context: ssl.SSLContext,
    ) -> Reply:
        """Send a request; return its response, whose body is still to be read. Does not follow redirects.

        Repeats the request once if it was sent on a kept connection that turns out to be closed.

        Raises:
            OSError: the proxy refused ("Tunnel connection failed: 403 …"), a connection broke, or timed out.
            http.client.HTTPException: the response is malformed.
            ValueError: a header, or the URL, is malformed.
        """
        if self._closed:
            raise ConnectionAbortedError("the connections are closed")
        if isinstance(body, bytes) and not any(name.lower() == "content-length" for name in headers):
            headers = {**headers, "Content-Length": str(len(body))}  # last; http.client would put it before Host
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        if parts.scheme != "https":
            plain = self._plain(timeout_seconds)
            return self._send(plain, method, f"http://{host}{target}", {**headers, **self._credential}, body)
        if not any(name.lower() == "host" for name in headers):
            headers = {"Host": host.removesuffix(":443"), **headers}
        key = (parts.hostname or "", parts.port or 443, context)
        if (kept := self._take(key, timeout_seconds)) is not None:
            try:
                return self._send(kept, method, target, headers, body)
            except _STALE:
                if method not in _IDEMPOTENT or body is not None:
                    raise
        return self._send(self._tunnel(key, timeout_seconds), method, target, headers, body)

    def close(self) -> None:
        """Close the idle connections, and refuse requests; connections in use are closed after their response."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.http.close()

    def release(self, connection: _Connection) -> None:
        """Keep *connection*, whose last response has been read to its end, for another request."""
        connection.idle_since = self._clock()
        surplus: _Connection | None = connection
        with self._lock:
            if connection.key is not None and connection.http.sock is not None and not self._closed:
                self._idle.append(connection)
                surplus = self._idle.pop(0) if len(self._idle) > MAX_IDLE else None
        if surplus is not None:
            surplus.http.close()

    def _send(self, connection: _Connection, method: str, target: str, headers: Mapping[str, str], body: Body) -> Reply:
        try:
            connection.http.request(method, target, body, headers)
            return Reply(self, connection, connection.http.getresponse())
        except BaseException:
            connection.http.close()
            raise

    def _take(self, key: _Key, timeout_seconds: float) -> _Connection | None:
        """Return a kept connection that seems to be alive, or None; close all that are not."""
        now = self._clock()
        with self._lock:
            dead = [connection for connection in self._idle if not connection.usable(now)]
            alive = [connection for connection in self._idle if connection not in dead]
            found = next((connection for connection in reversed(alive) if connection.key == key), None)
            self._idle = [connection for connection in alive if connection is not found]
        for connection in dead:
            connection.http.close()
        if found is not None:
            found.http.sock.settimeout(timeout_seconds)
        return found

    def _tunnel(self, key: _Key, timeout_seconds: float) -> _Connection:
        host, port, context = key
        connection = _Tunnel(*self._proxy, timeout=timeout_seconds)
        connection.secure = partial(context.wrap_socket, server_hostname=host)
        connection.set_tunnel(f"[{host}]" if ":" in host else host, port, self._credential)
        return _Connection(connection, key, self._clock())

    def _plain(self, timeout_seconds: float) -> _Connection:
        return _Connection(http.client.HTTPConnection(*self._proxy, timeout=timeout_seconds), None, self._clock())


class _Tunnel(http.client.HTTPConnection):
    """As HTTPSConnection, which cannot tell the proxy about a host that is an IPv6 address before Python 3.12."""

    secure: Callable[[socket.socket], ssl.SSLSocket]

    def connect(self) -> None:
        super().connect()
        try:
            self.sock = self.secure(self.sock)
        except BaseException:
            self.close()
            raise


class _Connection:
    """A connection to a host, through the proxy."""

    def __init__(self, connection: http.client.HTTPConnection, key: _Key | None, now: float) -> None:
        self.http = connection
        self.key = key  #: None: good for one request
        self.opened_at = self.idle_since = now

    def usable(self, now: float) -> bool:
        if now - self.idle_since > MAX_IDLE_SECONDS or now - self.opened_at > MAX_AGE_SECONDS:
            return False
        # Nothing is due: what can be read is the end of the connection.
        sock = self.http.sock
        return not (isinstance(sock, ssl.SSLSocket) and sock.pending()) and not _is_readable(sock)


def _is_readable(sock: socket.socket) -> bool:
    if not hasattr(select, "poll"):  # Windows, where `select` is not limited to small file descriptors
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class Reply:
    """A response; its connection is kept once the body has been read to the end."""

    def __init__(self, connections: Connections, connection: _Connection, response: http.client.HTTPResponse) -> None:
        self._connections = connections
        self._connection: _Connection | None = connection
        self._response = response
        self._left = response.length  #: bytes of the body to come; None: unknown
        self.status = response.status
        self.reason = response.reason
        self.headers = response.headers
        if response.length == 0:
            # http.client waits for the call of `read`, and then, if it was announced, for a body that never comes.
            response.close()
        self._end()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be read."""
        return self._connection is None

    def read(self, size: int) -> bytes:
        """Return *size* bytes of the body, fewer before its end, none after.

        Raises:
            http.client.IncompleteRead: the connection ended before the body did.
            OSError: it broke.
        """
        if self._connection is None:
            return b""
        try:
            data = self._response.read(size)
        except BaseException:
            self.close()
            raise
        if self._left is not None:
            self._left -= len(data)
            if self._left and len(data) < size:
                self.close()
                raise http.client.IncompleteRead(data, self._left)
        self._end()
        return data

    def drain(self, max_bytes: int) -> None:
        """Close the response; keep its connection if at most *max_bytes* were left to read."""
        try:
            if self._left is None or self._left <= max_bytes:
                self.read(max_bytes)
        except (OSError, http.client.HTTPException):
            pass  # no one needs what was left
        self.close()

    def info(self) -> Message:
        """Return the headers, for `http.cookiejar`."""
        return self.headers

    def close(self) -> None:
        """Close the response; if it was not read to the end, its connection too."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._response.close()
            connection.http.close()

    def _end(self) -> None:
        """Release the connection if the body has ended."""
        if self._connection is not None and self._response.isclosed():
            connection, self._connection = self._connection, None
            self._connections.release(connection)
