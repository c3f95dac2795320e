"""Keeps yt-dlp's sorting of formats apart in threads: each post is sorted as its own options say."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def isolate_sorting() -> None:
    """Give each of yt-dlp's sorters settings of its own.

    yt-dlp writes the order that a download asks for into one dict of the class. Another thread that sorts at the same
    moment for another preset would take the wrong format, such as 240p for 480p.
    """
    from yt_dlp.utils import FormatSorter

    initialize = FormatSorter.__init__

    def initialize_apart(self: Any, *args: Any, **options: Any) -> None:
        self.settings = {field: dict(setting) for field, setting in FormatSorter.settings.items()}
        initialize(self, *args, **options)

    FormatSorter.__init__ = initialize_apart
