"""Which hosts and addresses a download may reach: only the public internet. Rules without I/O.

The tables are IANA's registries of special-purpose addresses, because Python's `is_global` differs between versions.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: The ports of platforms. Other ports of a public host belong to services that are not meant for downloads.
WEB_PORTS = frozenset({80, 443})

#: Names for this machine or its network, whatever they resolve to. `local` covers `cluster.local`; `internal` covers
#: Docker's names and those of clouds' metadata services; `arpa` covers reverse addresses and `home.arpa`.
_LOCAL_SUFFIXES = (
    # Red Hat's systems add 4 and 6.
    *("localhost", "localhost4", "localhost6", "localdomain", "localdomain4", "localdomain6"),
    *("local", "internal", "intranet", "private", "corp", "home", "lan", "svc"),
    *("arpa", "onion", "invalid"),
)

_NOT_GLOBAL_TABLE = {
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
_NOT_GLOBAL = tuple((ipaddress.ip_network(network), what) for network, what in _NOT_GLOBAL_TABLE.items())

#: The only part of IPv6 that is allocated to the internet.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

#: Addresses that lead to the IPv4 address in their last four bytes: IPv4-mapped ones, and NAT64, which networks without
#: IPv4 depend on. Of 64:ff9b:1::/48, which each network divides as it likes, only the plain form is accepted: in other
#: forms the IPv4 address could be anywhere.
_ENDS_WITH_IPV4 = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96")))
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
#: Follows any prefix; the two differ in the bit for "locally administered".
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")
_BLANK_IN_AUTHORITY = re.compile(r"[^/?#]*//[^/?#]*[\x00-\x20]")
_LOOKS_LIKE_A_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")


def address_refusal(address: Address) -> str | None:
    """Return in a few words why *address* is forbidden, or None if it is on the public internet."""
    for network, what in _NOT_GLOBAL:
        if address in network:
            return what
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.scope_id is not None:
        return "an address of one link"
    if any(address in network for network in _ENDS_WITH_IPV4):
        return address_refusal(_last_four_bytes(address))
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
    """Return *host*, without brackets, as an address; None if it is a name or an unusual spelling."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def host_refusal(host: str) -> str | None:
    """Return why *host*, a name or an address without brackets, is forbidden, or None.

    Names are not resolved: `address_refusal` checks their addresses.
    """
    host = normalize_host(host)
    if (address := literal(host)) is not None:
        return address_refusal(address)
    last = host.rpartition(".")[2]
    if _LOOKS_LIKE_A_NUMBER.fullmatch(last):
        # 2130706433, 0x7f.1 and 0177.0.0.1 are addresses to the C library and most clients, which do not agree on their
        # value. No public address is written that way.
        return (_aton_refusal(host) or "an address in an unusual spelling") if last else "no host"
    if last in _LOCAL_SUFFIXES:
        return "a name of the local network"
    if not _NAME.fullmatch(host):
        # Only the local network knows names without a dot.
        return "a name of the local network" if host and "." not in host else "no host name"
    return None


def _aton_refusal(host: str) -> str | None:
    try:
        return address_refusal(ipaddress.IPv4Address(socket.inet_aton(host)))
    except (OSError, ValueError):  # ValueError: a NUL, or what is not ASCII
        return None


def normalize_host(host: str) -> str:
    """Return *host* normalized as clients do before the lookup: circled and full-width letters, dots, case."""
    host = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower()
    if not host.isascii():
        try:
            # Drops invisible characters, such as a soft hyphen.
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return ""
    return host.removesuffix(".")


def is_private(url: str) -> bool:
    """Tell whether the host in *url* is not on the public internet, or missing.

    Only the URL is checked: the egress proxy refuses public names that resolve to private addresses.
    """
    # Parsers disagree: to some, a backslash is a slash, and a blank is ignored where to others the host ends.
    if "\\" in url or _BLANK_IN_AUTHORITY.match(url.strip()):
        return True
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return True
    return not host or host_refusal(host) is not None
