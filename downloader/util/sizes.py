"""Reads sizes as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

_SIZE = re.compile(r"([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)\s*([kmgt]?)(i?)(?:b|bytes?)?", re.IGNORECASE)


def parse_size(value: object) -> object:
    """Return text as a number of bytes: `5G` and `5 GB` are 5 * 1000**3, `5 GiB` is 5 * 1024**3.

    The page and disk vendors count the same way. Anything else is returned as it is.
    """
    size = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if size is None:
        return value
    number, unit, binary = size.groups()
    if binary and not unit:
        return value
    count = Decimal(number) * (1024 if binary else 1000) ** " kmgt".index(unit.lower() or " ")
    return int(count) if unit or count == int(count) else value
