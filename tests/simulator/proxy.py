"""The simulator's network side: a forward proxy that answers for the platforms instead of asking them.

It speaks HTTP/1.1 on loopback. For `https` it takes the CONNECT, shows a certificate of its own test CA for the
host, and answers inside the tunnel. On the same port it has a control API, reached without the proxy's syntax.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import itertools
import json
import logging
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import h11
import trustme

from .model import Content, Platform, Request, Response
from .world import Simulation, Visit, platforms_by_host

CONNECTION_LIMIT = 2_000
HEADER_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_BYTES = 1024 * 1024
#: Enough to keep the socket busy, little enough to be fair to the others on one loop.
WRITE_BUFFER_BYTES = 512 * 1024
IDLE_TIMEOUT_SECONDS = 120.0
TLS_TIMEOUT_SECONDS = 20.0
WAIT_LIMIT_SECONDS = 60.0

log = logging.getLogger(__name__)

_CANARY_PAGE = Response(headers={"Content-Type": "text/html"}, body=b"<html><body>internal page</body></html>\n")


class _Gone(Exception):
    """The client left, or said something that is no HTTP: nothing more can be done for this connection."""


class _Target(NamedTuple):
    """Where a tunnel leads."""

    scheme: Literal["http", "https"]
    host: str


@dataclass(slots=True, kw_only=True)
class Pace:
    """How slow the simulated network is."""

    latency_ms: float = 0.0
    #: per answer, for media only; 0: as fast as it goes
    media_bytes_per_second: float = 0.0

    def configure(self, values: Mapping[str, Any]) -> None:
        """Take over *values*.

        Raises:
            ValueError: a name is unknown, or a value is no number from 0 up.
        """
        for name, value in values.items():
            if name not in ("latency_ms", "media_bytes_per_second"):
                raise ValueError(f"there is no setting {name!r}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{name} must be a number, 0 or more")
        for name, value in values.items():
            setattr(self, name, float(value))


class Proxy:
    """Listens, and keeps what all connections share."""

    def __init__(self, simulation: Simulation, *, latency_ms: float = 0.0) -> None:
        self.simulation = simulation
        self.ledger = simulation.ledger
        self.pace = Pace(latency_ms=latency_ms)
        self.servers = platforms_by_host()
        self.connections: set[_Connection] = set()
        self.numbers = itertools.count(1)
        #: Replaced at each release, so that a hang which begins afterwards lasts until the next one.
        self.released = asyncio.Event()
        self._hanging_changed = asyncio.Event()
        self._ca = trustme.CA()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._listeners: list[asyncio.Server] = []

    @property
    def ca_pem(self) -> bytes:
        """The certificate of the test CA that vouches for every simulated host."""
        return self._ca.cert_pem.bytes()

    async def start(self, port: int = 0) -> tuple[int, int]:
        """Listen on loopback and return the ports of the proxy and of the canary."""
        loop = asyncio.get_running_loop()
        for at, canary in ((port, False), (0, True)):
            connect = functools.partial(_Connection, self, canary=canary)
            self._listeners.append(await loop.create_server(connect, "127.0.0.1", at, backlog=1024))
        ports = [listener.sockets[0].getsockname()[1] for listener in self._listeners]
        self.simulation.canary_port = ports[1]
        return ports[0], ports[1]

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        for listener in self._listeners:
            listener.close()
        await asyncio.gather(*(connection.drop() for connection in self.connections), return_exceptions=True)

    def context(self, host: str) -> ssl.SSLContext:
        """Return the TLS context that shows a certificate for *host*."""
        if host not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(["http/1.1"])
            self._ca.issue_cert(host).configure_cert(context)
            self._contexts[host] = context
        return self._contexts[host]

    def release(self) -> int:
        """Let every hanging request go, and return how many there were."""
        self.released.set()
        self.released = asyncio.Event()
        return self.ledger.hanging

    def count_hanging(self, change: int) -> None:
        """Count requests that begin or cease to hang, and wake those who wait for it."""
        self.ledger.hanging += change
        self._hanging_changed.set()
        self._hanging_changed = asyncio.Event()

    async def wait_until_hanging(self, count: int, timeout_seconds: float) -> bool:
        """Wait until at least *count* requests hang, or none where it is 0; return whether they do."""

        def come_true() -> bool:
            return self.ledger.hanging >= count if count else self.ledger.hanging == 0

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(timeout_seconds, WAIT_LIMIT_SECONDS)):
                while not come_true():
                    await self._hanging_changed.wait()
        return come_true()


class _Connection(asyncio.Protocol):
    """One client's connection: plain at first, TLS after a CONNECT."""

    def __init__(self, proxy: Proxy, *, canary: bool) -> None:
        self._proxy = proxy
        self._canary = canary
        self._number = next(proxy.numbers)
        self._tunnel: _Target | None = None
        self._http = _new_http()
        self._wanting = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._use(transport)
        if len(self._proxy.connections) >= CONNECTION_LIMIT:
            self._proxy.ledger.counts.refused_connections += 1
            transport.abort()
            return
        self._proxy.connections.add(self)
        self._proxy.ledger.connections = len(self._proxy.connections)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._arrived.set()
        if not self._wanting:
            # A request sent before the previous one is answered waits, which bounds what is buffered.
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _leave(self) -> None:
        self._lost.set()
        self._arrived.set()
        self._writable.set()

    def _use(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    # The life of a connection

    async def drop(self) -> None:
        """End the connection now."""
        self._transport.abort()
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _serve(self) -> None:
        try:
            while not self._lost.is_set():
                async with asyncio.timeout(IDLE_TIMEOUT_SECONDS):
                    head, body = await self._next_request()
                await self._handle(head, body)
                if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                    self._http.start_next_cycle()
                elif self._http.our_state is not h11.IDLE:  # it is idle in a tunnel that has just been opened
                    break
        except h11.LocalProtocolError as error:
            self._fail("an answer that HTTP cannot carry", error)
        except (_Gone, TimeoutError, h11.RemoteProtocolError, OSError):
            pass  # the client is gone or talks nonsense: no one is left to answer
        finally:
            self._transport.close()
            self._proxy.connections.discard(self)
            self._proxy.ledger.connections = len(self._proxy.connections)

    def _fail(self, what: str, error: Exception) -> None:
        """Note a fault of the simulator's own, for tests and for the log."""
        log.error(what, exc_info=error)
        self._proxy.ledger.counts.errors.append(f"{what}: {error!r}")

    async def _next_request(self) -> tuple[h11.Request, bytes]:
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            raise _Gone
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > BODY_LIMIT_BYTES:
                await self._send(_plain(413, "too much"), head.method)
                raise _Gone
        return head, bytes(body)

    async def _next_event(self) -> h11.Event | None:
        """Return what the client said next; None where it waits for us first."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await self._send(_plain(error.error_status_hint, "that is no HTTP"), b"GET")
                raise
            if isinstance(event, h11.Event):
                return event
            if event is h11.PAUSED:
                return None
            if self._lost.is_set():
                raise _Gone
            if self._http.they_are_waiting_for_100_continue:
                self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
            self._arrived.clear()
            self._wanting = True
            self._transport.resume_reading()
            await self._arrived.wait()
            self._wanting = False

    # Requests

    async def _handle(self, head: h11.Request, body: bytes) -> None:
        method = head.method.decode("ascii")
        if method == "CONNECT":
            await self._open_tunnel(head.target.decode("ascii"))
            return
        target = urllib.parse.urlsplit(head.target.decode("ascii"))
        if self._canary:
            self._proxy.ledger.counts.canary_hits += 1
            await self._send(_CANARY_PAGE, head.method)
        elif self._tunnel:
            await self._play(_request(head, body, target, self._tunnel))
        elif target.hostname and target.scheme == "http":
            await self._play(_request(head, body, target, _Target("http", target.hostname)))
        else:
            await self._send(await self._control(method, target.path, body), head.method)

    async def _open_tunnel(self, authority: str) -> None:
        """Answer CONNECT and go on in TLS, as the host that was asked for."""
        host = urllib.parse.urlsplit(f"//{authority}").hostname or ""
        if host not in self._proxy.servers:
            await self._send(self._refuse("CONNECT", host, ""), b"CONNECT")
            return
        if self._http.trailing_data[0]:
            raise _Gone  # a TLS greeting sent before our answer would be lost below; no client does that
        context = self._proxy.context(host)
        self._write(self._http.send(h11.Response(status_code=200, headers=[], reason=b"Connection established")))
        self._http, self._tunnel = _new_http(), _Target("https", host)
        # The first request may come with the end of the handshake, when pausing would stop the old transport for good.
        self._wanting = True
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=TLS_TIMEOUT_SECONDS
            )
        except OSError:
            self._proxy.ledger.counts.tls_failures += 1
            raise
        if transport is None:
            raise _Gone
        self._use(transport)
        self._wanting = False

    async def _play(self, request: Request) -> None:
        """Answer as the platform that owns the host would."""
        proxy = self._proxy
        server = proxy.servers.get(request.host)
        if server is None:
            await self._send(self._refuse(request.method, request.host, request.path), request.method.encode())
            return
        range = request.headers.get("range")
        entry = proxy.ledger.record(request.method, request.host, request.path, range, self._number)
        with proxy.ledger.in_flight(request.host, server.name):
            if proxy.pace.latency_ms:
                await asyncio.sleep(proxy.pace.latency_ms / 1000)
            visit = Visit(simulation=proxy.simulation, request=request)
            try:
                response = server.answer(request, visit)
            except Exception as error:
                self._fail(f"{server.name} failed at {request.path}", error)
                response = _plain(500, "the simulator failed")
            entry.post_id = visit.post.id if visit.post else None
            if response.hang_after != 0:
                entry.status = response.status
            media_of = server.name if visit.stage == "media" else None
            await self._send(response, request.method.encode(), media_of=media_of)

    def _refuse(self, method: str, host: str, path: str) -> Response:
        """Count a request to a host that no platform owns, and return the answer to it."""
        ledger = self._proxy.ledger
        entry = ledger.record(method, host, path, None, self._number)
        if _is_internal(host):
            ledger.counts.canary_hits += 1
            response = _CANARY_PAGE if method != "CONNECT" else _plain(502, "the canary speaks no TLS")
        else:
            ledger.unknown_host(host)
            response = _plain(502, "this host is not simulated")
        entry.status = response.status
        return response

    async def _control(self, method: str, path: str, body: bytes) -> Response:
        """Return the control API's answer."""
        proxy = self._proxy
        status, answer = 200, dict[str, Any]()
        try:
            match method, path:
                case "GET", "/_simulator/stats":
                    answer = proxy.ledger.as_json()
                case "POST", "/_simulator/reset":
                    proxy.simulation.reset()
                case "POST", "/_simulator/configure":
                    proxy.pace.configure(dict(json.loads(body)))
                case "POST", "/_simulator/release":
                    answer = {"released": proxy.release()}
                case "POST", "/_simulator/wait-until-hanging":
                    wish = dict(json.loads(body))
                    done = await proxy.wait_until_hanging(int(wish["count"]), float(wish["timeout_seconds"]))
                    answer = {"hanging": done}
                case _:
                    status, answer = 404, {"error": "The simulator has no such address."}
        except (ValueError, TypeError, KeyError) as error:
            status, answer = 400, {"error": str(error)}
        return Response(status=status, headers={"Content-Type": "application/json"}, body=json.dumps(answer).encode())

    # Answers

    async def _send(self, response: Response, method: bytes, *, media_of: Platform | None = None) -> None:
        """Send *response*, trouble included; *media_of* is the platform whose media bytes it carries."""
        if response.hang_after == 0:
            await self._hang()
        size = response.content.size if response.content else len(response.body)
        headers = [*response.headers.items(), *(("Set-Cookie", cookie) for cookie in response.cookies)]
        if response.status not in (204, 304) and not response.unsized:
            headers.append(("Content-Length", str(size)))
        self._write(self._http.send(h11.Response(status_code=response.status, headers=headers)))
        if method != b"HEAD":
            limits = [limit for limit in (response.cut_after, response.hang_after) if limit is not None]
            await self._send_body(response, min([size, *limits]), media_of)
            if response.cut_after is not None:
                raise _Gone
            if response.hang_after is not None:
                await self._hang()
        self._write(self._http.send(h11.EndOfMessage()))
        await self._writable.wait()

    async def _send_body(self, response: Response, size: int, media_of: Platform | None) -> None:
        """Send the first *size* bytes of the body, as fast as the client reads or the simulated network allows."""
        pace = self._proxy.pace
        content = response.content or Content(pieces=(memoryview(response.body),), size=len(response.body))
        for chunk in content.part(0, size).chunks():
            start = 0
            while start < len(chunk):
                await self._writable.wait()
                await asyncio.sleep(0)  # or a body without an end would leave no time to notice that the client left
                if self._lost.is_set():
                    raise _Gone
                # Twenty steps a second look like a steady stream to anything that shows progress.
                bytes_per_second = pace.media_bytes_per_second if media_of is not None else 0  # may change meanwhile
                step = max(int(bytes_per_second / 20), 1) if bytes_per_second else len(chunk)
                part = chunk[start : start + step]
                start += len(part)
                for data in self._http.send_with_data_passthrough(h11.Data(data=part)) or ():  # type: ignore[arg-type]
                    self._transport.write(data)
                if media_of:
                    self._proxy.ledger.counts.media_bytes_sent[media_of] += len(part)
                if bytes_per_second:
                    await asyncio.sleep(len(part) / bytes_per_second)

    async def _hang(self) -> None:
        """Stay silent until released or until the client leaves; the connection ends either way."""
        self._proxy.count_hanging(+1)
        ends = {asyncio.ensure_future(event.wait()) for event in (self._proxy.released, self._lost)}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            self._proxy.count_hanging(-1)
        raise _Gone

    def _write(self, data: bytes | None) -> None:
        if data and not self._lost.is_set():
            self._transport.write(data)


def _new_http() -> h11.Connection:
    return h11.Connection(our_role=h11.SERVER, max_incomplete_event_size=HEADER_LIMIT_BYTES)


def _request(head: h11.Request, body: bytes, target: urllib.parse.SplitResult, at: _Target) -> Request:
    return Request(
        method=head.method.decode("ascii"),
        scheme=at.scheme,
        host=at.host,
        path=target.path or "/",
        query=dict(urllib.parse.parse_qsl(target.query, keep_blank_values=True)),
        headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
        body=body,
    )


def _plain(status: int, text: str) -> Response:
    return Response(status=status, headers={"Content-Type": "text/plain"}, body=f"{text}\n".encode())


def _is_internal(host: str) -> bool:
    """Return whether *host* is an address that a server must never be talked into asking for."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
