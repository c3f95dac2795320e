"""What a part of a path may be, so that every file system takes it and no reader is misled."""

from __future__ import annotations

import unicodedata

#: Characters that Windows takes in no name.
FORBIDDEN = frozenset('<>:"/\\|?*')

_PORTS = ("COM", "LPT")
_RESERVED = frozenset({"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"})
_RESERVED |= {f"{port}{number}" for port in _PORTS for number in "0123456789\u00b9\u00b2\u00b3"}


def is_hidden(character: str) -> bool:
    """Tell whether *character* is of Unicode's "other" categories.

    These are controls, invisible characters, changes of direction and lone surrogates.
    """
    return unicodedata.category(character).startswith("C")


def is_reserved(part: str) -> bool:
    """Tell whether *part* is the name of a device on Windows, whatever its extension."""
    return part.partition(".")[0].rstrip(" ").upper() in _RESERVED
