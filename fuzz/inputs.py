"""Makes inputs: pieces put together, and known ones changed a little. The same seed gives the same inputs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

#: Characters that one parser reads otherwise than another, or that none should meet.
_ODD = (
    *map(chr, range(128)),
    *("\x80", "\x85", "\xa0", "\xad", "\xb2", "\xdf", "\xff", "\u0130", "\u0131", "\u017f", "\u0430", "\u043e"),
    *("\u0661", "\u06f1", "\u200b", "\u200d", "\u200e", "\u2028", "\u2029", "\u202e", "\u2044", "\u2060", "\u212a"),
    *("\u2100", "\u2215", "\u2460", "\u24d0", "\u3000", "\u3002", "\ufe52", "\ufeff", "\uff0e", "\uff0f", "\uff11"),
    *("\uff1a", "\uff20", "\uff21", "\uff3c", "\uff61", "\ufffd", "\ud800", "\udfff", "\U0001d7d9", "\U0001f600"),
)

#: How many of the inputs that were let through are remembered, to be changed further.
_REMEMBERED = 512

_MAX_LENGTH = 4096


class Inputs:
    """An endless stream of inputs for one target."""

    def __init__(self, seed: str, *, pieces: Sequence[str], corpus: Sequence[str]) -> None:
        """Make inputs of *pieces*, and of what *corpus* holds, which come first as they are."""
        self._random = random.Random(seed)
        self._pieces = pieces
        self._corpus = corpus
        self._remembered: list[str] = []

    def __iter__(self) -> Iterator[str]:
        yield from self._corpus
        while True:
            yield (self._composed() if self._below(5) == 0 else self._changed())[:_MAX_LENGTH]

    def remember(self, text: str) -> None:
        """Make further inputs of *text* too: it was let through, and so leads to what lies behind."""
        if len(self._remembered) < _REMEMBERED:
            self._remembered.append(text)
        else:
            self._remembered[self._below(_REMEMBERED)] = text

    def _below(self, end: int) -> int:
        # randrange takes five times as long, and this is most of what making an input costs.
        return int(self._random.random() * end)

    def _piece(self) -> str:
        kind = self._below(8)
        if kind == 0:
            return _ODD[self._below(len(_ODD))]
        if kind == 1:
            return str(self._below(1 << (1 + self._below(40))))
        return self._pieces[self._below(len(self._pieces))]

    def _composed(self) -> str:
        return "".join([self._piece() for _ in range(1 + self._below(9))])

    def _known(self) -> str:
        pool = self._remembered if self._remembered and self._below(2) else self._corpus
        return pool[self._below(len(pool))]

    def _changed(self) -> str:
        text = self._known()
        for _ in range(1 + self._below(4)):
            start = self._below(len(text) + 1)
            end = min(len(text), start + 1 + self._below(6))
            kind = self._below(8)
            if kind < 3:
                text = text[:start] + self._piece() + text[start:]
            elif kind == 3:
                text = text[:start] + text[end:]
            elif kind == 4:
                text = text[:start] + _ODD[self._below(len(_ODD))] + text[start + 1 :]
            elif kind == 5:
                text = text[:end] + text[start:]
            elif kind == 6:
                text = text[:start] + text[start:end].swapcase() + text[end:]
            else:
                other = self._known()
                text = text[:start] + other[self._below(len(other) + 1) :]
        return text
