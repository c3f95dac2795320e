"""The guard's HTTP: what is understood goes on as one plain request, and every other parser sees that one too."""

from __future__ import annotations

import re
from contextlib import nullcontext
from urllib.parse import urlsplit

import h11

from downloader.egress.http import END_OF_HEAD, Malformed, Request, basic, parse_request, request_head, response_head
from fuzz.runner import Finding, Target


def check(text: str) -> bool:
    """Tell whether *text* is understood as the head of a request; see whether that is right."""
    head = text.encode("latin-1", "replace")
    _check_answer(head)
    try:
        request = parse_request(head)
    except Malformed:
        return False
    if request.foreign_scheme:
        return True
    if not 0 < request.port < 65536 or not request.host:
        raise Finding(f"understood as {request}")
    if not request.is_tunnel:
        _check_same(head, request)
        for absolute in (False, True):
            _check_written(request, absolute=absolute)
    return True


def _check_same(head: bytes, request: Request) -> None:
    """See that whoever else understands what was sent understands the same."""
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(head if head.endswith(END_OF_HEAD) else head + END_OF_HEAD)
    try:
        event = reader.next_event()
    except h11.RemoteProtocolError:
        return  # stricter than we are: it wants a Host, for one
    if not isinstance(event, h11.Request):
        raise Finding(f"h11 sees {event!r}")
    if event.method.decode() != request.method:
        raise Finding(f"the method is {event.method!r} to h11")
    lengths = {int(value) for name, value in event.headers if name == b"content-length"}
    if lengths - {request.body_bytes}:
        raise Finding(f"the body is {lengths} long to h11, and {request.body_bytes} to us")
    try:
        target = urlsplit(event.target.decode())
        host, port = target.hostname, target.port or 80
    except ValueError:
        return  # brackets without an IPv6 address, which the rules of what may be reached are for
    if ((host or "").lower(), port) != (request.host.lower(), request.port):
        raise Finding(f"the target is {event.target!r}, understood as {request.authority}")


def _check_written(request: Request, *, absolute: bool) -> None:
    """See that h11 reads what is passed on as this one request, and nothing after it."""
    written = request_head(request, absolute=absolute)
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(written + b"x" * request.body_bytes if request.body_bytes < 1_000_000 else written)
    event = reader.next_event()
    if not isinstance(event, h11.Request) or event.method.decode() != request.method:
        raise Finding(f"passed on as {written!r}, which is {event!r} to h11")
    target = event.target.decode()
    start = re.match(r"http://[^/?#@]+", target) if absolute else None
    if target[start.end() if start else 0 :] != request.path or (absolute and start is None):
        raise Finding(f"passed on with the target {target!r}")
    _check_headers(event, request, written)
    if request.body_bytes < 1_000_000:
        _check_nothing_follows(reader, request, written)


def _check_headers(event: h11.Request, request: Request, written: bytes) -> None:
    names = [name for name, _ in event.headers]
    if names.count(b"host") != 1 or dict(event.headers)[b"host"].decode() not in (
        request.authority,
        request.authority.removesuffix(":80"),
    ):
        raise Finding(f"passed on for another host: {written!r}")
    if any(name.startswith(b"proxy-") or name in (b"transfer-encoding", b"upgrade", b"te") for name in names):
        raise Finding(f"passed on with what was for us: {written!r}")
    lengths = [int(value) for name, value in event.headers if name == b"content-length"]
    if lengths not in ([], [request.body_bytes]):
        raise Finding(f"passed on with another length: {written!r}")


def _check_nothing_follows(reader: h11.Connection, request: Request, written: bytes) -> None:
    body = 0
    while True:
        event = reader.next_event()
        if isinstance(event, h11.Data):
            body += len(event.data)
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            raise Finding(f"{written!r} has no end to h11: {event!r}")
    if body != request.body_bytes or reader.trailing_data != (b"", False):
        raise Finding(f"something follows: {written!r}")


def _check_answer(head: bytes) -> None:
    try:
        status, written = response_head(head)
    except Malformed:
        return
    lines = written.split(b"\r\n")
    if lines[-2:] != [b"", b""] or b"" in lines[:-2] or any(b"\n" in line or b"\r" in line for line in lines):
        raise Finding(f"an answer is passed on as {written!r}")
    if not 100 <= status < 600 or any(line.lower().startswith(b"x-egress-") for line in lines):
        raise Finding(f"an answer speaks for us: {written!r}")


HTTP_HEAD = Target(
    name="http_head",
    open=lambda: nullcontext(check),
    share=20,
    pieces=(
        *("GET ", "POST ", "HEAD ", "CONNECT ", "PATCH ", "get ", "http://", "HTTP://", "https://", "ftp://", "//"),
        *("site.example", "127.0.0.1", "[::1]", "[fe80::1%25eth0]", "[abc]", ":80", ":443", ":0", ":65536", ":00080"),
        *("/", "?a=b", "/x?y#z", "#", "@", "u:p@", "\\", "%0d%0a", " HTTP/1.1", " HTTP/1.0", " HTTP/2.0", " HTTP/1.1 "),
        *("Host: ", "Host:", "host: x\r\n", "Content-Length: ", "Content-Length: 5\r\n", "5", "+5", "5, 5", "0x5"),
        *("Transfer-Encoding: chunked\r\n", "Transfer-Encoding : chunked\r\n", "Transfer-Encoding:\x0bchunked\r\n"),
        *(
            "Connection: ",
            "Connection: host, content-length\r\n",
            "close",
            "keep-alive",
            "Upgrade: h2c\r\n",
            "TE: x\r\n",
        ),
        *("Proxy-Authorization: ", basic("a", "b"), "Proxy-Connection: close\r\n", "X-Egress-Refused: x\r\n"),
        *(
            "X: y\r\n",
            " folded",
            "\r\n ",
            "\r\n\t",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "\r",
            "\x00",
            "\x85",
            "\xa0",
            "\xff",
            ":",
        ),
        *(
            "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 302 \r\n",
        ),
    ),
    corpus=(
        "GET http://site.example/a?b=c HTTP/1.1\r\nHost: site.example\r\nX: y\r\nConnection: keep-alive\r\n\r\n",
        "POST http://site.example:80 HTTP/1.0\r\nHost: site.example\r\nContent-Length: 5\r\nConnection: X\r\n\r\n",
        "GET http://[2606:4700::1]:443?q HTTP/1.1\r\nHost: x\r\nProxy-Authorization: " + basic("a", "b") + "\r\n\r\n",
        "CONNECT site.example:443 HTTP/1.1\r\nHost: site.example:443\r\n\r\n",
        "HEAD http://site.example/ HTTP/1.1\r\nHost: site.example\r\nAccept: */*\r\nTE: trailers\r\n\r\n",
        "GET ftp://site.example/ HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
        "HTTP/1.0 302\nLocation: http://evil.example/\n folded\r\n\r\n",
    ),
)
