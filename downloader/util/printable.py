"""Text from outside, for a log or a terminal."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return *text* with everything that is not printable, line ends included, escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
