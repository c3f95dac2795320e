"""Runs one attempt in the calling thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from downloader import batch_downloader
from downloader.download_settings import DownloadSettings
from downloader.jobs import Page, Progress, Resolved, Work
from downloader.models import Outcome
from downloader.platform_detector import read_link
from downloader.platforms import PLATFORMS
from downloader.ytdlp.client import FetchContext, fetch_context
from downloader.ytdlp.collections import list_collection
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
    set. If it follows a short link, it calls *on_resolved*, and requests nothing more until *proceed* is set.
    """
    context = FetchContext(
        settings=settings,
        preset=work.preset,
        subtitles=work.subtitles,
        folder=work.folder,
        photos=work.photos,
        stop=stop,
        permit=permit,
        proceed=proceed,
        expand=work.expand is not None,
        work_dir=Path(work.work_dir),
        in_storage=work.in_storage,
        report=on_progress,
        resolved=lambda link: on_resolved(Resolved(job_id=work.job_id, link=link)),
        job_id=work.job_id,
        transport=transport,
    )
    try:
        if work.expand is not None and read_link(work.link).kind != "short":
            return _list(work, context)
        with fetch_context(context):
            return Outcome.of(batch_downloader.wrapper_of(work.platform)(work.link, work.output_dir))
    except BaseException as error:  # SystemExit too: it must not end the worker and the other attempts in it
        log.error("download crashed", extra={"platform": work.platform, "url": work.link}, exc_info=error)
        return Outcome.failed("internal", work.platform, f"{type(error).__name__}: {error}")


def _list(work: Work, context: FetchContext) -> Outcome:
    """List the collection that *work* is about; its pages go out as progress, its notes with the outcome."""
    assert work.expand is not None
    last: list[Page] = []

    def report(page: Page) -> None:
        last[:] = [page]
        context.report(Progress(job_id=work.job_id, phase="extracting", page=page))

    outcome = list_collection(
        PLATFORMS[work.platform],
        work.link,
        context,
        limit=max(0, work.expand.limit - work.listed),
        order=work.expand.order,
        since=work.expand.since,
        skip=work.listed,
        report=report,
    )
    if not outcome[0] or not last:
        return outcome
    return Outcome(True, detail=last[0].note or (None if last[0].position else "There is nothing in this list."))


def success_of(end: asyncio.Future[Outcome]) -> Outcome | None:
    """Return the outcome of an attempt that succeeded just as it was cancelled, or None.

    Its files are in place, so the caller who cancelled it has to decide what becomes of them.
    """
    if end.done() and end.exception() is None and end.result()[0]:
        return end.result()
    return None
