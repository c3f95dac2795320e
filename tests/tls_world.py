"""What tests of kept connections share: an origin that says exactly what a test scripts, behind a real egress proxy."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import trustme

from downloader.egress.proxy import Grant
from tests.egress_world import PUBLIC, World, rules

IPV6 = "2606:2800:220:1:248:1893:25c8:1946"
HOSTS = ("site.example", "other.example", "cdn.example", IPV6)
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A request, as it came in."""

    connection: int  #: counted from 1
    line: str
    headers: Mapping[str, str]  #: names in lower case, in their order
    body: bytes

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send for one request, and what to do then."""

    raw: bytes
    then: Literal["keep", "close", "reset", "hang"] = "keep"


def answer(body: bytes = b"hello", *headers: str, status: str = "200 OK", sized: bool = True) -> Answer:
    """Return a well-formed response."""
    length = [f"Content-Length: {len(body)}"] if sized else []
    head = "\r\n".join([f"HTTP/1.1 {status}", *length, *headers, "", ""])
    return Answer(head.encode("latin-1") + body)


def redirect(target: str, status: str = "302 Found", *headers: str, body: bytes = b"moved") -> Answer:
    return answer(body, f"Location: {target}", *headers, status=status)


@functools.cache
def ca() -> trustme.CA:
    return trustme.CA()


@functools.cache
def client_context() -> ssl.SSLContext:
    """Return a context that trusts the origin's certificates."""
    context = ssl.create_default_context()
    ca().configure_trust(context)
    context.set_alpn_protocols(["http/1.1"])
    return context


@functools.cache
def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca().issue_cert(*HOSTS).configure_cert(context)
    return context


class ScriptedOrigin:
    """A server on loopback, TLS or plain as its clients start; answers "hello" where nothing is scripted."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.seen: list[Seen] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> ScriptedOrigin:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.drop()

    @property
    def used(self) -> list[int]:
        """Return the connections of the requests, in their order."""
        return [seen.connection for seen in self.seen]

    def script(self, *answers: Answer) -> None:
        self.answers.extend(answers)

    def drop(self) -> None:
        """Close every connection, as a server does with idle ones."""
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with self._lock:
            self._open.add(sock)
        try:
            # TLS starts with a handshake record.
            if sock.recv(1, socket.MSG_PEEK) == b"\x16":
                with self._lock:
                    self._open.discard(sock)
                    sock = _server_context().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                    self._open.add(sock)
                sock.do_handshake()
            with sock.makefile("rb") as reader:
                while (seen := _read_request(reader, sock, number)) is not None:
                    self.seen.append(seen)
                    if not self._answer(sock, seen):
                        break
        except OSError:
            pass  # the client, or the test, closed it
        finally:
            with self._lock:
                self._open.discard(sock)
                sock.close()

    def _answer(self, sock: socket.socket, seen: Seen) -> bool:
        """Send the next answer; return whether the connection stays open."""
        reply = self.answers.popleft() if self.answers else answer(b"" if seen.method == "HEAD" else b"hello")
        sock.sendall(reply.raw)
        if reply.then == "hang":
            sock.recv(1)  # until the client leaves, or the test drops the connection
        if reply.then == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return reply.then == "keep"


def _read_request(reader: object, sock: socket.socket, number: int) -> Seen | None:
    line = reader.readline().decode("latin-1").rstrip("\r\n")  # type: ignore[attr-defined]
    if not line:
        return None
    headers: dict[str, str] = {}
    while text := reader.readline().decode("latin-1").rstrip("\r\n"):  # type: ignore[attr-defined]
        name, _, value = text.partition(": ")
        assert name.lower() not in headers, f"two headers {name}"
        headers[name.lower()] = value
    if headers.get("expect") == "100-continue":
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = reader.read(int(headers.get("content-length", 0)))  # type: ignore[attr-defined]
    return Seen(number, line, headers, body)


class Egress:
    """A real egress proxy in a thread of its own, to which every public address is the origin."""

    def __init__(self, origin: ScriptedOrigin) -> None:
        names = {host: [PUBLIC] for host in HOSTS if ":" not in host}
        self.world = World(origin, names)  # type: ignore[arg-type]  # it needs only the port
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)

    def __enter__(self) -> Egress:
        self._thread.start()
        assert self._ready.wait(TIMEOUT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(TIMEOUT_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with self.world.proxy() as self.proxy:
            self._ready.set()
            await self._end.wait()

    def grant(self) -> Grant:
        return self.proxy.grant(rules())

    def wait_for_end(self, grant: Grant) -> None:
        """Wait until all connections of *grant*, which was revoked, are closed."""

        async def end() -> None:
            await asyncio.gather(*grant.tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(TIMEOUT_SECONDS)


@contextlib.contextmanager
def egress() -> Iterator[tuple[ScriptedOrigin, Egress]]:
    """Return an origin, and the proxy that leads to it."""
    with ScriptedOrigin() as origin, Egress(origin) as way:
        yield origin, way
