"""What bytes pass through on their way from one socket to another: on Linux the kernel's memory, elsewhere ours.

One buffer serves all connections of a loop: what is read into it is sent on at once, and only what the other side does
not take is kept. A connection therefore holds no memory of its own as long as both sides keep up.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys

#: What is moved at once: enough that the system calls cost more than the Python around them.
BUFFER_BYTES = 256 * 1024

#: A pipe holds so many pieces of memory, and of a network card's packets each is one.
_PIPE_BYTES = 1024 * 1024

_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class Buffer:
    """Moves bytes between sockets that do not block; for one thread alone."""

    def __init__(self, *, splice: bool = sys.platform == "linux") -> None:
        """Use the kernel's own memory where *splice* says so: half the processor time, measured."""
        self._memory = memoryview(bytearray(BUFFER_BYTES))
        self._pipe: tuple[int, int] | None = None
        if splice:
            with contextlib.suppress(OSError):
                self._pipe = _new_pipe()

    def close(self) -> None:
        """Give back what the system lent."""
        pipe, self._pipe = self._pipe, None
        for end in pipe or ():
            os.close(end)

    def move(self, source: socket.socket, target: socket.socket, limit: int | None = None) -> tuple[int, bytes]:
        """Move what *source* has now, at most *limit* bytes of it, and drop the rest.

        Returns:
            how many bytes it had, 0 at its end; and which of them *target* did not take.

        Raises:
            BlockingIOError: it has none now.
            OSError: one of the two is broken.
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
            # The pipe is everyone's: whatever happened, nothing may be left in it.
            rest = b""
            while sent + len(rest) < size:
                rest += os.read(out, size - sent - len(rest))
        return size, rest


class _CannotSplice(Exception):
    """The system has no such call for these sockets."""


def send(target: socket.socket, data: memoryview) -> int:
    """Return how many bytes of *data* the target took; it may be none."""
    try:
        return target.send(data) if data else 0
    except (BlockingIOError, InterruptedError):
        return 0


def _new_pipe() -> tuple[int, int]:
    out, into = os.pipe()
    for end in (out, into):
        os.set_blocking(end, False)
    if sys.platform == "linux":
        import fcntl  # where there is one

        with contextlib.suppress(OSError):  # more than this user may have: it stays as small as it was
            fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return out, into
