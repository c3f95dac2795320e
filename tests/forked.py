"""A server's process, forked from one that has loaded what servers need: that saves half of the work of a start."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import TextIO

#: Windows cannot fork.
CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()


class ForkedProcess:
    """A server with *arguments*; it has what tests use of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, "tests.preloaded"])
        (stdout, out), (stderr, err) = context.Pipe(duplex=False), context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(arguments, dict(environment), out, err))
        self._process.start()
        out.close()
        err.close()
        assert self._process.pid
        self.pid = self._process.pid
        self.stdout, self.stderr = _text(stdout), _text(stderr)
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (status := self.poll()) is None:
            raise subprocess.TimeoutExpired("downloader_main.py", timeout or 0)
        return status


def _text(pipe: Connection) -> TextIO:
    with pipe:
        return os.fdopen(os.dup(pipe.fileno()))


def _serve(arguments: Sequence[str], environment: Mapping[str, str], out: Connection, err: Connection) -> None:
    import downloader_main  # here: only servers need it

    os.environ.clear()
    os.environ.update(environment)
    for number, pipe in ((1, out), (2, err)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.exit(downloader_main.main(arguments))
