"""Detects attempts that make no progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from downloader.download_settings import DownloadSettings
from downloader.jobs import Phase, Progress, Work

T = TypeVar("T")

#: How long ffmpeg may write nothing: before it writes the index it silently reads the whole film.
FFMPEG_STALL_SECONDS = 600.0


class Stalled(Exception):
    """An attempt made no progress for too long; str() says for how long."""


class StallWatch:
    """Waits for the end of an attempt for as long as it makes progress."""

    def __init__(self, work: Work, settings: DownloadSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._work_dir = Path(work.work_dir)
        self._timeout_seconds = settings.stall_timeout_seconds
        self._clock = clock
        self._phase: Phase = "extracting"
        self._reported_at = clock()
        self._newest_mtime: float | None = None  #: by the file system's clock
        self._written_at = 0.0  #: when that write was noticed, by ours

    def note(self, progress: Progress) -> None:
        """Record a progress report, which is a sign of life."""
        self._phase = progress.phase
        self._reported_at = self._clock()

    async def wait_for(self, end: asyncio.Future[T]) -> T:
        """Return the result of *end*, which is not cancelled along with this coroutine.

        Raises:
            Stalled: there was no progress for as long as the current phase allows.
        """
        while not end.done():
            left = self._reported_at + self._allowed_seconds() - self._clock()
            if left <= 0:
                left = await asyncio.to_thread(self.seconds_left_since_write)
            if left <= 0 and not end.done():
                raise Stalled(f"no sign of life for {self._allowed_seconds():g} s while {self._phase}")
            await asyncio.wait({end}, timeout=max(left, 0))
        return end.result()

    def _allowed_seconds(self) -> float:
        runs_ffmpeg = self._phase in ("merging", "checking")
        return max(FFMPEG_STALL_SECONDS, self._timeout_seconds) if runs_ffmpeg else self._timeout_seconds

    def seconds_left_since_write(self) -> float:
        """Return how much longer the files in the work folder may stay unchanged; blocking.

        Programs that download for yt-dlp, such as ffmpeg, report nothing, but they write.
        """
        newest = 0.0
        try:
            for path in self._work_dir.iterdir():
                newest = max(newest, path.stat().st_mtime)
        except OSError:  # the folder or a file is gone, perhaps just now
            pass
        # The wall clock counts only the first time: it may be set, and a file server has a clock of its own.
        if self._newest_mtime is None:
            self._written_at = self._clock() - max(time.time() - newest, 0.0)
        elif newest != self._newest_mtime:
            self._written_at = self._clock()
        self._newest_mtime = newest
        return self._written_at + self._allowed_seconds() - self._clock()
