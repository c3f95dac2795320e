"""Connections that stay open: a real TLS server behind the real egress proxy, and what goes wrong between them."""

from __future__ import annotations

import http.client
import os
import re
import select
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from downloader.egress.connections import MAX_AGE_SECONDS, MAX_IDLE, MAX_IDLE_SECONDS, Connections, Reply
from downloader.egress.proxy import Grant
from tests.tls_world import IPV6, Answer, Egress, ScriptedOrigin, answer, client_context, egress

URL = "https://site.example/page?a=1"


class World:
    """An origin, the proxy before it, a grant and the connections that use it."""

    def __init__(self, origin: ScriptedOrigin, way: Egress) -> None:
        self.origin = origin
        self.names = way.world.names
        self.grant: Grant = way.grant()
        self.now = 1000.0
        self.connections = Connections(self.grant.url, clock=lambda: self.now)

    def send(self, url: str = URL, method: str = "GET", **options: Any) -> Reply:
        options = {"timeout_seconds": 5.0, "context": client_context(), **options}
        return self.connections.request(method, url, options.pop("headers", {}), **options)

    def get(self, url: str = URL, method: str = "GET", **options: Any) -> bytes:
        """Return the whole body."""
        reply = self.send(url, method, **options)
        return b"".join(iter(lambda: reply.read(1000), b""))

    def idle(self) -> list[Any]:
        return list(self.connections._idle)

    def wait_until_closed(self) -> None:
        """Wait until the end of the idle connections has come through the proxy."""
        poll = select.poll()
        for connection in self.idle():
            poll.register(connection.http.sock, select.POLLIN)
            assert poll.poll(5000)


@pytest.fixture
def world() -> Iterator[World]:
    with egress() as (origin, way):
        world = World(origin, way)
        yield world
        world.connections.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


# What is kept


def test_a_connection_is_used_again(world: World) -> None:
    assert [world.get(), world.get(), world.get()] == [b"hello"] * 3
    assert world.origin.used == [1, 1, 1]
    first = world.origin.seen[0]
    assert first.line == "GET /page?a=1 HTTP/1.1"
    assert first.headers["host"] == "site.example"
    assert "proxy-authorization" not in first.headers


def test_each_host_has_its_own(world: World) -> None:
    for host in ("site", "other", "site", "other"):
        world.get(f"https://{host}.example/")
    assert world.origin.used == [1, 2, 1, 2]


def test_contexts_do_not_share_connections(world: World) -> None:
    strict, loose = client_context(), ssl.create_default_context()
    loose.check_hostname, loose.verify_mode = False, ssl.CERT_NONE
    world.get(context=loose)
    world.get(context=strict)
    world.get(context=loose)
    assert world.origin.used == [1, 2, 1]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("HEAD", "404 Not Found"), ("GET", "204 No Content"), ("GET", "304 X")]
)
@pytest.mark.parametrize("header", ["Content-Length: 7", "Transfer-Encoding: chunked", "X-Other: 1"])
def test_a_response_without_a_body_needs_no_reading(world: World, method: str, status: str, header: str) -> None:
    world.origin.script(answer(b"", header, status=status, sized=False))
    reply = world.send(method=method)
    assert reply.closed
    assert reply.read(100) == b""
    world.get()
    assert world.origin.used == [1, 1]


def test_chunks_are_read_and_the_connection_kept(world: World) -> None:
    body = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
    world.origin.script(answer(body, "Transfer-Encoding: chunked", sized=False))
    assert world.get() == b"hello world"
    world.get()
    assert world.origin.used == [1, 1]


def test_interim_responses_are_skipped(world: World) -> None:
    world.origin.script(Answer(b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + answer().raw))
    assert world.get() == b"hello"
    assert world.get(method="POST", headers={"Expect": "100-continue"}, body=b"data") == b"hello"
    assert world.origin.seen[1].body == b"data"
    assert world.origin.used == [1, 1]


def test_an_address_of_ipv6_is_asked_for_and_reused(world: World) -> None:
    for _ in range(2):
        assert world.get(f"https://[{IPV6}]/x") == b"hello"
    assert world.origin.used == [1, 1]
    assert world.origin.seen[0].headers["host"] == f"[{IPV6}]"


@pytest.mark.parametrize("name", ["Host", "host"])
def test_a_host_header_of_the_callers_own_is_the_only_one(world: World, name: str) -> None:
    world.get(headers={name: "cdn.example"})
    assert world.origin.seen[0].headers["host"] == "cdn.example"


# What is not


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"hello", "Connection: close"),
        Answer(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        Answer(b"HTTP/1.1 200 OK\r\n\r\nhello", "close"),
    ],
)
def test_a_server_that_closes_is_believed(world: World, reply: Answer) -> None:
    world.origin.script(reply)
    assert world.get() == b"hello"
    assert world.idle() == []
    assert world.get() == b"hello"
    assert world.origin.used == [1, 2]


def test_plain_http_is_never_kept(world: World) -> None:
    for _ in range(2):
        assert world.get("http://site.example/a?b#c") == b"hello"
    assert world.origin.used == [1, 2]
    assert world.origin.seen[0].line == "GET /a?b HTTP/1.1"
    assert world.origin.seen[0].headers["host"] == "site.example"
    assert world.idle() == []


def test_what_was_not_read_is_not_reused(world: World) -> None:
    world.origin.script(answer(bytes(300_000)))
    reply = world.send()
    reply.read(1000)
    reply.close()
    assert reply.closed
    assert reply.read(1000) == b""
    assert world.get() == b"hello"
    assert world.origin.used == [1, 2]


def test_a_server_that_says_more_than_it_announced_is_not_believed(world: World) -> None:
    world.origin.script(answer(b"", "Content-Length: 0", status="204 No Content", sized=False))
    world.origin.answers[0] = Answer(world.origin.answers[0].raw + b"and a body after all")
    world.send()
    assert world.get() == b"hello"


# What goes wrong


def test_a_connection_that_was_closed_while_idle_is_not_used(world: World) -> None:
    world.get()
    world.origin.drop()
    world.wait_until_closed()
    assert world.get(method="POST", body=b"data") == b"hello"
    assert world.origin.used == [1, 2]


@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_get_is_repeated_if_the_server_closed_before_it_answered(world: World, then: Any) -> None:
    world.get()
    world.origin.script(Answer(b"", then))
    assert world.get() == b"hello"
    assert world.origin.used == [1, 1, 2]


def test_it_is_repeated_once_and_only_on_a_kept_connection(world: World) -> None:
    world.origin.script(Answer(b"", "close"))
    with pytest.raises(http.client.RemoteDisconnected):
        world.get()
    world.get()
    world.origin.script(Answer(b"", "close"), Answer(b"", "close"))
    with pytest.raises(http.client.RemoteDisconnected):
        world.get()
    assert world.origin.used == [1, 2, 2, 3]


def test_a_post_is_not_repeated(world: World) -> None:
    world.get()
    world.origin.script(Answer(b"", "close"))
    with pytest.raises(http.client.RemoteDisconnected):
        world.get(method="POST", body=b"data")
    assert world.origin.used == [1, 1]


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    "head", ["Content-Length: 100\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n64\r\nhello", "Content-Length: 9"]
)
def test_a_body_that_ends_early_is_an_error(world: World, head: str, then: Any) -> None:
    world.origin.script(Answer(f"HTTP/1.1 200 OK\r\n{head}".encode(), then))
    with pytest.raises((OSError, http.client.HTTPException)):
        world.get()
    assert world.idle() == []
    assert world.get() == b"hello"


def test_what_is_missing_is_told(world: World) -> None:
    world.origin.script(Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", "close"))
    reply = world.send()
    with pytest.raises(http.client.IncompleteRead) as error:
        reply.read(100)
    assert (error.value.partial, error.value.expected) == (b"hello", 95)
    assert reply.closed


@pytest.mark.parametrize(
    "raw",
    [
        b"NONSENSE\r\n\r\n",
        b"HTTP/1.1 999999 Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 500 + b"\r\n",
    ],
)
def test_a_malformed_response_is_an_error(world: World, raw: bytes) -> None:
    world.origin.script(Answer(raw, "close"))
    with pytest.raises(http.client.HTTPException):
        world.get()
    assert world.idle() == []


def test_silence_times_out_before_and_within_a_response(world: World) -> None:
    world.get()
    world.origin.script(Answer(b"", "hang"), Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", "hang"))
    with pytest.raises(TimeoutError):
        world.get(timeout_seconds=0.2)
    with pytest.raises(TimeoutError):
        world.get(timeout_seconds=2)  # enough for the connection itself
    assert world.idle() == []
    assert world.origin.used == [1, 1, 2]


def test_each_request_has_its_own_timeout(world: World) -> None:
    world.get(timeout_seconds=60)
    reply = world.send(timeout_seconds=7)
    assert reply._connection is not None
    assert reply._connection.http.sock.gettimeout() == 7
    reply.close()
    assert world.origin.used == [1, 1]


def test_a_refused_host_is_an_error_that_says_so(world: World) -> None:
    world.names["site.example"] = ["10.0.0.1"]
    for url in (URL, "https://127.0.0.1/", "https://[::1]/"):
        with pytest.raises(OSError, match="Tunnel connection failed: 403"):
            world.get(url)
    assert len(world.grant.refusals) == 3
    reply = world.send("http://127.0.0.1/")
    assert (reply.status, reply.headers["X-Egress-Refused"]) == (403, "blocked_address")
    assert world.origin.seen == []


def test_a_name_that_moves_is_checked_with_the_next_tunnel(world: World) -> None:
    world.get()
    world.names["site.example"] = ["10.0.0.1"]
    assert world.get() == b"hello"  # where it was checked to be
    world.now += MAX_AGE_SECONDS + 1
    with pytest.raises(OSError, match="403"):
        world.get()
    assert world.origin.used == [1, 1]


def test_a_revoked_grant_ends_what_is_kept(world: World) -> None:
    world.get()
    world.grant.revoke()
    world.wait_until_closed()
    with pytest.raises(OSError, match="Tunnel connection failed: 407"):
        world.get()
    assert world.origin.used == [1]


@pytest.mark.parametrize("url", ["https://site.example:99999/", "https://[bad/", "https://site.example/a b"])
def test_a_url_that_is_none_is_an_error(world: World, url: str) -> None:
    with pytest.raises((ValueError, http.client.HTTPException)):
        world.get(url)


def test_a_header_that_is_none_is_an_error(world: World) -> None:
    world.get()
    with pytest.raises(ValueError, match="Invalid header"):
        world.get(headers={"X": "1\r\nInjected: 1"})
    assert world.get() == b"hello"


# How long


@pytest.mark.parametrize(("seconds", "used"), [(MAX_IDLE_SECONDS - 1, [1, 1]), (MAX_IDLE_SECONDS + 1, [1, 2])])
def test_an_idle_connection_is_kept_for_some_seconds(world: World, seconds: float, used: list[int]) -> None:
    world.get()
    world.now += seconds
    world.get()
    assert world.origin.used == used


def test_a_connection_in_use_is_replaced_some_day(world: World) -> None:
    for _ in range(int(MAX_AGE_SECONDS / 10) + 2):
        world.get()
        world.now += 10
    assert set(world.origin.used) == {1, 2}


def test_idle_connections_to_other_hosts_are_closed_too(world: World) -> None:
    world.get("https://other.example/")
    world.now += MAX_IDLE_SECONDS + 1
    world.get()
    assert len(world.idle()) == 1


def test_few_idle_connections_are_kept(world: World) -> None:
    replies = [world.send() for _ in range(MAX_IDLE + 3)]
    for reply in replies:
        reply.read(100)
    assert len(world.idle()) == MAX_IDLE
    for reply in [world.send() for _ in range(MAX_IDLE)]:
        reply.read(100)
    # The oldest went first.
    assert sorted(world.origin.used[-MAX_IDLE:]) == list(range(4, MAX_IDLE + 4))


# From several threads


def test_threads_do_not_get_in_each_others_way(world: World) -> None:
    found: list[bytes] = []
    world.origin.script(*(answer(f"{number:04}".encode() * 1000) for number in range(100)))

    def fetch() -> None:
        for _ in range(25):
            found.append(world.get())

    threads = [threading.Thread(target=fetch) for _ in range(MAX_IDLE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 100
    assert all(re.fullmatch(rb"(\d{4})\1{999}", body) for body in found)
    assert len({body[:4] for body in found}) == 100
    assert world.origin.connections <= MAX_IDLE


def test_closing_spares_what_is_in_use_and_keeps_nothing(world: World) -> None:
    world.get()
    world.origin.script(answer(bytes(300_000)))
    reply = world.send()
    world.connections.close()
    assert len(b"".join(iter(lambda: reply.read(10_000), b""))) == 300_000
    assert world.idle() == []
    with pytest.raises(OSError, match="closed"):
        world.send()


@pytest.mark.parametrize(
    ("reply", "used"),
    [
        (answer(bytes(1000)), [1, 1]),
        (answer(bytes(10_000)), [1, 2]),
        (answer(b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked", sized=False), [1, 1]),
        (Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "close"), [1, 2]),
    ],
)
def test_a_short_rest_is_read_for_the_connections_sake(world: World, reply: Answer, used: list[int]) -> None:
    world.origin.script(reply)
    response = world.send()
    response.drain(5000)
    assert response.closed
    world.get()
    assert world.origin.used == used


@pytest.mark.slow
def test_two_thousand_requests_leave_nothing_behind(world: World) -> None:
    def some(number: int) -> None:
        world.origin.script(
            *(answer() for _ in range(5)),
            answer(b"", "Content-Length: 5", sized=False),  # for HEAD
            answer(bytes(200_000)),
            Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "close"),
        )
        for _ in range(5):
            world.get()
        world.send(method="HEAD")
        world.send().close()
        with pytest.raises(http.client.IncompleteRead):
            world.get()

    for number in range(5):
        some(number)
    before = open_files()
    for number in range(250):
        some(number)
    assert open_files() < before + 10


def test_where_there_is_no_poll_select_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll")  # as on Windows
    world.get()
    world.get()
    assert world.origin.used == [1, 1]
    world.connections.close()
