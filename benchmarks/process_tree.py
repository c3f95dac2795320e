"""Reads what a process and all that it started cost: processor time, memory, who they are. Linux only."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)

#: The kernel's number for the clock "processor time of a whole process", to which the process's own is added.
_PROCESS_CLOCK = 2


def require_linux() -> None:
    """Exit with a sentence where there is no /proc to read."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("Processor time and memory of process trees are read from /proc: this needs Linux.")


def descendants(root: int) -> list[int]:
    """Return the pids of all living processes that *root* started, or adopted, without *root*."""
    return list(parents(root))


def parents(root: int) -> dict[int, int]:
    """Return the parent of each of `descendants`, parents before their children."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in os.listdir("/proc"):  # noqa: PTH208 -- a Path each would double the sampler's cost
        if entry.isdigit():
            with _gone():
                children[int(_stat(int(entry))[1])].append(int(entry))
    found: dict[int, int] = {}
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        new = children.pop(parent, [])
        found |= dict.fromkeys(new, parent)
        waiting += new
    return found


def cpu_seconds(root: int) -> float:
    """Return the processor seconds of everything below *root*, dead or alive, without *root* itself.

    A process's dead children count where it has waited for them; what it left behind counts where *root* adopts and
    buries it, as `supervisor` does. To be read when nothing is ending: who dies meanwhile may count twice.
    """
    total = dead_cpu_seconds(root)
    for pid in descendants(root):
        with _gone():
            total += own_cpu_seconds(pid) + dead_cpu_seconds(pid)
    return total


def own_cpu_seconds(pid: int) -> float:
    """Return the processor seconds of *pid* alone.

    Raises:
        OSError: there is no such process.
    """
    # To the nanosecond, where /proc/<pid>/stat rounds down to hundredths.
    return time.clock_gettime((~pid << 3) | _PROCESS_CLOCK)


def pss_bytes(root: int) -> dict[int, int]:
    """Return the proportional set size of each process below *root*: shared pages count once over all of them."""
    sizes: dict[int, int] = {}
    for pid in descendants(root):
        with _gone():
            found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
            if found:
                sizes[pid] = int(found[1]) * 1024
    return sizes


def command_line(pid: int) -> str:
    """Return the command line of *pid*, words separated by blanks; empty where it is gone."""
    with _gone():
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def dead_cpu_seconds(pid: int) -> float:
    """Return the processor seconds of the children that *pid* has waited for, and of theirs; in hundredths.

    Raises:
        OSError: there is no such process.
    """
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / _TICKS_PER_SECOND


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third (the state) on; the second may hold blanks."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 -- see above
        return file.read().rpartition(")")[2].split()


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    """Go on where the process that is read ended just now."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, OSError):
        yield
