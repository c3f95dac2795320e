"""What tests of the egress guard share: an origin on loopback that plays the internet, and a proxy that sees it so.

Names resolve to the addresses that a test says, and every public address leads to the origin: nothing ever leaves
loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from downloader.egress.dialer import Dialer, Rules, connect
from downloader.egress.http import basic
from downloader.egress.policy import Address, literal
from downloader.egress.proxy import EgressProxy, Grant
from downloader.egress.relay import Buffer

PUBLIC = "93.184.216.34"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say back what is heard, and hang up when the other side has."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


class Origin:
    """A server on loopback; keeps what it was sent."""

    def __init__(self, handler: Handler = echo) -> None:
        self._handler = handler
        self.connections = 0
        self.open = 0
        self.closed = asyncio.Event()  #: set when the last connection ended

    async def __aenter__(self) -> Origin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.closed.clear()
        try:
            with contextlib.suppress(ConnectionError):
                await self._handler(reader, writer)
        finally:
            writer.close()
            self.open -= 1
            if not self.open:
                self.closed.set()


class World:
    """A proxy, what it resolved, where it connected to."""

    def __init__(self, origin: Origin, names: Mapping[str, Sequence[str]] | None = None) -> None:
        self.origin = origin
        self.names = dict(names or {})
        self.resolved: list[str] = []
        self.connected: list[str] = []
        self.own: set[str] = set()

    async def resolve(self, name: str) -> Sequence[str]:
        self.resolved.append(name)
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.names[name]

    async def connect(self, address: Address, port: int) -> socket.socket:
        self.connected.append(str(address))
        loopback = literal("127.0.0.1")
        assert loopback is not None
        return await connect(loopback, port if address.is_loopback else self.origin.port)

    @contextlib.asynccontextmanager
    async def proxy(
        self,
        *,
        max_connections: int = 1024,
        head_seconds: float = 10.0,
        connect_seconds: float = 5.0,
        splice: bool = True,
    ) -> AsyncIterator[EgressProxy]:
        dialer = Dialer(
            resolve=self.resolve,
            connect=self.connect,
            is_own=lambda address: str(address) in self.own,
            connect_seconds=connect_seconds,
        )
        proxy = EgressProxy(
            dialer, buffer=Buffer(splice=splice), max_connections=max_connections, head_seconds=head_seconds
        )
        await proxy.start()
        try:
            yield proxy
        finally:
            await proxy.close()


class Client:
    """A client of the proxy, byte by byte."""

    def __init__(self, proxy: EgressProxy, grant: Grant | None = None) -> None:
        self._proxy = proxy
        self._grant = grant

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._proxy.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    @property
    def credential(self) -> str:
        """The header line that lets this client in; empty where it has no grant."""
        if self._grant is None:
            return ""
        return f"Proxy-Authorization: {basic(self._grant.user, self._grant.password)}\r\n"

    async def say(self, text: str | bytes) -> None:
        """Send *text*; `{credential}` in it becomes the header line."""
        raw = text if isinstance(text, bytes) else text.replace("{credential}", self.credential).encode("latin-1")
        self.writer.write(raw)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Return status and headers (names in lower case) of what comes next."""
        raw = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1")
        first, *lines = raw.removesuffix("\r\n\r\n").split("\r\n")
        return int(first.split()[1]), {line.partition(":")[0].lower(): line.partition(": ")[2] for line in lines}

    async def rest(self) -> bytes:
        """Return all that comes until the proxy hangs up."""
        try:
            return await asyncio.wait_for(self.reader.read(), 30)
        except ConnectionResetError:
            return b""

    async def tunnel(self, at: str = "site.example:443") -> tuple[int, dict[str, str]]:
        """Ask for a tunnel; return the answer's head."""
        await self.say(f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{{credential}}\r\n")
        return await self.head()


def rules(**overrides: object) -> Rules:
    """Return rules for a test."""
    return Rules(**overrides)  # type: ignore[arg-type]
