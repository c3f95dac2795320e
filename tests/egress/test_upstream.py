"""The operator's own proxy behind ours: HTTP, HTTPS and SOCKS, who goes by it, and what is refused all the same."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import trustme

from downloader.egress.dialer import Rules
from downloader.egress.http import basic
from downloader.egress.proxy import EgressProxy, Grant
from downloader.egress.upstream import Upstream, Upstreams, tls_context
from tests.egress_world import PUBLIC, Client, Handler, Origin, World, echo

NAME = "behind.example"  # known to the upstream alone


@contextlib.asynccontextmanager
async def behind(url: str, handler: Handler, *, no_proxy: str = "") -> AsyncIterator[tuple[World, EgressProxy, Rules]]:
    """Play an upstream with *handler*; `{port}` in *url* is where it listens."""
    async with Origin(handler) as upstream:
        world = World(upstream, {"direct.example": [PUBLIC]})
        one = Upstream.from_url(url.format(port=upstream.port))
        rules = Rules(upstreams=Upstreams(http=one, https=one, no_proxy=no_proxy))
        async with world.proxy() as proxy:
            yield world, proxy, rules


async def tunnel(proxy: EgressProxy, rules: Rules, at: str = f"{NAME}:443") -> tuple[int, dict[str, str], Grant]:
    grant = proxy.grant(rules)
    async with Client(proxy, grant) as client:
        status, headers = await client.tunnel(at)
        if status == 200:
            await client.say(b"hello")
            assert await asyncio.wait_for(client.reader.readexactly(5), 30) == b"hello"
    return status, headers, grant


class HttpProxy:
    """An HTTP proxy that answers as it is told and, where that is 200, echoes."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        if b" 200 " in self.answer:
            await echo(reader, writer)


_LONG_HEAD = b"HTTP/1.1 200 Connection established\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200\r\n\r\n", _LONG_HEAD])
@pytest.mark.parametrize("pieces", [(), (1,), (5,), (-1,), (-2,), (-3,), (-4,), (18, -3), (19, -1), (20,)])
async def test_an_upstreams_head_may_come_in_pieces_and_the_server_speak_first(
    head: bytes, pieces: tuple[int, ...]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        cuts = [0, *sorted(at % len(head) for at in pieces), len(head)]
        for begin, end in pairwise(cuts):
            writer.write(head[begin:end])
            if pieces:  # else all at once
                await asyncio.sleep(0.01)
        writer.write(b"\r\n\r\nfirst word")
        await reader.read()

    async with (
        behind("http://127.0.0.1:{port}", serve) as (_, proxy, rules),
        Client(proxy, proxy.grant(rules)) as client,
        asyncio.timeout(30),
    ):
        assert (await client.tunnel(f"{NAME}:443"))[0] == 200
        assert await client.reader.readexactly(14) == b"\r\n\r\nfirst word"


async def test_a_tunnel_goes_through_an_http_proxy_which_resolves_the_name() -> None:
    upstream = HttpProxy()
    async with behind("http://ada:hunter2%21@127.0.0.1:{port}", upstream) as (world, proxy, rules):
        assert (await tunnel(proxy, rules))[0] == 200
        assert world.resolved == []
    [head] = upstream.heads
    assert head.startswith(f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n".encode())
    assert f"Proxy-Authorization: {basic('ada', 'hunter2!')}\r\n".encode() in head
    assert head.count(b"Proxy-Authorization") == 1


@pytest.mark.parametrize(
    ("answer", "status", "failure"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nX-Egress-Refused: blocked_address\r\n\r\n", 502, "upstream"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", 502, "upstream"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", 502, "upstream"),
        (b"HTTP/1.1 504 Gateway Timeout\r\n\r\n", 504, "timeout"),
        (b"rubbish that is long enough\r\n\r\n", 502, "upstream"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 40_000, 502, "upstream"),
        (b"", 502, "unreachable"),
    ],
)
async def test_what_the_operators_proxy_refuses_is_a_failure_and_no_refusal(
    answer: bytes, status: int, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with behind("http://ada:hunter2@127.0.0.1:{port}", hang_up) as (_, proxy, rules):
        got, headers, grant = await tunnel(proxy, rules)
    assert (got, headers["x-egress-failed"]) == (status, failure)
    assert "x-egress-refused" not in headers
    assert grant.refusals == []
    assert "hunter2" not in caplog.text


async def test_a_dead_proxy_is_a_failure() -> None:
    async with behind("http://127.0.0.1:{port}", echo) as (world, proxy, rules):
        await world.origin.__aexit__()
        status, headers, _ = await tunnel(proxy, rules)
    assert (status, headers["x-egress-failed"]) == (502, "upstream")


@pytest.mark.parametrize(
    "at",
    ["127.0.0.1:443", "[::1]:443", "0x7f.1:443", "localhost:443", "nas.local:80", "169.254.169.254:80", f"{NAME}:22"],
)
async def test_private_addresses_and_local_names_are_not_even_told_to_the_proxy(at: str) -> None:
    upstream = HttpProxy()
    async with behind("http://127.0.0.1:{port}", upstream) as (_, proxy, rules):
        assert (await tunnel(proxy, rules, at))[0] == 403
    assert upstream.heads == []


async def test_plain_http_is_asked_of_an_http_proxy_by_absolute_address() -> None:
    upstream = HttpProxy(b"HTTP/1.1 204 No Content\r\n\r\n")
    async with (
        behind("http://ada:hunter2@127.0.0.1:{port}", upstream) as (_, proxy, rules),
        Client(proxy, proxy.grant(rules)) as client,
    ):
        await client.say(f"GET http://{NAME}/a?b HTTP/1.1\r\n{{credential}}A: b\r\n\r\n")
        assert (await client.head())[0] == 204
    assert upstream.heads == [
        f"GET http://{NAME}/a?b HTTP/1.1\r\nHost: {NAME}\r\nProxy-Authorization: {basic('ada', 'hunter2')}\r\n"
        "A: b\r\nConnection: close\r\n\r\n".encode()
    ]


async def test_the_proxys_own_407_is_not_taken_for_ours() -> None:
    upstream = HttpProxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    async with (
        behind("http://127.0.0.1:{port}", upstream) as (_, proxy, rules),
        Client(proxy, proxy.grant(rules)) as client,
    ):
        await client.say(f"GET http://{NAME}/ HTTP/1.1\r\n{{credential}}\r\n")
        status, headers = await client.head()
    assert (status, headers["x-egress-failed"]) == (502, "upstream")


@pytest.mark.parametrize(("at", "by_proxy"), [("direct.example:443", False), (f"{NAME}:443", True)])
async def test_no_proxy_hosts_are_reached_directly(at: str, by_proxy: bool) -> None:
    upstream = HttpProxy()
    async with behind("http://127.0.0.1:{port}", upstream, no_proxy="direct.example, .other") as (world, proxy, rules):
        assert (await tunnel(proxy, rules, at))[0] == 200 if by_proxy else True
        if not by_proxy:
            async with Client(proxy, proxy.grant(rules)) as client:
                assert (await client.tunnel(at))[0] == 200
        assert bool(upstream.heads) is by_proxy
        assert world.resolved == ([] if by_proxy else ["direct.example"])


async def test_no_proxy_hosts_are_checked_as_direct_ones() -> None:
    upstream = HttpProxy()
    async with behind("http://127.0.0.1:{port}", upstream, no_proxy="*") as (world, proxy, rules):
        world.names["direct.example"] = ["10.0.0.1"]
        assert (await tunnel(proxy, rules, "direct.example:443"))[0] == 403
    assert upstream.heads == []


# HTTPS


async def test_a_tunnel_goes_through_an_https_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = trustme.CA()
    tls_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    upstream = HttpProxy()
    server = await asyncio.start_server(upstream, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with Origin() as origin, World(origin).proxy() as proxy:
        one = Upstream.from_url(f"https://127.0.0.1:{port}")
        status, _, _ = await tunnel(proxy, Rules(upstreams=Upstreams(http=one, https=one)))
        assert status == 200
        untrusted = Upstream.from_url(f"https://localhost:{port}")
        status, headers, _ = await tunnel(proxy, Rules(upstreams=Upstreams(https=untrusted)))
        assert (status, headers["x-egress-failed"]) == (502, "upstream")
    server.close()
    tls_context.cache_clear()


# SOCKS


class Socks5:
    """A SOCKS5 server that wants a password where it is given one, and echoes."""

    def __init__(self, *, password: tuple[str, str] | None = None, reply: int = 0, bound: bytes = bytes(7)) -> None:
        self.password = password
        self.reply = reply
        self.bound = bytes([1]) + bound[1:] if len(bound) == 7 else bound
        self.wanted: list[tuple[str, int]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, methods = await reader.readexactly(2)
        offered = await reader.readexactly(methods)
        assert version == 5
        method = 2 if self.password else 0
        if method not in offered:
            writer.write(bytes([5, 255]))
            return
        writer.write(bytes([5, method]))
        if self.password:
            await reader.readexactly(1)
            given = [await reader.readexactly((await reader.readexactly(1))[0]) for _ in range(2)]
            good = tuple(each.decode() for each in given) == self.password
            writer.write(bytes([1, 0 if good else 1]))
            if not good:
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        self.wanted.append((host, int.from_bytes(await reader.readexactly(2))))
        writer.write(bytes([5, self.reply, 0]) + self.bound)
        if self.reply == 0:
            await echo(reader, writer)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize(
    "bound", [bytes(7), bytes([4]) + bytes(18), bytes([3, 4]) + b"name" + bytes(2)], ids=["ipv4", "ipv6", "name"]
)
async def test_a_tunnel_goes_through_a_socks5_proxy_which_resolves_the_name(scheme: str, bound: bytes) -> None:
    upstream = Socks5(bound=bound)
    async with behind(f"{scheme}://127.0.0.1:{{port}}", upstream) as (world, proxy, rules):
        assert (await tunnel(proxy, rules))[0] == 200
        assert (await tunnel(proxy, rules, "8.8.8.8:443"))[0] == 200
        assert (await tunnel(proxy, rules, "[2606:4700::1]:443"))[0] == 200
        assert (await tunnel(proxy, rules, "127.0.0.1:443"))[0] == 403
        assert world.resolved == []
    assert upstream.wanted == [(NAME, 443), ("8.8.8.8", 443), ("2606:4700::1", 443)]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_on_this_machine_is_no_way_to_its_own_public_address(scheme: str) -> None:
    async with behind(f"{scheme}://127.0.0.1:{{port}}", Socks5()) as (world, proxy, rules):
        world.own = {PUBLIC}
        status, _, grant = await tunnel(proxy, rules, f"{PUBLIC}:443")
        assert world.connected == []
    assert status == 403
    assert grant.refusals == [f"{PUBLIC}:443 (this machine)"]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("socks5://ada:hunter2@127.0.0.1:{port}", 200),
        ("socks5://ada:wrong@127.0.0.1:{port}", 502),
        ("socks5://127.0.0.1:{port}", 502),
    ],
)
async def test_a_socks5_proxy_may_want_a_password(url: str, status: int) -> None:
    async with behind(url, Socks5(password=("ada", "hunter2"))) as (_, proxy, rules):
        assert (await tunnel(proxy, rules))[0] == status


@pytest.mark.parametrize(("reply", "status"), [(1, 502), (2, 502), (5, 502), (6, 504), (99, 502)])
async def test_what_a_socks5_proxy_refuses_is_a_failure(reply: int, status: int) -> None:
    async with behind("socks5://127.0.0.1:{port}", Socks5(reply=reply)) as (_, proxy, rules):
        got, _, grant = await tunnel(proxy, rules)
    assert got == status
    assert grant.refusals == []


async def test_plain_http_goes_through_a_socks_proxy_like_anything_else() -> None:
    upstream = Socks5()
    async with (
        behind("socks5://127.0.0.1:{port}", upstream) as (_, proxy, rules),
        Client(proxy, proxy.grant(rules)) as client,
    ):
        await client.say(f"GET http://{NAME}/ HTTP/1.1\r\n{{credential}}\r\n")
        assert (await client.head())[0] == 502  # an echo is no answer
    assert upstream.wanted == [(NAME, 80)]


@pytest.mark.parametrize(("granted", "status"), [(90, 200), (91, 502)])
@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks"])
async def test_a_tunnel_goes_through_a_socks4_proxy(scheme: str, granted: int, status: int) -> None:
    wanted: list[tuple[str, int, bytes]] = []

    async def socks4(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, command = await reader.readexactly(2)
        assert (version, command) == (4, 1)
        port = int.from_bytes(await reader.readexactly(2))
        address = await reader.readexactly(4)
        user = await reader.readuntil(b"\0")
        by_name = address[:3] == bytes(3)
        host = (await reader.readuntil(b"\0"))[:-1].decode() if by_name else str(ipaddress.IPv4Address(address))
        wanted.append((host, port, user))
        writer.write(bytes([0, granted]) + bytes(6))
        if granted == 90:
            await echo(reader, writer)

    async with behind(f"{scheme}://ada@127.0.0.1:{{port}}", socks4) as (_, proxy, rules):
        assert (await tunnel(proxy, rules))[0] == status
        assert (await tunnel(proxy, rules, "8.8.8.8:80"))[0] == status
    assert wanted == [(NAME, 443, b"ada\0"), ("8.8.8.8", 80, b"ada\0")]


# Which one


A, B, C = (Upstream.from_url(f"http://{name}:1") for name in "abc")


@pytest.mark.parametrize(
    ("setting", "environment", "http", "https"),
    [
        (None, {}, None, None),
        ("http://a:1", {"http": "http://b:1", "no": "*"}, A, A),
        (None, {"http": "http://b:1"}, B, B),
        (None, {"https": "http://b:1"}, None, B),
        (None, {"http": "http://b:1", "https": "http://c:1"}, B, C),
        (None, {"all": "http://c:1"}, C, C),
        (None, {"all": "http://c:1", "https": "http://b:1"}, C, B),
        (None, {"http": "b:1"}, B, B),
        (None, {"http": ""}, None, None),
    ],
)
def test_which_proxy_stands_before_what(
    setting: str | None, environment: dict[str, str], http: Upstream | None, https: Upstream | None
) -> None:
    upstreams = Upstreams.of(setting, environment)
    assert upstreams.before("site.example", 80, secure=False) == http
    assert upstreams.before("site.example", 443, secure=True) == https


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a:1", "http://", "http://a:b", "http://a:99999", "socks6://a", "http://u:hunter2@:1"),
        *('"http://u:hunter2@a:1"', "'a:1'", 'http://u:hunter2@"a":1', "http://a:1'", "http://u:hunter2@a b:1"),
        *("a", "none", "3128", ":3128", "u:hunter2@a", "http:/a:1", "http:a:1", "//a:1", "http://[::1", "http://[x]:1"),
        *("http://u:hunter2@\u2100:1", "http://a:1, http://b:1", "http://a\\:1"),
    ],
)
def test_what_is_no_proxy_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of a proxy") as error:
        Upstream.from_url(url)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("a:1", "a", 1),
        ("u:hunter2@a.example:3128", "a.example", 3128),
        ("[::1]:3128", "::1", 3128),
        ("http://a", "a", 80),
        ("http://a:1/", "a", 1),
        (" http://a:1\r", "a", 1),
        ("HTTP://A_b:1", "a_b", 1),
        ("socks5://127.0.0.1", "127.0.0.1", 1080),
        ("http://[fe80::1%25eth0]:1", "fe80::1%25eth0", 1),
    ],
)
def test_a_proxy_is_read_as_people_write_it(url: str, host: str, port: int) -> None:
    upstream = Upstream.from_url(url)
    assert (upstream.host, upstream.port) == (host, port)


def test_a_proxys_password_is_in_no_repr() -> None:
    assert "hunter2" not in repr(Upstream.from_url("http://ada:hunter2@a:1"))
