"""Relays bytes between two sockets: on Linux through a pipe in the kernel, elsewhere through our memory.

One buffer serves all connections of a loop: what is read is sent at once, and only the bytes that the other side does
not accept are kept. As long as both sides keep up, a connection needs no memory of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

#: Moved at once: large enough that the system calls cost more than the Python code around them.
BUFFER_BYTES = 256 * 1024

#: A pipe holds a limited number of buffers, and each packet from the network takes one.
_PIPE_BYTES = 1024 * 1024

#: How long a client may be idle after its server has closed.
HALF_CLOSED_SECONDS = 5.0

#: Linger: on, for 0 seconds.
_RESET = struct.pack("ii", 1, 0) if sys.platform != "win32" else struct.pack("hh", 1, 0)

_CANNOT_SPLICE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_WOULD_BLOCK = (BlockingIOError, InterruptedError)


class Buffer:
    """Moves bytes between non-blocking sockets; not thread-safe."""

    def __init__(self, *, splice: bool = sys.platform == "linux") -> None:
        """With *splice*, bytes stay in the kernel: that halves the measured CPU time."""
        self._memory = memoryview(bytearray(BUFFER_BYTES))
        self._pipe: tuple[int, int] | None = None
        if splice:
            with contextlib.suppress(OSError):
                self._pipe = _new_pipe()

    def close(self) -> None:
        """Close the pipe."""
        pipe, self._pipe = self._pipe, None
        for end in pipe or ():
            os.close(end)

    def move(self, source: socket.socket, target: socket.socket, *, discard: bool = False) -> tuple[int, bytes]:
        """Move the bytes available from *source* to *target*, or *discard* them.

        Returns:
            how many bytes there were, 0 at the end of the stream; and those that *target* did not accept.

        Raises:
            BlockingIOError: none are available now.
            OSError: one of the sockets is broken.
        """
        if self._pipe is not None and not discard:
            out, into = self._pipe
            try:
                size = os.splice(source.fileno(), into, BUFFER_BYTES)
            except OSError as error:
                if error.errno not in _CANNOT_SPLICE:
                    raise
                self.close()
            else:
                return size, _empty(out, target, size)
        size = source.recv_into(self._memory)
        data = self._memory[: 0 if discard else size]
        return size, bytes(data[_send(target, data) :])


def _empty(pipe: int, target: socket.socket, size: int) -> bytes:
    """Move *size* bytes from *pipe* to *target*; return those that it did not accept."""
    sent = 0
    try:
        sent = os.splice(pipe, target.fileno(), size) if size else 0
    except BlockingIOError:
        pass
    finally:
        # All connections share the pipe: nothing may be left in it, whatever happened.
        rest = b""
        while sent + len(rest) < size:
            rest += os.read(pipe, size - sent - len(rest))
    return rest


def _send(target: socket.socket, data: memoryview) -> int:
    """Send *data*; return how many bytes *target* accepted, possibly 0."""
    try:
        return target.send(data) if data else 0
    except _WOULD_BLOCK:
        return 0


def _new_pipe() -> tuple[int, int]:
    out, into = os.pipe()
    for end in (out, into):
        os.set_blocking(end, False)
    if sys.platform == "linux":
        import fcntl  # not available on every platform

        with contextlib.suppress(OSError):  # beyond this user's limit: the pipe keeps its size
            fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return out, into


class Relay:
    """Relays bytes until the client closes, or the server does and its bytes are delivered, or both are idle.

    A client that closes its side has left: ours never half-close a connection, and the server must notice at once. When
    the server closes, its last bytes are still delivered.
    """

    def __init__(
        self, client: socket.socket, server: socket.socket, buffer: Buffer, idle_seconds: float, *, responds_only: bool
    ) -> None:
        """Relay between two non-blocking sockets; *responds_only*: discard what the client sends."""
        self._loop = asyncio.get_running_loop()
        self._idle_seconds = idle_seconds
        self.last_byte = self._loop.time()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._sockets = (client, server)
        self._server_ended = False
        # What a client sends after its one request is read only to notice when it closes.
        self._directions = (
            _Direction(self, client, server, buffer, self.stop, discard=responds_only),
            _Direction(self, server, client, buffer, self._end_server),
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
                # Closing sends a reset: a side that only writes might not notice an orderly close.
                for sock in self._sockets:
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def stop(self) -> None:
        """End the relay."""
        if not self._over.done():
            self._over.set_result(None)

    def _end_server(self) -> None:
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


@dataclass(eq=False)
class _Direction:
    """One direction. Reads only while no bytes are pending, so that a slow reader slows the sender down."""

    relay: Relay
    source: socket.socket
    target: socket.socket
    buffer: Buffer
    on_end: Callable[[], None]
    discard: bool = False

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Numbers, because for sockets the loop formats a repr each time, an eighth of a connection's cost.
        self._source_number, self._target_number = self.source.fileno(), self.target.fileno()
        self._pending = memoryview(b"")

    def start(self) -> None:
        self._loop.add_reader(self._source_number, self._read)

    def stop(self) -> None:
        self._loop.remove_reader(self._source_number)
        self._loop.remove_writer(self._target_number)

    def _read(self) -> None:
        try:
            size, rest = self.buffer.move(self.source, self.target, discard=self.discard)
        except _WOULD_BLOCK:
            return
        except OSError:
            self.relay.stop()
            return
        self.relay.last_byte = self._loop.time()
        if size == 0:
            self._loop.remove_reader(self._source_number)
            self.on_end()
        elif rest:
            self._pending = memoryview(rest)
            self._loop.remove_reader(self._source_number)
            self._loop.add_writer(self._target_number, self._write)

    def _write(self) -> None:
        try:
            sent = _send(self.target, self._pending)
        except OSError:
            self.relay.stop()
            return
        self.relay.last_byte = self._loop.time()
        self._pending = self._pending[sent:]
        if not self._pending:
            self._loop.remove_writer(self._target_number)
            self._loop.add_reader(self._source_number, self._read)
