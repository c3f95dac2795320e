"""Runs attempts in threads of this process: for library use, for tests, and wherever processes cannot be had.

A thread cannot be killed: one whose origin is silent lives on until its socket times out, though nobody waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from downloader import batch_downloader
from downloader.daemon_thread import in_thread
from downloader.download_settings import DownloadSettings
from downloader.engines.attempt import Stalled, StallWatch, failed, run_attempt
from downloader.engines.base import EngineHealth
from downloader.jobs import Progress, Work
from downloader.models import Outcome

#: How long a cancelled attempt may take to notice it.
GRACE_SECONDS = 1.0


class ThreadEngine:
    """An `Engine`: each attempt in a daemon thread of its own, as many as it is asked for."""

    def __init__(self, settings: DownloadSettings) -> None:
        """Run attempts as *settings* say."""
        self._settings = settings
        self._ends: dict[asyncio.Future[Outcome], Work] = {}  #: of the attempts that somebody waits for

    async def start(self) -> None:
        """Load yt-dlp in the background; the first attempt waits for what is missing."""
        threading.Thread(target=batch_downloader.warm_up_engine, name="warm-up", daemon=True).start()

    async def run(self, work: Work, on_progress: Callable[[Progress], None]) -> Outcome:
        """Run one attempt; see `Engine.run`. A cancelled attempt ends at its next byte or answer."""
        loop = asyncio.get_running_loop()
        watch = StallWatch(work, self._settings)
        stop = threading.Event()

        def tell(progress: Progress) -> None:
            if not stop.is_set():
                watch.note(progress)
                on_progress(progress)

        def report(progress: Progress) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, progress)

        try:
            end = in_thread(run_attempt, work, self._settings, stop, report, on_end=lambda: None)
        except RuntimeError as error:
            return failed(work.platform, "interrupted", f"no thread can be had: {error}")
        self._ends[end] = work
        try:
            return await watch.wait_for(end)
        except Stalled as stalled:
            return failed(work.platform, "timeout", str(stalled))
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({end}, timeout=GRACE_SECONDS)
            # A success of this very moment has left its files: who asked for the end decides what becomes of them.
            if end.done() and end.exception() is None and (outcome := end.result())[0]:
                return outcome
            raise
        finally:
            stop.set()
            del self._ends[end]

    def health(self) -> EngineHealth:
        """Return how it is; there is always room for another thread."""
        return EngineHealth(workers=len(self._ends) + 1, busy=len(self._ends), restarts=0)

    async def close(self) -> None:
        """End every attempt as interrupted; its thread ends at its next byte or answer."""
        for end, work in self._ends.items():
            if not end.done():
                end.set_result(failed(work.platform, "interrupted", "the server is stopping"))
