"""Follows what changes, without loss or repetition: first what the store has, then what happens.

Blocking, for a thread of its own; the HTTP around it is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from downloader.jobs import Event, JobFilter, Progress
from downloader.queue.hub import Overrun, Subscription
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services

#: How often a feed comes back where nothing happens, so that its reader can see whether anyone still listens.
TICK_SECONDS = 0.5

PAGE = 500

#: What happens at the same time is handed over together, this many at most.
BUNDLE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Here the feed begins: what was before is not told."""

    last_id: int  #: number of the newest event at this moment
    progress: tuple[Progress, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a reader that asks every so often gets."""

    events: tuple[Event, ...]
    progress: tuple[Progress, ...]
    last_id: int  #: to be asked with the next time
    reset: bool  #: it could not be continued, or was not asked to: what was before is not told


class EventFeed:
    """What concerns everything, or one batch, from a number on."""

    def __init__(self, services: Services, *, batch_id: str | None, since: int | None) -> None:
        """Follow from the event after *since*; None: from now on."""
        self._services = services
        self._batch_id = batch_id
        self._last_id = since

    def read(self) -> Iterator[list[Beginning | Event | Progress]]:
        """Yield what happens, as it happens; nothing where nothing did for a while. Ends when the service does."""
        queue = self._services.open()
        while True:
            # Listen first, look then: whichever way round a change comes, it is told once.
            with queue.hub.subscribe(self._batch_id) as subscription:
                yield from self._stored()
                try:
                    yield from self._live(subscription)
                except Overrun:
                    continue
                return

    def _stored(self) -> Iterator[list[Beginning | Event | Progress]]:
        last_id = self._last_id
        if last_id is None or not self._services.call(can_continue, last_id):
            beginning = self._services.call(begin, self._batch_id)
            self._last_id = beginning.last_id
            yield [beginning]
            return
        while True:
            page = self._services.call(JobQueue.events_since, last_id, batch_id=self._batch_id, limit=PAGE)
            if page:
                self._last_id = last_id = page[-1].id
                yield list(page)
            if len(page) < PAGE:
                return

    def _live(self, subscription: Subscription) -> Iterator[list[Beginning | Event | Progress]]:
        while not subscription.closed:
            bundle: list[Beginning | Event | Progress] = []
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
        # The store numbers what concerns every batch, but has it under none.
        return self._batch_id in (None, event.batch_id)


async def can_continue(queue: JobQueue, last_id: int) -> bool:
    """Whether all that came after event *last_id* is still there, and there ever was such a number."""
    if last_id > await queue.last_event_id():
        return False  # of another database
    following = await queue.events_since(last_id, limit=1)
    return not following or following[0].id == last_id + 1  # numbers have no gaps


async def begin(queue: JobQueue, batch_id: str | None) -> Beginning:
    """Return where a feed that begins now begins."""
    return Beginning(last_id=await queue.last_event_id(), progress=await _progress(queue, batch_id))


async def look(queue: JobQueue, *, batch_id: str | None, since: int | None) -> Look:
    """Return what there is after event *since*, a page at most; None: only where to begin."""
    newest = await queue.last_event_id()  # before the events: none that comes meanwhile is passed over
    progress = await _progress(queue, batch_id)
    if since is None or not await can_continue(queue, since):
        return Look(events=(), progress=progress, last_id=newest, reset=True)
    events = await queue.events_since(since, batch_id=batch_id, limit=PAGE)
    last_id = max(newest, since)
    if events:
        last_id = events[-1].id if len(events) == PAGE else max(newest, events[-1].id)
    return Look(events=tuple(events), progress=progress, last_id=last_id, reset=False)


async def _progress(queue: JobQueue, batch_id: str | None) -> tuple[Progress, ...]:
    progress = queue.scheduler.progress()
    if batch_id is not None and progress:
        running, _ = await queue.jobs(JobFilter(states=("running",), batch_id=batch_id, limit=len(progress)))
        ids = {job.id for job in running}
        progress = [each for each in progress if each.job_id in ids]
    return tuple(progress)
