"""Tunes glibc's malloc for processes with many threads."""

from __future__ import annotations

import contextlib
import ctypes
import sys

#: From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def tune_malloc(large_bytes: int = 128 * 1024) -> None:
    """Use one arena, and return blocks of *large_bytes* to the system when freed; a no-op without glibc.

    By default glibc makes up to eight arenas for each core, and each keeps what its threads once needed: 20 MB in a
    worker after 80 downloads. Python's threads take turns anyway. Setting the threshold also keeps glibc from raising
    it to the largest block ever freed; blocks above it cost a system call and are zeroed.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, large_bytes)
        mallopt(_M_TRIM_THRESHOLD, large_bytes)
