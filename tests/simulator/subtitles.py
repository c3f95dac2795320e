"""Subtitles of the posts that have some: what is said when, in WebVTT, SubRip, and as the segments of a stream."""

from __future__ import annotations

import html

from .model import Content, Post, Response

#: (start, end, text), in milliseconds.
Cues = tuple[tuple[int, int, str], ...]

HUGE_BYTES = 11 * 1024**2
_ENDLESS_BYTES = 2**50


def has_subtitles(post: Post) -> bool:
    """Return whether there are subtitles to the post."""
    return post.scenario.name.startswith("subtitle")


def cues_of(language: str) -> Cues:
    """Return what the subtitles in *language* say."""
    return (
        (0, 900, f"Ada & the garden ({language})"),
        (1000, 1900, f"- Two lines,\n- and an umlaut: \u00fc ({language})"),
        (2000, 3_723_004, "\u0418 \u0435\u0449\u0451"),
    )


def webvtt(language: str, *, map_line: str = "") -> str:
    """Return them as WebVTT."""
    shown = [
        f"{number}\n{_clock(start, '.')} --> {_clock(end, '.')} align:start position:0%\n{_marked_up(text)}\n"
        for number, (start, end, text) in enumerate(cues_of(language), start=1)
    ]
    return f"WEBVTT\n{map_line}\nSTYLE\n::cue {{ color: white }}\n\nNOTE nothing\n\n" + "\n".join(shown)


def subrip(language: str) -> str:
    """Return them as SubRip, with Windows's ends of lines."""
    shown = [
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n"
        for number, (start, end, text) in enumerate(cues_of(language), start=1)
    ]
    return "\n".join(shown).replace("\n", "\r\n")


def segment(language: str, number: int) -> str:
    """Return a segment of the stream of them; each has all cues, as one that spans them has to be in each."""
    # The clock of the second one starts a second later, and so do the times in it.
    map_line = f"X-TIMESTAMP-MAP=MPEGTS:{900_000 + 90_000 * number},LOCAL:00:00:0{number}.000\n"
    return webvtt(language, map_line=map_line)


def text_response(text: str) -> Response:
    """Return an answer with *text*."""
    return Response(headers={"Content-Type": "text/vtt; charset=utf-8"}, body=text.encode())


def huge_response() -> Response:
    """Return subtitles with far too much after them."""
    text = memoryview(webvtt("en").encode())
    return Response(headers={"Content-Type": "text/vtt"}, content=Content(pieces=(text,), size=HUGE_BYTES))


def endless_response() -> Response:
    """Return subtitles that never end."""
    text = memoryview(webvtt("en").encode())
    return Response(
        headers={"Content-Type": "text/vtt"}, content=Content(pieces=(text,), size=_ENDLESS_BYTES), unsized=True
    )


def _clock(milliseconds: int, point: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{milliseconds:03}"


def _marked_up(text: str) -> str:
    return f"<v Ada><c.yellow>{html.escape(text, quote=False)}</c>"
