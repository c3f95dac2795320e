"""The handler that looks like a browser: pages read in one go on kept connections, media streamed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yt_dlp
from yt_dlp.networking import Request
from yt_dlp.networking.exceptions import HTTPError, RequestError, TransportError
from yt_dlp.networking.impersonate import ImpersonateTarget

from downloader.egress.proxy import Grant
from downloader.errors import ErrorCode
from downloader.ytdlp import transport as module
from downloader.ytdlp.errors import classify
from downloader.ytdlp.transport import Transport
from tests.tls_world import Answer, Egress, ScriptedOrigin, answer, ca, egress, redirect

pytest.importorskip("curl_cffi")

URL = "https://site.example/page"
MEDIA = {"Accept-Encoding": "identity"}
MEGABYTE = 1024**2
HALF = Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "hang")


class World:
    """A scripted origin behind a proxy, and a transport that leads there."""

    def __init__(self, origin: ScriptedOrigin, way: Egress) -> None:
        self.origin = origin
        self.way = way
        self.names = way.world.names
        self.grant: Grant = way.grant()
        self.transport = Transport(self.grant.url)

    def ydl(self, **options: Any) -> Any:
        ydl = yt_dlp.YoutubeDL({"quiet": True, "socket_timeout": 5.0, **options}, auto_init=False)
        self.transport.install(ydl)
        return ydl

    def get(self, url: str = URL, **options: Any) -> bytes:
        with self.ydl() as ydl:
            return bytes(ydl.urlopen(request(url, **options)).read())


def request(url: str = URL, **options: Any) -> Any:
    return Request(url, extensions={"impersonate": ImpersonateTarget()}, **options)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    ca().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    with egress() as (origin, way):
        world = World(origin, way)
        with closing(world.transport):
            yield world


# Kept


def test_a_connection_is_used_again_from_one_youtubedl_to_the_next(world: World) -> None:
    assert [world.get(), world.get(method="HEAD"), world.get(data=b"x"), world.get()] == [
        b"hello",
        b"",
        *[b"hello"] * 2,
    ]
    assert [(seen.method, seen.body) for seen in world.origin.seen] == [
        *[("GET", b""), ("HEAD", b""), ("POST", b"x"), ("GET", b"")]
    ]
    assert set(world.origin.used) == {1}
    assert "Chrome" in world.origin.seen[0].headers["user-agent"]


def test_a_short_link_is_followed_by_head_on_it(world: World) -> None:
    world.origin.script(redirect("/a", body=b""), redirect("https://other.example/b", body=b""))
    with world.ydl() as ydl:
        assert ydl.urlopen(request(method="HEAD")).url == "https://other.example/b"
    assert world.origin.used == [1, 1, 2]


def test_cookies_do_not_outlive_their_youtubedl(world: World) -> None:
    for name in ("ada", "bob"):
        world.origin.script(answer(b"", f"Set-Cookie: {name}=1"))
        with world.ydl() as ydl:
            ydl.urlopen(request()).read()
            ydl.urlopen(request()).read()
            assert [cookie.name for cookie in ydl.cookiejar] == [name]
            ydl.urlopen(request(headers={"Cookie": "mine=1"})).read()
    cookies = [seen.headers.get("cookie") for seen in world.origin.seen]
    assert cookies == [None, "ada=1", "mine=1", None, "bob=1", "mine=1"]


@pytest.mark.parametrize("status", ["404 Not Found", "429 Slow Down", "500 Oops"])
def test_an_error_page_can_be_read(world: World, status: str) -> None:
    world.origin.script(answer(b"sorry", status=status))
    with pytest.raises(HTTPError) as error, world.ydl() as ydl:
        ydl.urlopen(request())
    assert error.value.status == int(status[:3])
    assert error.value.response.read() == b"sorry"
    assert world.get() == b"hello"
    assert world.origin.used == [1, 1]


def test_a_connection_that_was_closed_while_idle_is_not_used(world: World) -> None:
    world.get()
    world.origin.drop()
    assert world.get() == b"hello"
    assert world.origin.used == [1, 2]


# What goes wrong


def test_a_request_that_could_not_be_sent_leaves_nothing_for_the_next(world: World) -> None:
    world.get()
    with pytest.raises(RequestError), world.ydl() as ydl:
        ydl.urlopen(request(data=b"x", headers={"X-Name": "\ud800"}))  # fails when half of the options are set
    assert world.get() == b"hello"
    assert [(seen.method, seen.body) for seen in world.origin.seen] == [("GET", b""), ("GET", b"")]


def test_a_loop_ends_and_can_be_read(world: World) -> None:
    world.origin.script(*[redirect("/again")] * 9)
    with pytest.raises(HTTPError) as error, world.ydl() as ydl:
        ydl.urlopen(request())
    assert error.value.redirect_loop
    assert error.value.response.read() == b""
    world.origin.answers.clear()
    assert world.get() == b"hello"


@pytest.mark.parametrize("status", ["200 OK", "429 Slow Down"])
def test_a_page_that_ends_early_keeps_its_status(world: World, status: str) -> None:
    world.origin.script(Answer(f"HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\nhello".encode(), "close"))
    with world.ydl() as ydl:
        try:
            response = ydl.urlopen(request())
        except HTTPError as error:
            response = error.response
        assert response.status == int(status[:3])
        with pytest.raises(TransportError):
            response.read()
    assert world.get() == b"hello"
    assert world.origin.used == [1, 2]


@pytest.mark.parametrize(
    ("url", "reply", "code"),
    [
        (URL, Answer(b"", "close"), "network"),
        (URL, Answer(b"", "hang"), "timeout"),
        pytest.param(URL, HALF, "timeout", marks=pytest.mark.slow),  # libcurl looks at the speed of five seconds
        (URL, redirect("https://10.0.0.1/"), "blocked_address"),
        ("https://127.0.0.1/", answer(), "blocked_address"),
        ("https://nowhere.example/", answer(), "network"),
        ("https://93.184.216.34/", answer(), "network"),
    ],
)
def test_what_went_wrong_is_told(world: World, url: str, reply: Answer, code: ErrorCode) -> None:
    world.origin.script(reply)
    with pytest.raises(RequestError) as error, world.ydl(socket_timeout=2) as ydl:
        ydl.urlopen(request(url)).read()
    assert classify(error.value).code == code
    world.origin.answers.clear()
    assert world.get() == b"hello"


def test_no_environment_leads_another_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    for _ in range(2):
        with pytest.raises(RequestError, match="403"):
            world.get("https://127.0.0.1/")
    assert len(world.grant.refusals) == 1
    assert world.origin.connections == 0


def test_a_revoked_grant_ends_what_is_kept(world: World) -> None:
    world.get()
    world.grant.revoke()
    world.way.wait_for_end(world.grant)
    with pytest.raises(RequestError):
        world.get()
    assert world.origin.used == [1]


# How much


def test_a_page_is_read_in_pieces_up_to_its_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAGE_BYTES", MEGABYTE)
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + bytes(3 * MEGABYTE)
    world.origin.script(answer(bytes(MEGABYTE)), Answer(endless, "hang"))
    assert len(world.get()) == MEGABYTE
    with world.ydl() as ydl:
        response = ydl.urlopen(request())
        size = 0
        while block := response.read(64 * 1024):
            assert len(response.fp._buffer) < 64 * 1024
            size += len(block)
        assert MEGABYTE < size < 2 * MEGABYTE
    assert world.get() == b"hello"


def test_media_are_streamed(world: World) -> None:
    started = Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + bytes(MEGABYTE), "hang")
    world.origin.script(started)
    with world.ydl() as ydl:
        response = ydl.urlopen(request(headers=MEDIA))
        assert len(response.read(10_000)) == 10_000
        world.origin.drop()  # libcurl would wait for more
        response.close()
    assert world.get() == b"hello"


def test_threads_for_fragments_do_not_get_in_each_others_way(world: World) -> None:
    found: list[bytes] = []
    world.origin.script(*(answer(bytes([number]) * 10_000) for number in range(20)))
    with world.ydl() as ydl:

        def fetch() -> None:
            for _ in range(5):
                found.append(ydl.urlopen(request(headers=MEDIA)).read())

        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert {(len(body), len(set(body))) for body in found} == {(10_000, 1)}
    assert len(set(found)) == 20


def test_closing_closes(world: World) -> None:
    world.get()
    with contextlib.suppress(Exception):
        world.transport.close()
    with pytest.raises(Exception, match="closed"):
        world.get()
    assert world.origin.used == [1]
