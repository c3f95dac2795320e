"""Medians, percentiles, ratios of what was measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    """Return the median of *values*, of which there must be one at least."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of *values* that *share* (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def ratio(value: float, reference: float) -> float | None:
    """Return how many times *reference* goes into *value*; None where that says nothing."""
    return value / reference if reference > 0 else None
