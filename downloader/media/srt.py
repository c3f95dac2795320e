"""Reads subtitles in WebVTT or SubRip, whole or as the segments of a stream; writes SubRip (.srt), which all players
read.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_TIME = r"(?:([0-9]{1,4}):)?([0-9]{1,2}):([0-9]{2})[.,]([0-9]{3})"
_TIMING = re.compile(rf"[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t].*)?")

#: Where a stream's segment says how its own clock relates to that of all segments, which counts 90,000 a second.
_MPEG_TIME = re.compile(r"X-TIMESTAMP-MAP=.*?MPEGTS:([0-9]{1,12})")
_LOCAL_TIME = re.compile(rf"X-TIMESTAMP-MAP=.*?LOCAL:{_TIME}")
_TICKS_PER_MILLISECOND = 90
_MAX_HEAD_CHARACTERS = 500

#: SubRip has these three; classes, voices and karaoke are WebVTT's own, fonts and positions of other players'.
_KEPT_TAG = re.compile(r"<(/?[biu])(?:\.[^<>]*)?>")
_OTHER_TAG = re.compile(r"</?(?![biu]>)[A-Za-z0-9][^<>]*>|\{\\[^{}]*\}")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtitles:
    """What there is of the subtitles that were wanted with a video."""

    files: Mapping[str, Path] = field(default_factory=dict)  #: .srt files by language
    missing: tuple[str, ...] = ()  #: languages, as they were asked for


class NoCues(ValueError):
    """This is no subtitles, or there is nothing in them."""


@dataclass(frozen=True, slots=True)
class Cue:
    """A text, and when it is shown, in milliseconds."""

    start: int
    end: int
    text: str


def to_srt(parts: Iterable[bytes]) -> bytes:
    """Return the subtitles in *parts*, a file or a stream's segments in order, as SubRip in UTF-8.

    Raises:
        NoCues: there is not a single cue.
    """
    cues: dict[Cue, None] = {}  # a cue that lasts into the next segment is in both
    first_shift = None
    for part in parts:
        text = _decoded(part)
        shift = _shift(text)
        first_shift = shift if first_shift is None else first_shift
        cues.update(dict.fromkeys(_cues(text, shift - first_shift)))
    if not cues:
        raise NoCues("no cues")
    in_order = sorted(cues, key=lambda cue: (cue.start, cue.end))
    blocks = [
        f"{number}\n{_clock(cue.start)} --> {_clock(cue.end)}\n{cue.text}\n"
        for number, cue in enumerate(in_order, start=1)
    ]
    return "\n".join(blocks).encode()


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise NoCues("no text") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _shift(text: str) -> int:
    head = text[:_MAX_HEAD_CHARACTERS].partition("\n\n")[0]
    mpeg, local = _MPEG_TIME.search(head), _LOCAL_TIME.search(head)
    if mpeg is None or local is None:
        return 0
    return int(mpeg[1]) // _TICKS_PER_MILLISECOND - _milliseconds(*local.groups())


def _cues(text: str, shift: int) -> Iterable[Cue]:
    is_vtt = text.startswith("WEBVTT")
    for block in re.split(r"\n(?:[ \t]*\n)+", text):
        lines = block.strip("\n").split("\n")
        # A number or a name may stand before the time; notes and styles have none.
        for number, line in enumerate(lines[:2]):
            if "-->" in line and (found := _TIMING.fullmatch(line)):
                times = found.groups()
                start, end = _milliseconds(*times[:4]) + shift, _milliseconds(*times[4:]) + shift
                words = _words(lines[number + 1 :], is_vtt)
                if words and 0 <= start < end:
                    yield Cue(start, end, words)
                break


def _words(lines: list[str], is_vtt: bool) -> str:
    text = _OTHER_TAG.sub("", _KEPT_TAG.sub(r"<\1>", "\n".join(lines)))
    if is_vtt:
        text = html.unescape(text)
    text = _CONTROLS.sub("", text).replace("-->", "->")
    # An empty line would end the cue.
    return "\n".join(line for line in map(str.strip, text.split("\n")) if line)


def _milliseconds(hours: str | None, minutes: str, seconds: str, milliseconds: str) -> int:
    return ((int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(milliseconds)


def _clock(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02},{milliseconds:03}"
