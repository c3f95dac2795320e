"""A machine of a fleet: runs the attempts that it is handed, and tells the server of them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from downloader.download_settings import DownloadSettings
from downloader.engines.fleet.wire import (
    Command,
    End,
    Order,
    Refused,
    Report,
    ReportKind,
    Running,
    Sign,
    failed,
    fingerprint,
    relative_file,
)
from downloader.engines.pool import PoolLimits
from downloader.engines.processes import ProcessEngine
from downloader.jobs import Progress, Work
from downloader.models import Media, Outcome
from downloader.ytdlp.resume import claim_work_dir, release_work_dir

log = logging.getLogger(__name__)

#: How long to wait for an answer before asking again: at first, and at most, as no server may be there for hours.
ASK_SECONDS, MAX_ASK_SECONDS = 2.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSettings:
    """What makes a machine."""

    downloads: DownloadSettings
    limits: PoolLimits
    raw_dir: Path
    work_dir: Path
    places: int  #: attempts at once
    name: str
    egress: str
    version: str


@dataclass(eq=False, slots=True)
class _Attempt:
    """An attempt from when it comes until its end is reported."""

    order: Order
    granted: asyncio.Future[bool]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    run: asyncio.Task[Outcome] | None = None
    may_download: bool = True
    progress: Progress | None = None
    news: Progress | None = None  #: of it, since the last sign
    details: Progress | None = None  #: what it told of its post
    link: str | None = None  #: where its short link leads, until it may go on
    is_over: bool = False  #: it is to end, or not to start
    is_dropped: bool = False  #: another machine may run it, and have its folder

    @property
    def key(self) -> tuple[str, int]:
        return self.order.job, self.order.attempt


class FleetMachine:
    """Runs attempts on a loop of its own; `perform`, `obey` and `sign` may be called in any thread."""

    def __init__(self, settings: MachineSettings, on_report: Callable[[Report], None], on_news: Callable[[], None]):
        """Call *on_report* with what the server is to know, and *on_news* when there is a reason for a sign of life."""
        self._settings = settings
        self._report = on_report
        self._on_news = on_news
        self.node = f"{settings.name}@{uuid4().hex[:8]}"
        self._fingerprint = fingerprint(settings.downloads)
        self._started_at = datetime.now(UTC)
        self._engine = ProcessEngine(settings.downloads, settings.limits)
        self._attempts: dict[tuple[str, int], _Attempt] = {}
        self._fault: str | None = None
        self._has_news = False
        self._signed_at = 0.0
        self.is_draining = False
        self.is_consuming = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fleet-machine", daemon=True)

    def start(self) -> None:
        """Start the loop, and a first worker process."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._engine.start(), self._loop)

    def perform(self, message: object) -> bool:
        """Do what *message* asks for; blocking. Return whether that is done: else another machine is to do it."""
        if self.is_draining:
            return False
        try:
            order = Order.read(message, self._settings.downloads)
        except Refused as error:
            log.error("a message was refused", extra={"detail": str(error)})
            self._refuse(message, str(error))
            return True
        return asyncio.run_coroutine_threadsafe(self._perform(order), self._loop).result()

    def _refuse(self, message: object, detail: str) -> None:
        job, attempt = (message.get("job"), message.get("attempt")) if isinstance(message, dict) else (None, None)
        if isinstance(job, str) and isinstance(attempt, int):
            self._report(Report(kind="refused", node=self.node, job=job[:64], attempt=attempt, detail=detail[:500]))

    def obey(self, command: Command) -> None:
        """Do what the server says of an attempt; return at once."""
        self._loop.call_soon_threadsafe(self._obey, command)

    def sign(self, after_seconds: float) -> Sign | None:
        """Return a sign of life, if there is news or the last one was *after_seconds* ago."""
        settings, now = self._settings, time.monotonic()
        if not self._has_news and now < self._signed_at + after_seconds:
            return None
        self._has_news, self._signed_at = False, now
        self._check_storage()
        return Sign(
            node=self.node,
            name=settings.name,
            egress=settings.egress,
            places=settings.places,
            version=settings.version,
            fingerprint=self._fingerprint,
            started_at=self._started_at,
            running=tuple(_running(attempt) for attempt in tuple(self._attempts.values()) if attempt.run is not None),
            is_draining=self.is_draining,
            is_consuming=self.is_consuming,
            fault=self._fault,
        )

    def drain(self, grace_seconds: float) -> None:
        """Take nothing more; give what runs *grace_seconds*, then hand it back; blocking."""
        self.is_draining = self._has_news = True
        self._on_news()
        asyncio.run_coroutine_threadsafe(self._drain(grace_seconds), self._loop).result()

    def _check_storage(self) -> None:
        missing = [folder for folder in (self._settings.raw_dir, self._settings.work_dir) if not folder.is_dir()]
        fault = f"{missing[0]} is not there: mount the storage folder of the server." if missing else None
        if fault is not None and fault != self._fault:
            log.error("nothing is taken", extra={"detail": fault})
        self._fault = fault

    # On the loop

    async def _perform(self, order: Order) -> bool:
        if (order.job, order.attempt) in self._attempts:  # the connection broke, and the broker sends it again
            return True
        attempt = _Attempt(order, granted=self._loop.create_future(), may_download=order.may_download)
        self._attempts[attempt.key] = attempt
        try:
            if not await self._ask(attempt):
                return not self.is_draining
            await self._run(attempt)
        finally:
            del self._attempts[attempt.key]
            attempt.ended.set()
        return True

    async def _ask(self, attempt: _Attempt) -> bool:
        """Ask the server whether *attempt* may start: it may have been given to another machine, or be outdated."""
        pause_seconds = ASK_SECONDS
        while not attempt.granted.done():
            self._tell(attempt, "ask")
            await asyncio.wait({attempt.granted}, timeout=pause_seconds)
            pause_seconds = min(2 * pause_seconds, MAX_ASK_SECONDS)
        return attempt.granted.result()

    async def _run(self, attempt: _Attempt) -> None:
        order = attempt.order
        for other in tuple(self._attempts.values()):
            if other.order.job == order.job and other is not attempt and other.run is not None:
                self._end(other, is_dropped=True)
                await other.ended.wait()
        if not attempt.is_over:  # since it was granted
            attempt.run = asyncio.create_task(self._outcome(attempt))
            self._has_news = True
            await asyncio.wait({attempt.run})
        if not attempt.is_dropped:
            self._tell(attempt, "end", end=self._end_of(attempt))

    async def _outcome(self, attempt: _Attempt) -> Outcome:
        order, settings = attempt.order, self._settings
        token = f"{order.attempt}-{uuid4().hex[:12]}"
        try:
            work_dir = await asyncio.to_thread(claim_work_dir, settings.work_dir / order.job, token)
        except OSError as error:
            return Outcome.failed("storage_unavailable", order.platform, str(error))
        work = Work(
            job_id=order.job,
            platform=order.platform,
            link=order.link,
            output_dir=str(settings.raw_dir),
            work_dir=str(work_dir),
            preset=order.preset,
            subtitles=order.subtitles,
            folder=order.folder,
            expand=order.expand,
            listed=order.listed,
            photos=order.photos,
            in_storage=True,
            may_download=attempt.may_download,
            attempt=order.attempt,
            egress=settings.egress,
        )
        try:
            return await self._engine.run(
                work, lambda told: self._note(attempt, told), lambda link: self._resolved(attempt, link)
            )
        finally:
            await asyncio.to_thread(release_work_dir, work_dir)

    def _end_of(self, attempt: _Attempt) -> End | None:
        if attempt.run is None or attempt.run.cancelled():
            return None
        try:
            return End.of(attempt.run.result(), self._relative)
        except Exception as error:
            log.exception("attempt crashed", extra={"job_id": attempt.order.job})
            return failed("internal", attempt.order.platform, f"{type(error).__name__}: {error}")

    def _relative(self, media: Media) -> Media:
        raw_dir = str(self._settings.raw_dir)
        return replace(media, files=tuple(relative_file(path, raw_dir) for path in media.files))

    def _note(self, attempt: _Attempt, told: Progress) -> None:
        if told.details is not None:
            attempt.details = told
        if told.details is not None or told.page is not None:
            self._tell(attempt, "details" if told.page is None else "page", progress=told)
        is_next = attempt.progress is None or attempt.progress.phase != told.phase
        attempt.progress = attempt.news = replace(told, details=None, page=None)
        self._has_news = True
        if is_next:
            self._on_news()

    def _resolved(self, attempt: _Attempt, link: str) -> None:
        attempt.link = link
        self._tell(attempt, "resolved", link=link)

    def _tell(
        self,
        attempt: _Attempt,
        kind: ReportKind,
        *,
        progress: Progress | None = None,
        link: str | None = None,
        end: End | None = None,
    ) -> None:
        job, number = attempt.key
        self._report(Report(kind=kind, node=self.node, job=job, attempt=number, progress=progress, link=link, end=end))

    def _obey(self, command: Command) -> None:
        attempt = self._attempts.get((command.job, command.attempt))
        if attempt is None:
            return
        if command.kind == "grant":
            attempt.may_download = attempt.may_download or command.may_download
            _settle(attempt, granted=True)
        elif command.kind in ("drop", "cancel"):
            self._end(attempt, is_dropped=command.kind == "drop")
        elif command.kind == "permit":
            self._permit(attempt)
        elif command.kind == "proceed":
            attempt.link = None
            self._engine.proceed(command.job)
        else:
            self._follow(attempt, may_download=command.may_download)

    def _permit(self, attempt: _Attempt) -> None:
        attempt.may_download = True
        self._engine.permit(attempt.order.job)

    def _follow(self, attempt: _Attempt, *, may_download: bool) -> None:
        """Tell another server what the one before was told."""
        if may_download:
            self._permit(attempt)
        if attempt.details is not None:
            self._tell(attempt, "details", progress=attempt.details)
        if attempt.link is not None:
            self._tell(attempt, "resolved", link=attempt.link)
        attempt.news = attempt.progress
        self._has_news = True

    def _end(self, attempt: _Attempt, *, is_dropped: bool) -> None:
        _settle(attempt, granted=False)
        attempt.is_over = True
        attempt.is_dropped = attempt.is_dropped or is_dropped
        if attempt.run is not None:
            attempt.run.cancel()

    async def _drain(self, grace_seconds: float) -> None:
        for attempt in tuple(self._attempts.values()):
            _settle(attempt, granted=False)
        ends = [asyncio.create_task(attempt.ended.wait()) for attempt in self._attempts.values()]
        if ends:
            await asyncio.wait(ends, timeout=grace_seconds)
            for attempt in tuple(self._attempts.values()):
                self._end(attempt, is_dropped=False)
            await asyncio.wait(ends)
        await self._engine.close()


def _settle(attempt: _Attempt, *, granted: bool) -> None:
    if not attempt.granted.done():
        attempt.granted.set_result(granted)


def _running(attempt: _Attempt) -> Running:
    news, attempt.news = attempt.news, None
    return Running(
        job=attempt.order.job, attempt=attempt.order.attempt, is_listing=attempt.order.expand is not None, progress=news
    )
