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
from urllib.parse import SplitResult, urlsplit

from downloader.egress.http import basic

#: An idle connection is not used again after this: routers forget it, and a request would wait for nothing.
MAX_IDLE_SECONDS = 15.0

#: A connection is not used for longer than this, because its host's name may have moved to another address.
MAX_AGE_SECONDS = 300.0

Body = bytes | Iterable[bytes] | IO[bytes] | None

#: How a reused connection fails that the other side had closed before it saw the request.
_CLOSED = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)

#: Whose repetition changes nothing at the other side (RFC 9110, 9.2.2), as far as yt-dlp uses them.
_IDEMPOTENT = frozenset({"GET", "HEAD"})

_Key = tuple[str, int, ssl.SSLContext]


class Connections:
    """Connections through one proxy. Only tunnels are kept: the proxy takes one plain http request per connection."""

    def __init__(self, proxy: str) -> None:
        """Send all requests through *proxy*, an http:// URL with a credential."""
        parts = urlsplit(proxy)
        self._proxy = (parts.hostname or "", parts.port or 0)
        self._credential = {"Proxy-Authorization": basic(parts.username or "", parts.password or "")}
        self._idle: dict[_Key, list[_Connection]] = {}
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
        parts = urlsplit(url)
        if parts.scheme != "https":
            return self._send(self._plain(timeout_seconds), method, url, {**headers, **self._credential}, body)
        key = (parts.hostname or "", parts.port or 443, context)
        target = _target(parts)
        headers = {"Host": parts.netloc.rpartition("@")[2], **headers}
        if (kept := self._take(key, timeout_seconds)) is not None:
            try:
                return self._send(kept, method, target, headers, body)
            except _CLOSED:
                if method not in _IDEMPOTENT or body is not None:
                    raise
        return self._send(self._tunnel(key, timeout_seconds), method, target, headers, body)

    def close(self) -> None:
        """Close the idle connections; those in use are closed after their response."""
        with self._lock:
            self._closed = True
            idle = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
        for connection in idle:
            connection.http.close()

    def give_back(self, connection: _Connection) -> None:
        """Keep *connection*, whose last response has been read to its end, for another request."""
        connection.idle_since = time.monotonic()
        with self._lock:
            if connection.key is not None and not self._closed and connection.http.sock is not None:
                self._idle.setdefault(connection.key, []).append(connection)
                return
        connection.http.close()

    def _send(
        self, connection: _Connection, method: str, target: str, headers: Mapping[str, str], body: Body
    ) -> Reply:
        try:
            connection.http.request(method, target, body, headers)
            return Reply(self, connection, connection.http.getresponse())
        except BaseException:
            connection.http.close()
            raise

    def _take(self, key: _Key, timeout_seconds: float) -> _Connection | None:
        """Return a kept connection that seems to be alive, or None."""
        while True:
            with self._lock:
                kept = self._idle.get(key)
                connection = kept.pop() if kept else None
            if connection is None:
                return None
            if connection.usable():
                connection.http.sock.settimeout(timeout_seconds)
                return connection
            connection.http.close()

    def _tunnel(self, key: _Key, timeout_seconds: float) -> _Connection:
        host, port, context = key
        connection = _Tunnel(*self._proxy, timeout=timeout_seconds)
        connection.secure = partial(context.wrap_socket, server_hostname=host)
        connection.set_tunnel(f"[{host}]" if ":" in host else host, port, self._credential)
        return _Connection(connection, key)

    def _plain(self, timeout_seconds: float) -> _Connection:
        return _Connection(http.client.HTTPConnection(*self._proxy, timeout=timeout_seconds), None)


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

    def __init__(self, connection: http.client.HTTPConnection, key: _Key | None) -> None:
        self.http = connection
        self.key = key  #: None: good for one request
        self.opened_at = self.idle_since = time.monotonic()

    def usable(self) -> bool:
        now = time.monotonic()
        if now - self.idle_since > MAX_IDLE_SECONDS or now - self.opened_at > MAX_AGE_SECONDS:
            return False
        # Nothing is due: what can be read is the end of the connection.
        poll = select.poll()
        poll.register(self.http.sock, select.POLLIN)
        return not poll.poll(0)


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
        """Give the connection back if the body has ended."""
        if self._connection is not None and self._response.isclosed():
            connection, self._connection = self._connection, None
            self._connections.give_back(connection)


def _target(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path
