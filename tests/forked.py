"""A server's process, forked from one that has loaded what servers and workers need: that saves most of a start."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import TextIO

#: Windows cannot fork.
CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()


def fork_server() -> ForkServerContext:
    """Return what starts processes that have loaded what servers and workers need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "tests.preloaded"])
    return context


class ForkedProcess:
    """A server with *arguments*; it has what tests use of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        context = fork_server()
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
    import downloader_main  # here: only servers need these
    from downloader.egress.environment import child_environment
    from downloader.engines import worker_process
    from tests.forked_worker import CAN_FORK as CAN_FORK_WORKERS
    from tests.forked_worker import Template

    os.environ.clear()
    os.environ.update(environment)
    for number, pipe in ((1, out), (2, err)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    if CAN_FORK_WORKERS:
        template = Template()
        worker_process._start = lambda: template.start(child_environment(os.environ))  # type: ignore[assignment, return-value]
    sys.exit(downloader_main.main(arguments))
