"""Thumbnails: fetched through the guard, kept with their jobs, removed with them.

They are no part of a download: a page that shows a job asks for its thumbnail, and while nothing else is to be done
those of the latest jobs are fetched, since links to them expire.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from downloader.download_settings import DownloadSettings
from downloader.egress.fetch import FetchFailed, fetch
from downloader.errors import NotFound
from downloader.jobs import FINAL_STATES, MAX_THUMBNAIL_FAILURES, Event, Job
from downloader.media.pictures import SHOWN, NotAPicture, Picture, read_picture
from downloader.queue.database import Database
from downloader.queue.storage import StorageMonitor
from downloader.util.daemon_thread import in_thread

log = logging.getLogger(__name__)

MAX_BYTES = 2 * 1024**2
FETCH_SECONDS = 10.0  #: for all of a job's candidates together

#: At once for those who ask; how long others wait for their turn.
MAX_FETCHES = 4
QUEUE_SECONDS = 10.0

#: A failure is not repeated before this, nor in another process before it would be wanted.
FAILURE_SECONDS = 300.0
_MAX_REMEMBERED = 10_000

#: So many of the latest jobs get theirs without being asked for it.
LATEST_JOBS = 1000

#: How often to check whether nothing else is to be done, as long as there are thumbnails to fetch: a pause between two
#: downloads is no time for them.
IDLE_POLL_SECONDS = 1.0

#: Never follow a link, nor block on a pipe; on Windows, do not convert line ends.
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


class Thumbnails:
    """The thumbnails of one store's jobs. Coroutines run on the service's event loop."""

    def __init__(
        self,
        folder: Path,
        settings: Callable[[], DownloadSettings],
        database: Database,
        storage: StorageMonitor,
        is_idle: Callable[[], bool],
    ) -> None:
        """Keep them in *folder*; fetch those of the latest jobs while *is_idle*."""
        self.folder = ThumbnailFolder(folder)
        self._settings = settings
        self._database = database
        self._storage = storage
        self._is_idle = is_idle
        self._fetches = asyncio.Semaphore(MAX_FETCHES)
        self._fetching: dict[str, asyncio.Task[bool]] = {}  #: by job
        self._failed_at: dict[str, float] = {}  #: by job, on a monotonic clock
        # Both are filled by whichever thread makes a change.
        self._latest: deque[str] = deque(maxlen=LATEST_JOBS)
        self._deleted: deque[str] = deque()
        self._wanted = asyncio.Event()  #: there is something in these
        self._disturbed = False  #: a download started since it was last checked whether nothing runs
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        database.store.on_event(self._note)

    def start(self) -> None:
        """Start to fetch those of the latest jobs."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="thumbnails")

    async def close(self) -> None:
        """Stop; what is being fetched is given up."""
        tasks = [*self._fetching.values(), *([self._task] if self._task else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._remove_deleted)

    async def kept(self, job: Job) -> tuple[Picture, bytes] | None:
        """Return the thumbnail of *job*; None if it is not there."""
        return await asyncio.to_thread(self.folder.read, job.id)

    async def get(self, job: Job) -> tuple[Picture, bytes] | None:
        """Return the thumbnail of *job*, fetched if it is not there; None if it cannot be had."""
        kept = await self.kept(job)
        return await self.kept(job) if kept is None and await self._fetched(job) else kept

    # Fetching

    async def _fetched(self, job: Job) -> bool:
        """Fetch the thumbnail of *job*, once however many ask for it at once; return whether it is there now."""
        task = self._fetching.get(job.id)
        if task is None:
            if not self.may_fetch(job):
                return False
            task = self._fetching[job.id] = asyncio.create_task(self._fetch(job), name=f"thumbnail {job.id}")
            task.add_done_callback(lambda _: self._fetching.pop(job.id, None))
        await asyncio.wait({task})  # it continues if the one who asked leaves
        if task.cancelled():
            return False
        if (error := task.exception()) is not None:
            log.error("a thumbnail could not be fetched", extra={"job_id": job.id}, exc_info=error)
            return False
        return task.result()

    def may_fetch(self, job: Job) -> bool:
        """Tell whether it is worth a try, and the last one was not just now."""
        if not job.thumbnails or job.thumbnail_failures >= MAX_THUMBNAIL_FAILURES:
            return False
        failed_at = self._failed_at.get(job.id)
        return failed_at is None or time.monotonic() > failed_at + FAILURE_SECONDS

    async def _fetch(self, job: Job) -> bool:
        if job.reused and await self._database.call(self._copy, job):
            return True
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._fetches.acquire()
        except TimeoutError:
            return False
        try:
            data = await in_thread(_first_picture, job, self._settings(), name="thumbnail")
        finally:
            self._fetches.release()
        if data is None:
            await self._count_failure(job)
            return False
        status = self._storage.status(paused=False)
        if status.storage_error is not None or status.disk_low:
            return False
        try:
            await asyncio.to_thread(self._keep, job.id, data)
        except OSError as error:  # the disk's fault: the next one who asks may have it
            log.warning("a thumbnail could not be kept", extra={"job_id": job.id, "detail": str(error)})
            return False
        return True

    def _copy(self, job: Job) -> bool:
        """Keep the thumbnail of another job of the same post for *job*; return whether there was one."""
        for other_id in self._database.store.sharing_ids(job):
            if (found := self.folder.read(other_id)) is not None:
                with contextlib.suppress(OSError):
                    self._keep(job.id, found[1])
                    return True
        return False

    def _keep(self, job_id: str, data: bytes) -> None:
        if not self._storage.disk.is_mounted():
            return
        self.folder.write(job_id, data)
        try:
            self._database.store.job(job_id)
        except NotFound:  # it was deleted meanwhile
            self.folder.remove(job_id)

    async def _count_failure(self, job: Job) -> None:
        self._failed_at.pop(job.id, None)
        self._failed_at[job.id] = time.monotonic()
        if len(self._failed_at) > _MAX_REMEMBERED:
            del self._failed_at[next(iter(self._failed_at))]
        await self._database.call(self._database.store.thumbnail_failed, job.id)

    # In the background

    def _note(self, event: Event) -> None:
        """Note what became of a job, in any thread."""
        if event.job_id is None:
            return
        if event.kind == "job_deleted":
            self._deleted.append(event.job_id)
        elif event.data.get("state") in FINAL_STATES and event.data.get("thumbnail_url"):
            self._latest.append(event.job_id)
        else:
            self._disturbed |= event.data.get("state") == "running"
            return
        if self._loop is not None and not self._wanted.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wanted.set)

    async def _run(self) -> None:
        try:
            await asyncio.to_thread(self.folder.sweep, self._database.store.known_ids)
            before = await self._database.call(self._database.store.with_thumbnails, LATEST_JOBS)
            self._latest.extendleft(reversed(before[: LATEST_JOBS - len(self._latest)]))
        except Exception:
            log.exception("the thumbnails of earlier jobs could not be looked through")
        while True:
            if not (self._latest or self._deleted):
                await self._wanted.wait()
            self._wanted.clear()
            self._disturbed = False
            was_idle = self._is_idle()
            await asyncio.sleep(IDLE_POLL_SECONDS)
            try:
                await self._work_off(fetch=was_idle and not self._disturbed)
            except Exception:
                log.exception("thumbnails could not be worked off")

    async def _work_off(self, *, fetch: bool) -> None:
        """Remove the thumbnails of deleted jobs; then *fetch* those of the latest, newest first, while idle."""
        if self._deleted:
            await asyncio.to_thread(self._remove_deleted)
        while fetch and self._latest and self._is_idle():
            job_id = self._latest.pop()
            if await asyncio.to_thread(self.folder.has, job_id):
                continue
            with contextlib.suppress(NotFound):
                job = await self._database.call(self._database.store.job, job_id)
                await self._fetched(job)

    def _remove_deleted(self) -> None:
        while self._deleted:
            self.folder.remove(self._deleted.popleft())


def _first_picture(job: Job, settings: DownloadSettings) -> bytes | None:
    """Return the first of the job's candidates that is a picture; None if none is. Blocking."""
    deadline = time.monotonic() + FETCH_SECONDS
    for url in job.thumbnails:
        left_seconds = deadline - time.monotonic()
        if left_seconds <= 0:
            break
        try:
            data = fetch(url, settings, max_bytes=MAX_BYTES, timeout_seconds=left_seconds)
            if (kind := read_picture(data).kind) in SHOWN:
                return data
            raise NotAPicture(f"a {kind}, which not every browser shows")
        except (FetchFailed, NotAPicture) as error:
            log.info("no thumbnail", extra={"job_id": job.id, "platform": job.platform, "detail": str(error)})
    return None


class ThumbnailFolder:
    """The files, each named by its job; blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def has(self, job_id: str) -> bool:
        """Tell whether there is a file."""
        return (self._path / job_id).is_file()

    def read(self, job_id: str) -> tuple[Picture, bytes] | None:
        """Return the thumbnail of a job; None if there is none, or if the file is no picture (any more)."""
        try:
            with os.fdopen(os.open(self._path / job_id, os.O_RDONLY | _FLAGS), "rb") as file:
                data = file.read(MAX_BYTES + 1)
            return read_picture(data), data
        except (OSError, NotAPicture):
            return None

    def write(self, job_id: str, data: bytes) -> None:
        """Keep *data*. Raises OSError; a file that was there stays then."""
        self._path.mkdir(exist_ok=True)  # not its parents: a storage folder that is gone was on another disk
        unfinished = self._path / f".{job_id}"
        try:
            unfinished.unlink(missing_ok=True)
            # With the permissions that the umask leaves. Not synced: what is lost can be fetched again.
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666), "wb") as file:
                file.write(data)
            unfinished.replace(self._path / job_id)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise

    def remove(self, job_id: str) -> None:
        """Remove the thumbnail of a job, if there is one."""
        try:
            (self._path / job_id).unlink(missing_ok=True)
        except OSError as error:
            log.warning("could not delete a thumbnail", extra={"job_id": job_id, "detail": str(error)})

    def sweep(self, known_ids: Callable[[list[str]], Iterable[str]]) -> None:
        """Remove the files of jobs that are none of *known_ids*, and unfinished ones."""
        try:
            names = [entry.name for entry in os.scandir(self._path) if entry.is_file(follow_symlinks=False)]
        except OSError:  # there is none yet
            return
        for name in set(names).difference(known_ids(names)):
            self.remove(name)
