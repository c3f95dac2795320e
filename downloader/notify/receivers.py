"""What a receiver is, and what its URL may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from downloader.jobs import Message


class NotDelivered(Exception):
    """A message did not arrive, at least not for certain; str() says why, without anything secret."""

    def __init__(self, reason: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds  #: how long the receiver asked us to wait, if it did


class Receiver(Protocol):
    """Where messages go. Used by one thread, but for `close`."""

    name: str

    def send(self, message: Message) -> None:
        """Deliver *message*; blocking, for seconds at most. Raises NotDelivered."""

    def rest(self) -> None:
        """Let go of what is not needed until the next message."""

    def close(self) -> None:
        """End what is being sent; from any thread."""


MAX_URL = 2048
MIN_SECRET = 16

_WEBHOOK_RULE = "must be a URL such as https://example.org/hook"
_APPRISE_RULE = "must be Apprise URLs, such as ntfy://example.org/topic, separated by commas"

#: A comma can also be part of an Apprise URL.
_SEPARATOR = re.compile(r"[\s,]+(?=[A-Za-z0-9]{1,32}://)")
_SCHEME = re.compile(r"([A-Za-z0-9]{1,32})://\S*")

#: Services of Apprise that stay on this machine: they run programs, or speak to its desktop, its log or its devices.
REFUSED_SERVICES: Mapping[str, str] = {
    **dict.fromkeys(("dbus", "qt", "kde", "glib", "gio", "gnome", "macosx", "windows"), "shows it on a desktop"),
    **dict.fromkeys(("syslog", "file", "exec", "blink1"), "would use files, programs or devices of this machine"),
    **dict.fromkeys(("deltachat", "deltachats"), "would run a program"),
}


def check_webhook_url(value: str | None) -> str | None:
    """Return *value*; raise ValueError with the rule if it is no http(s) URL."""
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and bool((parts.hostname or "").encode("idna"))
    except (ValueError, LookupError):  # UnicodeError: a host that no one can have
        usable = False
    if not usable or len(value) > MAX_URL or re.search(r"[\x00-\x20\x7f\\]", value):
        raise ValueError(_WEBHOOK_RULE)  # without the value: it may hold a password
    return value


def check_webhook_secret(value: str | None) -> str | None:
    """Return *value*; raise ValueError with the rule if it can be guessed."""
    if value is not None and len(value) < MIN_SECRET:
        raise ValueError(f"must have at least {MIN_SECRET} characters")
    return value


def parse_apprise_urls(value: str) -> tuple[str, ...]:
    """Return the Apprise URLs in *value*; raise ValueError with the rule. Apprise itself is not asked."""
    urls = tuple(dict.fromkeys(filter(None, _SEPARATOR.split(value.strip(" \t\r\n,")))))
    for url in urls:
        found = _SCHEME.fullmatch(url)
        if found is None or len(url) > MAX_URL:
            raise ValueError(_APPRISE_RULE)
        if (scheme := found[1].lower()) in REFUSED_SERVICES:
            raise ValueError(f"{scheme}:// {REFUSED_SERVICES[scheme]}, which is refused")
    return urls
