"""Shows how far something is: a bar on a terminal, else plain lines now and then."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

#: Between two plain lines.
LINE_INTERVAL_SECONDS = 30.0


class Progress:
    """How much of a total is done, on standard error. To be closed, as by `with`."""

    def __init__(self, what: str, *, unit: str, total: float, in_bytes: bool = False) -> None:
        self._what, self._unit, self._in_bytes = what, unit, in_bytes
        self._bar: Any = None
        self._shown: tuple[float, float, str] | None = None
        self._line_at = time.monotonic()
        if sys.stderr.isatty():
            from tqdm import tqdm  # nothing else needs it

            numbers = "{n_fmt}/{total_fmt}" if in_bytes else "{n:.0f}/{total:.0f}"
            self._bar = tqdm(
                desc=what,
                total=total,
                unit=unit,
                unit_scale=in_bytes,
                unit_divisor=1024,
                dynamic_ncols=True,
                bar_format=f"{{desc}} {{percentage:3.0f}}% |{{bar}}| {numbers} [{{elapsed}}<{{remaining}}{{postfix}}]",
                leave=False,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_bar(self) -> bool:
        return self._bar is not None

    def show(self, done: float, total: float, note: str = "") -> None:
        """Show that *done* of *total* is done."""
        if self._bar is not None:
            self._bar.total, self._bar.n = total, min(done, total)
            self._bar.set_postfix_str(note)
            return
        now = (done, total, note)
        if not self._in_bytes and now != self._shown and time.monotonic() >= self._line_at:
            sys.stderr.write(f"{self._what}: {done:.0f} of {total:.0f} {self._unit}{note and ', '}{note}\n")
            self._shown, self._line_at = now, time.monotonic() + LINE_INTERVAL_SECONDS

    def say(self, line: str) -> None:
        """Print *line* above a bar."""
        if self._bar is not None:
            self._bar.clear()
        sys.stderr.write(f"{line}\n")
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
