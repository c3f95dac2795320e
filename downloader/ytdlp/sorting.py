"""Keeps yt-dlp's sorting of formats apart in threads: each post is sorted as its own options say."""

from __future__ import annotations

from functools import cache
from typing import Any

#: The options that a sorter reads.
_OPTIONS = ("format_sort", "format_sort_force", "prefer_free_formats")

#: More than there are presets and extractors with an order of their own.
_MOST_KEPT = 100


@cache
def isolate_sorting() -> None:
    """Give yt-dlp's sorters settings of their own, evaluated once for all with the same options.

    yt-dlp writes the order that a download asks for into one dict of the class. Another thread that sorts at the same
    moment for another preset would take the wrong format, such as 240p for 480p. And it evaluates that order for
    every post, which takes a quarter of a millisecond.
    """
    from yt_dlp.utils import FormatSorter

    initialize = FormatSorter.__init__
    known: dict[str, dict[str, Any]] = {}

    def initialize_apart(self: Any, ydl: Any, order: Any) -> None:
        key = repr([*map(ydl.params.get, _OPTIONS), order])
        if (state := known.get(key)) is None:
            self.settings = {field: dict(setting) for field, setting in FormatSorter.settings.items()}
            initialize(self, ydl, order)
            state = vars(self)
            if len(known) < _MOST_KEPT:
                known[key] = {name: value for name, value in state.items() if value is not ydl}
        vars(self).update(state, ydl=ydl)

    FormatSorter.__init__ = initialize_apart
