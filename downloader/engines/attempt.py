"""Runs one attempt in this process, and tells when one has hung: what the engines have in common."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from downloader import batch_downloader
from downloader.download_settings import DownloadSettings
from downloader.errors import ErrorCode, sentence
from downloader.jobs import Phase, Progress, Work
from downloader.models import Outcome
from downloader.platforms import PLATFORMS, PlatformType
from downloader.ytdlp.client import FetchContext, fetch_context

log = logging.getLogger(__name__)

T = TypeVar("T")

#: How long ffmpeg may write nothing: it reads a whole film before it writes the index, and says nothing meanwhile.
FFMPEG_STALL_SECONDS = 600.0


class Stalled(Exception):
    """An attempt gave no sign of life for too long; str() says for how long."""


def run_attempt(
    work: Work, settings: DownloadSettings, stop: threading.Event, on_progress: Callable[[Progress], None]
) -> Outcome:
    """Run one attempt, blocking; call *on_progress* in this thread. Never raises what a wrapper raised."""

    def report(
        phase: Phase, downloaded: int, total: int | None, speed: float | None, eta_seconds: float | None
    ) -> None:
        on_progress(
            Progress(
                job_id=work.job_id,
                phase=phase,
                downloaded_bytes=downloaded,
                total_bytes=total,
                speed_bytes_per_second=speed,
                eta_seconds=eta_seconds,
            )
        )

    context = FetchContext(
        settings=settings,
        stop=stop,
        work_dir=Path(work.work_dir),
        in_storage=work.in_storage,
        report=report,
        proxy=work.proxy,
    )
    try:
        with fetch_context(context):
            return Outcome.of(batch_downloader.wrapper_of(work.platform)(work.link, work.output_dir))
    except BaseException as error:  # SystemExit too: one link's trouble stays with it
        log.error("download crashed", extra={"platform": work.platform, "url": work.link}, exc_info=error)
        return failed(work.platform, "internal", f"{type(error).__name__}: {error}")


def failed(platform: PlatformType, code: ErrorCode, detail: str) -> Outcome:
    """Return the outcome of an attempt that came to nothing for a reason of the engine's own."""
    label = PLATFORMS[platform].label
    return Outcome(False, None, sentence(code, label), error_code=code, detail=detail)


class StallWatch:
    """Waits for an attempt's end, but no longer than it gives signs of life."""

    def __init__(self, work: Work, settings: DownloadSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._work_dir = Path(work.work_dir)
        self._timeout_seconds = settings.stall_timeout_seconds
        self._clock = clock
        self._phase: Phase = "extracting"
        self._last_sign = clock()
        self._newest_write: float | None = None  #: by the clock of the file system
        self._written_at = 0.0  #: when that was, as far as it was noticed

    def note(self, progress: Progress) -> None:
        """Take a report of progress: whoever reports is alive."""
        self._phase = progress.phase
        self._last_sign = self._clock()

    async def wait_for(self, end: asyncio.Future[T]) -> T:
        """Return the result of *end*; leave it alone where this is cancelled.

        Raises:
            Stalled: there was no sign of life for the time that the phase allows.
        """
        while not end.done():
            left = self._seconds_left()
            if left <= 0:
                left = await asyncio.to_thread(self._seconds_since_write_left)
            if left <= 0 and not end.done():
                raise Stalled(f"no sign of life for {self._allowed_seconds():g} s while {self._phase}")
            await asyncio.wait({end}, timeout=max(left, 0))
        return end.result()

    def _allowed_seconds(self) -> float:
        long = self._phase in ("merging", "checking")
        return max(FFMPEG_STALL_SECONDS, self._timeout_seconds) if long else self._timeout_seconds

    def _seconds_left(self) -> float:
        return self._last_sign + self._allowed_seconds() - self._clock()

    def _seconds_since_write_left(self) -> float:
        """Return how long the files that the attempt writes may stay as they are.

        Programs that download for yt-dlp, ffmpeg among them, report nothing; but they write.
        """
        newest = 0.0
        try:
            for path in self._work_dir.iterdir():
                newest = max(newest, path.stat().st_mtime)
        except OSError:  # gone, perhaps this very moment
            pass
        # Only the first time by what the clock says: it may be set, and a file server has one of its own.
        if self._newest_write is None:
            self._written_at = self._clock() - max(time.time() - newest, 0.0)
        elif newest != self._newest_write:
            self._written_at = self._clock()
        self._newest_write = newest
        return self._written_at + self._allowed_seconds() - self._clock()
