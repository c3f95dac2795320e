"""Tells which process of our server is which."""

from __future__ import annotations

import contextlib
from collections import defaultdict

from benchmarks import process_tree

SERVER, WORKERS, OTHERS = "server", "workers", "others"

#: What workers run, ffmpeg above all; seen when it has ended.
PROGRAMS = "programs"


def kinds(root: int) -> dict[int, str]:
    """Return what each process below *root* is for; root is the server's supervisor."""
    found: dict[int, str] = {}
    for pid in process_tree.descendants(root):
        words = process_tree.command_line(pid)
        if "downloader_main.py" in words:
            found[pid] = SERVER
        elif "downloader.engines.worker" in words:
            found[pid] = WORKERS
        else:
            found[pid] = OTHERS
    return found


def pss_bytes(root: int) -> dict[str, int]:
    """Return the proportional set size by kind of process."""
    sizes: defaultdict[str, int] = defaultdict(int)
    found = kinds(root)
    for pid, size in process_tree.pss_bytes(root).items():
        sizes[found.get(pid, OTHERS)] += size
    return dict(sizes)


def cpu_seconds(root: int) -> dict[str, float]:
    """Return the processor seconds by kind of process, of those alive; the programs that workers ran are a kind."""
    used = {kind: 0.0 for kind in (SERVER, WORKERS, PROGRAMS)}
    for pid, kind in kinds(root).items():
        with contextlib.suppress(OSError):  # gone
            if kind in used:
                used[kind] += process_tree.own_cpu_seconds(pid)
            if kind == WORKERS:
                used[PROGRAMS] += process_tree.dead_cpu_seconds(pid)
    return used


def server_pid(root: int) -> int:
    """Return the pid of the process that answers HTTP and runs the guard."""
    [pid] = [pid for pid, kind in kinds(root).items() if kind == SERVER]
    return pid
