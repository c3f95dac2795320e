"""Draws bars as SVG that can be read on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.tables import shown

_WIDTH, _LABELS, _VALUES = 720, 140, 70
_TITLE, _ROW, _BAR, _GAP = 30, 24, 16, 14

# Colours with enough contrast on white as well as on GitHub's dark page; the page's own choice decides.
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.value { font-variant-numeric: tabular-nums; }
.bar { fill: #8c959f; }
.own { fill: #0b57d0; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .bar { fill: #848d97; }
  .own { fill: #a8c7fa; }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Bars of one unit, which begin at zero."""

    title: str
    bars: Sequence[tuple[str, float]]  #: name and value, none below zero


def picture(panels: Sequence[Panel], *, own: str, about: str) -> str:
    """Return *panels*, one below the other, as an SVG file; the bars named *own* stand out; *about* is read aloud."""
    parts: list[str] = []
    top = 0
    for panel in panels:
        parts.append(f'<text class="title" x="0" y="{top + _TITLE - 10}">{escape(panel.title)}</text>')
        top += _TITLE
        longest = max((value for _, value in panel.bars), default=0)
        for name, value in panel.bars:
            width = (_WIDTH - _LABELS - _VALUES) * value / longest if longest else 0
            parts += _bar(name, value, width, top, "bar own" if name == own else "bar")
            top += _ROW
        top += _GAP
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}"'
        f' height="{top}">\n<title>{escape(about)}</title>\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _bar(name: str, value: float, width: float, top: int, kind: str) -> list[str]:
    middle = top + _BAR - 3
    return [
        f'<text x="{_LABELS - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{kind}" x="{_LABELS}" y="{top}" width="{max(width, 1):.1f}" height="{_BAR}" rx="2"/>',
        f'<text class="value" x="{_LABELS + max(width, 1) + 6:.1f}" y="{middle}">{escape(shown(value))}</text>',
    ]
