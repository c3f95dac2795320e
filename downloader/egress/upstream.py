"""The operator's own proxy: its URL, and how to open tunnels through it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal
from urllib.parse import unquote, urlsplit

from downloader.egress.http import END_OF_HEAD, MAX_HEAD_BYTES, Headers, authority, basic, serialize_head

Failure = Literal["unresolvable", "unreachable", "upstream", "timeout"]
Kind = Literal["http", "https", "socks4", "socks5"]

_KINDS: Mapping[str, tuple[Kind, int]] = {
    "http": ("http", 80),
    "https": ("https", 443),
    "socks": ("socks4", 1080),
    "socks4": ("socks4", 1080),
    "socks4a": ("socks4", 1080),
    "socks5": ("socks5", 1080),
    "socks5h": ("socks5", 1080),
}

_SOCKS4_GRANTED = 90
_SOCKS5_REPLIES: Mapping[int, str] = {
    1: "a general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "timed out",
}

#: Characters of hosts and addresses, without quotation marks and blanks.
_HOST = re.compile(r"[\w.:%-]+")


class InvalidProxyUrl(ValueError):
    """A *_PROXY variable is not a proxy URL; the message omits the URL, which may hold a password."""

    def __init__(self, scheme: str | None = None) -> None:
        super().__init__("not the URL of a proxy")
        self.scheme = scheme  #: which variable of the environment it is from; None: from the settings


class Unreachable(Exception):
    """The host is permitted, but cannot be reached."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure: Failure = failure


class _Refused(Unreachable):
    """The operator's proxy did not connect to the host."""

    def __init__(self, upstream: Upstream, why: str, *, timed_out: bool = False) -> None:
        super().__init__("timeout" if timed_out else "upstream", f"the proxy {upstream.host} did not connect: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One proxy. It always resolves the names, even if its URL says `socks4` or `socks5`."""

    kind: Kind
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def from_url(cls, url: str) -> Upstream:
        """Return the proxy at *url*; without a scheme, *url* is the host and port of an HTTP proxy.

        Raises:
            InvalidProxyUrl: *url* is not a proxy URL.
        """
        has_scheme = "://" in url
        try:
            parts = urlsplit(url.strip() if has_scheme else f"http://{url.strip()}")
            kind, port = _KINDS[parts.scheme]
            given_port, host = parts.port, parts.hostname or ""
        except (KeyError, ValueError):
            raise InvalidProxyUrl from None
        if not _HOST.fullmatch(host) or not (has_scheme or given_port):
            raise InvalidProxyUrl
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(kind=kind, host=host, port=given_port or port, user=user, password=password)

    @property
    def headers(self) -> Headers:
        """The headers that requests to it need."""
        return [("Proxy-Authorization", basic(self.user, self.password))] if self.user or self.password else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstreams:
    """The proxies for each scheme."""

    http: Upstream | None = None
    https: Upstream | None = None
    no_proxy: str = ""  #: hosts that are reached directly, in the format of NO_PROXY

    @classmethod
    def of(cls, proxy: str | None, environment: Mapping[str, str]) -> Upstreams:
        """Return *proxy* for everything; if None, the proxies in *environment*, by scheme (and `all`, `no`).

        Raises:
            InvalidProxyUrl: a *_PROXY variable is not a proxy URL.
        """
        if proxy is not None:
            upstream = Upstream.from_url(proxy)
            return cls(http=upstream, https=upstream)
        # As in yt-dlp, HTTP_PROXY alone is used for https too.
        plain = "http" if environment.get("http") else "all"
        secure = "https" if environment.get("https") else plain
        return cls(
            http=_upstream_for(plain, environment),
            https=_upstream_for(secure, environment),
            no_proxy=environment.get("no") or "",
        )

    def before(self, host: str, port: int, *, secure: bool) -> Upstream | None:
        """Return the proxy for *host*, or None if it is reached directly."""
        upstream = self.https if secure else self.http
        if upstream is None or not self.no_proxy:
            return upstream
        bypass = urllib.request.proxy_bypass_environment(authority(host, port), {"no": self.no_proxy})  # type: ignore[attr-defined]
        return None if bypass else upstream


def _upstream_for(scheme: str, environment: Mapping[str, str]) -> Upstream | None:
    url = environment.get(scheme)
    if not url:
        return None
    try:
        return Upstream.from_url(url)
    except InvalidProxyUrl:
        raise InvalidProxyUrl(scheme) from None


async def tunnel(sock: socket.socket, upstream: Upstream, host: str, port: int) -> None:
    """Have *upstream*, at the other end of *sock*, connect to *host*, a name or an address.

    Raises:
        Unreachable: it refused.
        OSError: the connection broke.
    """
    if upstream.kind == "socks4":
        await _socks4(sock, upstream, host, port)
    elif upstream.kind == "socks5":
        await _socks5(sock, upstream, host, port)
    else:
        await _connect(sock, upstream, host, port)


async def over_tls(sock: socket.socket, host: str) -> socket.socket:
    """Start TLS on *sock*; return a plain socket whose bytes are encrypted and decrypted.

    It is one end of a socket pair; tasks of the running loop serve the other. Closing it ends them and *sock*.

    Raises:
        OSError: the other side does not speak TLS, or has no valid certificate.
    """
    far_reader, far_writer = await asyncio.open_connection(sock=sock, ssl=tls_context(), server_hostname=host)
    near, inner = socket.socketpair()
    near.setblocking(False)
    inner.setblocking(False)
    inner_reader, inner_writer = await asyncio.open_connection(sock=inner)
    for reader, writer in ((far_reader, inner_writer), (inner_reader, far_writer)):
        task = asyncio.ensure_future(_pump(reader, writer))
        _PUMPS.add(task)
        task.add_done_callback(_PUMPS.discard)
    return near


@cache
def tls_context() -> ssl.SSLContext:
    """Return the one context of this process, which checks certificates."""
    # Loading the certificates takes longer than the rest of a connection.
    return ssl.create_default_context()


#: The loop itself only holds weak references to tasks.
_PUMPS: set[asyncio.Task[None]] = set()

_PUMP_BYTES = 64 * 1024


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PUMP_BYTES):
                writer.write(data)
                await writer.drain()
    finally:
        # TLS has no half-closed connections.
        writer.close()


# Protocols


async def _connect(sock: socket.socket, upstream: Upstream, host: str, port: int) -> None:
    at = authority(host, port)
    request = serialize_head(f"CONNECT {at} HTTP/1.1", [("Host", at), *upstream.headers])
    await asyncio.get_running_loop().sock_sendall(sock, request)
    head = bytearray()
    while not head.endswith(END_OF_HEAD):
        head += await _exactly(sock, 1)  # no byte beyond the end of the head, because those belong to the tunnel
        if len(head) > MAX_HEAD_BYTES:
            raise _Refused(upstream, "its response is too long")
    words = bytes(head).split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
        raise _Refused(upstream, "it does not speak HTTP")
    status = int(words[1])
    if status == 407:
        raise _Refused(upstream, "it wants another user or password (407)")
    if not 200 <= status < 300:
        raise _Refused(upstream, f"it answered {status}", timed_out=status == 504)


async def _socks4(sock: socket.socket, upstream: Upstream, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    where = bytes([0, 0, 0, 1])  # SOCKS4a: no address, a name follows
    try:
        where, name = ipaddress.IPv4Address(host).packed, b""
    except ValueError:
        name = host.encode("ascii") + b"\0"
    user = upstream.user.encode() + b"\0"
    await loop.sock_sendall(sock, bytes([4, 1]) + port.to_bytes(2) + where + user + name)
    answer = await _exactly(sock, 8)
    if answer[1] != _SOCKS4_GRANTED:
        raise _Refused(upstream, f"it answered {answer[1]}")


async def _socks5(sock: socket.socket, upstream: Upstream, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    has_password = bool(upstream.user or upstream.password)
    await loop.sock_sendall(sock, bytes([5, 2, 0, 2]) if has_password else bytes([5, 1, 0]))
    version, method = await _exactly(sock, 2)
    if version != 5:
        raise _Refused(upstream, "it does not speak SOCKS5")
    if method == 2 and has_password:
        user, password = upstream.user.encode()[:255], upstream.password.encode()[:255]
        await loop.sock_sendall(sock, bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if (await _exactly(sock, 2))[1] != 0:
            raise _Refused(upstream, "it wants another user or password")
    elif method != 0:
        raise _Refused(upstream, "it wants a user and a password")
    await loop.sock_sendall(sock, bytes([5, 1, 0]) + _socks5_address(host) + port.to_bytes(2))
    _, reply, _, kind = await _exactly(sock, 4)
    if reply != 0:
        raise _Refused(upstream, _SOCKS5_REPLIES.get(reply, f"it answered {reply}"), timed_out=reply == 6)
    size = {1: 4, 4: 16}.get(kind) or (await _exactly(sock, 1))[0]
    await _exactly(sock, size + 2)


def _socks5_address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        more = await loop.sock_recv(sock, size - len(data))
        if not more:
            raise ConnectionResetError("the proxy hung up")
        data += more
    return data
