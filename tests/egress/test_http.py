"""Heads of requests: whatever arrives, what goes on is one plain request; with hypothesis."""

from __future__ import annotations

import contextlib

import h11
import pytest
from hypothesis import example, given, strategies

from downloader.egress.http import Malformed, Request, basic, parse_request, proxy_response, request_head, response_head

#: What heads are made of, and what they should not be made of.
PIECES = strategies.sampled_from([
    *("GET ", "POST ", "CONNECT ", "http://", "site.example", "127.0.0.1", ":80", ":443", "/", "?a=b", " HTTP/1.1"),
    *("Host: ", "Content-Length: ", "5", "Transfer-Encoding: chunked", "Connection: ", "close", "X: y", " ", "\t"),
    *("\r\n", "\n", "\r", "\x00", "@", "\\", "#", "[::1]", "%", ":", ",", "\xff"),
    *("Proxy-Authorization: ", basic("a", "b")),
])  # fmt: skip
HEADS = strategies.lists(PIECES, max_size=25).map("".join)


@given(HEADS)
@example("GET http://site.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5")
@example("GET http://site.example/ HTTP/1.1\r\nX: \x85y\r\nContent-Length: 5")
def test_whatever_is_understood_goes_on_as_one_plain_request(text: str) -> None:
    try:
        request = parse_request(text.encode("latin-1") + b"\r\n\r\n")
    except Malformed:
        return
    if request.is_tunnel or request.foreign_scheme:
        return
    for absolute in (False, True):
        head = request_head(request, absolute=absolute)
        reader = h11.Connection(h11.SERVER)  # another parser must see the same
        reader.receive_data(head)
        event = reader.next_event()
        assert isinstance(event, h11.Request)
        names = [name for name, _ in event.headers]
        assert names.count(b"host") == 1
        assert not [name for name in names if name.startswith(b"proxy-") or name == b"transfer-encoding"]
        lengths = [int(value) for name, value in event.headers if name == b"content-length"]
        assert lengths in ([], [request.body_bytes])
        assert reader.trailing_data == (b"", False)


@given(strategies.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    for read in (parse_request, response_head):
        with contextlib.suppress(Malformed):
            read(data + b"\r\n\r\n")


@given(strategies.text(max_size=30).filter(lambda user: ":" not in user), strategies.text(max_size=30))
def test_a_credential_is_read_as_it_was_written(user: str, password: str) -> None:
    try:
        header = basic(user, password)
    except UnicodeEncodeError:
        return
    request = parse_request(f"CONNECT a.example:443 HTTP/1.1\r\nProxy-Authorization: {header}\r\n\r\n".encode())
    assert request.credential == (user, password)


def test_the_default_port_is_not_written_and_others_are() -> None:
    for port, host in ((80, b"site.example"), (8080, b"site.example:8080")):
        request = Request(method="GET", host="site.example", port=port, path="/a")
        assert request_head(request) == b"GET /a HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        assert request_head(request, absolute=True).startswith(b"GET http://" + host + b"/a HTTP/1.1\r\n")


def test_an_answer_of_our_own_is_whole() -> None:
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(proxy_response(403, "no", [("X-Egress-Refused", "blocked_address")]))
    response = reader.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == 403
    assert isinstance(reader.next_event(), h11.Data)
    assert isinstance(reader.next_event(), h11.EndOfMessage)


@pytest.mark.parametrize("first", ["HTTP/1.1 200 \rX-Egress-Refused: x", "HTTP/1.1 200 O\rK", "HTTP/1.1 2\r00 OK"])
def test_a_line_end_that_only_some_take_for_one_is_refused_in_an_answers_first_line_too(first: str) -> None:
    with pytest.raises(Malformed):
        response_head(f"{first}\r\nX: y\r\n\r\n".encode())
