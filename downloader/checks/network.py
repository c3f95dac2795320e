"""Checks of the way to the platforms: proxy, clock and cookies."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from downloader.checks.findings import Finding, Grade
from downloader.cookies.store import CookieCondition, CookieStore
from downloader.download_settings import NEEDS_FLEET, PREFIX
from downloader.egress.connections import Connections
from downloader.egress.guard import open_egress, rules_of
from downloader.egress.upstream import tls_context
from downloader.settings import Settings

_TIMEOUT_SECONDS = 10.0

#: Any host that everyone can reach. Not by https, which a wrong clock breaks.
_CLOCK_URL = "http://www.youtube.com/"

#: Certificates and cookies seem not valid yet, or expired, when a clock is off by more.
_FAULTY_CLOCK_SECONDS, _WRONG_CLOCK_SECONDS = 3600.0, 60.0

_COOKIE_GRADES: Final[dict[CookieCondition, Grade]] = {
    "good": "OK",
    "expiring": "WARNING",
    "expired": "WARNING",
    "unused": "WARNING",
    "unreadable": "FAULT",
}


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Check that the broker of a fleet lets us in, where there is one."""
    if settings.broker_url is None:
        return
    try:
        from downloader.engines.fleet.wire import try_broker
    except ImportError:
        yield Finding("FAULT", "broker", NEEDS_FLEET)
        return
    try:
        yield Finding("OK", "broker", f"{try_broker(settings.broker_url, _TIMEOUT_SECONDS)} answers.")
    except OSError as error:
        advice = f"see that RabbitMQ runs there, and correct {PREFIX}BROKER_URL"
        yield Finding("FAULT", "broker", f"It cannot be used ({error.strerror or error}): {advice}.")


def check_proxy(settings: Settings) -> Iterator[Finding]:
    """Check that the upstream proxies can be reached, where there are any."""
    upstreams = rules_of(settings.for_downloads()).upstreams
    found = {(each.host, each.port) for each in (upstreams.http, upstreams.https) if each is not None}
    if not found:
        yield Finding("OK", "proxy", "None is set; downloads connect directly.")
    for host, port in sorted(found):
        try:
            socket.create_connection((host, port), _TIMEOUT_SECONDS).close()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            yield Finding("FAULT", "proxy", f"{host}:{port} cannot be reached ({reason}): no download can start.")
        else:
            yield Finding("OK", "proxy", f"{host}:{port} can be reached.")


def check_clock(settings: Settings) -> Iterator[Finding]:
    """Compare the clock with YouTube's, if that can be reached."""
    grant = open_egress(settings.for_downloads())
    try:
        with (
            closing(Connections(grant.url)) as connections,
            closing(
                connections.request(
                    "HEAD", _CLOCK_URL, {"Connection": "close"}, timeout_seconds=_TIMEOUT_SECONDS, context=tls_context()
                )
            ) as reply,
        ):
            date, now = reply.headers.get("Date"), datetime.now(UTC)
        yield clock_finding(date, now) if date else _no_internet(f"status {reply.status}, without a date")
    except (OSError, http.client.HTTPException) as error:
        yield _no_internet(str(error))
    finally:
        grant.revoke()


def _no_internet(reason: str) -> Finding:
    return Finding("WARNING", "internet", f"YouTube cannot be reached ({reason}), so the clock was not checked.")


def clock_finding(date: str, now: datetime) -> Finding:
    """Return what the *date* of a response says of a clock that shows *now*."""
    try:
        seconds = (now - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return _no_internet("its response has a malformed date")
    if abs(seconds) <= _WRONG_CLOCK_SECONDS:
        return Finding("OK", "clock", "It is right.")
    side = "fast" if seconds > 0 else "slow"
    grade: Grade = "FAULT" if abs(seconds) > _FAULTY_CLOCK_SECONDS else "WARNING"
    return Finding(grade, "clock", f"It is {abs(seconds) / 60:.0f} minutes {side}: set it, best by NTP.")


def check_cookies(settings: Settings) -> Iterator[Finding]:
    """Check the platforms' cookies."""
    states = [state for state in CookieStore(settings.cookies_folder).states() if state.condition != "none"]
    for state in states:
        yield Finding(_COOKIE_GRADES[state.condition], "cookies", state.sentence)
    if not states:
        yield Finding("OK", "cookies", "There are none; some posts are shown only to logged-in users.")
