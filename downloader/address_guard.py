"""Refuses addresses inside private networks, as far as that can be told from a URL.

yt-dlp is led from page to page by what strangers wrote. A URL that names this machine or a private network is refused
before it is asked for; an answer that was redirected there is thrown away unread.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from urllib.parse import urlsplit

#: Names that mean this machine or its network without asking any server.
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")

#: NAT64 (RFC 6052) and IPv4-compatible addresses (RFC 4291): their last four bytes are the address that is reached.
_HOLDS_IPV4 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))


def is_private(url: str) -> bool:
    """Tell whether *url* names an address that is not on the public internet, or none at all.

    Looks at the URL alone: a public name that resolves to a private address is not noticed.
    """
    if "\\" in url:
        return True  # some parsers read it as a slash, and then see another host
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return True
    if not host:
        return True
    # Clients fold circled and full-width digits to plain ones before they connect.
    host = unicodedata.normalize("NFKC", host).rstrip(".").lower()
    if host == "localhost" or host.endswith(_LOCAL_SUFFIXES):
        return True
    address = _address(host)
    if address is None:
        # Neither an address nor a name with a dot: something only the local network knows.
        return "." not in host
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and any(address in network for network in _HOLDS_IPV4):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return not address.is_global or address.is_multicast


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # 2130706433, 0x7f.1 and 0177.0.0.1 are addresses to the C library, and so to most clients.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
