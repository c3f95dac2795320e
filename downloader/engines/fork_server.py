"""Launches worker processes, from a fork server where there is one."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import threading
import types
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from downloader.engines import worker
from downloader.engines.worker import WorkerConfig

#: A fork server starts a worker in a few milliseconds, and workers share the memory in which it has loaded yt-dlp.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"

#: Held around every call into multiprocessing that starts or polls a process: each of them polls all children, in any
#: thread, and two at once take each other's exit codes.
LOCK = threading.Lock()


def launch(config: WorkerConfig) -> tuple[Connection, BaseProcess]:
    """Start a worker; return our end of its pipe and the process. Raises whatever the system refuses."""
    context: Any = multiprocessing.get_context(METHOD)  # typeshed's base class has no Process
    with LOCK:
        _set_preload()
        ours, theirs = context.Pipe()
        try:
            process = context.Process(target=worker.main, args=(theirs, config), daemon=True)
            with _no_main_module():
                process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
    return ours, process


def start_fork_server() -> None:
    """Start the fork server, which loads yt-dlp in the background; return at once."""
    # OSError: the first worker's start tries again and reports it.
    with LOCK, _no_main_module(), contextlib.suppress(OSError):
        _set_preload()
        if METHOD == "forkserver":
            forkserver.ensure_running()


def stop_fork_server() -> None:
    """Stop the fork server unless a worker is alive; the next worker starts it again. Blocks for some milliseconds."""
    with LOCK:
        # It would wait for living workers. There is no public way to stop it; without this one it keeps its 45 MB.
        if METHOD == "forkserver" and not multiprocessing.active_children():
            with contextlib.suppress(OSError, AttributeError):
                forkserver._forkserver._stop()  # type: ignore[attr-defined]


def _set_preload() -> None:
    if METHOD == "forkserver":
        multiprocessing.set_forkserver_preload(["downloader.engines.preload"])


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the main program, which multiprocessing would otherwise run again in each worker.

    That costs the memory of its imports, and starts everything twice if it does not check `__name__`.
    """
    main_module = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main_module
