"""Ties two sockets together: moves bytes both ways as they come, ends with either side, and with silence."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable

from downloader.egress.buffer import Buffer, send

#: How long a client may stay silent when its server has gone.
HALF_CLOSED_SECONDS = 5.0

#: Linger: on, for 0 seconds.
_RESET = struct.pack("ii", 1, 0) if sys.platform != "win32" else struct.pack("hh", 1, 0)

_NOT_NOW = (BlockingIOError, InterruptedError)


class Relay:
    """Two sockets, tied together until the client goes, or the server and all it said is delivered, or both are silent.

    A client that ends its side has gone: none of ours half-closes a connection, and a server that sends to nobody must
    hear of it at once. A server that has said all is followed by its last byte.
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
        """Tie *client* to *server*; neither may block. Of what the client says, *client_bytes* go on (None: all)."""
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
        self._timer = self._loop.call_later(idle_seconds, self._look_for_life)

    async def run(self) -> None:
        """Move bytes until there is nothing more to move; close neither socket, but see to it that closing tells."""
        try:
            for direction in self._directions:
                direction.begin()
            await self._over
        finally:
            self._timer.cancel()
            for direction in self._directions:
                direction.end()
            if not self._server_ended:
                for sock in self._sockets:
                    _have_it_reset(sock)

    def stop(self) -> None:
        """Move nothing more."""
        if not self._over.done():
            self._over.set_result(None)

    def server_ended(self) -> None:
        """Hear that the server has said all, and that the client has got it."""
        self._server_ended = True
        with contextlib.suppress(OSError):
            self._sockets[0].shutdown(socket.SHUT_WR)
        # The client may still have something to say, but not for long.
        self._idle_seconds = min(self._idle_seconds, HALF_CLOSED_SECONDS)
        self._timer.cancel()
        self._look_for_life()

    def _look_for_life(self) -> None:
        left = self.last_byte + self._idle_seconds - self._loop.time()
        if left <= 0:
            self.stop()
        else:
            self._timer = self._loop.call_later(left, self._look_for_life)


class _Direction:
    """One direction. Reads only while nothing is kept: a side that reads slowly slows the other one down."""

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
        # A loop that is given sockets prints each of them, for an error that nobody sees: an eighth of a connection.
        self._source_number, self._target_number = source.fileno(), target.fileno()
        self._buffer = buffer
        self._left = limit
        self._kept = memoryview(b"")

    def begin(self) -> None:
        self._loop.add_reader(self._source_number, self._read)

    def end(self) -> None:
        self._loop.remove_reader(self._source_number)
        self._loop.remove_writer(self._target_number)

    def _read(self) -> None:
        try:
            size, rest = self._buffer.move(self._source, self._target, self._left)
        except _NOT_NOW:
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
            # What a client says after its one request is for nobody; it is read only to see the client's end.
            self._left = max(0, self._left - size)
        if rest:
            self._kept = memoryview(rest)
            self._loop.remove_reader(self._source_number)
            self._loop.add_writer(self._target_number, self._write)

    def _write(self) -> None:
        try:
            sent = send(self._target, self._kept)
        except OSError:
            self._relay.stop()
            return
        self._relay.last_byte = self._loop.time()
        self._kept = self._kept[sent:]
        if not self._kept:
            self._loop.remove_writer(self._target_number)
            self._loop.add_reader(self._source_number, self._read)


def _have_it_reset(sock: socket.socket) -> None:
    """Have the end of *sock* be a reset: whoever only writes to it might not notice a polite one."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
