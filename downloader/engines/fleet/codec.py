"""Plain data as JSON, and back: what comes back has the fields, types and sizes that it is to have, or is refused."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

MAX_TEXT = 20_000
MAX_ITEMS = 20_000

#: Of bytes, and of anything else.
MAX_NUMBER, MAX_COUNT = 2**53, 2**31 - 1


def encode(value: Any) -> Any:
    """Return *value* as JSON; of a dataclass, without the fields that are None."""
    if is_dataclass(value):
        named = ((each.name, getattr(value, each.name)) for each in fields(value))
        return {name: encode(found) for name, found in named if found is not None}
    if isinstance(value, tuple | list):
        return [encode(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


def decode(kind: type[T], value: object) -> T:
    """Return the *kind* that `encode` made *value* of. Raises ValueError for anything else."""
    found: T = _decode(kind, value)
    return found


def _decode(kind: Any, value: object) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        [kind] = [each for each in arguments if each is not type(None)]
        return _decode(kind, value)
    if origin is Literal:
        return _checked(value, value in arguments if isinstance(value, str) else False)
    if origin is tuple:
        items = _checked(value, isinstance(value, list) and len(value) <= MAX_ITEMS)
        return tuple(_decode(arguments[0], each) for each in items)
    if is_dataclass(kind):
        return _dataclass(kind, value)
    return _plain(kind, value)


def _dataclass(kind: Any, value: object) -> Any:
    if not isinstance(value, Mapping) or not value.keys() <= _hints(kind).keys():
        raise ValueError(f"no {kind.__name__}")
    values = {name: _decode(_hints(kind)[name], found) for name, found in value.items()}
    counts = (found for name, found in values.items() if type(found) is int and not name.endswith("_bytes"))
    _checked(values, all(abs(count) <= MAX_COUNT for count in counts))
    try:
        return kind(**values)
    except TypeError as error:  # a field is missing
        raise ValueError(str(error)) from error


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _plain(kind: type, value: object) -> Any:
    if kind in (date, datetime):
        return _time(kind.fromisoformat(_checked(value, isinstance(value, str) and len(value) < 40)))
    if kind is float:
        return float(_checked(value, type(value) in (int, float) and math.isfinite(value)))  # type: ignore[arg-type]
    if kind is int:
        return _checked(value, type(value) is int and abs(value) <= MAX_NUMBER)
    return _checked(value, type(value) is kind and (kind is not str or len(value) <= MAX_TEXT))  # type: ignore[arg-type]


def _time(value: Any) -> Any:
    """Return *value* in UTC if it is a time, which must be aware."""
    if not isinstance(value, datetime):
        return value
    try:
        return _checked(value, value.tzinfo is not None).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def _checked(value: Any, is_right: bool) -> Any:
    if not is_right:
        raise ValueError("a value of the wrong kind, or too large")
    return value
