"""Which platform owns a link, judged by its host alone.

This is the allow-list of what the server fetches: whatever is not plainly a link to one of the four platforms is
`unknown`. Only the host counts, after the link is taken apart by one anchored pattern; nothing is decoded, guessed or
repaired, because whatever we repair, another parser down the line may read differently.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from downloader.models import PlatformType
from downloader.post_links import fold_fragment, platform_of_host

#: Longer links are nobody's; the limit also bounds what a hostile one can cost.
MAX_URL_LENGTH = 2048

# The authority ends at the first of / ? #. Neither a user part (@), nor a backslash (some parsers read it as /),
# nor a bracket, percent sign or non-ASCII letter can be part of a host here, so none of them can hide one.
_LINK = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>(?:[/?#].*)?)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)

_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Link:
    """A link that one of the platforms owns, in the one spelling that is handed on."""

    url: str  #: https, lower-case host, no port, no fragment
    platform: PlatformType


def parse_link(url: str) -> Link | None:
    """Return *url* as the link of a platform, or None where it is not one. Never raises for a string."""
    text = url.strip()
    if not 0 < len(text) <= MAX_URL_LENGTH or "\\" in text:
        return None
    match = _LINK.fullmatch(text)
    if match is None or not _has_default_port(match["scheme"], match["port"]):
        return None
    host = match["host"].lower()
    platform = platform_of_host(host)
    if platform == "unknown" or any(_is_unwritable(character) for character in text):
        return None
    link = f"https://{host}{fold_fragment(match['rest'])}"
    # It may have become longer, by its scheme, and whoever reads it again must read the same.
    return Link(link, platform) if len(link) <= MAX_URL_LENGTH else None


def detect_platform(url: str) -> PlatformType:
    """Return the platform that owns *url*, `unknown` for everything else. Never raises for a string."""
    link = parse_link(url)
    return "unknown" if link is None else link.platform


def _has_default_port(scheme: str | None, port: str | None) -> bool:
    if port is None:
        return True
    if scheme is None:
        return port in _DEFAULT_PORTS.values()
    return port == _DEFAULT_PORTS[scheme.lower()]


def _is_unwritable(character: str) -> bool:
    # Spaces and all of Unicode's "other" categories: controls, invisible formatting, lone surrogates.
    return character.isspace() or unicodedata.category(character).startswith("C")
