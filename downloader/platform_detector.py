"""Reads a link: which platform owns it, and what on that platform it leads to. Makes no request.

`parse_link` is the allow-list of what the server fetches. Only the host counts, after one anchored pattern has taken
the link apart; nothing is decoded, guessed or repaired, because another parser down the line might read a repaired link
differently. `read_link` then finds the post. What it returns is built from parts that were checked, never copied from
the link's text.

`portal/static/post_links.js` reads links by the same rules: change both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal
from urllib.parse import parse_qsl

from downloader.platforms import PLATFORMS, LinkForm, Platform, PlatformType

#: Longer links are refused; this also bounds what a hostile one can cost.
MAX_URL_LENGTH = 2048

#: Links within links are read to this depth.
MAX_DEPTH = 4

LinkKind = Literal["post", "short", "collection", "other", "mistyped", "unknown"]
"""A `short` link must be followed, a `mistyped` one has no valid post id, an `unknown` one is no platform's."""

# The authority ends at the first of / ? #. Neither a user part (@), nor a backslash (some parsers read it as /),
# nor a bracket, percent sign or non-ASCII letter can be part of a host here, so none of them can hide one.
_LINK = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>(?:[/?#].*)?)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)

_DEFAULT_PORTS = {"http": ("80",), "https": ("443",), "": ("80", "443")}

_URL = re.compile(
    r"https?://(?P<host>[a-z0-9.-]+)(?::(?:80|443))?(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_SCHEME = re.compile(r"https?://", re.ASCII | re.IGNORECASE)
_ROUTE = re.compile(
    r"\A(?:(?:/(?:index|foryou|trending)?)?(?:\?[^#]*)?#!?(?=/)|/[a-z0-9_]{1,15}#!(?=/[a-z0-9_]{1,15}/status))",
    re.ASCII | re.IGNORECASE,
)
_WATCH_ROUTE = re.compile(r"\A/watch#!?(?=v=)", re.ASCII | re.IGNORECASE)
# An id also ends at a ? or & too many, or at an encoded one.
_ID_ENDS = re.compile(r"[?& ]|%3f|%26|%20", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Link:
    """A link that one of the platforms owns, in the one spelling that is handed on."""

    url: str  #: https, lower-case host, no port, no fragment
    platform: PlatformType


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTarget:
    """What a link leads to."""

    kind: LinkKind
    platform: PlatformType
    #: For a post or a short link: what to fetch; for a collection: what to list, None if it can't be listed.
    canonical_url: str | None = None
    post_id: str | None = None
    part: int | None = None  #: which of the post's media is meant, from 1; None: all of them
    #: Names what to fetch among all of the platform: alike for every spelling of the link, and for nothing else.
    name: str | None = field(default=None, compare=False)
    more_ids: tuple[str, ...] = ()  #: of other posts that the link names
    collection_id: str | None = None  #: of a collection that can be listed: its kind and id, unique on its platform
    destination: str | None = None  #: for the other kinds: a key of `DESTINATIONS`, or `unknown` if no form matches


def detect_platform(url: str) -> PlatformType:
    """Return the platform that owns *url*, `unknown` for everything else. Never raises for a string."""
    link = parse_link(url)
    return "unknown" if link is None else link.platform


def parse_link(url: str) -> Link | None:
    """Return *url* as the link of a platform, or None where it is not one. Never raises for a string."""
    text = url.strip()
    if not 0 < len(text) <= MAX_URL_LENGTH or "\\" in text:
        return None
    match = _LINK.fullmatch(text)
    if match is None or (match["port"] and match["port"] not in _DEFAULT_PORTS[(match["scheme"] or "").lower()]):
        return None
    host = match["host"].lower()
    platform = _owner(host)
    # Not printable: other spaces, controls, invisible formatting, lone surrogates.
    if platform is None or " " in text or not text.isprintable():
        return None
    link = f"https://{host}{_fold_fragment(match['rest'])}"
    # With its scheme it may be longer; whatever was accepted must be accepted again.
    return Link(link, platform.name) if len(link) <= MAX_URL_LENGTH else None


def read_link(url: str) -> LinkTarget:
    """Return what *url*, best one from `parse_link`, leads to. Never raises for a string."""
    return _read(url, MAX_DEPTH)


def _fold_fragment(rest: str) -> str:
    """Return *rest*, what follows the host of a link, without its fragment.

    Old pages of X, YouTube and TikTok had the post's address behind a #: it becomes the path, as a fragment never
    reaches a server. Any other is dropped: yt-dlp reads private instructions to its extractors from it.
    """
    return _WATCH_ROUTE.sub("/watch?", _ROUTE.sub("", rest)).partition("#")[0]


def _owner(host: str) -> Platform | None:
    return next((platform for platform in PLATFORMS.values() if host in platform.hosts), None)


def _read(url: str, depth: int) -> LinkTarget:
    match = _URL.fullmatch(url)
    host = match["host"].lower() if match else ""
    platform = _owner(host)
    if match is None or platform is None:
        return LinkTarget(kind="unknown", platform="unknown")
    path = re.sub(r"/+", "/", match["path"] or "").rstrip("/")
    query = _parameters(match["query"] or "")
    for form in platform.link_forms:
        if form.host and not _matches(form.host, host):
            continue
        found = _compiled(form.path).fullmatch(path)
        value = next((query[name] for name in form.query if name in query), None)
        if found is None or (value is None and form.query):
            continue
        if target := _target(form, platform, {**found.groupdict(), "host": host}, value, depth):
            return target
    return LinkTarget(kind="other", platform=platform.name, destination="unknown" if path else "page")


def _target(
    form: LinkForm, platform: Platform, groups: Mapping[str, str | None], value: str | None, depth: int
) -> LinkTarget | None:
    """Return what a link of *form* leads to; None if later forms decide, as if a wrapper's inner link is useless."""
    if form.kind == "wrapper":
        inner = _read(_absolute(value or "", groups["host"] or ""), depth - 1) if depth else None
        if inner and inner.kind != "unknown" and inner.destination not in ("page", "unknown"):
            return inner
        if not form.destination:
            return None
        return LinkTarget(kind="other", platform=platform.name, destination=form.destination)
    if not form.link:
        return LinkTarget(kind=form.kind, platform=platform.name, destination=form.destination or None)
    text = (value if form.query else groups["id"]) or ""
    ids = [_ID_ENDS.split(id)[0] for id in (text.split(",") if form.several else [text])]
    if not all(_matches(form.id or platform.post_id, id) for id in ids):
        return None if form.kind == "collection" else LinkTarget(kind="mistyped", platform=platform.name)
    values = {**groups, "id": ids[0]}
    url = re.sub(r"\{([a-z]+)\}", lambda field: values.get(field[1]) or "_", form.link)
    if form.kind == "collection":
        return _collection(form, platform, url)
    part = groups.get("part")
    return LinkTarget(
        kind=form.kind,
        platform=platform.name,
        canonical_url=url,
        post_id=ids[0] if form.kind == "post" else None,
        part=int(part) if part else None,
        name=_name(ids[0], groups.get("sort"), part) if form.kind == "post" else None,
        more_ids=tuple(dict.fromkeys(id for id in ids if id != ids[0])),
    )


def _name(id: str, sort: str | None, part: str | None) -> str:
    # A broadcast may have the number of a status.
    return (f"{sort.lower()}/" if sort else "") + id + (f"/video/{part}" if part else "")


def _collection(form: LinkForm, platform: Platform, url: str) -> LinkTarget:
    return LinkTarget(
        kind="collection",
        platform=platform.name,
        canonical_url=url,
        collection_id=url.removeprefix(f"https://{platform.hosts[0]}/").removesuffix("/"),
        destination=form.destination,
    )


def _absolute(link: str, host: str) -> str:
    """Return *link*, found in a link to *host*, as an absolute URL."""
    if _SCHEME.match(link):
        return link
    if link.startswith("//"):
        return f"https:{link}"
    return f"https://{host}{link}" if link.startswith("/") else f"https://{link}"


def _parameters(query: str) -> dict[str, str]:
    """Return the first value of each parameter that has one; `&` may be written as in HTML, or as a semicolon."""
    return dict(reversed(parse_qsl(re.sub(r"&amp;|;", "&", query), errors="replace")))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII | re.IGNORECASE)


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None
