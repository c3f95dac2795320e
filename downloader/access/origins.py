"""Where a request comes from and what it believes to talk to: rules over what it says of itself. Knows no HTTP library.

A browser sends requests for any page that it shows, with the cookies of whoever sits at it and from within their
network. That a page cannot forge `Host`, `Origin` and `Sec-Fetch-…` is all that tells its requests from those of ours.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal

_HOST = re.compile(r"(\[[0-9a-f:.]+(?:%[\w.~-]+)?\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?", re.ASCII)
_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\\\s]+)", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}

#: By these names every machine means itself. No page from elsewhere can be called so.
_LOCAL = ("localhost", "*.localhost")


def parse_allowed_hosts(text: str) -> tuple[str, ...]:
    """Return the names in *text*, which are separated by commas; `*` is any, `*.example.org` any below that.

    Raises:
        ValueError: one is no name.
    """
    names = tuple(name for part in text.split(",") if (name := part.strip().lower().removesuffix(".")))
    for name in names:
        if name != "*" and not _is_address(name) and not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a name such as videos.example.org or *.example.org (no scheme, port or path)"
            )
    return names


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins in *text*, which are separated by commas, as browsers write them.

    Raises:
        ValueError: one is no origin.
    """
    return tuple(_parse_origin(part.strip()) for part in text.split(",") if part.strip())


def _parse_origin(text: str) -> str:
    if text == "*":
        raise ValueError("* would let every page on the web use this server: name each origin")
    origin = normal_origin(text.removesuffix("/"))
    if origin is None:
        raise ValueError(f"{text!r} is not an origin such as https://example.org or http://localhost:3000")
    return origin


def normal_origin(text: str) -> str | None:
    """Return *text* as browsers write an origin; None where it is none, as `null` is."""
    matched = _ORIGIN.fullmatch(text.lower())
    host = matched and _split(matched[2])
    if not matched or not host:
        return None
    scheme, (name, port) = matched[1], host
    return f"{scheme}://{name}" if port in ("", _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{name}:{port}"


def is_known_host(host: str, allowed: Iterable[str], own_names: Callable[[], Iterable[str]]) -> bool:
    """Tell whether *host*, a Host header, is what this server is called.

    A page whose name its owner lets point at us (DNS rebinding) counts as ours in the browser. Its requests still say
    that name. Addresses need no naming, because a page that is called by an address was loaded from there.
    *own_names*: asked for last, since it may take a while.
    """
    parts = _split(host.lower())
    if parts is None:
        return False
    name = parts[0]
    return _is_address(name) or _is_among(name, _LOCAL) or _is_among(name, allowed) or _is_among(name, own_names())


def _split(host: str) -> tuple[str, str] | None:
    """Return the name and the port, "" where there is none, of a Host header in lower case."""
    matched = _HOST.fullmatch(host)
    return None if matched is None else (matched[1].removesuffix("."), matched[2] or "")


def _is_address(name: str) -> bool:
    try:
        if name.startswith("["):
            ipaddress.IPv6Address(name[1:-1])
        else:
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def _is_among(name: str, names: Iterable[str]) -> bool:
    return any(
        known in ("*", name) or (known.startswith("*.") and name.endswith(known[1:]) and name != known[1:])
        for known in names
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchMetadata:
    """What a request says about the page that sent it; None where it says nothing."""

    method: str
    host: str | None
    origin: str | None = None
    site: str | None = None  #: Sec-Fetch-Site; sent to https and loopback only
    mode: str | None = None  #: Sec-Fetch-Mode
    destination: str | None = None  #: Sec-Fetch-Dest
    purpose: str | None = None  #: Sec-Purpose


#: `own`: our page, or no page at all. `named`: an origin that may use us. `visit`: someone follows a link to us.
#: `foreign`: another page's doing.
Sender = Literal["own", "named", "visit", "foreign"]


def classify_origin(said: FetchMetadata, named: Collection[str]) -> Sender:
    """Return who sent a request that says *said*; *named* are the origins that may use us."""
    if said.origin is not None and normal_origin(said.origin) in named:
        return "named"
    if _is_ours(said):
        return "own"
    return "visit" if _is_visit(said) else "foreign"


def _is_ours(said: FetchMetadata) -> bool:
    # What was typed, bookmarked or shared is `none`. Another port of this host is `same-site`, and somebody else.
    by_site = said.site in ("same-origin", "none")
    if said.site is not None and not by_site:
        return False
    if said.origin == "null":
        return by_site  # a form of ours, sent from a page that hides where it is
    return said.origin is None or _is_same_place(said.origin, said.host)


def _is_same_place(origin: str, host: str | None) -> bool:
    # Behind a proxy that speaks TLS for us only the origin knows the scheme, and so the port that goes without saying.
    scheme = origin.partition(":")[0].lower()
    if host is None or scheme not in _DEFAULT_PORTS:
        return False
    return normal_origin(origin) == normal_origin(f"{scheme}://{host}") is not None


def _is_visit(said: FetchMetadata) -> bool:
    return (
        said.method in ("GET", "HEAD")
        and said.origin is None
        and said.mode == "navigate"
        # Not a frame or an object in a page; `empty` is a visit that went through the page's service worker.
        and said.destination in ("document", "empty", None)
        and "prefetch" not in (said.purpose or "")  # nor what a page has fetched in case someone should click
    )
