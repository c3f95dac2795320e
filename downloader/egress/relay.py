"""Relays bytes between two sockets until either side ends, or both are idle."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable

from downloader.egress.buffer import Buffer, send

#: How long a client may be idle after its server has closed.
HALF_CLOSED_SECONDS = 5.0

#: Linger: on, for 0 seconds.
_RESET = struct.pack("ii", 1, 0) if sys.platform != "win32" else struct.pack("hh", 1, 0)

_WOULD_BLOCK = (BlockingIOError, InterruptedError)


class Relay:
    """Relays bytes until the client closes, or the server does and its bytes are delivered, or both are idle.

    A client that closes its side has left: ours never half-close a connection, and the server must notice at once. When
    the server closes, its last bytes are still delivered.
    """

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        *,
        buffer: Buffer,
        idle_seconds: float,
        client_bytes: int | None = None,
    ) -> None:
        """Relay between two non-blocking sockets; forward *client_bytes* of the client's bytes (None: all)."""
        self._loop = asyncio.get_running_loop()
        self._idle_seconds = idle_seconds
        self.last_byte = self._loop.time()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._sockets = (client, server)
        self._server_ended = False
        self._directions = (
            _Direction(self, client, server, buffer, on_end=self.stop, limit=client_bytes),
            _Direction(self, server, client, buffer, on_end=self.server_ended),
        )
        self._timer = self._loop.call_later(idle_seconds, self._check_idle)

    async def run(self) -> None:
        """Relay until the end; the sockets stay open, but closing them will notify the other side."""
        try:
            for direction in self._directions:
                direction.start()
            await self._over
        finally:
            self._timer.cancel()
            for direction in self._directions:
                direction.stop()
            if not self._server_ended:
                for sock in self._sockets:
                    _reset_on_close(sock)

    def stop(self) -> None:
        """End the relay."""
        if not self._over.done():
            self._over.set_result(None)

    def server_ended(self) -> None:
        """Note that the server closed its side and that all its bytes are delivered."""
        self._server_ended = True
        with contextlib.suppress(OSError):
            self._sockets[0].shutdown(socket.SHUT_WR)
        # The client may still send something, but not for long.
        self._idle_seconds = min(self._idle_seconds, HALF_CLOSED_SECONDS)
        self._timer.cancel()
        self._check_idle()

    def _check_idle(self) -> None:
        left = self.last_byte + self._idle_seconds - self._loop.time()
        if left <= 0:
            self.stop()
        else:
            self._timer = self._loop.call_later(left, self._check_idle)


class _Direction:
    """One direction. Reads only while no bytes are pending, so that a slow reader slows the sender down."""

    def __init__(
        self,
        relay: Relay,
        source: socket.socket,
        target: socket.socket,
        buffer: Buffer,
        *,
        on_end: Callable[[], None],
        limit: int | None = None,
    ) -> None:
        self._relay = relay
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._source, self._target = source, target
        # Numbers, because for sockets the loop formats a repr each time, an eighth of a connection's cost.
        self._source_number, self._target_number = source.fileno(), target.fileno()
        self._buffer = buffer
        self._left = limit
        self._pending = memoryview(b"")

    def start(self) -> None:
        self._loop.add_reader(self._source_number, self._read)

    def stop(self) -> None:
        self._loop.remove_reader(self._source_number)
        self._loop.remove_writer(self._target_number)

    def _read(self) -> None:
        try:
            size, rest = self._buffer.move(self._source, self._target, self._left)
        except _WOULD_BLOCK:
            return
        except OSError:
            self._relay.stop()
            return
        self._relay.last_byte = self._loop.time()
        if size == 0:
            self._loop.remove_reader(self._source_number)
            self._on_end()
            return
        if self._left is not None:
            # Bytes after a client's one request are discarded; they are read only to notice when it closes.
            self._left = max(0, self._left - size)
        if rest:
            self._pending = memoryview(rest)
            self._loop.remove_reader(self._source_number)
            self._loop.add_writer(self._target_number, self._write)

    def _write(self) -> None:
        try:
            sent = send(self._target, self._pending)
        except OSError:
            self._relay.stop()
            return
        self._relay.last_byte = self._loop.time()
        self._pending = self._pending[sent:]
        if not self._pending:
            self._loop.remove_writer(self._target_number)
            self._loop.add_reader(self._source_number, self._read)


def _reset_on_close(sock: socket.socket) -> None:
    """Make closing *sock* send a reset: a side that only writes might not notice an orderly close."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
