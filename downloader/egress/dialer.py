"""Connects to permitted hosts: resolves a name once, checks every address, and connects only to checked ones."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from downloader.egress.policy import WEB_PORTS, Address, address_refusal, host_refusal, literal, normalize_host
from downloader.egress.upstream import Unreachable, Upstream, Upstreams, over_tls, tunnel
from downloader.util.daemon_thread import in_thread

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 10.0  #: to one address
UPSTREAM_SECONDS = 30.0  #: until the operator's proxy has connected

#: If an address has not answered by then, the next one is tried in parallel (RFC 8305).
STAGGER_SECONDS = 0.25

#: At most so many addresses of a name are tried; all are checked.
MAX_TRIED = 6

#: Each lookup takes a thread until the name server answers.
MAX_LOOKUPS = 64

Resolve = Callable[[str], Awaitable[Sequence[str]]]
Connect = Callable[[Address, int], Awaitable[socket.socket]]

#: A socket, and the HTTP proxy at its other end, which needs absolute URLs; None: the host itself.
Connection = tuple[socket.socket, Upstream | None]


class Blocked(Exception):
    """The host is forbidden; str() is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What one attempt may reach, and through which proxies."""

    upstreams: Upstreams = field(default_factory=Upstreams)
    allow_private: bool = False  #: any address and any port
    ports: frozenset[int] = WEB_PORTS
    idle_seconds: float = 120.0  #: an idle connection is closed after this
    #: Hosts that the operator wrote down, normalized; reached on any port.
    named: frozenset[str] = frozenset()

    def opens(self, host: str) -> bool:
        """Tell whether *host* may be private, as the operator wrote down its address or its name in the local network.

        A public name may not: where it leads is up to others.
        """
        return host in self.named and (literal(host) is not None or host_refusal(host) is not None)


async def resolve(name: str) -> Sequence[str]:
    """Return the addresses of *name*, in the system's order of preference."""
    # In its own daemon thread: the interpreter would wait for those of a pool at exit.
    found = await in_thread(socket.getaddrinfo, name, None, 0, socket.SOCK_STREAM, name="resolve")
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def connect(address: Address, port: int) -> socket.socket:
    """Return a non-blocking socket that is connected to exactly *address*."""
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
        if literal(str(sock.getpeername()[0])) != address:
            raise ConnectionAbortedError("connected to another address than requested")
    except BaseException:
        sock.close()
        raise
    return sock


def is_own(address: Address) -> bool:
    """Tell whether *address* belongs to one of this machine's interfaces, including public ones."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        # Sends nothing: it only selects the source address.
        probe.connect((str(address), 9))
        return literal(str(probe.getsockname()[0])) == address
    return False  # no route; then the connection has none either


class Dialer:
    """Opens connections with *resolve* and *connect*, which tests replace."""

    def __init__(
        self,
        *,
        resolve: Resolve = resolve,
        connect: Connect = connect,
        is_own: Callable[[Address], bool] = is_own,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._resolve = resolve
        self._connect = connect
        self._is_own = is_own
        self._connect_seconds = connect_seconds
        self._lookups = asyncio.Semaphore(MAX_LOOKUPS)

    async def dial(self, host: str, port: int, *, secure: bool, rules: Rules) -> Connection:
        """Return a connection to *host*, a name or an address without brackets; *secure*: for a tunnel.

        Raises:
            Blocked: *rules* forbid it.
            Unreachable: it could not be opened.
        """
        host = normalize_host(host)
        is_local = rules.opens(host)
        is_open = rules.allow_private or is_local
        if not is_open:
            if port not in rules.ports and host not in rules.named:
                raise Blocked(f"port {port} is not the web's")
            if why := host_refusal(host):
                raise Blocked(why)
        if not is_open and (address := literal(host)) is not None:
            # Before a proxy is chosen: one on this machine would reach private addresses too.
            self._check([address])
        upstream = None if is_local else rules.upstreams.before(host, port, secure=secure)
        try:
            if upstream is not None:
                async with asyncio.timeout(UPSTREAM_SECONDS):
                    return await self._through(upstream, host, port, secure=secure)
            addresses = await self._addresses(host)
            if not is_open:
                self._check(addresses)
            return await self._first(addresses, port), None
        except TimeoutError as error:
            raise Unreachable("timeout", "no answer in time") from error
        except OSError as error:
            raise Unreachable("unreachable", error.strerror or str(error) or type(error).__name__) from error

    def _check(self, addresses: Sequence[Address]) -> None:
        # All of them: a public address beside a private one is an attack on clients that try the next address when the
        # first refuses. No honest site publishes both.
        for address in addresses:
            why = address_refusal(address) or ("this machine" if self._is_own(address) else None)
            if why is not None:
                raise Blocked(why)

    async def _addresses(self, host: str) -> list[Address]:
        if (address := literal(host)) is not None:
            return [address]
        try:
            async with self._lookups, asyncio.timeout(RESOLVE_SECONDS):
                found = await self._resolve(host)
        except TimeoutError:
            raise
        except (OSError, UnicodeError) as error:
            raise Unreachable("unresolvable", "there is no address for this name") from error
        if not found:
            raise Unreachable("unresolvable", "there is no address for this name")
        try:
            return [ipaddress.ip_address(text) for text in found]
        except ValueError:
            raise Blocked("a name server's answer that is no address") from None

    async def _first(self, addresses: Sequence[Address], port: int) -> socket.socket:
        """Return a connection to the first of *addresses* to answer; they are tried with a delay in between."""
        if len(addresses) == 1:
            return await self._one(addresses[0], port)
        waiting = deque(addresses[:MAX_TRIED])
        trying: set[asyncio.Task[socket.socket]] = set()
        error: Exception = OSError("no address")
        try:
            while waiting or trying:
                if waiting:
                    trying.add(asyncio.ensure_future(self._one(waiting.popleft(), port)))
                done, _ = await asyncio.wait(
                    trying, timeout=STAGGER_SECONDS if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    trying.discard(task)
                    if (failed := task.exception()) is None:
                        return task.result()
                    assert isinstance(failed, Exception)
                    error = failed
            raise error
        finally:
            for task in trying:
                task.add_done_callback(_close_result)
                task.cancel()

    async def _one(self, address: Address, port: int) -> socket.socket:
        async with asyncio.timeout(self._connect_seconds):
            return await self._connect(address, port)

    async def _through(self, upstream: Upstream, host: str, port: int, *, secure: bool) -> Connection:
        try:
            # Chosen by the operator: any address is allowed.
            sock = await self._first(await self._addresses(upstream.host), upstream.port)
        except (OSError, Unreachable) as error:
            detail = f"the proxy {upstream.host} cannot be reached: {error}"
            raise Unreachable("timeout" if isinstance(error, TimeoutError) else "upstream", detail) from error
        try:
            if upstream.kind == "https":
                sock = await over_tls(sock, upstream.host)
            if not secure and upstream.kind in ("http", "https"):
                return sock, upstream
            await tunnel(sock, upstream, host, port)
        except BaseException:
            sock.close()
            raise
        return sock, None


def _close_result(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
