"""Times what is called."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds_of(action: Callable[[], object]) -> float:
    """Return how long *action* takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
