"""Wait for what another process or thread does."""

from __future__ import annotations

import threading
from collections.abc import Callable


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as *condition* is true; fail after *seconds*."""
    passed = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        passed.wait(0.02)
    raise AssertionError("it did not come to pass")
