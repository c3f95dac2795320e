"""Runs one attempt in the calling thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from downloader import batch_downloader
from downloader.download_settings import DownloadSettings
from downloader.jobs import Progress, Resolved, Work
from downloader.models import Outcome
from downloader.ytdlp.client import FetchContext, fetch_context
from downloader.ytdlp.transport import Transport

log = logging.getLogger(__name__)


def run_attempt(
    work: Work,
    settings: DownloadSettings,
    stop: threading.Event,
    on_progress: Callable[[Progress], None],
    permit: threading.Event | None = None,
    transport: Transport | None = None,
    on_resolved: Callable[[Resolved], None] = lambda _: None,
    proceed: threading.Event | None = None,
) -> Outcome:
    """Run one attempt, by *transport* if there is one; blocking. Calls *on_progress* in this thread and never raises.

    Setting *stop* ends the attempt at its next byte or response. It downloads no media until *permit* is
    set. Where it follows a short link, it calls *on_resolved*, and requests nothing more until *proceed* is set.
    """
    context = FetchContext(
        settings=settings,
        preset=work.preset,
        subtitles=work.subtitles,
        folder=work.folder,
        stop=stop,
        permit=permit,
        proceed=proceed,
        work_dir=Path(work.work_dir),
        in_storage=work.in_storage,
        report=on_progress,
        resolved=lambda link: on_resolved(Resolved(job_id=work.job_id, link=link)),
        job_id=work.job_id,
        transport=transport,
    )
    try:
        with fetch_context(context):
            return Outcome.of(batch_downloader.wrapper_of(work.platform)(work.link, work.output_dir))
    except BaseException as error:  # SystemExit too: it must not end the worker and the other attempts in it
        log.error("download crashed", extra={"platform": work.platform, "url": work.link}, exc_info=error)
        return Outcome.failed("internal", work.platform, f"{type(error).__name__}: {error}")


def success_of(end: asyncio.Future[Outcome]) -> Outcome | None:
    """Return the outcome of an attempt that succeeded just as it was cancelled, or None.

    Its files are in place, so the caller who cancelled it has to decide what becomes of them.
    """
    if end.done() and end.exception() is None and end.result()[0]:
        return end.result()
    return None
