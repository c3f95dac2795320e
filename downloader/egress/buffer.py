"""Moves bytes from one socket to another: on Linux through a pipe in the kernel, elsewhere through our memory.

One buffer serves all connections of a loop: what is read is sent at once, and only the bytes that the other side does
not accept are kept. As long as both sides keep up, a connection needs no memory of its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys

#: Moved at once: large enough that the system calls cost more than the Python code around them.
BUFFER_BYTES = 256 * 1024

#: A pipe holds a limited number of buffers, and each packet from the network takes one.
_PIPE_BYTES = 1024 * 1024

_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


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

    def move(self, source: socket.socket, target: socket.socket, limit: int | None = None) -> tuple[int, bytes]:
        """Move the bytes available from *source*, at most *limit* of them, and drop the rest.

        Returns:
            how many bytes there were, 0 at the end of the stream; and those that *target* did not accept.

        Raises:
            BlockingIOError: none are available now.
            OSError: one of the sockets is broken.
        """
        if self._pipe is not None and limit is None:
            try:
                return self._splice(self._pipe, source, target)
            except _CannotSplice:
                self.close()
        size = source.recv_into(self._memory)
        data = self._memory[: size if limit is None else min(size, limit)]
        sent = send(target, data)
        return size, bytes(data[sent:])

    def _splice(self, pipe: tuple[int, int], source: socket.socket, target: socket.socket) -> tuple[int, bytes]:
        out, into = pipe
        try:
            size = os.splice(source.fileno(), into, BUFFER_BYTES)
        except OSError as error:
            if error.errno in _CANNOT:
                raise _CannotSplice from error
            raise
        sent = 0
        try:
            sent = os.splice(out, target.fileno(), size) if size else 0
        except BlockingIOError:
            pass
        finally:
            # All connections share the pipe: nothing may be left in it, whatever happened.
            rest = b""
            while sent + len(rest) < size:
                rest += os.read(out, size - sent - len(rest))
        return size, rest


class _CannotSplice(Exception):
    """The system does not support splice for these sockets."""


def send(target: socket.socket, data: memoryview) -> int:
    """Send *data*; return how many bytes *target* accepted, possibly 0."""
    try:
        return target.send(data) if data else 0
    except (BlockingIOError, InterruptedError):
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
