"""Whoever sends too much, too slowly or too often gets what is due, and the server keeps answering."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.wsgi import ClosingIterator

from downloader.server import wsgi as wsgi_server
from downloader.server.wsgi import WsgiServer, listen
from tests.real_server import Server


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def answer_to(sock: socket.socket) -> tuple[int, Any]:
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer.status, json.loads(answer.read())


def test_slow_clients_hold_up_nobody(server: Server) -> None:
    """More of them than there are threads; each has sent a part of its head, or of its body."""
    parts = [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"POST /download HTTP/1.1\r\nHost: localhost\r\n"
             b"Content-Length: 1000\r\n\r\n{"]  # fmt: skip
    with contextlib.ExitStack() as slow:
        for number in range(500):
            sock = connected(server)
            slow.callback(sock.close)
            sock.sendall(parts[number % 2])
        assert server.ask("GET", "/healthz", timeout_seconds=5)[0] == 200
        assert server.ask("POST", "/detect-platform", {"url": "https://youtu.be/1"}, timeout_seconds=5)[0] == 200


def test_more_than_a_thousand_idle_connections_hold_up_nobody(server: Server) -> None:
    with contextlib.ExitStack() as idle:
        for _ in range(1200):
            sock = connected(server)
            idle.callback(sock.close)
        assert server.ask("GET", "/healthz", timeout_seconds=5)[0] == 200


def test_who_asks_on_and_takes_nothing_holds_no_thread() -> None:
    """A second request that came along waits for nobody: it is not answered while the first answer is unsent."""
    made = threading.Event()
    giant = b"a" * 32 * 1024**2  # more than systems buffer

    def app(environ: dict[str, Any], start: Any) -> Any:
        start("200 OK", [("Content-Length", str(len(giant)))])
        return ClosingIterator([giant], made.set)

    web = WsgiServer(app, listen("127.0.0.1", 0), max_request_bytes=1024)
    web.start()
    try:
        with socket.create_connection(("127.0.0.1", web.port), timeout=20) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
            assert made.wait(20)
            answers = b"".join(iter(lambda: sock.recv(1024**2), b""))
    finally:
        web.close(5)
    assert answers.startswith(b"HTTP/1.1 200 OK")
    assert answers.partition(b"\r\n\r\n")[2] == giant


def test_who_takes_all_connections_gives_some_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that say too little go, the oldest first; not those that are being answered."""
    monkeypatch.setattr(wsgi_server, "MAX_CONNECTIONS", 40)
    asked, go_on = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            asked.set()
            go_on.wait(20)
        start("200 OK", [("Content-Length", "2")])
        return [b"{}"]

    web = WsgiServer(app, listen("127.0.0.1", 0), max_request_bytes=1024)
    web.start()

    def opened(sent: bytes) -> socket.socket:
        sock = opened_ones.enter_context(socket.create_connection(("127.0.0.1", web.port), timeout=10))
        sock.sendall(sent)
        return sock

    with contextlib.ExitStack() as opened_ones:
        opened_ones.callback(web.close, 5)
        slow = opened(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert asked.wait(10)
        for _ in range(100):
            opened(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        assert answer_to(opened(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) == (200, {})
        go_on.set()
        assert answer_to(slow) == (200, {})


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Giant: " + b"a" * 2_000_000, 431),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Giant: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"POST /download HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n", 413),
        (b"POST /download HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /download HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_giants_are_refused_as_soon_as_they_are_known(server: Server, head: bytes, status: int) -> None:
    with connected(server) as sock:
        with contextlib.suppress(ConnectionError):  # it may have hung up before it had all of it
            sock.sendall(head)
        assert answer_to(sock)[0] == status
    assert server.ask("GET", "/healthz")[0] == 200


def test_a_body_without_an_end_is_cut_off(server: Server) -> None:
    with connected(server) as sock:
        sock.sendall(b"POST /download HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(6000):  # 400 MB
                sock.sendall(chunk)
            pytest.fail("it took all of it")
    assert server.ask("GET", "/healthz")[0] == 200


SMALL = b'{"url":"https://youtu.be/1"}'


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 28\r\nTransfer-Encoding: chunked",
                     b"1c\r\n" + SMALL + b"\r\n0\r\n\r\n", id="two lengths"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 28",
                     b"1c\r\n" + SMALL + b"\r\n0\r\n\r\n", id="two lengths, the other way round"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 28\r\nTransfer-Encoding:", SMALL,
                     id="two lengths, one of them empty"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 28\r\nTransfer-Encoding: ,", SMALL,
                     id="two lengths, one of them a list of none"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked",
                     b"1c\r\n" + SMALL + b"\r\n0\r\n\r\n", id="chunks in chunks"),
        pytest.param(b"POST / HTTP/1.0\r\nHost: localhost\r\nContent-Length: 28\r\nTransfer-Encoding: chunked", SMALL,
                     id="chunks in 1.0"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 28\r\nContent-Length: 27", SMALL,
                     id="one length twice"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +28", SMALL, id="a sign"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length : 28", SMALL, id="a blank in a name"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 28\r\n X: y", SMALL, id="a folded line"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 28", SMALL, id="no host"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: localhost\r\nHost: other\r\nContent-Length: 28", SMALL, id="two hosts"),
        pytest.param(b"GET /healthz HTTP/9.9\r\nHost: localhost", b"", id="9.9"),
        pytest.param(b"GET /healthz HTTP/2.0\r\nHost: localhost", b"", id="2.0"),
        pytest.param(b"GET /healthz HTTP/1.2\r\nHost: localhost", b"", id="1.2"),
        pytest.param(b"GET /healthz\r\nHost: localhost", b"", id="no version"),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(server: Server, head: bytes, body: bytes) -> None:
    with connected(server) as sock:
        sock.sendall(head.replace(b"POST / ", b"POST /detect-platform ") + b"\r\n\r\n" + body)
        status, answer = answer_to(sock)
        assert (status, list(answer)) == (400, ["error"])


@pytest.mark.parametrize("megabytes", [5, 17, 200])
@pytest.mark.parametrize("encode_chunked", [False, True])
def test_a_body_that_is_too_large_is_told_so_at_any_size(server: Server, megabytes: int, encode_chunked: bool) -> None:
    """A client that looks for an answer only when all is sent gets it too."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=50)
    with contextlib.closing(connection):
        headers = {"Transfer-Encoding": "chunked"} if encode_chunked else {"Content-Length": str(megabytes * 10**6)}
        body = (b"a" * 10**6 for _ in range(megabytes))
        connection.request("POST", "/download/batch", body, headers, encode_chunked=encode_chunked)
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["error"]) == (
            413, "The request is too large: send fewer URLs at once, or raise DOWNLOADER_MAX_REQUEST_BYTES."
        )  # fmt: skip


def test_who_asks_before_sending_is_told_before(server: Server) -> None:
    with connected(server) as sock:
        sock.sendall(b"POST /download HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n"
                     b"Expect: 100-continue\r\n\r\n")  # fmt: skip
        assert answer_to(sock)[0] == 413


def test_ten_thousand_tiny_requests_are_answered(server: Server) -> None:
    def send(_: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=50)
        statuses = []
        with contextlib.closing(connection):
            for number in range(1000):
                connection.request("GET", "/healthz" if number % 10 else "/rubbish")
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
        return statuses

    with ThreadPoolExecutor(10) as pool:
        sent = pool.map(send, range(10))
        assert server.ask("GET", "/healthz", timeout_seconds=5)[0] == 200
        statuses = [status for some in sent for status in some]
    assert len(statuses) == 10_000
    assert statuses.count(200) == 9000
    assert statuses.count(404) == 1000
