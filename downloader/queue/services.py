"""The parts of the running service, wired together; knows no HTTP."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from downloader.cookies.store import CookieStore
from downloader.download_settings import NEEDS_FLEET, DownloadSettings
from downloader.egress.guard import check_proxies
from downloader.engines.base import Engine, EngineHealth
from downloader.engines.pool import PoolLimits, default_processes
from downloader.engines.processes import ProcessEngine
from downloader.engines.threads import ThreadEngine
from downloader.errors import DownloaderError, StartRefused
from downloader.jobs import Machine
from downloader.media.move import try_move
from downloader.media.removal import MediaRemoval
from downloader.platforms import PLATFORMS
from downloader.presets import Wanted
from downloader.queue.database import Database
from downloader.queue.governor import Governor
from downloader.queue.hub import EventHub
from downloader.queue.lock import InstanceLock
from downloader.queue.loop import ServiceLoop
from downloader.queue.metrics import Metrics, Snapshot
from downloader.queue.notifications import check_receivers, start_notifications
from downloader.queue.operations import JobQueue
from downloader.queue.scheduler import Scheduler, utc_now
from downloader.queue.storage import QueueStatus, missing_target
from downloader.queue.ways import Ways
from downloader.records import Record
from downloader.settings import Settings
from downloader.store.repository import Store
from downloader.ytdlp.resume import remove_leftovers

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

EngineKind = Literal["threads", "processes"]

#: How long running downloads may continue after a stop; then they are put back to queued.
GRACE_SECONDS = 3.0

#: Beside the workers that run something, this many for those that step in while others are being ended.
SPARE_WORKERS = 2


#: Services whose queue is open, by storage folder. A second app of this process in the same folder uses the same queue:
#: it must not be taken for a second server.
_OPEN: dict[Path, Services] = {}


class Services:
    """What the routes use. The queue opens with the first call that needs it, or with `start`."""

    def __init__(self, settings: Settings, *, engine: EngineKind = "threads", version: str = "") -> None:
        """Wire the services as *settings* say; nothing runs yet.

        Raises:
            StartRefused: the storage folder cannot be written, a proxy is not a proxy URL, or Apprise cannot be
                used as is set.
        """
        self.settings = settings
        self.cookies = CookieStore(settings.cookies_folder)
        self.loop = ServiceLoop()
        self._engine_kind = engine
        self._version = version
        self._lock = InstanceLock(settings.storage_dir, settings.store_file)
        self._opening = threading.Lock()
        self._queue: JobQueue | None = None
        self._closed = False
        self._metrics = Metrics(self._snapshot)
        check_proxies(settings.for_downloads())
        check_receivers(settings)
        _check_writable(settings)

    # The queue

    def call(
        self, function: Callable[Concatenate[JobQueue, P], Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call *function* with the queue and the other arguments on the service's loop; return its result. Blocking."""
        queue = self.open()  # first: the queue of another app of this process comes with its loop
        return self.loop.submit(function(queue, *args, **kwargs)).result()

    async def acall(
        self, function: Callable[Concatenate[JobQueue, P], Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `call`, for views that are coroutines."""
        # Only to open it blocks, and a view's loop is new each time: to ask it for a thread is to start one.
        queue = self._queue
        if queue is None:
            queue = await asyncio.to_thread(self.open)
        return await self.loop.run(function(queue, *args, **kwargs))

    def open(self) -> JobQueue:
        """Return the running queue; open and start it if that was not done yet. Blocking.

        Raises:
            StartRefused: another server has this store, or it cannot be opened.
        """
        with self._opening:
            if self._closed:
                raise StartRefused("The server is stopping: try again when it is back.")
            if self._queue is None and (host := _OPEN.get(self.settings.storage_dir)):
                self.loop, self._metrics, self._queue = host.loop, host._metrics, host._queue
            if self._queue is None:
                self._lock.acquire()
                try:
                    self._queue = self.loop.submit(self._make_queue()).result()
                except BaseException:
                    self._lock.release()
                    raise
                _OPEN[self.settings.storage_dir] = self
            return self._queue

    async def _make_queue(self) -> JobQueue:
        settings = self.settings
        store = await asyncio.to_thread(Store.open, settings.store_url, media_dir=settings.raw_dir)
        try:
            await asyncio.to_thread(store.lock_out_others)
        except BaseException:
            store.close()
            raise
        per_process = settings.downloads_per_worker
        # Silent downloads do not count in the total, up to as many again: see Governor.allot.
        limits = PoolLimits(
            attempts=2 * settings.workers + settings.pages_ahead + SPARE_WORKERS,
            # A page that is read ahead takes little; but 1 means that a download is alone.
            attempts_per_process=per_process if per_process == 1 else per_process + settings.pages_ahead,
            processes=settings.worker_processes or default_processes(),
        )
        downloads = settings.for_downloads()
        engine = self._make_engine(downloads, limits)
        is_fleet = engine.capacity() is not None
        governor = partial(
            Governor,
            PLATFORMS,
            per_platform=settings.platform_concurrency,
            ahead=0 if is_fleet else settings.pages_ahead,  # machines take no more than they say
            interval_seconds=settings.platform_interval_seconds,
        )
        ways = Ways(governor, {} if is_fleet else {"": settings.workers})
        database = Database(store, ways, utc_now)
        removal = MediaRemoval(settings.raw_dir, settings.work_dir, store.file_users)
        hub = EventHub()
        scheduler = Scheduler(
            database=database,
            engine=engine,
            ways=ways,
            removal=removal,
            settings=settings,
            hub=hub,
            on_attempt=self._metrics.attempt_ended,
        )
        queue = JobQueue(
            database=database,
            scheduler=scheduler,
            ways=ways,
            hub=hub,
            removal=removal,
            clock=utc_now,
            labels={name: platform.label for name, platform in PLATFORMS.items()},
            notifier=await asyncio.to_thread(start_notifications, settings, store, utc_now),
        )
        await queue.start()
        return queue

    def _make_engine(self, downloads: DownloadSettings, limits: PoolLimits) -> Engine:
        if self.settings.broker_url is None:
            return ProcessEngine(downloads, limits) if self._engine_kind == "processes" else ThreadEngine(downloads)
        try:
            from downloader.engines.fleet.engine import CeleryEngine
        except ImportError as error:
            raise StartRefused(NEEDS_FLEET) from error
        return CeleryEngine(downloads, self.settings.broker_url, version=self._version)

    async def download(self, urls: Sequence[str], wanted: Wanted) -> list[dict[str, Any]]:
        """Send *urls* through the queue, to get of each what is *wanted*; return their records in order when all are
        done."""

        async def run(queue: JobQueue) -> list[dict[str, Any]]:
            jobs = await queue.wait(await queue.submit(urls, wanted))
            return [Record.reply(job, url).to_json() for url, job in zip(urls, jobs, strict=True)]

        return await self.acall(run)

    # State

    async def check(self) -> dict[str, str]:
        """Return, for each thing that downloads need, `ok` or a sentence that says what is wrong with it."""
        try:
            status, engine, is_fleet = await self.acall(_status)
        except Exception as error:
            log.warning("not ready", exc_info=error)
            return {"database": str(error) if isinstance(error, DownloaderError) else "The database does not answer."}
        checks = {
            "database": status.database_error or "ok",
            "disk": _no_room(status) or status.storage_error or "ok",
        }
        if is_fleet:
            return {**checks, "machines": status.machines_error or "ok"}
        workers = engine.workers > 0 or engine.asleep
        no_worker = "No worker is ready yet: wait a moment; if it stays so, see the log."
        return {**checks, "workers": "ok" if workers else no_worker}

    def render_metrics(self) -> bytes:
        """Return the metrics as text; blocking."""
        self.call(lambda queue: queue.scheduler.storage.poll())
        return self._metrics.render()

    def _snapshot(self) -> Snapshot:
        queue = self.open()
        ways, now = queue.ways, utc_now()
        return Snapshot(
            counts=queue.database.store.counts(),
            cooling_until={platform: ways.cooling_until(platform, now) for platform in PLATFORMS},
            caps={platform: ways.cap(platform) for platform in PLATFORMS},
            engine=queue.scheduler.engine.health(),
            machines=self.call(_machines),
            status=queue.scheduler.status(),
        )

    # Life

    def start(self) -> None:
        """Open the queue now, so that what an earlier process left is resumed.

        Raises:
            StartRefused: another server has this store, or it cannot be opened.
        """
        self.open()
        self.cookies.warn()
        threading.Thread(target=remove_leftovers, args=(self.settings.raw_dir,), name="leftovers", daemon=True).start()

    def close(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Start nothing more, give running downloads *grace_seconds*, put the others back; blocking."""
        with self._opening:
            self._closed = True
            queue, self._queue = self._queue, None
            if queue is None or _OPEN.get(self.settings.storage_dir) is not self:
                return
            del _OPEN[self.settings.storage_dir]
            self.loop.submit(queue.close(grace_seconds)).result()
            self._lock.release()


async def _status(queue: JobQueue) -> tuple[QueueStatus, EngineHealth, bool]:
    """Return the state of the queue and of its engine, and whether that is a fleet."""
    await queue.last_event_id()  # the database answers
    await queue.scheduler.storage.poll(thoroughly=True)
    engine = queue.scheduler.engine
    return queue.scheduler.status(), engine.health(), engine.capacity() is not None


async def _machines(queue: JobQueue) -> Sequence[Machine]:
    return queue.scheduler.engine.machines()


def _no_room(status: QueueStatus) -> str | None:
    if status.disk_low:
        return "The disk is nearly full: free some space."
    if status.storage_full:
        return "The storage folder is full: delete some files, or raise DOWNLOADER_MAX_STORAGE_BYTES."
    return None


def _check_writable(settings: Settings) -> None:
    try:
        for folder in (settings.raw_dir, settings.work_dir):
            folder.mkdir(parents=True, exist_ok=True)
        try_move(settings.work_dir, settings.raw_dir)
    except OSError as error:
        raise StartRefused(
            missing_target(settings.storage_dir, settings.raw_dir, settings.work_dir)
            or f"Cannot write to {settings.storage_dir} ({error.strerror}): set DOWNLOADER_STORAGE_DIR to a folder that"
            " this user may write."
        ) from error
