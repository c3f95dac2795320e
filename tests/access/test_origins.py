"""Host and origin checks, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from downloader.access.origins import (
    AllowedOrigins,
    classify_origin,
    is_known_host,
    machine_names,
    normal_origin,
    parse_allowed_hosts,
    parse_origins,
)

OWN_NAMES = frozenset({"nas", "nas.local", "nas.lan"})
ALLOWED = ("videos.example.org", "*.home.example")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1:8000", "192.168.1.5:8000", "10.0.0.1", "0.0.0.0:80", "[::1]", "[::1]:8000",
        "[2001:db8::1]:8000", "[::ffff:10.0.0.1]", "[fe80::1%eth0]:80", "localhost", "LOCALHOST:8000", "localhost.",
        "localhost.:8000", "app.localhost", "a.b.localhost:1", "nas", "NAS:8000", "nas.local", "nas.local.", "nas.lan",
        "videos.example.org", "Videos.Example.ORG:443", "videos.example.org.", "a.home.example", "a.b.home.example:8",
        "localhost:",
    ],
)  # fmt: skip
def test_a_known_host_is_known(host: str) -> None:
    assert is_known_host(host, ALLOWED, lambda: OWN_NAMES)


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example", "attacker.example:8000", "home.example", "evilhome.example", ".home.example",
        "videos.example.org.attacker.example", "localhost.attacker.example", "127.0.0.1.attacker.example",
        "notlocalhost", "nas.attacker.example", "xn--nas-0na", "127.1", "2130706433", "0x7f.0.0.1", "127.0.0.1x",
        "[::1", "[::1]x", "::1", "[127.0.0.1]", "[::g]", "localhost:80:80", "localhost:x", "localhost:-1",
        "localhost:123456",
        "user@localhost", "localhost@attacker.example", "localhost/", "localhost/../x", "localhost?", "localhost#",
        "localhost\\", "localhost, attacker.example", "localhost attacker.example", "localhost\t", " localhost",
        "localhost\r\nX: y", "localhost\n", "localhost\x00", "\uff4cocalhost", "l\u043ecalhost", "*", "*.localhost",
        "", ".", "..", ":", ":80", "a" * 10_000, "[" * 10_000, "127.0.0.1\n",
    ],
)  # fmt: skip
def test_a_strange_host_is_not_known(host: str) -> None:
    assert not is_known_host(host, ALLOWED, lambda: OWN_NAMES)


def test_a_star_allows_every_name_but_no_rubbish() -> None:
    assert is_known_host("attacker.example", ("*",), frozenset)
    assert not is_known_host("attacker.example/x", ("*",), frozenset)


def test_the_name_service_is_not_asked_about_what_is_known() -> None:
    def ask() -> frozenset[str]:
        raise AssertionError("asked")

    assert is_known_host("localhost:80", (), ask)
    assert is_known_host("127.0.0.1", (), ask)
    assert is_known_host("a.home.example", ALLOWED, ask)


def test_the_machine_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Box.lan")
    monkeypatch.setattr("socket.getfqdn", lambda: "box.Example.org.")
    machine_names.cache_clear()
    assert machine_names() == {"box.lan", "box", "box.local", "box.example.org"}
    machine_names.cache_clear()


@pytest.mark.parametrize(
    "text", ["https://a.example", "a.example:80", "a.example/x", "a b.example", "*a", "a.*", "ä", "**"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        parse_allowed_hosts(f"ok.example,{text}")


def test_names_are_read() -> None:
    assert parse_allowed_hosts(" A.example. , *.B.example,,10.0.0.1,*") == ("a.example", "*.b.example", "10.0.0.1", "*")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Example.org", "https://example.org"), ("https://example.org:443", "https://example.org"),
        ("http://example.org:80", "http://example.org"), ("http://example.org:443", "http://example.org:443"),
        ("http://localhost:3000", "http://localhost:3000"), ("http://[::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", None), ("", None), ("example.org", None), ("https://example.org/", None), ("https://a@b", None),
        ("https://a b", None), ("https://a,https://b", None), ("https://", None), ("https://a:x", None),
    ],
)  # fmt: skip
def test_an_origin_is_read_as_browsers_write_it(text: str, origin: str | None) -> None:
    assert normal_origin(text) == origin


def test_origins_are_read() -> None:
    assert parse_origins("https://A.example/ , http://localhost:3000,") == (
        "https://a.example",
        "http://localhost:3000",
    )


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "a.example",
        "https://a.example/x",
        "https://*.a.example",
        "https://*",
        "file://*",
        "moz-extension://*x",
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        parse_origins(text)


UUID = "0f9e8d7c-1234-4abc-8def-0123456789ab"
CHROME, FIREFOX, SAFARI = (
    f"chrome-extension://{'abcdefghijklmnop' * 2}", f"moz-extension://{UUID}", f"safari-web-extension://{UUID.upper()}",
)  # fmt: skip
#: Pages, and what only looks like an extension.
NO_EXTENSION = [
    "null", "", "https://a.example", f"https://{'abcdefghijklmnop' * 2}", "http://moz-extension", "moz-extension://",
    f"https://moz-extension/{UUID}", f"{FIREFOX}.a.example", f"{FIREFOX}:80", f"{CHROME}x", f"{CHROME}\n",
    "chrome-extension://localhost", f"chrome-extension://{UUID}", f"x{FIREFOX}", "moz-extension://*", "file://",
]  # fmt: skip


@pytest.mark.parametrize("named", [(), ("https://named.example",)])
def test_extensions_are_allowed_by_scheme(named: tuple[str, ...]) -> None:
    everyone = AllowedOrigins(named, extensions=True)
    firefox = AllowedOrigins((*named, *parse_origins("MOZ-extension://*")), extensions=False)
    no_one = AllowedOrigins(named, extensions=False)
    for origin in (CHROME, FIREFOX, SAFARI):
        assert normal_origin(origin) in everyone
        assert normal_origin(origin) not in no_one
        assert (normal_origin(origin) in firefox) is (origin == FIREFOX)
    for allowed in (everyone, firefox, no_one):
        assert [origin for origin in NO_EXTENSION if origin in allowed or normal_origin(origin) in allowed] == []
        assert all(origin in allowed for origin in named)


def test_one_extension_can_be_named() -> None:
    allowed = AllowedOrigins(parse_origins(CHROME), extensions=False)
    assert CHROME in allowed
    assert CHROME.replace("a", "b") not in allowed


HEADERS = {
    "host": "Host", "origin": "Origin", "site": "Sec-Fetch-Site", "mode": "Sec-Fetch-Mode",
    "destination": "Sec-Fetch-Dest", "purpose": "Sec-Purpose",
}  # fmt: skip
HOST = "localhost:8000"
OWN: list[dict[str, Any]] = [
    {},
    {"method": "POST"},
    {"method": "POST", "host": None},
    {"origin": "http://localhost:8000"},
    {"origin": "http://LOCALHOST:8000", "method": "POST", "site": "same-origin"},
    {"site": "none", "mode": "navigate", "destination": "document"},
    {"site": "same-origin", "mode": "cors", "destination": "empty", "method": "DELETE"},
    {"site": "same-origin", "mode": "no-cors", "destination": "video"},
    # A form of ours on a page with `Referrer-Policy: no-referrer`, as Chromium sends it.
    {"site": "same-origin", "origin": "null", "method": "POST", "mode": "navigate", "destination": "document"},
    {"host": "videos.example.org", "origin": "https://videos.example.org", "method": "POST"},
    {"host": "videos.example.org:443", "origin": "https://videos.example.org", "method": "POST"},
    {"host": "videos.example.org", "origin": "http://videos.example.org:80", "method": "POST"},
    {"host": "[::1]:8000", "origin": "http://[::1]:8000", "method": "POST"},
]
FOREIGN: list[dict[str, Any]] = [
    *(
        {"method": method, **said}
        for method in ("POST", "DELETE", "PUT", "OPTIONS", "PROPFIND")
        for said in (
            {"origin": "https://attacker.example"},
            {"origin": "null"},
            {"origin": "http://localhost:8001"},
            {"origin": "http://localhost"},
            {"origin": "https://localhost:8000.attacker.example"},
            {"origin": "http://localhost:8000, http://attacker.example"},
            {"origin": ""},
            {"origin": "file://"},
            {"origin": "chrome-extension://localhost:8000"},
            {"site": "cross-site"},
            {"site": "same-site"},
            {"site": "rubbish"},
            {"site": ""},
            {"site": "cross-site", "origin": "http://localhost:8000"},
            {"site": "same-origin", "origin": "https://attacker.example"},
            {"site": "cross-site", "origin": "null"},
            {"site": "cross-site", "mode": "navigate", "destination": "document"},
        )
    ),
    {"host": None, "origin": "http://localhost:8000", "method": "POST"},
    {"site": "cross-site"},
    {"origin": "null"},
    {"origin": "https://attacker.example"},
    {"site": "same-site", "mode": "no-cors", "destination": "image"},
    {"site": "cross-site", "mode": "no-cors", "destination": "video"},
    {"site": "cross-site", "mode": "cors", "destination": "empty"},
    {"site": "cross-site", "mode": "navigate", "destination": "iframe"},
    {"site": "cross-site", "mode": "navigate", "destination": "object"},
    {"site": "cross-site", "mode": "navigate", "destination": "embed"},
    {"site": "cross-site", "mode": "navigate", "destination": "document", "purpose": "prefetch;prerender"},
    {"site": "cross-site", "mode": "navigate", "destination": "document", "origin": "https://attacker.example"},
    {"site": "cross-site", "mode": "websocket", "destination": "websocket"},
]
VISITS: list[dict[str, Any]] = [
    {"site": "cross-site", "mode": "navigate", "destination": "document"},
    {"site": "same-site", "mode": "navigate", "destination": "document", "method": "HEAD"},
    # Through the page's own service worker, as Chromium sends it.
    {"site": "cross-site", "mode": "navigate", "destination": "empty"},
]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        *((said, "own") for said in OWN),
        *((said, "foreign") for said in FOREIGN),
        *((said, "visit") for said in VISITS),
        ({"origin": "https://allowed.example", "site": "cross-site", "method": "POST"}, "allowed"),
        ({"origin": "https://ALLOWED.example:443", "method": "OPTIONS"}, "allowed"),
        ({"origin": "http://allowed.example", "method": "POST"}, "foreign"),
        ({"origin": "https://x.allowed.example", "method": "POST"}, "foreign"),
    ],
)
def test_the_sender_is_classified(said: dict[str, Any], expected: str) -> None:
    said = {"host": HOST} | said
    method = said.pop("method", "GET")
    headers = {HEADERS[name]: value for name, value in said.items() if value is not None}
    assert classify_origin(method, headers.get, {"https://allowed.example"}) == expected
