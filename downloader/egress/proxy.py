"""A small forward proxy on loopback that lets downloads reach only the public internet.

Clients need the credential of a grant. A grant holds the rules, and records what was refused, so that an attempt's
failure can be explained by what happened rather than by what a library reports.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import socket
from collections.abc import Coroutine
from itertools import count
from typing import Any, TypeVar

from downloader.egress import http
from downloader.egress.dialer import Blocked, Dialer, Rules
from downloader.egress.relay import Buffer, Relay
from downloader.egress.upstream import Failure, Unreachable, Upstream
from downloader.errors import ErrorCode
from downloader.models import Outcome

log = logging.getLogger(__name__)

T = TypeVar("T")

#: How long the proxy reads on after its own response: closing with unread bytes would discard the response.
LINGER_SECONDS = 1.0
#: How many refusals a grant records; one is enough for an explanation.
MAX_REFUSALS = 20

#: Failures that a refused address does not explain: they have another cause, or concern the platform's other downloads.
_UNRELATED_TO_REFUSALS: frozenset[ErrorCode] = frozenset(
    {"interrupted", "cancelled", "disk_full", "storage_unavailable", "rate_limited", "bot_check"}
)

_CHUNK_BYTES = 64 * 1024
_BACKLOG = 256


class Grant:
    """Permission to use the proxy, for one attempt at a time, until it is revoked, as at the end of a `with` block."""

    def __init__(self, proxy: EgressProxy, rules: Rules, user: str) -> None:
        self._proxy = proxy
        self.rules = rules
        self.user = user
        self.password = secrets.token_urlsafe(24)
        self.url = f"http://{user}:{self.password}@127.0.0.1:{proxy.port}"  #: of the proxy: a secret until revoked
        self.refusals: list[str] = []  #: `host:port (reason)` of each refused request
        self.tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Grant {self.user}>"

    def __enter__(self) -> Grant:
        return self

    def __exit__(self, *_: object) -> None:
        self.revoke()

    @property
    def valid(self) -> bool:
        """Whether the proxy still accepts it."""
        return self._proxy.serving and self.user in self._proxy._grants

    def refuse(self, request: http.Request, why: str) -> None:
        """Record that *request* was refused."""
        refusal = f"{request.authority} ({why})" if request.host else why
        if refusal in self.refusals or len(self.refusals) >= MAX_REFUSALS:
            return
        self.refusals.append(refusal)
        log.warning("a download was refused an address", extra={"address": request.authority, "reason": why})

    def refusal(self, outcome: Outcome) -> str | None:
        """Return what the attempt was refused, if that explains *outcome*; else None."""
        if outcome[0] or not self.refusals or outcome.error_code in _UNRELATED_TO_REFUSALS:
            return None
        return f"refused: {', '.join(self.refusals[:3])}"

    def revoke(self) -> None:
        """Refuse further requests with it, and close its connections; from any thread."""
        self._proxy._grants.pop(self.user, None)
        with contextlib.suppress(RuntimeError):  # the loop is closed, and everything with it
            self._proxy._loop.call_soon_threadsafe(self._close_connections)

    def _close_connections(self) -> None:
        for task in tuple(self.tasks):
            task.cancel()


class _ClientLeft(Exception):
    """The client closed its connection."""


class EgressProxy:
    """Listens on loopback; to be used on one event loop."""

    def __init__(
        self,
        dialer: Dialer | None = None,
        *,
        buffer: Buffer | None = None,
        max_connections: int = 1024,
        head_seconds: float = 10.0,
    ) -> None:
        self._dialer = dialer or Dialer()
        self._max_connections = max_connections
        self._head_seconds = head_seconds
        self._grants: dict[str, Grant] = {}
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._buffer = buffer or Buffer()

    async def start(self) -> None:
        """Listen on a free port.

        Raises:
            OSError: no port is free.
        """
        self._loop = asyncio.get_running_loop()
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(_BACKLOG)
        self.port = self._listener.getsockname()[1]
        self._accepting = self._loop.create_task(self._accept())

    @property
    def serving(self) -> bool:
        """Whether it accepts connections."""
        return not self._accepting.done()

    async def wait(self) -> None:
        """Return or raise when the proxy stops listening."""
        await self._accepting

    async def close(self) -> None:
        """Stop listening and close every connection."""
        self._accepting.cancel()
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._accepting, *self._tasks, return_exceptions=True)
        self._buffer.close()

    def grant(self, rules: Rules) -> Grant:
        """Return a new grant, which the caller revokes after the attempt; from any thread."""
        grant = Grant(self, rules, f"attempt-{next(self._numbers)}")
        self._grants[grant.user] = grant
        return grant

    # Connections

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._listener)
            except ConnectionError:
                continue
            except OSError as error:
                # Probably out of file descriptors: some will be freed.
                log.error("the egress proxy cannot accept a connection", extra={"detail": str(error)})
                await asyncio.sleep(0.1)
                continue
            client.setblocking(False)
            full = len(self._tasks) >= self._max_connections
            task = self._loop.create_task(self._reject(client) if full else self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reject(self, client: socket.socket) -> None:
        with contextlib.closing(client):
            await self._respond(client, 503, "too many connections", (http.FAILED_HEADER, "overload"))

    async def _serve(self, client: socket.socket) -> None:
        with contextlib.closing(client):
            try:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await self._handle(client)
            except (OSError, _ClientLeft):
                pass  # one side is gone: there is no one to tell
            except Exception:
                log.exception("the egress proxy failed at a connection")

    async def _handle(self, client: socket.socket) -> None:
        try:
            async with asyncio.timeout(self._head_seconds):
                head, rest = await self._read_head(client)
            request = http.parse_request(head)
        except http.Malformed as malformed:
            await self._respond(client, malformed.status, str(malformed))
            return
        grant = self._grant_of(request)
        if grant is None:
            challenge = ("Proxy-Authenticate", 'Basic realm="egress"')
            await self._respond(client, 407, "this proxy is not for everyone", challenge)
            return
        task = asyncio.current_task()
        assert task is not None
        grant.tasks.add(task)
        task.add_done_callback(grant.tasks.discard)
        await self._connect(client, request, rest, grant)

    def _grant_of(self, request: http.Request) -> Grant | None:
        user, password = request.credential
        grant = self._grants.get(user)
        expected = grant.password if grant else secrets.token_urlsafe(24)
        return grant if hmac.compare_digest(expected.encode(), password.encode()) else None

    async def _connect(self, client: socket.socket, request: http.Request, rest: bytes, grant: Grant) -> None:
        try:
            await self._forward(client, request, rest, grant.rules)
        except Blocked as blocked:
            grant.refuse(request, str(blocked))
            await self._respond(client, 403, f"refused: {blocked}", (http.REFUSED_HEADER, "blocked_address"))
        except Unreachable as unreachable:
            level = logging.WARNING if unreachable.failure == "upstream" else logging.DEBUG
            log.log(level, "host unreachable", extra={"address": request.authority, "detail": str(unreachable)})
            status = 504 if unreachable.failure == "timeout" else 502
            await self._respond(client, status, str(unreachable), (http.FAILED_HEADER, unreachable.failure))

    async def _forward(self, client: socket.socket, request: http.Request, rest: bytes, rules: Rules) -> None:
        if request.foreign_scheme:
            raise Blocked("neither http nor https")
        dialing = self._dialer.dial(request.host, request.port, secure=request.is_tunnel, rules=rules)
        server, http_proxy = await self._unless_client_leaves(client, dialing)
        with contextlib.closing(server):
            if request.is_tunnel:
                await self._loop.sock_sendall(client, http.TUNNEL_IS_OPEN)
                await self._loop.sock_sendall(server, rest)
            else:
                response = await self._exchange(client, server, request, rest, rules, http_proxy)
                await self._loop.sock_sendall(client, response)
            responds_only = not request.is_tunnel
            await Relay(client, server, self._buffer, rules.idle_seconds, responds_only=responds_only).run()

    # Plain http

    async def _exchange(
        self,
        client: socket.socket,
        server: socket.socket,
        request: http.Request,
        rest: bytes,
        rules: Rules,
        http_proxy: Upstream | None,
    ) -> bytes:
        """Forward a request; return the head of its response and the bytes after it."""
        extra = [] if http_proxy is None else http_proxy.headers
        head = http.request_head(request, absolute=http_proxy is not None, extra=extra)
        try:
            await self._loop.sock_sendall(server, head)
            if request.expects_continue and not rest:
                # By us, because the response is read only after the body was sent.
                await self._loop.sock_sendall(client, http.CONTINUE)
            await self._pass_body(client, server, rest, request.body_bytes, rules)
            response = self._read_response(server, rules)
            status, head, more = await self._unless_client_leaves(client, response)
        except (OSError, http.Malformed) as error:
            failure: Failure = "timeout" if isinstance(error, TimeoutError) else "unreachable"
            raise Unreachable(failure, str(error) or type(error).__name__) from error
        if http_proxy is not None and status == 407:
            raise Unreachable("upstream", "the upstream proxy wants another user or password (407)")
        return head + more

    async def _pass_body(
        self, client: socket.socket, server: socket.socket, rest: bytes, size: int, rules: Rules
    ) -> None:
        data, left = rest[:size], size
        while left:
            async with asyncio.timeout(rules.idle_seconds):
                data = data or await self._loop.sock_recv(client, min(left, _CHUNK_BYTES))
                if not data:
                    raise _ClientLeft
                await self._loop.sock_sendall(server, data)
            left -= len(data)
            data = b""

    async def _read_response(self, server: socket.socket, rules: Rules) -> tuple[int, bytes, bytes]:
        """Return status, rewritten head and the bytes after it, of the final response; interim ones are skipped."""
        rest = b""
        while True:
            async with asyncio.timeout(rules.idle_seconds):
                head, rest = await self._read_head(server, rest)
            status, rewritten = http.response_head(head)
            if status == 101:
                raise http.Malformed("a response in another protocol")
            if status >= 200:
                return status, rewritten, rest

    # Parts

    async def _read_head(self, sock: socket.socket, data: bytes = b"") -> tuple[bytes, bytes]:
        """Return a head with its empty line, and the bytes after it.

        Raises:
            ConnectionError: the connection ended before it.
            http.Malformed: it is too long.
        """
        while (end := data.find(http.END_OF_HEAD, 0, http.MAX_HEAD_BYTES)) < 0:
            if len(data) >= http.MAX_HEAD_BYTES:
                raise http.Malformed("a head that is too long", 431)
            more = await self._loop.sock_recv(sock, http.MAX_HEAD_BYTES)
            if not more:
                raise ConnectionResetError("the other side hung up")
            data += more
        end += len(http.END_OF_HEAD)
        return data[:end], data[end:]

    async def _unless_client_leaves(self, client: socket.socket, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of *work*; cancel it if *client* hangs up.

        Raises:
            _ClientLeft: it hung up.
        """
        task = self._loop.create_task(work)
        number = client.fileno()
        gone = False

        def on_readable() -> None:
            nonlocal gone
            try:
                gone = not client.recv(1, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                gone = True
            self._loop.remove_reader(number)  # bytes that it sent are read later
            if gone:
                task.cancel()

        self._loop.add_reader(number, on_readable)
        try:
            return await task
        except asyncio.CancelledError:
            if gone:
                raise _ClientLeft from None
            task.cancel()
            raise
        finally:
            self._loop.remove_reader(number)

    async def _respond(self, client: socket.socket, status: int, why: str, *headers: tuple[str, str]) -> None:
        """Send a response of the proxy's own, and read until the client closes: see `LINGER_SECONDS`."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._loop.sock_sendall(client, http.proxy_response(status, why, headers))
                client.shutdown(socket.SHUT_WR)
                while await self._loop.sock_recv(client, _CHUNK_BYTES):
                    pass
