"""How other programs read a URL or a host: written out here, or asked of their libraries. Nothing of ours."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import idna
import urllib3.exceptions
import urllib3.util

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one parser takes a URL for."""

    by: str
    scheme: str
    user: str | None
    host: str | None
    port: str | None


#: What Python's own tables, which change from version to version, do not have or have exceptions to.
_NEVER_PUBLIC = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "3fff::/20"))
)

#: How many there are.
PARSERS = 5

_RFC_3986 = re.compile(r"^(([^:/?#]+):)?(//([^/?#]*))?([^?#]*)(\?([^#]*))?(#(.*))?", re.DOTALL)


def readings(url: str) -> Iterator[Reading]:
    """Yield what parsers make of *url*; those that refuse it are left out."""
    try:
        parts = urlsplit(url)
        port = parts.port
        yield Reading(
            by="urllib",
            scheme=parts.scheme,
            user=parts.username,
            host=parts.hostname,
            port=None if port is None else str(port),
        )
    except ValueError:
        pass
    try:
        found = urllib3.util.parse_url(url)
        yield Reading(
            by="urllib3",
            scheme=found.scheme or "",
            user=found.auth,
            host=found.host,
            port=None if found.port is None else str(found.port),
        )
    except urllib3.exceptions.LocationParseError:
        pass
    match = _RFC_3986.match(url)
    if match is not None and match[3]:
        yield _of_authority("RFC 3986", match[2] or "", match[4], last_at=True)
    # Browsers: blanks at the ends and all tabs and line ends are dropped, a backslash is a slash, the last @ counts.
    text = re.sub(r"[\t\r\n]", "", url.strip("".join(map(chr, range(33))))).replace("\\", "/")
    if match := re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/*([^/?#]*)", text):
        yield _of_authority("a browser", match[1], match[2], last_at=True)
    # Naive ones: the first @ counts, percent signs are decoded before anything else.
    if match := re.match(r"([^:]+)://([^/?#\\]*)", unquote(url)):
        yield _of_authority("a naive parser", match[1], match[2], last_at=False)


def _of_authority(by: str, scheme: str, authority: str, *, last_at: bool) -> Reading:
    user, at, rest = authority.rpartition("@") if last_at else authority.partition("@")
    if not at:
        user, rest = "", authority
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        host, port = rest, ""
    return Reading(
        by=by,
        scheme=scheme.lower(),
        user=user if at else None,
        host=host.removeprefix("[").removesuffix("]").lower(),
        port=port if colon and not rest.endswith("]") else None,
    )


def spellings(host: str) -> set[str]:
    """Return what clients may make of *host* before they look it up."""
    plain = unicodedata.normalize("NFKC", host)
    found = {host, plain, host.strip(), unquote(host), plain.lower().rstrip("."), plain.replace("\u3002", ".").lower()}
    if not host.isascii():
        for encode in (_idna_2003, _idna_2008):
            if (encoded := encode(host)) is not None:
                found.add(encoded)
    return found


def _idna_2003(host: str) -> str | None:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return None


def _idna_2008(host: str) -> str | None:
    try:
        return idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError, ValueError):
        return None


def addresses(host: str) -> Iterator[Address]:
    """Yield the addresses that *host*, without brackets, is to some client, without asking any name server."""
    with suppress(ValueError):
        yield ipaddress.ip_address(host)
    with suppress(OSError, ValueError):
        yield ipaddress.IPv4Address(socket.inet_aton(host))
    if (number := _browsers_ipv4(host)) is not None:
        yield ipaddress.IPv4Address(number)
    with suppress(OSError, ValueError):
        for *_, at in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST):
            yield ipaddress.ip_address(at[0])


def _browsers_ipv4(host: str) -> int | None:
    """Return the IPv4 address that browsers take *host* for: the last number fills what is left."""
    parts = host.removesuffix(".").split(".")
    if len(parts) > 4:
        return None
    numbers = []
    for part in parts:
        if not part.isascii() or not re.fullmatch(r"0[xX][0-9a-fA-F]*|[0-9]+", part) or len(part) > 40:
            return None
        if part[:2] in ("0x", "0X"):
            numbers.append(int(part[2:] or "0", 16))
        elif len(part) > 1 and part.startswith("0"):
            if not re.fullmatch(r"[0-7]+", part):
                return None
            numbers.append(int(part, 8))
        else:
            numbers.append(int(part))
    *first, last = numbers
    if any(number > 255 for number in first) or last >= 256 ** (5 - len(numbers)):
        return None
    return last + sum(number << 8 * (3 - place) for place, number in enumerate(first))


def is_public(address: Address) -> bool:
    """Tell whether *address*, and whatever address it leads to by a tunnel, is on the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return (
            address.is_global
            and not address.is_multicast
            and not address.is_reserved
            and not any(address in network for network in _NEVER_PUBLIC if network.version == 4)
        )
    if address.scope_id is not None:
        return False
    inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    # IPv4-mapped, NAT64, NAT64 for local use.
    if int(address) >> 32 in (0xFFFF, 0x0064_FF9B << 64, (0x0064_FF9B << 64) + (1 << 48)):
        return is_public(inner)
    if address.teredo is not None:
        return False
    if address.sixtofour is not None:
        return is_public(address.sixtofour)
    if int(address) >> 32 & 0xFDFF_FFFF == 0x5EFE and not is_public(inner):  # ISATAP
        return False
    if any(address in network for network in _NEVER_PUBLIC if network.version == 6):
        return False
    return address.is_global and not address.is_multicast and int(address) >> 125 == 1
