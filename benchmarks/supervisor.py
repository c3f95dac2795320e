"""Runs one command so that no processor time of what it starts is lost.

    python -m benchmarks.supervisor REPORT FOLDER COMMAND ...

Runs it in FOLDER; writes {"status", "wall_seconds", "cpu_seconds"} to the file REPORT when it has ended. What the
command started and did not wait for becomes this process's child, not init's, so that `process_tree` still finds it.
SIGTERM is handed on, and sent when whatever started this process dies; when this process dies, the command is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

from benchmarks import process_tree

# From <linux/prctl.h>
_SET_PARENT_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36


#: Where it can be started from: this package must be found, by any Python.
HOME = Path(__file__).parent.parent


def command(report: Path, words: list[str], folder: Path = HOME) -> list[str]:
    """Return the command line that runs *words* in *folder*, supervised."""
    return [sys.executable, "-m", "benchmarks.supervisor", str(report), str(folder), *words]


def main(report: str, folder: str, words: list[str]) -> int:
    """Run *words* in *folder*; return their exit status."""
    _prctl(_SET_CHILD_SUBREAPER, 1)
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        try:
            os.chdir(folder)
            os.execvp(words[0], words)
        except OSError as error:
            sys.stderr.write(f"{words[0]}: {error.strerror}\n")
            os._exit(127)  # as shells have it
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    status = 0
    while True:
        pid, found = os.wait()
        if pid == child:
            status = os.waitstatus_to_exitcode(found)
            break
    wall_seconds = time.perf_counter() - started
    _bury_the_rest()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {"status": status, "wall_seconds": wall_seconds, "cpu_seconds": used.ru_utime + used.ru_stime}
    Path(report).write_text(json.dumps(facts))
    return status if status >= 0 else 128 - status


def _bury_the_rest() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in process_tree.descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.wait()


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
