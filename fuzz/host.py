"""The rules of what may be reached: no spelling of an address that is not public passes, and every name is a name."""

from __future__ import annotations

import ipaddress
import re
from contextlib import nullcontext

from downloader.egress.policy import address_refusal, host_refusal, is_private, normalize_host
from fuzz.readings import addresses, is_public, readings, spellings
from fuzz.runner import Finding, Target

_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_LOCAL = (".localhost", ".local", ".internal", ".localdomain", ".lan", ".home", ".corp", ".arpa", ".onion", ".private")


def check(text: str) -> bool:
    """Tell whether *text* may be asked for as a host; see whether that is right."""
    _check_url(text)
    why = host_refusal(text)
    found = {address for spelling in spellings(text) for address in addresses(spelling)}
    for address in found:
        if (address_refusal(address) is None) != is_public(address):
            raise Finding(f"{address}: {address_refusal(address)}, but public: {is_public(address)}")
        if why is None and not is_public(address):
            raise Finding(f"is {address} to some, and passes")
    if why is not None:
        _check_refused(text, why)
        return False
    host = normalize_host(text)
    if host_refusal(host) is not None or normalize_host(host) != host:
        raise Finding(f"normalize_host, it is {host!r}, which is judged otherwise")
    if not list(addresses(host)):
        _check_name(host)
    return True


def _check_name(host: str) -> None:
    labels = host.split(".")
    if len(labels) < 2 or len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Finding(f"passes as a name: {host!r}")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        raise Finding(f"ends in a number, so it is no name: {host!r}")
    if f".{host}".endswith(_LOCAL):
        raise Finding(f"passes, a name of the local network: {host!r}")


def _check_refused(text: str, why: str) -> None:
    """See that nobody is kept from a public address in its proper spelling."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return
    if is_public(address):
        raise Finding(f"a public address is refused: {why}")


def _check_url(text: str) -> None:
    url = f"http://{text}/x"
    if is_private(url):
        return
    for reading in readings(url):
        if reading.host is None or reading.by == "a naive parser":  # the guard reads what our own clients read
            continue
        for address in addresses(reading.host):
            if not is_public(address):
                raise Finding(f"{url!r} goes to {address}, says {reading.by}")


HOST = Target(
    name="host",
    open=lambda: nullcontext(check),
    share=30,
    pieces=(
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177", "0x7f", "017700000001", "10.", "192.168.1.1"),
        *("169.254.169.254", "168.63.129.16", "100.64.0.1", "8.8.8.8", "1.1.1.1", "93.184.216.34", "224.0.0.1", "0"),
        *("::", "::1", "::ffff:", "::ffff:0:", "64:ff9b::", "64:ff9b:1::", "2002:", "2001:", "fe80::", "fd00::"),
        *("2606:4700:4700::1111", "7f00:1", "0808:0808", ":0:5efe:", ":200:5efe:", "%eth0", "%25", "%1", "[", "]"),
        *("localhost", ".local", ".internal", ".arpa", "example", ".com", "www.", "xn--", "a_b", "-", ".", "..", "_"),
        *("\u3002", "\uff0e", "\uff61", "\u00ad", "\u2460", "\uff11", "\u0661", "%2e", "%31", "@", ":80", "/", "\\"),
        *("\x00", " ", "\t", "\n", "#", "?", "a" * 64, "x." * 128, "\u00df", "\u0130", "\u200d", "e", "E", "x", "0x"),
    ),
    corpus=(
        "www.youtube.com",
        *("8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
        *("127.0.0.1", "0x7f.1", "0177.0.0.1", "2130706433", "::ffff:127.0.0.1", "2002:7f00:1::", "fe80::1%eth0"),
        *("rr1---sn-abc.googlevideo.com", "127.0.0.1.nip.example", "b\u00fccher.example", "localhost", "db.internal"),
        *("2a00:1:2:3:0:5efe:808:808", "64:ff9b:1::808:808", "a_b.example.com.", "1and1.com", "0x7f.com"),
    ),
)
