"""What is the public internet and what is not, in every spelling that some client understands."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, strategies

from downloader.egress.policy import (
    _ENDS_WITH_IPV4,
    _SIX_TO_FOUR,
    Address,
    address_refusal,
    host_refusal,
    is_private,
    normalize_host,
)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:8080/x",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://10.1.2.3/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://nas.local/",
        "http://db.internal/",
        "http://router/",
        "http://user:pass@127.0.0.1/",
        "http:///x",
        "http://[bad/",
        "file:///etc/passwd",
        "http://\u2460\u2461\u2466.0.0.1/",  # circled digits
        "http://\uff11\uff12\uff17.0.0.1/",  # full-width digits
        "http://[64:ff9b::7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://127.0.0.1\\@youtube.com/",
        "http://youtube.com\\@127.0.0.1/",
        "http://127.0.0.1\n.nip.example/",  # urllib drops the line end, to the C library the host ends there
        "http://\x00.2/",
    ],
)
def test_private_addresses_are_known(url: str) -> None:
    assert is_private(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=1",
        "https://rr1---sn-abc.googlevideo.com/videoplayback",
        "http://8.8.8.8/",
        "http://[2606:4700:4700::1111]/",
        "https://cafe.example/",
        "https://127.0.0.1.nip.example/",
    ],
)
def test_public_addresses_pass(url: str) -> None:
    assert not is_private(url)


#: Each range that is not the public internet, by its first and its last address, and what lies right beside it.
RANGES = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("168.63.129.16", "168.63.129.16"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "255.255.255.255"),
]
BESIDE = [
    *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"),
    *("168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0"),
    *("191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0"),
    *("198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0"),
    *("223.255.255.255", "8.8.8.8", "93.184.216.34"),
]
INSIDE = [address for pair in RANGES for address in pair]


def spellings(text: str) -> list[str]:
    """Return the ways in which an IPv4 address is written, and the IPv6 addresses that lead to it."""
    address = ipaddress.IPv4Address(text)
    number, bytes_ = int(address), address.packed
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    a, b, c, d = bytes_
    return [
        text,
        f"{text}.",
        str(number),
        hex(number),
        f"0{number:o}",
        f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a}.{b}.{c * 256 + d}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.0x{number & 0xFFFFFF:x}",
        f"{a:03d}.{b:03d}.{c:03d}.{d:03d}",
        text.replace(".", "\u3002"),
        text.translate(str.maketrans("0123456789", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19")),
        *tunnelled(high, low),
        f"::{high}:{low}",
        f"::ffff:0:{high}:{low}",
        f"2001:0:{high}:{low}::",
        f"2001:0:808:808:0:0:{int(high, 16) ^ 0xFFFF:x}:{int(low, 16) ^ 0xFFFF:x}",
    ]


def tunnelled(high: str, low: str) -> list[str]:
    return [
        f"::ffff:{high}:{low}",
        f"0:0:0:0:0:FFFF:{high}:{low}",
        f"64:ff9b::{high}:{low}",
        f"64:ff9b:1::{high}:{low}",
        f"2002:{high}:{low}::1",
        f"2a00:1:2:3:0:5efe:{high}:{low}",
        f"2a00:1:2:3:200:5efe:{high}:{low}",
    ]


@pytest.mark.parametrize("address", INSIDE)
def test_no_spelling_of_a_private_address_passes(address: str) -> None:
    for spelling in spellings(address):
        assert host_refusal(spelling), spelling
        host = f"[{spelling}]" if ":" in spelling else spelling
        assert is_private(f"http://{host}/")
        assert is_private(f"https://u:p@{host}:443/x?y#z")


@pytest.mark.parametrize("address", BESIDE)
def test_what_lies_beside_is_public_and_so_are_the_ways_to_it(address: str) -> None:
    assert host_refusal(address) is None
    high, low = (f"{int(ipaddress.IPv4Address(address)) >> shift & 0xFFFF:x}" for shift in (16, 0))
    for way in tunnelled(high, low):
        assert host_refusal(way) is None, way


@pytest.mark.parametrize(
    "address",
    [
        *("::", "::1", "::2", "::ffff:0:0:1", "100::1", "200::1", "400::", "4000::1", "5f00::1", "8000::1", "fbff::1"),
        *("fc00::", "fd00::1", "fdff:ffff::1", "fe00::1", "fe80::1", "febf::1", "fec0::1", "feff::1", "ff02::1"),
        *("2001::1", "2001:1::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff::1", "2001:db8::1", "3fff::1"),
        *("fe80::1%eth0", "2606:4700::1%eth0", "64:ff9b:1:1::808:808", "64:ff9b:2::808:808", "1fff::1"),
    ],
)
def test_ipv6_that_is_not_public_is_refused(address: str) -> None:
    assert host_refusal(address)


@pytest.mark.parametrize(
    "address",
    ["2000::1", "2001:200::1", "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450:4001::1", "3ffe::1"],
)
def test_ipv6_that_is_public_passes(address: str) -> None:
    assert host_refusal(address) is None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "localhost",
            "LocalHost",
            "localhost.",
            "x.localhost",
            "localhost.localdomain",
            "localhost4.localdomain4",
            "localhost6.localdomain6",
            "localhost6.localdomain",
            "ip6-localhost",
            "ip6-loopback",
            "broadcasthost",
            "x.localhost6",
            "router",
            "nas",
            "a_b",
            "com",
        ),
        *("printer.local", "k8s.svc.cluster.local", "db.svc", "metadata.google.internal", "host.docker.internal"),
        *("fritz.box.lan", "server.corp", "x.home", "x.home.arpa", "x.private", "x.intranet", "abc.onion", "x.invalid"),
        *("1.0.0.127.in-addr.arpa", "", ".", "..", "a..b", ".a.b", "a.b..", "-" * 64 + ".com", "a." * 127 + "com"),
        *(
            "\x00.2",
            "a b.com",
            "a\tb.com",
            "a\x00b.com",
            "a/b.com",
            "a@b.com",
            "a:b.com",
            "a%2eb.com",
            "a,b.com",
            "[::1]",
        ),
        *(
            "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
            "local\u00adhost",
            "\uff4cocalhost",
            "x\u3002local",
        ),
        *("1.2.3.4.5", "256.1.1.1", "1.1.1", "0x", "08.8.8.8", "8.8.8.08", "a.1", "a.0x1", "4294967296", "8.8.8.8x.9"),
    ],
)
def test_names_that_are_not_the_internets_are_refused(name: str) -> None:
    assert host_refusal(name)


@pytest.mark.parametrize(
    "name",
    [
        *("www.youtube.com", "www.youtube.com.", "WWW.YouTube.COM", "rr1---sn-abc.googlevideo.com", "a_b.example.com"),
        *("v16-webapp-prime.tiktok.com", "localhost.example.com", "local.example", "internal.example.org", "0x7f.com"),
        *("127.0.0.1.nip.example", "b\u00fccher.example", "xn--bcher-kva.example", "a.b.c.d.e.example", "1and1.com"),
    ],
)
def test_public_names_pass(name: str) -> None:
    assert host_refusal(name) is None


@given(strategies.ip_addresses())
def test_the_rules_agree_with_pythons_where_python_knows(address: Address) -> None:
    # Python's own list is shorter in some versions; whatever it calls private must be refused.
    if (
        address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
    ):
        inner = address.version == 6 and any(address in network for network in (*_ENDS_WITH_IPV4, _SIX_TO_FOUR))
        assert inner or address_refusal(address)


@given(strategies.ip_addresses(v=4), strategies.integers(0, 12))
def test_no_spelling_of_any_address_is_judged_more_kindly(address: ipaddress.IPv4Address, spelling: int) -> None:
    if address_refusal(address):
        assert host_refusal(spellings(str(address))[spelling])


@given(strategies.text(max_size=40))
def test_any_host_is_judged_and_what_passes_is_plain(host: str) -> None:
    if host_refusal(host) is None:
        assert normalize_host(host).isascii()
        assert "." in normalize_host(host) or ":" in normalize_host(host)
        assert not set(normalize_host(host)) & set(" \t\r\n/\\@#?[]")


@given(strategies.text(max_size=60))
def test_any_url_is_judged(url: str) -> None:
    is_private(url)
    is_private(f"http://{url}/")
