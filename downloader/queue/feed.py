"""What changes, as it changes: the event feed, and the records of a batch as its jobs end.

Blocking, for a thread of its own; knows no HTTP.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

from downloader.jobs import Event, Job, JobFilter, Progress, Submission
from downloader.queue.hub import Overrun, Subscription
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.records import Record

#: How often a feed yields while nothing happens, so that its reader can check whether the client is still there.
TICK_SECONDS = 0.5

PAGE = 500

#: Simultaneous changes are yielded together, this many at most.
BUNDLE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Stored changes, and the progress of what runs."""

    last_id: int  #: to continue from
    progress: tuple[Progress, ...]
    events: tuple[Event, ...] = ()
    reset: bool = False  #: earlier changes are missing: the client did not ask for them, or they are gone


class EventFeed:
    """The changes to everything, or to one batch, without loss or repetition: first the stored ones, then live ones."""

    def __init__(self, services: Services, *, batch_id: str | None, since: int | None) -> None:
        """Follow from the event after *since*; None: from now on."""
        self._services = services
        self._batch_id = batch_id
        self._last_id = since

    def read(self) -> Iterator[list[EventPage | Event | Progress]]:
        """Yield changes as they happen, and empty lists while nothing does; first a page if there is a reset.

        Ends with the service.
        """
        queue = self._services.open()
        while True:
            # Subscribe first, then read: either way round, a change comes once.
            with queue.hub.subscribe(self._batch_id) as subscription:
                yield from self._stored()
                try:
                    yield from self._live(subscription)
                except Overrun:
                    continue
                return

    def _stored(self) -> Iterator[list[EventPage | Event | Progress]]:
        while True:
            page = self._services.call(poll, batch_id=self._batch_id, since=self._last_id)
            if page.reset:
                self._last_id = page.last_id
                yield [page]
            elif page.events:
                self._last_id = page.events[-1].id
                yield list(page.events)
            if len(page.events) < PAGE:
                return

    def _live(self, subscription: Subscription) -> Iterator[list[EventPage | Event | Progress]]:
        while not subscription.closed:
            bundle: list[EventPage | Event | Progress] = []
            news = subscription.get(TICK_SECONDS)
            while news is not None:
                if isinstance(news, Progress) or self._is_new(news):
                    bundle.append(news)
                news = subscription.get(0) if len(bundle) < BUNDLE else None
            yield bundle

    def _is_new(self, event: Event) -> bool:
        if self._last_id is not None and event.id <= self._last_id:
            return False
        self._last_id = event.id
        # What concerns every batch has no batch of its own.
        return self._batch_id in (None, event.batch_id)


async def poll(queue: JobQueue, *, batch_id: str | None, since: int | None) -> EventPage:
    """Return the events after *since*, a page at most; None: only where to begin."""
    newest = await queue.last_event_id()  # before the events: none that comes in between is missed
    progress = await _progress(queue, batch_id)
    if since is None or since > newest:  # of another database
        return EventPage(last_id=newest, progress=progress, reset=True)
    following = await queue.events_since(since, limit=1)
    if following and following[0].id != since + 1:  # numbers have no gaps
        return EventPage(last_id=newest, progress=progress, reset=True)
    events = await queue.events_since(since, batch_id=batch_id, limit=PAGE)
    last_id = events[-1].id if len(events) == PAGE else max([newest, *(event.id for event in events)])
    return EventPage(last_id=last_id, progress=progress, events=tuple(events))


async def _progress(queue: JobQueue, batch_id: str | None) -> tuple[Progress, ...]:
    progress = queue.scheduler.progress()
    if batch_id is not None and progress:
        running, _ = await queue.jobs(JobFilter(states=("running",), batch_id=batch_id, limit=len(progress)))
        ids = {job.id for job in running}
        progress = [each for each in progress if each.job_id in ids]
    return tuple(progress)


def records_as_they_end(
    services: Services, submission: Submission, urls: Sequence[str], gone: Callable[[], bool]
) -> Iterator[dict[str, Any]]:
    """Yield a record for each of *urls*, the URLs of *submission*, in the order in which their jobs end.

    Ends early when the client is *gone*; its jobs continue.
    """
    urls_of: dict[str, list[str]] = defaultdict(list)
    for url, job in zip(urls, submission.jobs, strict=True):
        urls_of[job.id].append(url)
    ended: SimpleQueue[Job | None] = SimpleQueue()
    queue = services.open()
    watching = services.loop.submit(_watch(queue, submission, ended.put))
    try:
        while not gone():
            try:
                one = ended.get(timeout=TICK_SECONDS)
            except Empty:
                continue
            if one is None:
                watching.result()  # raises what went wrong
                return
            for url in urls_of[one.id]:
                yield Record.reply(one, url).to_json()
    finally:
        watching.cancel()


async def _watch(queue: JobQueue, submission: Submission, tell: Callable[[Job | None], None]) -> None:
    async def watch_one(job: Job) -> None:
        tell(*await queue.wait(replace(submission, jobs=(job,))))

    try:
        async with asyncio.TaskGroup() as group:
            for job in {job.id: job for job in submission.jobs}.values():
                group.create_task(watch_one(job))
    finally:
        tell(None)
