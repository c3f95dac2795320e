"""The handler for plain requests, against a scripted server; yt-dlp's own for `requests` is the specification."""

from __future__ import annotations

import contextlib
import gzip
import http.cookiejar
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import yt_dlp
from yt_dlp.networking import Request
from yt_dlp.networking._requests import RequestsRH
from yt_dlp.networking.exceptions import HTTPError, RequestError

from downloader.errors import ErrorCode
from downloader.ytdlp.errors import classify
from downloader.ytdlp.transport import Transport
from tests.tls_world import Answer, Egress, Seen, answer, client_context, egress, redirect

URL = "https://site.example/page"
TIMEOUT_SECONDS = 2.0
MEGABYTE = 1024**2


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a request."""

    status: int
    body: bytes
    url: str
    #: Method, path, headers in their order, and body of each request.
    sent: list[tuple[str, str, list[tuple[str, str]], bytes]]
    error: tuple[str, bool] | None = None  #: its type, and whether it is a redirect loop
    cookies: frozenset[tuple[str, str | None]] = frozenset()


class World:
    """A scripted origin behind a proxy, and a YoutubeDL for each of the handlers."""

    def __init__(self, origin: Any, way: Egress) -> None:
        self.origin = origin
        self.way = way
        self.transport = Transport(way.grant().url)
        self.reference = way.grant()

    def ydl(self, kind: str = "ours", **options: Any) -> Any:
        ydl = yt_dlp.YoutubeDL({"quiet": True, "socket_timeout": TIMEOUT_SECONDS, **options}, auto_init=False)
        if kind == "ours":
            self.transport.install(ydl)
        else:
            ydl.params["proxy"] = self.reference.url
            ydl._request_director = ydl.build_request_director([RequestsRH])
        for handler in ydl._request_director.handlers.values():
            handler._make_sslcontext = lambda **_: client_context()
        return ydl

    def open(self, request: Any, **options: Any) -> Any:
        """Return the response; the YoutubeDL is left alone, as yt-dlp leaves responses alone."""
        return self.ydl(**options).urlopen(request)

    def result(self, kind: str, request: Any, *answers: Answer, cookies: dict[str, str] | None = None) -> Result:
        """Send *request* by one of the handlers; return all that can be seen of it."""
        self.origin.seen.clear()
        self.origin.answers.clear()
        self.origin.script(*answers)
        error = None
        with self.ydl(kind) as ydl:
            for host, value in (cookies or {}).items():
                ydl.cookiejar.set_cookie(cookie("a", value, host))
            try:
                response = ydl.urlopen(request)
            except HTTPError as refused:
                response, error = refused.response, ("HTTPError", refused.redirect_loop)
            except RequestError as failure:
                jar = frozenset((each.name, each.value) for each in ydl.cookiejar)
                return Result(0, b"", "", sent(self.origin.seen), (type(failure).__name__, False), jar)
            try:
                body = response.read()
            except RequestError as failure:
                body, error = b"", (type(failure).__name__, False)
            response.close()
            jar = frozenset((each.name, each.value) for each in ydl.cookiejar)
            return Result(response.status, body, response.url, sent(self.origin.seen), error, jar)


def sent(seen: list[Seen]) -> list[tuple[str, str, list[tuple[str, str]], bytes]]:
    # Both ask for what they can decompress. Where a redirect is followed with its body, `requests` has another order.
    headers = [list({**each.headers, "accept-encoding": ""}.items()) for each in seen]
    headers[1:] = map(sorted, headers[1:])
    return [(each.method, each.path, named, each.body) for each, named in zip(seen, headers, strict=True)]


def cookie(name: str, value: str, host: str) -> http.cookiejar.Cookie:
    domain = (host, False, host.startswith("."))
    return http.cookiejar.Cookie(0, name, value, None, False, *domain, "/", True, True, None, False, None, None, {})


@pytest.fixture
def world() -> Iterator[World]:
    with egress() as (origin, way):
        world = World(origin, way)
        with closing(world.transport):
            yield world


# As yt-dlp's own


def packed(body: bytes, coding: str, data: bytes) -> Answer:
    return answer(data, f"Content-Encoding: {coding}")


def sending(method: str) -> Any:
    return Request(URL, data=b"data", method=method, headers={"X-A": "1"})


TEXT = b"some text, and " * 1000

CASES: dict[str, tuple[Callable[[], Any], list[Answer]]] = {
    "get": (lambda: Request(URL), [answer(TEXT)]),
    "query and fragment": (lambda: Request(f"{URL}?a=b%20c&d#e", query={"f": "g h"}), []),
    "headers": (lambda: Request(URL, headers={"X-Ab": "1", "referer": "https://x.example/", "Empty": ""}), []),
    "a port": (lambda: Request("https://site.example:443/x"), []),
    "userinfo": (lambda: Request("https://ada:pw@site.example/x"), []),
    "plain": (lambda: Request("http://site.example/x?y#z"), []),
    "head": (lambda: Request(URL, method="HEAD"), [answer(b"", "Content-Length: 9", sized=False)]),
    "post": (lambda: Request(URL, data=b"a=b"), []),
    "post of json": (lambda: Request(URL, data=b"{}", headers={"Content-Type": "application/json"}), []),
    "post of nothing": (lambda: Request(URL, data=b""), []),
    "put": (lambda: Request(URL, data=b"x", method="PUT"), []),
    "range": (lambda: Request(URL, headers={"Range": "bytes=5-"}), [answer(b"x", status="206 Partial Content")]),
    "no content": (lambda: Request(URL), [answer(b"", status="204 No Content", sized=False)]),
    "not modified": (lambda: Request(URL), [answer(b"", status="304 Not Modified", sized=False)]),
    "chunks": (
        lambda: Request(URL),
        [answer(b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked", sized=False)],
    ),
    "until the end": (lambda: Request(URL), [Answer(b"HTTP/1.1 200 OK\r\n\r\nhello", "close")]),
    "gzip": (lambda: Request(URL), [packed(TEXT, "gzip", gzip.compress(TEXT))]),
    "x-gzip": (lambda: Request(URL), [packed(TEXT, "x-gzip", gzip.compress(TEXT))]),
    "GZIP": (lambda: Request(URL), [packed(TEXT, "GZIP", gzip.compress(TEXT))]),
    "gzip in parts": (lambda: Request(URL), [packed(TEXT, "gzip", gzip.compress(TEXT) + gzip.compress(b"more"))]),
    "gzip and rubbish": (lambda: Request(URL), [packed(TEXT, "gzip", gzip.compress(TEXT) + b"rubbish")]),
    "gzip of nothing": (lambda: Request(URL), [packed(b"", "gzip", gzip.compress(b""))]),
    "no gzip at all": (lambda: Request(URL), [packed(b"", "gzip", b"")]),
    "deflate": (lambda: Request(URL), [packed(TEXT, "deflate", zlib.compress(TEXT))]),
    "raw deflate": (lambda: Request(URL), [packed(TEXT, "deflate", zlib.compress(TEXT, wbits=-15))]),
    "identity": (lambda: Request(URL), [packed(TEXT, "identity", TEXT)]),
    "broken gzip": (lambda: Request(URL), [packed(TEXT, "gzip", b"not gzip at all")]),
    "404": (lambda: Request(URL), [answer(b"gone", status="404 Not Found")]),
    "429": (lambda: Request(URL), [answer(b"wait", "Retry-After: 7", status="429 Too Many Requests")]),
    "299": (lambda: Request(URL), [answer(b"odd", status="299 Odd")]),
    "300": (lambda: Request(URL), [redirect("/x", "300 Multiple Choices")]),
    "redirect to nowhere": (lambda: Request(URL), [answer(b"", status="302 Found")]),
    "redirects": (lambda: Request(URL), [redirect("/a?b"), redirect("c#d"), redirect("https://other.example/e")]),
    "redirect to plain": (lambda: Request(URL), [redirect("http://site.example/a")]),
    "redirect without a scheme": (lambda: Request(URL), [redirect("//other.example/a")]),
    "redirect with dots": (lambda: Request(URL), [redirect("https://site.example/a/../b/./c")]),
    "redirect with spaces": (lambda: Request(URL), [redirect("/a b")]),
    "redirect in UTF-8": (lambda: Request(URL), [redirect("/vidéo".encode().decode("latin-1"))]),
    "redirect with escapes": (lambda: Request(URL), [redirect("/a%2fb%2Fc")]),
    "redirect to a fragment": (lambda: Request(f"{URL}#old"), [redirect("/a#new")]),
    "redirect, fragment inherited": (lambda: Request(f"{URL}#old"), [redirect("/a")]),
    "redirect of head": (lambda: Request(URL, method="HEAD"), [redirect("/a", "303 See Other", body=b"")]),
    **{
        f"redirect of {method} by {status}": (partial(sending, method), [redirect("/a", f"{status} X")])
        for method in ("POST", "PUT")
        for status in (301, 302, 303, 307, 308)
    },
    "authorization on one host": (lambda: Request(URL, headers={"Authorization": "secret"}), [redirect("/a")]),
    "authorization elsewhere": (
        lambda: Request(URL, headers={"Authorization": "secret"}),
        [redirect("https://other.example/a")],
    ),
    "authorization in the clear": (
        lambda: Request(URL, headers={"Authorization": "secret"}),
        [redirect("http://site.example/a")],
    ),
    "cookies of a redirect": (
        lambda: Request(URL),
        [redirect("https://other.example/a", "302 Found", "Set-Cookie: new=1"), redirect(URL)],
    ),
    "cookies that end": (
        lambda: Request(URL),
        [answer(b"", "Set-Cookie: a=; Max-Age=0", "Set-Cookie: b=2; Path=/; Secure")],
    ),
    "a cookie for another host": (lambda: Request(URL), [answer(b"", "Set-Cookie: c=1; Domain=other.example")]),
    "a cookie header": (lambda: Request(URL, headers={"Cookie": "mine=1"}), [redirect("/a")]),
    "a cookie header elsewhere": (
        lambda: Request(URL, headers={"Cookie": "mine=1"}),
        [redirect("https://other.example/a")],
    ),
    "short": (lambda: Request(URL), [Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "close")]),
    "short chunks": (
        lambda: Request(URL),
        [Answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", "close")],
    ),
    "nonsense": (lambda: Request(URL), [Answer(b"NONSENSE\r\n\r\n", "close")]),
    "huge header": (lambda: Request(URL), [Answer(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999 + b"\r\n\r\n", "close")]),
    "a name that is refused": (lambda: Request("https://10.0.0.1/"), []),
    "an unknown name": (lambda: Request("https://nowhere.example/"), []),
    "a name that is not the certificate's": (lambda: Request("https://93.184.216.34/"), []),
    "an odd port": (lambda: Request("https://site.example:8443/"), []),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.thorough
def test_it_does_as_the_handler_for_requests(world: World, name: str) -> None:
    request, answers = CASES[name]
    cookies = {"site.example": "1", "other.example": "2"}
    theirs = world.result("theirs", request(), *answers, cookies=cookies)
    assert world.result("ours", request(), *answers, cookies=cookies) == theirs
    assert theirs.sent or theirs.error


# Better


@pytest.mark.parametrize(
    ("url", "reply", "error", "code"),
    [
        (URL, Answer(b"", "close"), "TransportError", "network"),
        (URL, Answer(b"", "reset"), "TransportError", "network"),
        (URL, Answer(b"", "hang"), "TransportError", "timeout"),
        (URL, Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "hang"), "TransportError", "timeout"),
        (URL, Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "close"), "IncompleteRead", "network"),
        (URL, packed(b"", "gzip", gzip.compress(TEXT)[:-9]), "TransportError", "network"),
        (URL, packed(b"", "gzip", b"\x1f\x8brubbish"), "TransportError", "network"),
        (URL, redirect("https://10.0.0.1/"), "ProxyError", "blocked_address"),
        ("https://127.0.0.1/", answer(), "ProxyError", "blocked_address"),
        ("http://127.0.0.1/", answer(), "HTTPError", "blocked_address"),
        ("https://nowhere.example/", answer(), "ProxyError", "network"),
        ("https://93.184.216.34/", answer(), "CertificateVerifyError", "network"),
        (URL, answer(b"", status="429 Slow Down"), "HTTPError", "rate_limited"),
    ],
)
def test_what_went_wrong_is_told(world: World, url: str, reply: Answer, error: str, code: ErrorCode) -> None:
    world.origin.script(reply)
    with pytest.raises(RequestError) as raised, world.ydl(socket_timeout=2) as ydl:
        ydl.urlopen(url).read()
    assert type(raised.value).__name__ == error
    assert classify(raised.value).code == code


@pytest.mark.parametrize(
    "target",
    [
        *("ftp://site.example/a", "file:///etc/hostname", "data:text/plain,x", "javascript:x", "HTTPX://x/"),
        *("https://[bad/", "https://site.example:99999/", "https://a..b.example/", f"https://{'a' * 70}.example/"),
        "https://site.example:x/",
    ],
)
def test_a_redirect_that_leads_nowhere_is_an_error(world: World, target: str) -> None:
    """An error of the request, at that: after any other, yt-dlp tries its other handlers."""
    world.origin.script(redirect(target))
    with pytest.raises(RequestError) as error, world.ydl() as ydl:
        ydl.urlopen(URL)
    assert type(error.value) is RequestError
    assert classify(error.value).code == "platform_changed"
    assert len(world.origin.seen) == 1


def test_a_loop_ends(world: World) -> None:
    world.origin.script(*[redirect("/again", body=b"body of the redirect")] * 50)
    with pytest.raises(HTTPError) as error, world.ydl() as ydl:
        ydl.urlopen(URL)
    assert (error.value.status, error.value.redirect_loop) == (302, True)
    assert error.value.response.read() == b""
    assert classify(error.value).code == "login_required"
    assert len(world.origin.seen) == 20
    assert set(world.origin.used) == {1}


@pytest.mark.parametrize("size", [1, 7, 258, 1000, 100_000, None, -1])
@pytest.mark.parametrize("wbits", [31, 15, -15])
@pytest.mark.parametrize("text", [b"a" * 3000, TEXT, b"\0" * 300_000, b"x"])
@pytest.mark.thorough
def test_the_size_of_blocks_makes_no_difference(world: World, size: int | None, wbits: int, text: bytes) -> None:
    text = text[:5000] if size in (1, 7) else text
    world.origin.script(packed(b"", "gzip" if wbits == 31 else "deflate", zlib.compress(text, wbits=wbits)))
    with world.ydl() as ydl:
        response = ydl.urlopen(URL)
        assert response.read(0) == b""
        if size is None or size < 0:
            assert response.read(size) == text
        else:
            blocks = list(iter(lambda: response.read(size), b""))
            assert b"".join(blocks) == text
            assert max(map(len, blocks)) <= size
        assert response.read(10) == b""


@pytest.mark.thorough
def test_a_bomb_is_not_unpacked_beyond_what_is_read(world: World) -> None:
    inflate = zlib.compressobj(wbits=31)
    bomb = b"".join([*(inflate.compress(bytes(MEGABYTE)) for _ in range(200)), inflate.flush()])
    world.origin.script(packed(b"", "gzip", bomb))
    with world.ydl() as ydl:
        response = ydl.urlopen(URL)
        tracemalloc.start()
        assert len(response.read(MEGABYTE)) <= MEGABYTE
        assert response.read(MEGABYTE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        response.close()
    assert peak < 6 * MEGABYTE


def test_brotli_that_no_one_asked_for_is_left_packed(world: World) -> None:
    world.origin.script(packed(b"", "br", b"\x0b\x02\x80hello\x03"))
    with world.ydl() as ydl:
        assert ydl.urlopen(URL).read() == b"\x0b\x02\x80hello\x03"
    assert world.origin.seen[0].headers["accept-encoding"] == "gzip, deflate"


# Kept from one to the next


def test_one_youtubedl_after_the_other_uses_the_same_connection(world: World) -> None:
    for name in ("ada", "bob"):
        world.origin.script(answer(b"", f"Set-Cookie: {name}=1"), answer())
        with world.ydl(http_headers={"X-User": name}) as ydl:
            ydl.urlopen(URL).read()
            ydl.urlopen(URL).read()
    assert world.origin.used == [1, 1, 1, 1]
    assert [seen.headers.get("cookie") for seen in world.origin.seen] == [None, "ada=1", None, "bob=1"]
    assert [seen.headers["x-user"] for seen in world.origin.seen] == ["ada", "ada", "bob", "bob"]


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_responses_that_no_one_reads_do_no_harm(world: World, status: str) -> None:
    with world.ydl() as ydl:
        for _ in range(5):
            world.origin.script(answer(b"unread", status=status), answer(b"read"))
            with contextlib.suppress(HTTPError):
                ydl.urlopen(URL)
            assert ydl.urlopen(URL).read() == b"read"
        world.origin.script(*[answer(b"", "Content-Length: 9", sized=False)] * 5)
        used = world.origin.used[-1]
        for _ in range(5):
            ydl.urlopen(Request(URL, method="HEAD"))
    assert world.origin.used[-5:] == [used] * 5


def test_a_post_is_not_sent_twice(world: World) -> None:
    with world.ydl() as ydl:
        ydl.urlopen(URL).read()
        world.origin.script(Answer(b"", "close"))
        with pytest.raises(RequestError):
            ydl.urlopen(Request(URL, data=b"data"))
    assert [seen.method for seen in world.origin.seen] == ["GET", "POST"]


def test_addresses_of_data_need_no_network(world: World) -> None:
    with world.ydl() as ydl:
        assert ydl.urlopen("data:text/plain,hello").read() == b"hello"
        assert ydl.urlopen("data:;base64,aGVsbG8=").read() == b"hello"
    assert world.origin.seen == []
