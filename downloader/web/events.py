"""The event stream: Server-Sent Events, or JSON by polling."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from typing import TypeVar

from flask import Blueprint, Response, request

from downloader.jobs import Event, Progress
from downloader.queue.feed import EventFeed, EventPage, poll
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.openapi import JSON
from downloader.web.queries import EventsQuery, ResumeHeaders
from downloader.web.responses import EventRecord, Events, Hello, ProgressRecord, ResponseModel
from downloader.web.routes import Routes, client_gone, stream
from downloader.web.slots import Slots

News = TypeVar("News", EventPage, Event, Progress)

Feed = Iterator[list[EventPage | Event | Progress]]

EVENT_STREAM = "text/event-stream"

#: Streams that may be open at once. Each holds a server thread, and other requests need threads too.
MAX_STREAMS = 256
BUSY = "Too many event streams are open: try again in a moment, or poll with Accept: application/json."

#: After this time a browser reconnects a broken stream.
RETRY_MILLISECONDS = 2000

#: Keeps proxies and clients from closing a silent stream. An event, because browsers do not report comments.
HEARTBEAT_SECONDS = 15.0

#: Minimum time between two writes to a stream: changes in between are sent together, and a change after a pause is sent
#: at once. It grows with the number of streams, so that all together write about _WRITES_PER_SECOND at most.
MIN_PACE_SECONDS, MAX_PACE_SECONDS = 0.02, 0.2
_WRITES_PER_SECOND = 1000


def create_events_api(services: Services) -> Routes:
    """Return the route to the event stream."""
    routes = Routes(Blueprint("events", __name__, url_prefix="/api/v1"), tag="events")
    slots = Slots(MAX_STREAMS, BUSY, retry_after_seconds=5)

    # Not async: a stream runs in the server's thread, so an event loop would be of no use.
    @routes.route(
        "GET",
        "/events",
        {200: {EVENT_STREAM: None, JSON: Events}},
        errors={404: "The batch does not exist, or was deleted."},
    )
    def follow_events(query: EventsQuery, headers: ResumeHeaders) -> EventPage | Response:
        """Follow changes as they happen.

        As `text/event-stream`: stored changes with their number as `id`, their kind as `event` and an EventRecord as
        `data`; `progress` (a ProgressRecord) without `id`; and `hello` (a Hello) at the start, upon which a client
        should load the current state. The stream continues after `Last-Event-ID` or `since` without loss. With
        `Accept: application/json` the same by polling: pass the `last_id` of the response as the next `since`.
        """
        since = query.since if headers.last_event_id is None else headers.last_event_id
        queue = services.open()
        if query.batch is not None:
            services.call(JobQueue.batch, query.batch)  # raises NotFound
        if request.accept_mimetypes.best_match([EVENT_STREAM, JSON]) == JSON:
            return _below(request.script_root, services.call(poll, batch_id=query.batch, since=since))
        if request.method == "HEAD":
            return stream(iter(()), EVENT_STREAM)
        with slots.slot() as slot:
            feed: Feed = EventFeed(services, batch_id=query.batch, since=since).read()
            if root := request.script_root:
                feed = ([*map(partial(_below, root), bundle)] for bundle in feed)
            frames = sse(feed, client_gone(), lambda: pace_seconds(len(queue.hub)))
            return slot.hold_until_sent(stream(frames, EVENT_STREAM))

    return routes


def _below(root: str, news: News) -> News:
    """Return *news* with addresses below *root*."""
    if root and isinstance(news, Event) and news.data.get("thumbnail_url"):
        return replace(news, data={**news.data, "thumbnail_url": f"{root}{news.data['thumbnail_url']}"})
    if root and isinstance(news, EventPage):
        return replace(news, events=tuple(_below(root, event) for event in news.events))
    return news


def pace_seconds(streams: int) -> float:
    """Return the minimum time between two writes to each of so many *streams*."""
    return min(MAX_PACE_SECONDS, max(MIN_PACE_SECONDS, streams / _WRITES_PER_SECOND))


def sse(
    feed: Feed,
    gone: Callable[[], bool],
    pace: Callable[[], float] = lambda: MAX_PACE_SECONDS,
) -> Iterator[str]:
    """Yield *feed* as Server-Sent Events at a *pace*, until it ends or the client is *gone*."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    sent_at = time.monotonic()
    next_at = sent_at
    for bundle in feed:
        if gone():
            return
        if bundle:
            yield "".join(map(_frame, bundle))
            sent_at = time.monotonic()
            next_at = sent_at + pace()
        elif time.monotonic() - sent_at >= HEARTBEAT_SECONDS:
            yield "event: heartbeat\ndata: {}\n\n"
            sent_at = time.monotonic()
        # Sleep after sending, not before: a change after a pause is sent at once, and those during this sleep together.
        time.sleep(max(0.0, next_at - time.monotonic()))


def _frame(news: EventPage | Event | Progress) -> str:
    if isinstance(news, Progress):
        return _progress_frame(news)
    if isinstance(news, Event):
        return f"id: {news.id}\nevent: {news.kind}\ndata: {_json(EventRecord, news)}\n\n"
    return f"id: {news.last_id}\nevent: hello\ndata: {_json(Hello, news)}\n\n"


# All streams send the same frame for the same progress.
@lru_cache(maxsize=1024)
def _progress_frame(progress: Progress) -> str:
    return f"event: progress\ndata: {_json(ProgressRecord, progress)}\n\n"


def _json(model: type[ResponseModel], news: object) -> str:
    return model.model_validate(news).model_dump_json()
