"""Checks the types in JSON that may be damaged."""

from __future__ import annotations

from typing import Any


def typed(value: Any, kind: Any) -> Any:
    """Return *value* if it is a *kind*, else raise TypeError."""
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not of the expected type")
    return value
