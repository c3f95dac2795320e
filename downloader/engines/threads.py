"""Runs attempts in threads of this process: for tests, and for apps embedded in another server.

A thread cannot be killed: one whose peer is silent lives on until its socket times out, though its result is ignored.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from downloader.download_settings import DownloadSettings
from downloader.engines.attempt import run_attempt, success_of
from downloader.engines.base import Engine, EngineHealth
from downloader.engines.stall import Stalled, StallWatch
from downloader.jobs import Progress, Resolved, Work
from downloader.models import Outcome
from downloader.platforms import PLATFORMS
from downloader.util.daemon_thread import in_thread
from downloader.ytdlp.warm_up import warm_up

#: How long a cancelled attempt has to notice.
GRACE_SECONDS = 1.0


class ThreadEngine(Engine):
    """An `Engine` with a daemon thread for each attempt."""

    def __init__(self, settings: DownloadSettings) -> None:
        self._settings = settings
        self._running: dict[asyncio.Future[Outcome], Work] = {}
        self._permits: dict[str, threading.Event] = {}  #: by job
        self._proceeds: dict[str, threading.Event] = {}

    async def start(self) -> None:
        """Load yt-dlp in the background; the first attempt waits for what is missing."""
        threading.Thread(target=warm_up, args=(PLATFORMS.values(),), name="warm-up", daemon=True).start()

    async def run(
        self, work: Work, on_progress: Callable[[Progress], None], on_resolved: Callable[[str], None] | None = None
    ) -> Outcome:
        """Run one attempt; see `Engine.run`. A cancelled attempt ends at its next byte or response."""
        loop = asyncio.get_running_loop()
        watch = StallWatch(work, self._settings)
        stop, permit, proceed = threading.Event(), threading.Event(), threading.Event()
        if work.may_download:
            permit.set()
        self._permits[work.job_id], self._proceeds[work.job_id] = permit, proceed

        def note(progress: Progress) -> None:
            if not stop.is_set():
                watch.note(progress)
                on_progress(progress)

        def report(progress: Progress) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(note, progress)

        def ask(resolved: Resolved) -> None:
            if on_resolved is None:
                proceed.set()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(on_resolved, resolved.link)

        try:
            end = in_thread(run_attempt, work, self._settings, stop, report, permit, None, ask, proceed)
        except RuntimeError as error:
            return Outcome.failed("interrupted", work.platform, f"no thread could be started: {error}")
        self._running[end] = work
        on_progress(Progress(job_id=work.job_id, phase="extracting"))
        try:
            return await watch.wait_for(end)
        except Stalled as stalled:
            return Outcome.failed("timeout", work.platform, str(stalled))
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({end}, timeout=GRACE_SECONDS)
            if outcome := success_of(end):
                return outcome
            raise
        finally:
            stop.set()
            del self._running[end]
            if self._permits.get(work.job_id) is permit:
                del self._permits[work.job_id], self._proceeds[work.job_id]

    def permit(self, job_id: str) -> None:
        """See `Engine.permit`."""
        if (permit := self._permits.get(job_id)) is not None:
            permit.set()

    def proceed(self, job_id: str) -> None:
        """See `Engine.proceed`."""
        if (proceed := self._proceeds.get(job_id)) is not None:
            proceed.set()

    def health(self) -> EngineHealth:
        """Return the current state; there is always room for another thread."""
        return EngineHealth(workers=len(self._running) + 1, busy=len(self._running), restarts=0)

    async def close(self) -> None:
        """End every attempt as `interrupted`; its thread ends at its next byte or response."""
        for end, work in self._running.items():
            if not end.done():
                end.set_result(Outcome.failed("interrupted", work.platform, "the server is stopping"))
