"""Fetches a small file through the guard: bounded in size, time and redirects, and without anything that identifies."""

from __future__ import annotations

import http.client
import re
import threading
from contextlib import closing
from urllib.parse import quote, urljoin, urlsplit

from downloader.download_settings import DownloadSettings
from downloader.egress.connections import Connections, Reply
from downloader.egress.guard import open_egress
from downloader.egress.proxy import Grant
from downloader.egress.upstream import tls_context
from downloader.errors import StartRefused

MAX_REDIRECTS = 3
MAX_URL = 2048

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 64 * 1024

#: No cookies, no referrer; hosts of media refuse clients that they do not know.
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}

#: Characters of a path or query that stay as they are; the others are percent-encoded.
_SAFE = "/%:=&?~+!$,;'@()*"


class FetchFailed(Exception):
    """The file could not be had; str() is the reason, for the log."""


def fetch(url: str, settings: DownloadSettings, *, max_bytes: int, timeout_seconds: float) -> bytes:
    """Return the file at *url*, an http(s) URL that a stranger wrote, of at most *max_bytes*; blocking.

    Raises:
        FetchFailed: there is none, it is larger, took longer, or is at an address that the guard refuses.
    """
    try:
        grant = open_egress(settings)
    except (OSError, StartRefused) as error:
        raise FetchFailed(f"the egress proxy did not start: {error}") from error
    # A server that sends a byte now and then would never let a socket time out: the guard hangs up.
    deadline = threading.Timer(timeout_seconds, grant.revoke)
    deadline.daemon = True
    deadline.start()
    try:
        with closing(Connections(grant.url)) as connections:
            data = _follow(connections, grant, url, max_bytes, timeout_seconds)
            if not grant.valid:  # to a body without a length, that is an end like any other
                raise FetchFailed(f"it took more than {timeout_seconds:g} s")
            return data
    # UnicodeError and LookupError: a host name that no one can have.
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        refused = f"; refused: {', '.join(grant.refusals)}" if grant.refusals else ""
        raise FetchFailed(f"{type(error).__name__}: {error}{refused}") from error
    finally:
        deadline.cancel()
        grant.revoke()


def _follow(connections: Connections, grant: Grant, url: str, max_bytes: int, timeout_seconds: float) -> bytes:
    for _ in range(MAX_REDIRECTS + 1):
        reply = connections.request(
            "GET", plain_url(url), _HEADERS, timeout_seconds=timeout_seconds, context=tls_context()
        )
        with closing(reply):
            if reply.status in _REDIRECTS:
                url = urljoin(url, reply.headers.get("Location") or "")
                continue
            if reply.status != http.client.OK:
                why = f"; refused: {', '.join(grant.refusals)}" if grant.refusals else ""
                raise FetchFailed(f"it answered {reply.status}{why}")
            return _body(reply, max_bytes)
    raise FetchFailed("too many redirects")


def plain_url(url: str) -> str:
    """Return *url* in ASCII, without user, password and fragment. Raises FetchFailed, ValueError or LookupError."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > MAX_URL:
        raise FetchFailed("no address of a file")
    if re.search(r"[\x00-\x20\x7f]", host):
        raise FetchFailed("no host")
    path = quote(parts.path, safe=_SAFE) or "/"
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    name, colon, rest = host.partition(":")  # of an IPv6 address, the rest is more than the port
    return f"{parts.scheme}://{name.encode('idna').decode('ascii')}{colon}{rest}{path}{query}"


def _body(reply: Reply, max_bytes: int) -> bytes:
    declared = reply.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise FetchFailed(f"it has {declared} bytes")
    data = b""
    while chunk := reply.read(min(_CHUNK_BYTES, max_bytes + 1 - len(data))):
        data += chunk
        if len(data) > max_bytes:
            raise FetchFailed(f"it has more than {max_bytes} bytes")
    return data
