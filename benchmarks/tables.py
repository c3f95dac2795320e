"""Lays out tables of text."""

from __future__ import annotations

from collections.abc import Sequence

Cell = str | float | int | None


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return *rows* below *head*: the first column flush left, the others right; None is a dash.

    Raises:
        ValueError: a row has not as many cells as the head.
    """
    lines = [list(head), *([shown(cell) for cell in row] for row in rows)]
    if any(len(line) != len(head) for line in lines):
        raise ValueError("a row has not as many cells as the head")
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(_line(line, widths) for line in lines)


def shown(value: Cell) -> str:
    """Return *value* with three digits that say something: 1234, 123, 12.3, 1.23, 0.123."""
    match value:
        case None:
            return "-"
        case float():
            digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2 if abs(value) >= 0.9995 else 3
            return f"{value:.{digits}f}"
        case _:
            return str(value)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([cells[0].ljust(widths[0]), *others]).rstrip()
