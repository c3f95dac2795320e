"""Which hosts and addresses a download may reach: the public internet, and nothing else. Pure rules, no I/O.

The tables are the registries' (IANA special-purpose addresses), written out: Python's own `is_global` differs from one
version to the next.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Mapping
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Where the platforms are. Anything else on a public host is a service that was not meant for us.
WEB_PORTS = frozenset({80, 443})

#: Names that mean this machine or its network, whoever answers for them. `local` holds `cluster.local`, `internal` the
#: clouds' metadata names and Docker's; under `arpa` there are addresses spelt backwards and `home.arpa`.
_LOCAL_SUFFIXES = (
    # With 4 and 6 as Red Hat's systems call this machine.
    *("localhost", "localhost4", "localhost6", "localdomain", "localdomain4", "localdomain6"),
    *("local", "internal", "intranet", "private", "corp", "home", "lan", "svc"),
    *("arpa", "onion", "invalid"),
)

_NOT_GLOBAL_IPV4: Mapping[str, str] = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "a private network",
    "100.64.0.0/10": "a carrier's private network",  # Alibaba's metadata service among them
    "127.0.0.0/8": "this machine",
    "168.63.129.16/32": "a cloud's metadata service",  # Azure's, the one that has a public address
    "169.254.0.0/16": "a link-local address",  # with most clouds' metadata services
    "172.16.0.0/12": "a private network",
    "192.0.0.0/24": "a reserved address",
    "192.0.2.0/24": "an address for documentation",
    "192.88.99.0/24": "a relay to other networks",
    "192.168.0.0/16": "a private network",
    "198.18.0.0/15": "a network for measurements",
    "198.51.100.0/24": "an address for documentation",
    "203.0.113.0/24": "an address for documentation",
    "224.0.0.0/4": "a multicast address",
    "240.0.0.0/4": "a reserved address",
}
_NOT_GLOBAL_IPV6: Mapping[str, str] = {
    "::1/128": "this machine",
    "::/128": "this machine",
    "fc00::/7": "a private network",
    "fe80::/10": "a link-local address",
    "fec0::/10": "a private network",  # site-local, as it once was
    "ff00::/8": "a multicast address",
    "2001:db8::/32": "an address for documentation",
    "3fff::/20": "an address for documentation",
    "2001::/23": "a reserved address",  # Teredo's tunnels among them
}
_IPV4_TABLE = tuple((ipaddress.IPv4Network(network), what) for network, what in _NOT_GLOBAL_IPV4.items())
_IPV6_TABLE = tuple((ipaddress.IPv6Network(network), what) for network, what in _NOT_GLOBAL_IPV6.items())

#: The only part of IPv6 that is given out to the internet.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

#: Addresses that lead to the IPv4 address in their last four bytes: IPv4-mapped, and NAT64, where it is all that a
#: network without IPv4 gets to see. Of 64:ff9b:1::/48, which everyone divides as he likes, only the plain form: the
#: others, read as this network may read them, could hold any address.
_ENDS_WITH_IPV4 = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96")))
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
#: Below any prefix; the bit between the two says "locally given out".
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")
_BLANK_IN_AUTHORITY = re.compile(r"[^/?#]*//[^/?#]*[\x00-\x20]")
_LOOKS_LIKE_A_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")


def address_refusal(address: Address) -> str | None:
    """Return why *address* must not be reached, in a few words, or None where it is on the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return next((what for network, what in _IPV4_TABLE if address in network), None)
    if address.scope_id is not None:
        return "an address of one link"
    if any(address in network for network in _ENDS_WITH_IPV4):
        return address_refusal(_last_four_bytes(address))
    for network, what in _IPV6_TABLE:
        if address in network:
            return what
    if address not in _GLOBAL_UNICAST:
        return "a reserved address"
    if address in _SIX_TO_FOUR and (why := address_refusal(ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF))):
        return why
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return address_refusal(_last_four_bytes(address))
    return None


def _last_four_bytes(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def literal(host: str) -> Address | None:
    """Return the address that *host* is, without brackets, in its one proper spelling; None where it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def host_refusal(host: str) -> str | None:
    """Return why *host*, a name or an address without brackets, must not be asked for, or None.

    Of a name only the name is judged: what it resolves to is for `address_refusal`.
    """
    host = folded(host)
    if (address := literal(host)) is not None:
        return address_refusal(address)
    last = host.rpartition(".")[2]
    if _LOOKS_LIKE_A_NUMBER.fullmatch(last):
        # 2130706433, 0x7f.1, 0177.0.0.1: addresses to the C library, and so to most clients, though not to all the
        # same. Nobody writes a public one that way.
        return (_aton_refusal(host) or "an address in an unusual spelling") if last else "no host"
    if last in _LOCAL_SUFFIXES:
        return "a name of the local network"
    if not _NAME.fullmatch(host):
        # A name without a dot is one that only the local network knows.
        return "a name of the local network" if host and "." not in host else "no host name"
    return None


def _aton_refusal(host: str) -> str | None:
    try:
        return address_refusal(ipaddress.IPv4Address(socket.inet_aton(host)))
    except (OSError, ValueError):  # ValueError: a NUL, or what is not ASCII
        return None


def folded(host: str) -> str:
    """Return *host* as clients fold it before they look it up: circled and full-width letters, dots, case."""
    host = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower()
    if not host.isascii():
        try:
            # Drops what cannot be seen, a soft hyphen for one.
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return ""
    return host.removesuffix(".")


def is_private(url: str) -> bool:
    """Tell whether *url* names an address that is not on the public internet, or none at all.

    Looks at the URL alone: a public name that resolves to a private address is the proxy's business.
    """
    # A backslash some parsers read as a slash; a blank some leave out, where to others the host ends.
    if "\\" in url or _BLANK_IN_AUTHORITY.match(url.strip()):
        return True
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return True
    return not host or host_refusal(host) is not None
