"""A server's workers, forked from a process that has loaded yt-dlp: that saves half a second of work for each."""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing.context import ForkServerContext
from typing import IO, NoReturn

from downloader.engines import worker

#: From the kernel's `prctl.h`: whose parent ends becomes a child of the caller.
_PR_SET_CHILD_SUBREAPER = 36

CAN_FORK = sys.platform.startswith("linux") and hasattr(os, "pidfd_open")


class ForkedWorker:
    """A worker; it has what `worker_process` uses of `subprocess.Popen`."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout

    def wait(self, timeout: float) -> int:
        """Return its exit code, or minus the signal that ended it."""
        ended = os.pidfd_open(self.pid)
        try:
            poll = select.poll()  # `select` takes no file descriptors above 1,024
            poll.register(ended, select.POLLIN)
            if not poll.poll(timeout * 1000):
                raise subprocess.TimeoutExpired("worker", timeout)
        finally:
            os.close(ended)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Template:
    """A process that forks workers, as children of this one."""

    def __init__(self, context: ForkServerContext | None = None) -> None:
        """Fork it from this process, which has no threads yet, or from the fork server of *context*."""
        self._prctl = ctypes.CDLL(None).prctl
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        if context:
            context.Process(target=_fork_for, args=(theirs,), daemon=True).start()
        elif os.fork() == 0:
            self._socket.close()
            _fork_for(theirs)
        theirs.close()

    def start(self, environment: dict[str, str]) -> ForkedWorker:
        (stdin, to_worker), (from_worker, stdout) = os.pipe(), os.pipe()
        with self._lock:
            self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            socket.send_fds(self._socket, [pickle.dumps(environment)], [stdin, stdout])
            pid = int(self._socket.recv(32))
            self._prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        os.close(stdin)
        os.close(stdout)
        return ForkedWorker(pid, os.fdopen(to_worker, "wb"), os.fdopen(from_worker, "rb"))


def _fork_for(requests: socket.socket) -> NoReturn:
    """Fork a worker for each of *requests*, until there can be no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process
    while True:
        environment, pipes, _, _ = socket.recv_fds(requests, 65_536, 2)
        if not environment:
            os._exit(0)
        pid, tell = os.pipe()
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child == 0:
                os.close(pid)
                os.close(tell)
                requests.close()
                _work(pickle.loads(environment), *pipes)
            os.write(tell, str(child).encode())
            os._exit(0)  # so that its child becomes the server's
        os.waitpid(between, 0)
        requests.send(os.read(pid, 32))
        for number in (pid, tell, *pipes):
            os.close(number)


def _work(environment: dict[str, str], stdin: int, stdout: int) -> NoReturn:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for number, pipe in enumerate((stdin, stdout)):
        os.dup2(pipe, number)
        os.close(pipe)
    worker.load = lambda: None  # it is
    worker.main()
