"""yt-dlp sorts formats in several threads at once, each with other options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yt_dlp
from yt_dlp.utils import FormatSorter

from downloader.ytdlp.sorting import isolate_sorting


class Interrupted(dict[str, Any]):
    """A format; when it is first looked at, *interrupt* is called, as if another thread ran just then."""

    def __init__(self, values: dict[str, Any], interrupt: Callable[[], object]) -> None:
        super().__init__(values)
        self._interrupts = [interrupt]

    def get(self, *args: Any) -> Any:
        while self._interrupts:
            self._interrupts.pop()()
        return super().get(*args)


def formats() -> list[dict[str, Any]]:
    return [
        {"format_id": str(side), "url": "https://a.example", "height": side, "width": side * 16 // 9}
        for side in (720, 240, 480)
    ]


def test_a_sort_does_not_change_another_that_runs_at_the_same_moment() -> None:
    isolate_sorting()
    with (
        yt_dlp.YoutubeDL({"format_sort": ["res:480"], "quiet": True}) as limited,
        yt_dlp.YoutubeDL({"format_sort": ["+res"], "quiet": True}) as smallest,
    ):
        theirs = {"formats": formats()}
        first, *others = formats()
        ours = {"formats": [Interrupted(first, lambda: smallest.sort_formats(theirs)), *others]}
        limited.sort_formats(ours)
    assert [each["height"] for each in theirs["formats"]] == [720, 480, 240]  # the best one last
    assert [each["height"] for each in ours["formats"]] == [720, 240, 480]


def test_sorters_with_the_same_options_share_what_these_mean() -> None:
    isolate_sorting()
    with (
        yt_dlp.YoutubeDL({"format_sort": ["res:480"], "quiet": True}) as one,
        yt_dlp.YoutubeDL({"format_sort": ["res:480"], "quiet": True}) as other,
    ):
        first, second, by_size = FormatSorter(one, []), FormatSorter(other, []), FormatSorter(one, ["size"])
        assert (first.ydl, second.ydl) == (one, other)
        assert first.settings is second.settings is not by_size.settings
        assert first._order == second._order
        assert first._order.index("size") > first._order.index("vcodec")
        assert by_size._order.index("size") < by_size._order.index("vcodec")
