"""Tells which process of our server is which."""

from __future__ import annotations

from collections import defaultdict

from benchmarks import process_tree

SERVER, FORK_SERVER, WORKERS, TRACKER, OTHERS = "server", "fork server", "workers", "resource tracker", "others"


def kinds(root: int) -> dict[int, str]:
    """Return what each process below *root* is for; root is the server's supervisor."""
    found: dict[int, str] = {}
    for pid, parent in process_tree.parents(root).items():
        words = process_tree.command_line(pid)
        if "downloader_main.py" in words:
            found[pid] = SERVER
        elif "resource_tracker" in words:
            found[pid] = TRACKER
        elif "forkserver" in words:  # its children bear its name
            found[pid] = FORK_SERVER if found.get(parent) == SERVER else WORKERS
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


def server_pid(root: int) -> int:
    """Return the pid of the process that answers HTTP and runs the guard."""
    [pid] = [pid for pid, kind in kinds(root).items() if kind == SERVER]
    return pid
