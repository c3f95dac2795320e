"""Host and origin checks, independent of any HTTP library.

A browser sends requests on behalf of any page it shows, with the user's cookies and from inside the user's network.
Pages cannot forge `Host`, `Origin` and `Sec-Fetch-…`, so these headers tell a foreign page's requests from our own.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Container, Iterable
from functools import cache
from typing import Literal

_HOST = re.compile(r"(\[[0-9a-f:.]+(?:%[\w.~-]+)?\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?", re.ASCII)
_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\\\s]+)", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: Browser extensions: programs that a user installed. No page can have such an origin.
_EXTENSIONS = {
    "chrome-extension://*": r"chrome-extension://[a-p]{32}",
    "moz-extension://*": rf"moz-extension://{_UUID}",
    "safari-web-extension://*": rf"safari-web-extension://{_UUID}",
}

#: Every machine's names for itself; no page from elsewhere can have them.
_LOCAL = ("localhost", "*.localhost")


def parse_allowed_hosts(text: str) -> tuple[str, ...]:
    """Return the comma-separated host names in *text*; `*` matches any, `*.example.org` any subdomain.

    Raises:
        ValueError: a host name is malformed.
    """
    names = tuple(name for part in text.split(",") if (name := part.strip().lower().removesuffix(".")))
    for name in names:
        if name != "*" and not _is_address(name) and not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a name such as videos.example.org or *.example.org (no scheme, port or path)"
            )
    return names


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the comma-separated origins in *text*, normalized as browsers send them.

    `moz-extension://*`, for a scheme of browser extensions, stays as it is: some get a new name at each installation.

    Raises:
        ValueError: an origin is malformed, or `*`.
    """
    origins = []
    for part in filter(None, map(str.strip, text.split(","))):
        if part == "*":
            raise ValueError("* would let every page on the web use this server: name each origin")
        if part.lower() in _EXTENSIONS:
            origins.append(part.lower())
            continue
        if (origin := normal_origin(part.removesuffix("/"))) is None:
            raise ValueError(f"{part!r} is not an origin such as https://example.org or http://localhost:3000")
        origins.append(origin)
    return tuple(origins)


def normal_origin(text: str) -> str | None:
    """Return *text* as browsers send an origin; None if it is not one, such as `null`."""
    matched = _ORIGIN.fullmatch(text.lower())
    host = matched and _split(matched[2])
    if not matched or not host:
        return None
    scheme, (name, port) = matched[1], host
    return f"{scheme}://{name}" if port in ("", _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{name}:{port}"


class AllowedOrigins:
    """The origins that may use this server: those that are named, and browser extensions."""

    def __init__(self, named: Iterable[str], *, extensions: bool) -> None:
        """Allow those *named*, as `parse_origins` returns them; with *extensions*, all browser extensions."""
        wanted = [*named, *(_EXTENSIONS if extensions else ())]
        patterns = [_EXTENSIONS.get(origin) or re.escape(origin) for origin in wanted]
        self.pattern = re.compile(rf"(?:{'|'.join(patterns)})\Z" if patterns else "(?!)", re.IGNORECASE | re.ASCII)

    def __contains__(self, origin: object) -> bool:
        """Tell whether *origin*, normalized, may use this server."""
        return isinstance(origin, str) and self.pattern.match(origin) is not None


def is_known_host(host: str, allowed: Iterable[str], own_names: Callable[[], Iterable[str]]) -> bool:
    """Tell whether *host*, a Host header, names this server.

    This stops DNS rebinding: a page whose domain was pointed at our address has the same origin as us in the browser,
    but its requests still carry that domain. IP addresses are always accepted, because a page whose origin is an
    address was loaded from that address. *own_names* is called last, since it may be slow.
    """
    parts = _split(host.lower())
    if parts is None:
        return False
    name = parts[0]
    return _is_address(name) or _is_among(name, _LOCAL) or _is_among(name, allowed) or _is_among(name, own_names())


def _split(host: str) -> tuple[str, str] | None:
    """Return the name and port ("" if absent) of a lower-case Host header; None if it is malformed."""
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


@cache
def machine_names() -> frozenset[str]:
    """Return this machine's lower-case host names, with and without domain; the first call may wait for DNS."""
    name = socket.gethostname().lower().removesuffix(".")
    short = name.partition(".")[0]
    full = socket.getfqdn().lower().removesuffix(".")
    return frozenset({name, short, f"{short}.local", full}) - {"", ".local"}


#: `own`: our page, or a client that is not a browser. `allowed`: a configured origin. `visit`: the user follows a link
#: to us. `foreign`: another page sent it.
Sender = Literal["own", "allowed", "visit", "foreign"]


def classify_origin(method: str, header: Callable[[str], str | None], allowed: Container[str | None]) -> Sender:
    """Return who sent a request; *header* finds one by name, *allowed* are the origins that may use this server."""
    origin = header("Origin")
    if origin is not None and normal_origin(origin) in allowed:
        return "allowed"
    if _is_ours(origin, header):
        return "own"
    return "visit" if origin is None and method in ("GET", "HEAD") and _is_visit(header) else "foreign"


def _is_ours(origin: str | None, header: Callable[[str], str | None]) -> bool:
    site = header("Sec-Fetch-Site")  # sent to https and loopback only
    # `none`: typed, bookmarked or shared. `same-site`: another port of this host, which is another application.
    by_site = site in ("same-origin", "none")
    if site is not None and not by_site:
        return False
    if origin == "null":
        return by_site  # our own form, sent from a page that hides its origin
    return origin is None or _is_same_origin(origin, header("Host") or "")


def _is_same_origin(origin: str, host: str) -> bool:
    # Behind a proxy that terminates TLS only the origin knows the scheme, and with it the default port.
    scheme = origin.partition(":")[0].lower()
    return scheme in _DEFAULT_PORTS and normal_origin(origin) == normal_origin(f"{scheme}://{host}") is not None


def _is_visit(header: Callable[[str], str | None]) -> bool:
    return (
        header("Sec-Fetch-Mode") == "navigate"
        # Not a frame or an object in a page; `empty` is a navigation through the page's service worker.
        and header("Sec-Fetch-Dest") in ("document", "empty", None)
        and "prefetch" not in (header("Sec-Purpose") or "")  # requested by a page, not by a click
    )
