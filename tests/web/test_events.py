"""The event stream: nothing lost, nothing sent twice, and no stream blocks others."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from flask.testing import FlaskClient

from downloader import create_downloader_app
from downloader.jobs import Event, Progress
from downloader.queue import feed as event_feed
from downloader.queue import hub as event_stream
from downloader.queue.feed import EventFeed, EventPage
from downloader.queue.services import Services
from downloader.server import wsgi as wsgi_server
from downloader.settings import Settings
from downloader.web import download as api
from downloader.web import events as api_events
from downloader.web import zip as api_zip
from tests.real_server import Server
from tests.simulator.client import Simulator

EVENTS = "/api/v1/events"
POLL = {"Accept": "application/json"}


def submit(services: Services, *urls: str) -> str:
    """Submit a batch, which tells one event if no platform owns its URLs; return its id."""
    return services.loop.submit(services.open().submit(urls or ("rubbish",))).result(30).batch.id


def last_id(services: Services) -> int:
    return services.loop.submit(services.open().last_event_id()).result(30)


def read_until(feed: Iterator[list[Any]], number: int) -> list[int]:
    """Return the numbers of the events that *feed* gives, up to *number*."""
    seen: list[int] = []
    for bundle in itertools.islice(feed, 200):
        seen += [news.id for news in bundle if isinstance(news, Event)]
        if seen and seen[-1] >= number:
            return seen
    raise AssertionError(f"event {number} never came: {seen}")


# The feed


def test_a_feed_begins_where_it_is_and_tells_what_comes(services: Services) -> None:
    submit(services)
    feed = EventFeed(services, batch_id=None, since=None).read()
    assert next(feed) == [EventPage(last_id=1, progress=(), reset=True)]
    submit(services)
    assert read_until(feed, 2) == [2]


def test_a_feed_continues_without_loss_or_repetition(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it reads old pages, new changes come: they are in the last page and among the live ones, and told once."""
    monkeypatch.setattr(event_feed, "PAGE", 2)
    for _ in range(5):
        submit(services)
    feed = EventFeed(services, batch_id=None, since=1).read()
    first = [news.id for news in next(feed) if isinstance(news, Event)]
    for _ in range(4):
        submit(services)
    rest = read_until(feed, 9)
    submit(services)
    assert first + rest + read_until(feed, 10) == list(range(2, 11))


def test_a_reader_that_is_too_slow_gets_what_it_missed(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_BEHIND", 3)
    feed = EventFeed(services, batch_id=None, since=None).read()
    next(feed)
    for _ in range(10):
        submit(services)
    assert read_until(feed, 10) == list(range(1, 11))


def test_a_feed_of_a_batch_tells_of_nothing_else(services: Services) -> None:
    mine = submit(services)
    other = submit(services)
    queue = services.open()
    feed = EventFeed(services, batch_id=mine, since=0).read()
    assert [news.id for news in next(feed) if isinstance(news, Event)] == [1]

    def delete(batch_id: str) -> None:
        jobs = services.loop.submit(queue.batch_jobs(batch_id)).result(30)
        services.loop.submit(queue.delete([job.id for _, job in jobs], with_files=False)).result(30)

    delete(other)
    services.loop.submit(queue.scheduler.set_paused(True)).result(30)
    delete(mine)
    assert read_until(feed, 5) == [5]


def test_where_events_are_gone_the_feed_begins_anew(services: Services) -> None:
    for _ in range(5):
        submit(services)
    services.open().database.store.prune_events(2)
    assert next(EventFeed(services, batch_id=None, since=2).read()) == [EventPage(last_id=5, progress=(), reset=True)]
    assert read_until(EventFeed(services, batch_id=None, since=3).read(), 5) == [4, 5]


def test_a_number_of_another_database_begins_anew(services: Services) -> None:
    submit(services)
    feed = EventFeed(services, batch_id=None, since=1000).read()
    assert next(feed) == [EventPage(last_id=1, progress=(), reset=True)]
    submit(services)
    assert read_until(feed, 2) == [2]


def test_a_feed_ends_with_the_service(services: Services) -> None:
    feed = EventFeed(services, batch_id=None, since=None).read()
    next(feed)
    services.close(grace_seconds=0)
    assert [news for bundle in feed for news in bundle] == []


# Over HTTP, without a socket


def frames(text: str) -> list[dict[str, str]]:
    """Return the fields of each event in *text*; comments and `retry` are left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append(fields)
    return found


def test_a_stream_says_hello_first(client: FlaskClient, services: Services) -> None:
    submit(services)
    answer = client.get(EVENTS)
    assert answer.mimetype == "text/event-stream"
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
    chunks = answer.iter_encoded()
    assert next(chunks) == b"retry: 2000\n\n"
    [hello] = frames(next(chunks).decode())
    assert (hello["event"], hello["id"]) == ("hello", "1")
    assert json.loads(hello["data"]) == {"last_id": 1, "progress": []}
    answer.close()


def test_a_stream_names_each_change(client: FlaskClient, services: Services) -> None:
    batch_id = submit(services)
    answer = client.get(f"{EVENTS}?batch={batch_id}&since=0")
    [told] = frames("".join(chunk.decode() for chunk in itertools.islice(answer.iter_encoded(), 2)))
    data = json.loads(told["data"])
    assert (told["id"], told["event"]) == ("1", "batch_created")
    assert (data["id"], data["kind"], data["batch_id"], data["data"]) == (1, "batch_created", batch_id, {"total": 1})
    answer.close()


def test_the_header_goes_before_the_parameter(client: FlaskClient, services: Services) -> None:
    """A browser that reconnects repeats its first address, and adds the header."""
    for _ in range(3):
        submit(services)
    answer = client.get(f"{EVENTS}?since=0", headers={"Last-Event-ID": "2"})
    assert [told["id"] for told in frames(b"".join(itertools.islice(answer.iter_encoded(), 2)).decode())] == ["3"]
    answer.close()
    refused = client.get(EVENTS, headers={"Last-Event-ID": "rubbish"})
    assert refused.status_code == 400
    assert "Last-Event-ID" in refused.get_json()["error"]


def test_polling_tells_the_same_as_a_stream(
    client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "PAGE", 2)
    first = client.get(EVENTS, headers=POLL).get_json()
    assert first == {"events": [], "progress": [], "last_id": 0, "reset": True}
    for _ in range(5):
        submit(services)
    seen, last = [], first["last_id"]
    for _ in range(4):
        said = client.get(f"{EVENTS}?since={last}", headers=POLL).get_json()
        assert said["reset"] is False
        seen += [event["id"] for event in said["events"]]
        last = said["last_id"]
    assert (seen, last) == ([1, 2, 3, 4, 5], 5)


def test_polling_one_batch_passes_over_the_others(client: FlaskClient, services: Services) -> None:
    mine = submit(services)
    submit(services)
    said = client.get(f"{EVENTS}?since=0&batch={mine}", headers=POLL).get_json()
    assert ([event["id"] for event in said["events"]], said["last_id"]) == ([1], 2)
    assert client.get(f"{EVENTS}?since=1000", headers=POLL).get_json()["reset"] is True


def test_silence_is_broken_by_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_events, "HEARTBEAT_SECONDS", 0.0)
    said = list(api_events.sse(iter([[], []]), lambda: False))
    assert said == ["retry: 2000\n\n", *["event: heartbeat\ndata: {}\n\n"] * 2]


def test_what_comes_after_a_pause_goes_out_at_once_and_the_rest_together(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("downloader.web.events.time.sleep", slept.append)
    bundle: list[EventPage | Event | Progress] = [EventPage(last_id=1, progress=(), reset=True)]
    said = api_events.sse(iter([[], bundle, bundle]), lambda: False)
    assert next(said).startswith("retry:")
    assert next(said).startswith("id: 1")
    assert sum(slept) == 0
    assert next(said).startswith("id: 1")
    assert 0.1 < sum(slept) <= api_events.MAX_PACE_SECONDS


def test_few_streams_are_quick_and_many_are_cheap() -> None:
    """A batch's end is told at once to the one who waits; two hundred pages hear of it within a fifth of a second."""
    assert api_events.pace_seconds(1) == api_events.pace_seconds(20) == 0.02
    assert [api_events.pace_seconds(streams) for streams in (50, 200, 256)] == [0.05, 0.2, 0.2]


def test_a_stream_asks_for_its_pace_each_time_that_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("downloader.web.events.time.sleep", slept.append)
    bundle: list[EventPage | Event | Progress] = [EventPage(last_id=1, progress=(), reset=True)]
    paces = iter([0.02, 0.2])
    assert len(list(api_events.sse(iter([bundle, bundle]), lambda: False, lambda: next(paces)))) == 3
    assert slept[0] <= 0.02 < slept[1] <= 0.2


def test_a_stream_ends_when_its_client_is_gone() -> None:
    bundle: list[EventPage | Event | Progress] = [EventPage(last_id=1, progress=(), reset=True)]
    feed = iter([bundle] * 5)
    gone = iter([False, True])
    assert len(list(api_events.sse(feed, lambda: next(gone)))) == 2
    assert len(list(feed)) == 3


def test_streams_beyond_the_last_place_are_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_events, "MAX_STREAMS", 2)
    app = create_downloader_app(Settings(storage_dir=tmp_path / "other"))
    client = app.test_client()
    try:
        assert client.head(EVENTS).status_code == 200
        first, second = client.get(EVENTS), client.get(EVENTS)
        refused = client.get(EVENTS)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert refused.get_json()["error"].endswith(".")
        assert client.get(EVENTS, headers=POLL).status_code == 200
        first.close()  # never read
        assert next(client.get(EVENTS).iter_encoded()) == b"retry: 2000\n\n"
        second.close()
    finally:
        app.extensions["downloader"].close(grace_seconds=0)


def test_there_are_threads_beyond_all_streams() -> None:
    assert wsgi_server.THREADS >= api_events.MAX_STREAMS + api.MAX_WAITING_REQUESTS + api_zip.MAX_ZIPS + 64
    assert wsgi_server.MAX_CONNECTIONS > wsgi_server.THREADS


# From a real server


class Stream:
    """A client that listens."""

    def __init__(self, server: Server, query: str = "", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        self._connection.request(
            "GET", EVENTS + query, headers={name.replace("_", "-"): headers[name] for name in headers}
        )
        self._answer = self._connection.getresponse()
        self.status = self._answer.status

    def next(self) -> dict[str, str]:
        """Return the fields of the next event."""
        fields: dict[str, str] = {}
        while line := self._answer.readline().decode().rstrip("\n"):
            assert not self._answer.closed
            name, _, value = line.partition(": ")
            fields[name] = value
        return fields if "event" in fields else self.next()

    def until(self, kind: str, wanted: Callable[[dict[str, Any]], bool] = lambda data: True) -> list[dict[str, str]]:
        """Return the events up to the first of *kind* with data as *wanted*."""
        seen = []
        while True:
            seen.append(self.next())
            if seen[-1]["event"] == kind and wanted(json.loads(seen[-1]["data"])):
                return seen

    def close(self) -> None:
        if self._connection.sock is not None:
            # At once and for good, as when a laptop's lid is closed.
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._answer.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def post(server: Server, path: str, body: Any = None) -> Any:
    status, said = server.ask("POST", path, body)
    assert status in {200, 202}, said
    return said


def test_a_stream_that_broke_off_continues_where_it_was(server: Server) -> None:
    with Stream(server) as stream:
        stream.until("hello")
        for _ in range(3):
            post(server, "/api/v1/batches", {"urls": ["rubbish"]})
        seen = [int(stream.next()["id"]) for _ in range(2)]
    for _ in range(4):
        post(server, "/api/v1/batches", {"urls": ["rubbish"]})
    with Stream(server, Last_Event_ID=str(seen[-1])) as stream:
        seen += [int(stream.next()["id"]) for _ in range(5)]
        post(server, "/api/v1/batches", {"urls": ["rubbish"]})
        seen.append(int(stream.next()["id"]))
    assert seen == list(range(seen[0], seen[0] + 8))


def test_progress_is_told_while_a_download_runs(start_server: Any, simulator: Simulator) -> None:
    server: Server = start_server()
    simulator.configure(media_bytes_per_second=100_000)  # of 200,000
    try:
        with Stream(server) as stream:
            stream.until("hello")
            said = post(server, "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok", 1)]})
            [job] = said["jobs"]
            seen = stream.until("job_changed", lambda data: data["data"]["state"] == "succeeded")
    finally:
        simulator.configure(media_bytes_per_second=0)
    progress = [json.loads(told["data"]) for told in seen if told["event"] == "progress"]
    assert all("id" not in told for told in seen if told["event"] == "progress")
    assert {each["job_id"] for each in progress} == {job["job_id"]}
    downloading = [each for each in progress if each["phase"] == "downloading" and each["downloaded_bytes"]]
    assert len(downloading) >= 2
    assert downloading[0]["total_bytes"] > downloading[0]["downloaded_bytes"] > 0
    assert any(each["speed_bytes_per_second"] for each in downloading)
    changes = [json.loads(told["data"])["data"] for told in seen if told["event"] == "job_changed"]
    assert [change["state"] for change in changes] == ["running", "running", "succeeded"]
    assert [bool(change["title"]) for change in changes] == [False, True, True]


def test_two_hundred_listeners_leave_room_for_ordinary_requests(server: Server) -> None:
    with contextlib.ExitStack() as open_streams:
        streams = [open_streams.enter_context(Stream(server)) for _ in range(200)]
        for stream in streams:
            stream.until("hello")
        assert [server.ask("GET", "/")[0] for _ in range(50)] == [200] * 50
        said = post(server, "/api/v1/batches", {"urls": ["rubbish"]})
        told = [json.loads(stream.until("batch_created")[-1]["data"])["batch_id"] for stream in streams]
        assert told == [said["batch"]["id"]] * 200


def test_listeners_that_go_away_free_their_places(server: Server) -> None:
    with contextlib.ExitStack() as streams:
        opened = [streams.enter_context(Stream(server)) for _ in range(api_events.MAX_STREAMS)]
        assert {stream.status for stream in opened} == {200}
        with Stream(server) as refused:
            assert refused.status == 503
        assert server.ask("GET", "/")[0] == 200
    left_at = time.monotonic()
    with contextlib.ExitStack() as streams:
        opened = []
        while len(opened) < api_events.MAX_STREAMS:
            assert time.monotonic() < left_at + 50, f"only {len(opened)} places were freed"
            stream = streams.enter_context(Stream(server))
            if stream.status == 200:
                opened.append(stream)
