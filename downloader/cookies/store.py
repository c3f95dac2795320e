"""Stores the operator's cookies, one file per platform: writes, checks and removes them, but never shows them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from downloader.cookies.netscape import Cookie, CookieFile, decode, describe_bad_lines, parse_lenient, to_netscape
from downloader.errors import CookiesNotWritable, CookiesRefused
from downloader.platforms import PLATFORMS, Platform, PlatformType
from downloader.util.files import atomic_write

log = logging.getLogger(__name__)

#: Cookies that expire within this time are reported, before a batch needs them.
SOON = timedelta(days=3)

_LONG = timedelta(days=3650)

CookieCondition = Literal["none", "good", "expiring", "expired", "unused", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieState:
    """The state of a platform's cookies, without their names and values."""

    platform: PlatformType
    condition: CookieCondition
    sentence: str
    cookies: int = 0
    expired: int = 0  #: of these
    logged_in: bool = False  #: whether they contain a login for the host that yt-dlp uses
    #: when the first and the last cookie of the login expires; None: unknown, or with the session
    first_expires_at: datetime | None = None
    last_expires_at: datetime | None = None
    updated_at: datetime | None = None
    dropped: int = 0  #: lines of the file that belong to other sites
    bad_lines: tuple[int, ...] = ()  #: numbers of the platform's invalid lines
    report: str | None = None  #: what was taken from the file, and what was left out


class CookieStore:
    """The cookie files in one folder; blocking."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Store `<platform>.txt` for each platform in *folder*, which is created with the first one."""
        self._folder = folder
        self._clock = clock

    def states(self) -> list[CookieState]:
        """Return the state of every platform's cookies."""
        return [self.state(name) for name in PLATFORMS]

    def state(self, name: PlatformType) -> CookieState:
        """Return the state of a platform's cookies."""
        platform = PLATFORMS[name]
        try:
            file = self.read(name)
            changed = 0.0 if file is None else self._path(name).stat().st_mtime
        except CookiesRefused as refusal:
            fault = f"The cookie file for {platform.label} cannot be used. {refusal}"
        except IsADirectoryError:  # Docker creates one if the file to mount does not exist
            fault = f"{name}.txt is a folder: remove it, and put a file with the cookies for {platform.label} there."
        except OSError as error:
            fault = f"The cookies for {platform.label} cannot be read ({error.strerror}): check the file's permissions."
        else:
            if file is not None:
                return _assess(platform, file, self._clock(), updated_at=datetime.fromtimestamp(changed, UTC))
            sentence = f"There are no cookies for {platform.label}."
            return CookieState(platform=name, condition="none", sentence=sentence)
        return CookieState(platform=name, condition="unreadable", sentence=fault)

    def has(self, name: PlatformType) -> bool:
        """Return whether there is a file for the platform's cookies, whatever is in it."""
        try:
            return self._path(name).is_file()
        except OSError:
            return False

    def read(self, name: PlatformType) -> CookieFile | None:
        """Return a platform's cookies, or None. Raises CookiesRefused if the file has no valid ones, or OSError."""
        try:
            content = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        return parse_lenient(decode(content), PLATFORMS[name])

    def put(self, name: PlatformType, text: str) -> CookieState:
        """Store the platform's cookies in *text*; return their state.

        Raises:
            CookiesRefused: there are none, or they cannot be used; the message says why.
            CookiesNotWritable: the folder cannot be written.
        """
        platform = PLATFORMS[name]
        file = parse_lenient(text, platform)
        state = _assess(platform, file, self._clock(), updated_at=self._clock())
        if state.condition == "expired":
            raise CookiesRefused(
                f"These cookies for {platform.label} have expired: log in at {platform.cookie_domains[0]} with your"
                " browser and export them again."
            )
        if state.condition == "unused":
            raise CookiesRefused(state.sentence)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic_write(self._path(name), to_netscape(file.cookies).encode())
        except OSError as error:
            raise CookiesNotWritable(error.strerror or type(error).__name__) from error
        log.info("cookies stored", extra={"platform": name, "cookies": state.cookies})
        return state

    def remove(self, name: PlatformType) -> bool:
        """Remove a platform's cookies; return whether there were any. Raises CookiesNotWritable."""
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CookiesNotWritable(error.strerror or type(error).__name__) from error
        log.info("cookies removed", extra={"platform": name})
        return True

    def warn(self) -> None:
        """Log which cookies have expired or soon will."""
        for state in self.states():
            if state.condition not in ("none", "good"):
                log.warning("cookies need attention", extra={"platform": state.platform, "detail": state.sentence})

    def _path(self, name: PlatformType) -> Path:
        return self._folder / f"{name}.txt"


def _assess(platform: Platform, file: CookieFile, now: datetime, *, updated_at: datetime) -> CookieState:
    label, home = platform.label, platform.cookie_domains[0]
    used = [cookie for cookie in file.cookies if cookie.reaches(platform.login_host)]
    login = [_best(names, used) for names in platform.session_cookies]
    ends = sorted(cookie.expires_at for cookie in login if cookie is not None and cookie.expires_at is not None)
    state = CookieState(
        platform=platform.name,
        condition="good",
        sentence=f"The cookies for {label} are good; they do not say for how long.",
        cookies=len(file.cookies),
        expired=sum(cookie.has_expired(now) for cookie in file.cookies),
        logged_in=all(cookie is not None and not cookie.has_expired(now) for cookie in login),
        first_expires_at=ends[0] if ends else None,
        last_expires_at=ends[-1] if ends else None,
        updated_at=updated_at,
        dropped=file.foreign,
        bad_lines=file.bad_lines,
        report=_report(file),
    )
    if not used:
        sentence = f"The cookies for {label} are for {_domains(file.cookies)}: log in at {home} and export again."
        return replace(state, condition="unused", sentence=sentence)
    if any(end <= now for end in ends) or all(cookie.has_expired(now) for cookie in used):
        sentence = f"The cookies for {label} have expired: log in with your browser, export them and send them again."
        return replace(state, condition="expired", sentence=sentence)
    if not state.logged_in:
        missing = [names for names, cookie in zip(platform.session_cookies, login, strict=True) if cookie is None]
        elsewhere = [cookie for cookie in file.cookies if any(_best(names, [cookie]) for names in missing)]
        sentence = f"Nothing among the cookies for {label} says who you are: log in before you export them."
        if elsewhere:
            sentence = (
                f"The login among the cookies for {label} is for {_domains(elsewhere)}: log in at {home} and export"
                " again."
            )
        return replace(state, sentence=sentence)
    if not ends:
        return state
    left = ends[0] - now
    sentence = f"The cookies for {label} expire in {_how_long(left)}."
    return replace(state, condition="expiring" if left <= SOON else "good", sentence=sentence)


def _best(names: frozenset[str], cookies: Sequence[Cookie]) -> Cookie | None:
    """Return the longest-lasting of *cookies* with one of *names*, those of a login; or None."""
    found = [cookie for cookie in cookies if cookie.name in names and cookie.path == "/"]
    return max(found, key=lambda cookie: cookie.lasts_until, default=None)


def _domains(cookies: Sequence[Cookie]) -> str:
    names = sorted({cookie.domain.removeprefix(".") for cookie in cookies})
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more domains"


def _report(file: CookieFile) -> str:
    taken = f"{_number(len(file.cookies), 'cookie')} taken; left out: {_number(file.foreign, 'line')} of other sites"
    if not file.bad:
        return f"{taken}."
    return f"{taken}, {_number(len(file.bad_lines), 'bad line')}. {describe_bad_lines(file.bad)}."


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _how_long(left: timedelta) -> str:
    hours = int(left.total_seconds() // 3600)
    if hours < 1:
        return "less than an hour"
    if left > _LONG:
        return "more than 10 years"
    return _number(hours, "hour") if hours < 48 else _number(hours // 24, "day")
