"""What changes, as it changes: Server-Sent Events, and the same by polling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial

from flask import Blueprint, Response, request
from pydantic import BaseModel
from werkzeug.exceptions import ServiceUnavailable

from downloader.jobs import Event, Progress
from downloader.queue.feed import Beginning, EventFeed, look
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.openapi import JSON
from downloader.web.queries import EventsQuery, ResumeHeaders
from downloader.web.responses import EventRecord, Events, Hello, ProgressRecord
from downloader.web.routes import Routes, client_gone, stream

EVENT_STREAM = "text/event-stream"

#: Streams that may be open at once. Each has a thread of the server's; ordinary requests must always find another.
MAX_STREAMS = 256

#: A browser whose connection broke comes back after this.
RETRY_MILLISECONDS = 2000

#: Said so that neither proxies nor clients take the silence for the end; an event, because browsers hide comments.
HEARTBEAT_SECONDS = 15.0

#: A stream sends at most every so often: what comes in between goes together, what comes after a pause goes at once.
#: The more streams there are the less often each does, so that all together send about this often a second at most.
MIN_PACE_SECONDS, MAX_PACE_SECONDS = 0.02, 0.2
_SENT_A_SECOND = 1000


def create_events_api(services: Services) -> Routes:
    """Return the route that follows *services*."""
    routes = Routes(Blueprint("events", __name__, url_prefix="/api/v1"), tag="events")
    places = threading.BoundedSemaphore(MAX_STREAMS)

    # Not async: a stream lives in the server's thread, which an event loop would only stand in.
    @routes.get(
        "/events",
        {200: {EVENT_STREAM: None, JSON: Events}},
        query=EventsQuery,
        headers=ResumeHeaders,
        refusals={404: "There is no such batch, or not any more."},
    )
    def follow_events(query: EventsQuery, headers: ResumeHeaders) -> Events | Response:
        """Follow what changes.

        As `text/event-stream`: durable changes with their number as `id`, their kind as `event` and an EventRecord as
        `data`; `progress` (a ProgressRecord) without `id`; `hello` (a Hello) where the stream begins: then load what
        you show. It continues after `Last-Event-ID` or `since` without loss. With `Accept: application/json` the same
        by polling: ask again with the `last_id` of the answer.
        """
        since = query.since if headers.last_event_id is None else headers.last_event_id
        queue = services.open()
        if query.batch is not None:
            services.call(JobQueue.batch, query.batch)  # NotFound, if there is none
        if request.accept_mimetypes.best_match([EVENT_STREAM, JSON]) == JSON:
            seen = services.call(look, batch_id=query.batch, since=since)
            return Events(
                events=[EventRecord.of(event) for event in seen.events],
                progress=[ProgressRecord.model_validate(each) for each in seen.progress],
                last_id=seen.last_id,
                reset=seen.reset,
            )
        if request.method == "HEAD":
            return stream(iter(()), EVENT_STREAM)
        if not places.acquire(blocking=False):
            raise ServiceUnavailable(
                "All places for event streams are taken: try again in a while, or poll with Accept: application/json.",
                retry_after=5,
            )
        feed = EventFeed(services, batch_id=query.batch, since=since)
        response = stream(sse(feed.read(), client_gone(), lambda: pace_seconds(len(queue.hub))), EVENT_STREAM)
        # Not in the generator: one that was never begun never gets to its end either.
        response.call_on_close(places.release)
        return response

    return routes


def pace_seconds(streams: int) -> float:
    """Return how long each of so many streams waits from one time that it sends to the next."""
    return min(MAX_PACE_SECONDS, max(MIN_PACE_SECONDS, streams / _SENT_A_SECOND))


def sse(
    feed: Iterator[list[Beginning | Event | Progress]],
    gone: Callable[[], bool],
    pace: Callable[[], float] = lambda: MAX_PACE_SECONDS,
) -> Iterator[str]:
    """Yield *feed* in the words of Server-Sent Events, until it ends or the client is *gone*, at a *pace*."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    said_at = time.monotonic()
    next_at = said_at
    for bundle in feed:
        if gone():
            return
        if bundle:
            yield "".join(map(_frame, bundle))
            said_at = time.monotonic()
            next_at = said_at + pace()
        elif time.monotonic() - said_at >= HEARTBEAT_SECONDS:
            yield "event: heartbeat\ndata: {}\n\n"
            said_at = time.monotonic()
        # Now, and not when there is something to say: after a pause that goes out at once, and all that comes during
        # this one is in the next bundle.
        time.sleep(max(0.0, next_at - time.monotonic()))


def _frame(news: Beginning | Event | Progress) -> str:
    if isinstance(news, Progress):
        return _progress_frame(news)
    if isinstance(news, Event):
        return f"id: {news.id}\nevent: {news.kind}\ndata: {_json(EventRecord.of(news))}\n\n"
    return f"id: {news.last_id}\nevent: hello\ndata: {_json(Hello.model_validate(news))}\n\n"


# Every stream says the same of the same download.
@lru_cache(maxsize=1024)
def _progress_frame(progress: Progress) -> str:
    return f"event: progress\ndata: {_json(ProgressRecord.model_validate(progress))}\n\n"


_json: Callable[[BaseModel], str] = partial(BaseModel.model_dump_json)
