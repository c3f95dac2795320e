"""The egress proxy, on real sockets: who gets in, what gets out, and that nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from downloader.egress.dialer import Rules, connect, is_own
from downloader.egress.http import basic
from downloader.egress.policy import literal
from downloader.egress.proxy import EgressProxy, Grant
from downloader.egress.upstream import Upstreams
from tests.egress_world import PUBLIC, Client, Handler, Origin, World, echo


@contextlib.asynccontextmanager
async def world(handler: Handler = echo, **options: Any) -> AsyncIterator[tuple[World, EgressProxy, Grant]]:
    async with Origin(handler) as origin:
        here = World(origin, {"site.example": [PUBLIC]})
        async with here.proxy(**options) as proxy:
            yield here, proxy, proxy.grant(Rules())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


# Who gets in


async def test_a_tunnel_carries_bytes_both_ways() -> None:
    async with world() as (here, proxy, grant), Client(proxy, grant) as client:
        assert (await client.tunnel())[0] == 200
        await client.say(b"hello")
        assert await client.reader.readexactly(5) == b"hello"
        assert here.resolved == ["site.example"]
        assert here.connected == [PUBLIC]
    assert grant.refusals == []


async def test_what_comes_right_behind_the_head_goes_into_the_tunnel() -> None:
    async with world() as (_, proxy, grant), Client(proxy, grant) as client:
        await client.say("CONNECT site.example:443 HTTP/1.1\r\n{credential}\r\nearly")
        assert (await client.head())[0] == 200
        assert await client.reader.readexactly(5) == b"early"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Proxy-Authorization: {wrong}",
        "Proxy-Authorization: Bearer {password}",
        "Proxy-Authorization: Basic {password}",
        "Proxy-Authorization: Basic",
        "Proxy-Authorization: Basic \xff\xfe",
        "Proxy-Authorization: Basic =",
        "Authorization: {right}",
        "Proxy-Authorization: {right}\r\nProxy-Authorization: {right}",
        "Proxy-Authorization: {empty}",
    ],
)
async def test_nobody_gets_in_without_the_credential(header: str) -> None:
    async with world() as (here, proxy, grant), Client(proxy) as client:
        header = header.format(
            wrong=basic(grant.user, "guess"),
            right=basic(grant.user, grant.password),
            empty=basic("", ""),
            password=grant.password,
        )
        await client.say(f"CONNECT site.example:443 HTTP/1.1\r\n{header}\r\n\r\n".replace("\r\n\r\n\r\n", "\r\n\r\n"))
        status, headers = await client.head()
        assert status == 407
        assert headers["proxy-authenticate"].startswith("Basic ")
        assert (here.resolved, here.connected) == ([], [])


async def test_a_revoked_grant_opens_nothing_and_loses_what_it_had() -> None:
    async with world() as (here, proxy, grant), Client(proxy, grant) as client:
        assert (await client.tunnel())[0] == 200
        grant.revoke()
        assert await client.rest() == b""
        await asyncio.wait_for(here.origin.closed.wait(), 30)
        async with Client(proxy, grant) as late:
            assert (await late.tunnel())[0] == 407


async def test_the_secret_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with world() as (_, proxy, grant):
        for at in ("127.0.0.1:80", "nowhere.example:443"):
            async with Client(proxy, grant) as client:
                await client.tunnel(at)
                answer = await client.rest()
                assert grant.password.encode() not in answer
        assert grant.password not in repr(grant) + caplog.text
        assert "a download was refused an address" in caplog.text


# What gets out


REFUSED = [
    "127.0.0.1:80", "127.0.0.1:443", "127.1:80", "2130706433:443", "0x7f000001:443", "0177.0.0.1:443", "0:80",
    "localhost:443", "LOCALHOST.:443", "a.localhost:443", "metadata.google.internal:80", "nas.local:443", "router:443",
    "169.254.169.254:80", "100.100.100.200:80", "168.63.129.16:80", "10.0.0.1:443", "192.168.1.1:443",
    "[::1]:443", "[::]:443", "[::ffff:127.0.0.1]:443", "[::ffff:7f00:1]:443", "[64:ff9b::7f00:1]:443",
    "[2002:7f00:1::]:443", "[fe80::1]:443", "[fe80::1%25lo]:443", "[fd00:ec2::254]:80", "[::127.0.0.1]:443",
    "8.8.8.8:22", "site.example:25", "site.example:8080", "site.example:6379", "010.8.8.8:443",
]  # fmt: skip


@pytest.mark.parametrize("at", REFUSED)
async def test_what_is_not_the_public_web_is_refused_unasked(at: str) -> None:
    async with world() as (here, proxy, grant):
        for request in (
            f"CONNECT {at} HTTP/1.1\r\n{{credential}}\r\n",
            f"GET http://{at}/x?secret=1 HTTP/1.1\r\nHost: site.example\r\n{{credential}}\r\n",
        ):
            async with Client(proxy, grant) as client:
                await client.say(request)
                status, headers = await client.head()
                assert (status, headers["x-egress-refused"]) == (403, "blocked_address")
        assert here.connected == []
        assert here.resolved == []
    assert len(grant.refusals) == 1
    assert "secret" not in grant.refusals[0]


@pytest.mark.parametrize("scheme", ["ftp", "https", "file", "gopher", "ws"])
async def test_another_scheme_is_refused(scheme: str) -> None:
    async with world() as (here, proxy, grant), Client(proxy, grant) as client:
        await client.say(f"GET {scheme}://site.example/ HTTP/1.1\r\n{{credential}}\r\n")
        assert (await client.head())[0] == 403
        assert here.connected == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["::1"],
        ["fd00::1"],
        ["fe80::1%lo"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        ["2606:4700::1", "fd00::1"],
        *([[PUBLIC] * number + ["192.168.0.1"] for number in (5, 6, 7, 20)]),
        ["not an address"],
    ],
)
async def test_a_name_is_refused_for_any_of_its_addresses(addresses: list[str]) -> None:
    async with world() as (here, proxy, grant), Client(proxy, grant) as client:
        here.names["site.example"] = addresses
        assert (await client.tunnel())[0] == 403
        assert here.connected == []


async def test_a_name_that_is_bound_anew_leads_to_what_was_checked() -> None:
    async with world() as (here, proxy, grant):
        answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])

        async def rebind(name: str) -> list[str]:
            return next(answers)

        here.resolve = rebind  # type: ignore[method-assign]
        proxy._dialer._resolve = rebind
        async with Client(proxy, grant) as client:
            assert (await client.tunnel())[0] == 200
        async with Client(proxy, grant) as client:
            assert (await client.tunnel())[0] == 403
        assert here.connected == [PUBLIC]


async def test_this_machines_own_public_address_is_refused() -> None:
    async with world() as (here, proxy, grant), Client(proxy, grant) as client:
        here.own = {PUBLIC}
        assert (await client.tunnel())[0] == 403
        assert here.connected == []
    assert "this machine" in grant.refusals[0]


def test_an_own_address_is_known_and_a_foreign_one_not() -> None:
    own, foreign = literal("127.0.0.1"), literal(PUBLIC)
    assert own is not None
    assert foreign is not None
    assert is_own(own)
    assert not is_own(foreign)


async def test_a_connection_ends_where_it_was_sent() -> None:
    async with Origin() as origin:
        address = literal("127.0.0.1")
        assert address is not None
        sock = await connect(address, origin.port)
        assert sock.getpeername() == ("127.0.0.1", origin.port)
        sock.close()


async def test_trusted_set_ups_reach_everything_but_still_need_the_credential() -> None:
    async with world() as (here, proxy, _):
        trusted = proxy.grant(Rules(allow_private=True))
        async with Client(proxy, trusted) as client:
            assert (await client.tunnel(f"127.0.0.1:{here.origin.port}"))[0] == 200
        async with Client(proxy) as client:
            assert (await client.tunnel(f"127.0.0.1:{here.origin.port}"))[0] == 407


NAMED = frozenset({"127.0.0.1", "localhost", "nas.local", "hook", "192.168.1.5", "93.184.216.34", "site.example"})


@pytest.mark.parametrize(
    ("at", "names", "status"),
    [
        ("127.0.0.1:{port}", {}, 200),
        ("127.0.0.2:{port}", {}, 403),
        ("2130706433:{port}", {}, 403),
        ("localhost:{port}", {"localhost": ["127.0.0.1"]}, 200),
        ("NAS.local.:8123", {"nas.local": ["192.168.1.7", "fd00::7"]}, 200),
        ("hook:9000", {"hook": ["10.0.0.7"]}, 200),
        ("other:9000", {"other": ["10.0.0.7"]}, 403),
        ("192.168.1.5:8123", {}, 200),
        ("192.168.1.6:8123", {}, 403),
        ("site.example:8443", {"site.example": [PUBLIC]}, 200),
        ("site.example:8443", {"site.example": [PUBLIC, "192.168.1.5"]}, 403),  # others decide where it leads
        ("site.example:443", {"site.example": ["127.0.0.1"]}, 403),
        ("a.site.example:443", {"a.site.example": [PUBLIC]}, 200),
        ("a.site.example:8443", {"a.site.example": [PUBLIC]}, 403),
    ],
)
async def test_what_the_operator_wrote_down_may_be_private_and_a_public_name_may_not(
    at: str, names: dict[str, list[str]], status: int
) -> None:
    async with world() as (here, proxy, _):
        here.names |= names
        named = proxy.grant(Rules(named=NAMED))
        async with Client(proxy, named) as client:
            assert (await client.tunnel(at.format(port=here.origin.port)))[0] == status
        assert bool(here.connected) == (status == 200)


async def test_a_named_private_host_is_reached_without_the_proxy_that_others_need() -> None:
    async with world() as (here, proxy, _):
        here.names["nas.local"] = ["192.168.1.7"]
        upstreams = Upstreams.of("http://127.0.0.1:9", {})
        named = proxy.grant(Rules(named=frozenset({"nas.local", "site.example"}), upstreams=upstreams))
        async with Client(proxy, named) as client:
            assert (await client.tunnel("nas.local:8123"))[0] == 200
        assert here.connected == ["192.168.1.7"]
        async with Client(proxy, named) as client:
            assert (await client.tunnel("site.example:443"))[0] == 502


async def test_a_further_port_can_be_allowed() -> None:
    async with world() as (_, proxy, _), Client(proxy, proxy.grant(Rules(ports=frozenset({8443})))) as client:
        assert (await client.tunnel("site.example:8443"))[0] == 200


# What cannot be reached


async def test_a_name_without_an_address_is_a_failure_and_no_refusal() -> None:
    async with world() as (_, proxy, grant), Client(proxy, grant) as client:
        status, headers = await client.tunnel("nowhere.example:443")
        assert (status, headers["x-egress-failed"]) == (502, "unresolvable")
    assert grant.refusals == []


async def test_a_refused_connection_is_a_failure() -> None:
    async with world() as (here, proxy, grant), Client(proxy, grant) as client:
        await here.origin.__aexit__()
        status, headers = await client.tunnel()
        assert (status, headers["x-egress-failed"]) == (502, "unreachable")


async def test_an_address_that_does_not_answer_times_out() -> None:
    async with world(connect_seconds=0.05) as (here, proxy, grant), Client(proxy, grant) as client:

        async def never(address: object, port: int) -> socket.socket:
            await asyncio.Event().wait()
            raise AssertionError

        proxy._dialer._connect = never
        status, headers = await client.tunnel()
        assert (status, headers["x-egress-failed"]) == (504, "timeout")
        assert here.connected == []


async def test_a_dead_address_holds_up_the_next_one_but_a_moment() -> None:
    async with world() as (here, proxy, grant), Client(proxy, grant) as client:
        here.names["site.example"] = ["2606:4700::1", PUBLIC]
        ended = asyncio.Event()

        async def one_is_dead(address: object, port: int) -> socket.socket:
            if str(address) == PUBLIC:
                return await here.connect(address, port)  # type: ignore[arg-type]
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        proxy._dialer._connect = one_is_dead
        assert (await asyncio.wait_for(client.tunnel(), 2))[0] == 200
        await asyncio.wait_for(ended.wait(), 1)  # the other try was given up


async def test_a_client_that_leaves_ends_the_try_for_it() -> None:
    async with world() as (_, proxy, grant):
        started, ended = asyncio.Event(), asyncio.Event()

        async def never(address: object, port: int) -> socket.socket:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        proxy._dialer._connect = never
        async with Client(proxy, grant) as client:
            await client.say("CONNECT site.example:443 HTTP/1.1\r\n{credential}\r\n")
            await asyncio.wait_for(started.wait(), 30)
        await asyncio.wait_for(ended.wait(), 30)


# Heads that are not plain

GET = "GET http://site.example/ HTTP/1.1\r\nHost: site.example\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("rubbish\r\n\r\n", 400),
        ("\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET http://site.example/ HTTP/2.0\r\n\r\n", 400),
        ("GET http://site.example/ HTTP/1.1 \r\n\r\n", 400),
        ("GET  http://site.example/ HTTP/1.1\r\n\r\n", 400),
        ("GET http://site.example/a b HTTP/1.1\r\n\r\n", 400),
        ("GET http://site.example/#f HTTP/1.1\r\n\r\n", 400),
        ("GET http:///x HTTP/1.1\r\n\r\n", 400),
        ("GET http://site.example:0/ HTTP/1.1\r\n\r\n", 400),
        ("GET http://site.example:65536/ HTTP/1.1\r\n\r\n", 400),
        ("GET http://site.example:/ HTTP/1.1\r\n\r\n", 400),
        ("GET http://127.0.0.1\\@site.example/ HTTP/1.1\r\n\r\n", 400),
        ("GET http://user:pass@site.example/ HTTP/1.1\r\n\r\n", 400),
        ("GET http://site.example@127.0.0.1/ HTTP/1.1\r\n\r\n", 400),
        ("CONNECT user@site.example:443 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT site.example HTTP/1.1\r\n\r\n", 400),
        ("CONNECT site.example:443/x HTTP/1.1\r\n\r\n", 400),
        ("CONNECT http://site.example:443 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT site.example:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("TRACE http://site.example/ HTTP/1.1\r\n\r\n", 501),
        ("BREW http://site.example/ HTTP/1.1\r\n\r\n", 501),
        ("get http://site.example/ HTTP/1.1\r\n\r\n", 501),
        (GET + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (GET + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (GET + "Transfer-Encoding: identity\r\n\r\n", 411),
        (GET + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (GET + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (GET + "Content-Length: -1\r\n\r\n", 400),
        (GET + "Content-Length: +1\r\n\r\n", 400),
        (GET + "Content-Length: 1,1\r\n\r\n", 400),
        (GET + "Content-Length: 0x1\r\n\r\n", 400),
        (GET + "Content-Length: \r\n\r\n", 400),
        (GET + "Host: other.example\r\n\r\n", 400),
        (GET + "A: b\r\n c: folded\r\n\r\n", 400),
        (GET + "A : b\r\n\r\n", 400),
        (GET + "A\r\n\r\n", 400),
        (GET + ": b\r\n\r\n", 400),
        (GET + "A: b\nC: d\r\n\r\n", 400),
        (GET + "A: b\rC: d\r\n\r\n", 400),
        (GET + "A: b\x00c\r\n\r\n", 400),
        (GET + "\xa0A: b\r\n\r\n", 400),
        (GET + f"A: {'a' * 40_000}\r\n\r\n", 431),
    ],
)
async def test_a_head_that_is_not_plain_goes_no_further(head: str, status: int) -> None:
    async with world() as (here, proxy, grant), Client(proxy, grant) as client:
        first, _, rest = head.partition("\r\n")
        await client.say(f"{first}\r\n{{credential}}{rest}" if first else head)
        assert (await client.head())[0] == status
        await client.rest()
        assert here.connected == []


async def test_a_head_without_end_is_cut_off() -> None:
    async with world() as (_, proxy, grant), Client(proxy, grant) as client:
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                await client.say("A: " + "a" * 1000 + "\r\n")
        await client.rest()
        assert not proxy._tasks or not (await asyncio.wait(proxy._tasks, timeout=30))[1]


async def test_a_slow_head_is_not_waited_for() -> None:
    async with world(head_seconds=0.05) as (here, proxy, grant), Client(proxy, grant) as client:
        await client.say("CONNECT site.example:443 HTTP/1.1\r\n")
        assert await client.rest() == b""
        assert here.connected == []


# Plain http


class Server:
    """Answers each request with what the test says, and keeps what it heard."""

    def __init__(self, answer: bytes, *, wants_bytes: int = 0) -> None:
        self.answer = answer
        self.wants_bytes = wants_bytes
        self.heard = b""
        self.told = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += await reader.readuntil(b"\r\n\r\n")
        if self.wants_bytes:
            self.heard += await reader.readexactly(self.wants_bytes)
        writer.write(self.answer)
        await writer.drain()
        self.told.set()
        self.heard += await reader.read()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"


async def test_a_request_goes_on_without_what_is_for_the_proxy() -> None:
    server = Server(OK)
    async with world(server) as (_, proxy, grant), Client(proxy, grant) as client:
        await client.say(
            "GET http://site.example/a?b=c HTTP/1.1\r\nHost: other.example\r\n{credential}"
            "Proxy-Connection: keep-alive\r\nConnection: X-Mine, keep-alive, Host\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n"
            "TE: trailers\r\nUpgrade: h2c\r\n"
            "X-Egress-Refused: forged\r\nCookie: a=b\r\n\r\n"
        )
        status, headers = await client.head()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.reader.readexactly(2) == b"ok"
    assert server.heard.split(b"\r\n") == [
        b"GET /a?b=c HTTP/1.1",
        b"Host: site.example",
        b"Cookie: a=b",
        b"Connection: close",
        b"",
        b"",
    ]


async def test_a_body_goes_on_and_what_follows_it_does_not() -> None:
    server = Server(OK, wants_bytes=5)
    async with world(server) as (here, proxy, grant), Client(proxy, grant) as client:
        smuggled = "GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        await client.say(
            "POST http://site.example/ HTTP/1.1\r\n{credential}Content-Length: 5\r\n\r\nhello" + smuggled + smuggled
        )
        assert (await client.head())[0] == 200
        await client.say(smuggled)
        assert await client.reader.readexactly(2) == b"ok"
        client.writer.close()
        await asyncio.wait_for(here.origin.closed.wait(), 30)
        assert here.connected == [PUBLIC]
    assert server.heard.endswith(b"\r\n\r\nhello")


async def test_a_large_body_goes_up_whole() -> None:
    size = 3_000_000
    server = Server(OK, wants_bytes=size)
    async with world(server) as (_, proxy, grant), Client(proxy, grant) as client:
        await client.say(f"POST http://site.example/ HTTP/1.1\r\n{{credential}}Content-Length: {size}\r\n\r\n")
        await client.say(b"x" * size)
        assert (await client.head())[0] == 200
    assert server.heard.count(b"x") >= size


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked() -> None:
    server = Server(OK, wants_bytes=5)
    async with world(server) as (_, proxy, grant), Client(proxy, grant) as client:
        await client.say(
            "POST http://site.example/ HTTP/1.1\r\n{credential}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        assert (await client.head())[0] == 100
        await client.say(b"hello")
        assert (await client.head())[0] == 200
    assert b"xpect" not in server.heard


async def test_an_interim_answer_is_not_taken_for_the_answer() -> None:
    server = Server(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK)
    async with world(server) as (_, proxy, grant), Client(proxy, grant) as client:
        await client.say("GET http://site.example HTTP/1.1\r\n{credential}\r\n")
        assert (await client.head())[0] == 200


async def test_nobody_else_can_speak_as_the_proxy() -> None:
    server = Server(
        b"HTTP/1.1 403 Forbidden\r\nX-Egress-Refused: blocked_address\r\nx-egress-failed: timeout\r\n"
        b"Proxy-Status: x\r\nContent-Length: 0\r\n\r\n"
    )
    async with world(server) as (_, proxy, grant), Client(proxy, grant) as client:
        await client.say("GET http://site.example/ HTTP/1.1\r\n{credential}\r\n")
        status, headers = await client.head()
        assert status == 403
        assert not [name for name in headers if name.startswith(("x-egress", "proxy-"))]


@pytest.mark.parametrize("splice", [True, False])
@pytest.mark.parametrize("bulk_bytes", [1, 60_000, 70_000, 300_000, 1_000_001, 5_000_000])
async def test_what_comes_after_bulk_is_not_held_back(splice: bool, bulk_bytes: int) -> None:
    """However little: each side waits for the other before it goes on, a hundred times."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"b" * bulk_bytes)
        for size in [1, 70_000, 2, 300_000, 3] * 20:
            await reader.readexactly(1)
            writer.write(b"s" * size)
            await writer.drain()

    async with world(serve, splice=splice) as (_, proxy, grant), Client(proxy, grant) as client:
        assert (await client.tunnel())[0] == 200
        async with asyncio.timeout(20):
            assert await client.reader.readexactly(bulk_bytes) == b"b" * bulk_bytes
            for size in [1, 70_000, 2, 300_000, 3] * 20:
                await client.say(b"?")
                assert await client.reader.readexactly(size) == b"s" * size
            assert await client.reader.read() == b""


async def test_bulk_that_ends_in_drops_comes_as_it_is_sent() -> None:
    """Once it was bulk, then so little at a time that it never makes a heap."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"b" * 2_000_000)
        for _ in range(100):
            writer.write(b"drop")
            await writer.drain()
            await asyncio.sleep(0.002)
        await reader.read()

    async with world(serve) as (_, proxy, grant), Client(proxy, grant) as client:
        assert (await client.tunnel())[0] == 200
        async with asyncio.timeout(20):
            assert await client.reader.readexactly(2_000_400) == b"b" * 2_000_000 + b"drop" * 100


@pytest.mark.parametrize(
    "answer",
    [
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 40_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
async def test_an_answer_that_is_no_http_is_a_failure(answer: bytes) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with world(hang_up) as (_, proxy, grant), Client(proxy, grant) as client:
        await client.say("GET http://site.example/ HTTP/1.1\r\n{credential}\r\n")
        status, headers = await client.head()
        assert (status, headers["x-egress-failed"]) == (502, "unreachable")


async def test_an_answer_that_never_comes_times_out() -> None:
    async with world(silent) as (_, proxy, _), Client(proxy, proxy.grant(Rules(idle_seconds=0.05))) as client:
        await client.say("GET http://site.example/ HTTP/1.1\r\n{credential}\r\n")
        status, headers = await client.head()
        assert (status, headers["x-egress-failed"]) == (504, "timeout")


# Bytes, many and few


BOTH_WAYS = pytest.mark.parametrize("splice", [True, False], ids=["splice", "copy"])


@BOTH_WAYS
@pytest.mark.thorough
async def test_a_side_that_does_not_read_stops_the_other(splice: bool) -> None:
    sent = 0
    full = asyncio.Event()
    size = 256 * 1024 * 1024  # several times what the system keeps for four sockets

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        chunk = bytes(256 * 1024)
        while sent < size:
            writer.write(chunk)
            sent += len(chunk)
            try:
                await asyncio.wait_for(asyncio.shield(drain := asyncio.ensure_future(writer.drain())), 0.3)
            except TimeoutError:
                full.set()
                await drain

    async with world(flood, splice=splice) as (_, proxy, grant), Client(proxy, grant) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.say("CONNECT site.example:443 HTTP/1.1\r\n{credential}\r\n")
        await asyncio.wait_for(full.wait(), 30)
        assert sent < size / 2
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.head()
        received = 0
        while data := await asyncio.wait_for(client.reader.read(1024 * 1024), 30):
            received += len(data)
            assert not data.strip(b"\0")
        assert received == size


@BOTH_WAYS
async def test_a_client_that_goes_takes_the_connection_along(splice: bool) -> None:
    async with world(silent, splice=splice) as (here, proxy, grant):
        async with Client(proxy, grant) as client:
            assert (await client.tunnel())[0] == 200
        await asyncio.wait_for(here.origin.closed.wait(), 30)


@BOTH_WAYS
async def test_a_server_that_goes_ends_the_tunnel(splice: bool) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")

    async with world(hang_up, splice=splice) as (_, proxy, grant), Client(proxy, grant) as client:
        assert (await client.tunnel())[0] == 200
        assert await client.rest() == b"bye"


@BOTH_WAYS
async def test_a_server_that_breaks_off_ends_the_tunnel(splice: bool) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with world(reset, splice=splice) as (_, proxy, grant), Client(proxy, grant) as client:
        assert (await client.tunnel())[0] == 200
        assert await client.rest() == b""


@BOTH_WAYS
async def test_a_server_that_has_said_all_still_hears_the_client(splice: bool) -> None:
    heard = asyncio.Event()

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 100_000)
        writer.write_eof()
        assert await reader.readexactly(5) == b"hello"
        heard.set()

    async with world(speak_first, splice=splice) as (_, proxy, grant), Client(proxy, grant) as client:
        assert (await client.tunnel())[0] == 200
        assert await client.rest() == b"x" * 100_000
        await client.say(b"hello")
        await asyncio.wait_for(heard.wait(), 30)


@BOTH_WAYS
async def test_a_server_that_only_writes_hears_at_once_that_its_client_has_gone(splice: bool) -> None:
    heard: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(bytes(65536))
                await writer.drain()
        except ConnectionError as error:
            heard.set_result(error)

    async with world(flood, splice=splice) as (_, proxy, grant):
        async with Client(proxy, grant) as client:
            assert (await client.tunnel())[0] == 200
        assert await asyncio.wait_for(heard, 30) is not None


@BOTH_WAYS
async def test_silence_ends_a_tunnel(splice: bool) -> None:
    async with (
        world(silent, splice=splice) as (here, proxy, _),
        Client(proxy, proxy.grant(Rules(idle_seconds=0.05))) as client,
    ):
        assert (await client.tunnel())[0] == 200
        assert await client.rest() == b""
        await asyncio.wait_for(here.origin.closed.wait(), 30)


async def test_beyond_its_limit_it_turns_clients_away() -> None:
    async with world(max_connections=2) as (_, proxy, grant), contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(proxy, grant)) for _ in range(3)]
        assert [(await client.tunnel())[0] for client in clients] == [200, 200, 503]


async def test_closing_drops_everything() -> None:
    async with world(silent) as (here, proxy, grant), Client(proxy, grant) as client:
        assert (await client.tunnel())[0] == 200
        await proxy.close()
        assert await client.rest() == b""
        await asyncio.wait_for(here.origin.closed.wait(), 30)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
