"""Requests that are ambiguous or too large: refused, and the rest of the body drained."""

from __future__ import annotations

import contextlib
import http.client
import json

import pytest

from tests.real_server import Server
from tests.server.connections import connected, response_on


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
def test_oversized_requests_are_refused_early(shared_server: Server, head: bytes, status: int) -> None:
    with connected(shared_server) as sock:
        with contextlib.suppress(ConnectionError):  # it may have hung up before it had all of it
            sock.sendall(head)
        assert response_on(sock)[0] == status
    assert shared_server.ask("GET", "/healthz")[0] == 200


def test_a_body_without_an_end_is_cut_off(shared_server: Server) -> None:
    with connected(shared_server) as sock:
        sock.sendall(b"POST /download HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(6000):  # 400 MB
                sock.sendall(chunk)
            pytest.fail("it took all of it")
    assert shared_server.ask("GET", "/healthz")[0] == 200


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
def test_ambiguous_framing_is_refused(shared_server: Server, head: bytes, body: bytes) -> None:
    with connected(shared_server) as sock:
        sock.sendall(head.replace(b"POST / ", b"POST /detect-platform ") + b"\r\n\r\n" + body)
        status, answer = response_on(sock)
        assert (status, list(answer)) == (400, ["error"])


@pytest.mark.parametrize("megabytes", [5, 17, 200])
@pytest.mark.parametrize("encode_chunked", [False, True])
def test_a_body_that_is_too_large_gets_its_response_at_any_size(
    shared_server: Server, megabytes: int, encode_chunked: bool
) -> None:
    """A client that looks for an answer only when all is sent gets it too."""
    connection = http.client.HTTPConnection("127.0.0.1", shared_server.port, timeout=50)
    with contextlib.closing(connection):
        headers = {"Transfer-Encoding": "chunked"} if encode_chunked else {"Content-Length": str(megabytes * 10**6)}
        body = (b"a" * 10**6 for _ in range(megabytes))
        connection.request("POST", "/download/batch", body, headers, encode_chunked=encode_chunked)
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["error"]) == (
            413, "The request is too large: send fewer URLs at once, or raise DOWNLOADER_MAX_REQUEST_BYTES."
        )  # fmt: skip


def test_a_client_that_expects_continue_is_refused_before_sending(shared_server: Server) -> None:
    with connected(shared_server) as sock:
        sock.sendall(b"POST /download HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n"
                     b"Expect: 100-continue\r\n\r\n")  # fmt: skip
        assert response_on(sock)[0] == 413
