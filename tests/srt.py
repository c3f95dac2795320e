"""Reads .srt files strictly, as tests do: whatever a lenient player might forgive is a fault."""

from __future__ import annotations

import re

Cues = tuple[tuple[int, int, str], ...]

_BLOCK = re.compile(
    r"(?P<number>[1-9][0-9]*)\n"
    r"(?P<start>[0-9]{2,}:[0-5][0-9]:[0-5][0-9],[0-9]{3}) --> (?P<end>[0-9]{2,}:[0-5][0-9]:[0-5][0-9],[0-9]{3})\n"
    r"(?P<text>(?:[^\n]+\n)+)"
)


def cues_in(srt: bytes) -> Cues:
    """Return (start, end, text) of each cue, in milliseconds."""
    found = []
    for number, block in enumerate(srt.decode().removesuffix("\n\n").rstrip("\n").split("\n\n"), start=1):
        match = _BLOCK.fullmatch(block + "\n")
        assert match, block
        assert int(match["number"]) == number
        found.append((_milliseconds(match["start"]), _milliseconds(match["end"]), match["text"].rstrip("\n")))
    return tuple(found)


def _milliseconds(clock: str) -> int:
    hours, minutes, seconds = clock.replace(",", ".").split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)
