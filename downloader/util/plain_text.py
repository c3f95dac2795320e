"""Makes text from strangers harmless to show: one line, without what controls a terminal or turns text around."""

from __future__ import annotations

import unicodedata


def plain(text: str, max_characters: int) -> str:
    """Return *text* in one line of at most so many characters, without control and invisible ones."""
    # Twice as much as is wanted is looked at, however long it is.
    shown = "".join(" " if char.isspace() else char for char in text[: 2 * max_characters] if _is_shown(char))
    line = " ".join(shown.split())
    return line if len(line) <= max_characters and len(text) <= 2 * max_characters else f"{line[: max_characters - 1]}…"


def _is_shown(char: str) -> bool:
    # Cc: control; Cf: format, bidirectional overrides among them; Cs, Co, Cn: surrogates, private, unassigned.
    return char.isspace() or unicodedata.category(char)[0] != "C" or char == "\u200d"  # which joins emojis
