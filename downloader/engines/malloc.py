"""Keeps a process with many threads small: one heap for all of them, and large pieces given back when they are free."""

from __future__ import annotations

import contextlib
import ctypes
import sys

#: Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

LARGE_BYTES = 128 * 1024


def share_one_heap(large_bytes: int = LARGE_BYTES) -> None:
    """Tell the C library so; does nothing where that is not glibc.

    Pieces of *large_bytes* are asked of the system one by one, which clears each, and go back when they are free.

    By itself it makes heaps for threads, up to eight for each core, and each keeps what its threads once needed:
    measured in a worker after 80 downloads, 20 MB. Python's threads take turns anyway. Naming the threshold also keeps
    it from growing with the largest piece that was ever freed.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for setting, value in (
            (_M_ARENA_MAX, 1),
            (_M_MMAP_THRESHOLD, large_bytes),
            (_M_TRIM_THRESHOLD, large_bytes),
        ):
            mallopt(setting, value)
