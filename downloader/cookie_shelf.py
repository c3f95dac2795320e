"""The operator's cookies, a file for each platform: put there, looked at and taken away, never shown."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from downloader.cookie_text import Cookie, good_cookies, read_cookies, written
from downloader.errors import CookiesNotWritable, CookiesRefused
from downloader.models import Platform, PlatformType

log = logging.getLogger(__name__)

#: Cookies that expire within this time are told of before a batch needs them.
SOON = timedelta(days=3)

CookieCondition = Literal["none", "good", "expiring", "expired", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieState:
    """What there is to say of a platform's cookies; none of their names, none of their values."""

    platform: PlatformType
    condition: CookieCondition
    sentence: str
    cookies: int = 0
    expired: int = 0  #: of these
    logged_in: bool = False  #: whether what keeps one logged in is among them
    #: when the first, and the last, of what keeps one logged in expires; None: unknown, or with the session
    first_expires_at: datetime | None = None
    last_expires_at: datetime | None = None
    updated_at: datetime | None = None
    dropped: int = 0  #: only after `put`: lines that belong to other sites


class CookieShelf:
    """Blocking."""

    def __init__(
        self,
        folder: Path,
        platforms: Mapping[PlatformType, Platform],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Keep `<platform>.txt` for each of *platforms* in *folder*, which is made when the first one comes."""
        self._folder = folder
        self._platforms = platforms
        self._clock = clock

    def states(self) -> list[CookieState]:
        """Return the state of every platform's cookies."""
        return [self.state(name) for name in self._platforms]

    def state(self, name: PlatformType) -> CookieState:
        """Return the state of a platform's cookies."""
        platform = self._platforms[name]
        path = self._path(name)
        try:
            content, changed = path.read_bytes(), path.stat().st_mtime
        except FileNotFoundError:
            return CookieState(platform=name, condition="none", sentence=f"There are no cookies for {platform.label}.")
        except OSError as error:
            sentence = (
                f"The cookies for {platform.label} cannot be read ({error.strerror}): check the file's permissions."
            )
            return CookieState(platform=name, condition="unreadable", sentence=sentence)
        cookies = [cookie for cookie in good_cookies(content)[0] if cookie.is_of(platform)]
        return _judged(platform, cookies, self._clock(), updated_at=datetime.fromtimestamp(changed, UTC))

    def put(self, name: PlatformType, text: str) -> CookieState:
        """Keep those cookies of *text* that are the platform's; return their state.

        Raises:
            CookiesRefused: there is none, or they are no good; the sentence says why, by line numbers.
            CookiesNotWritable: the folder cannot be written.
        """
        platform = self._platforms[name]
        found = read_cookies(text)
        cookies = [cookie for cookie in found if cookie.is_of(platform)]
        domains = " or ".join(platform.cookie_domains)
        if not cookies:
            raise CookiesRefused(
                f"None of these {len(found)} cookies is for {platform.label}: export them while you look at {domains}."
            )
        state = _judged(platform, cookies, self._clock(), updated_at=self._clock())
        if state.condition == "expired":
            raise CookiesRefused(
                f"These cookies for {platform.label} have expired: log in at {domains} with your browser and export"
                " them anew."
            )
        try:
            self._write(self._path(name), written(cookies))
        except OSError as error:
            raise CookiesNotWritable(error.strerror or type(error).__name__) from error
        log.info("cookies stored", extra={"platform": name, "cookies": len(cookies)})
        return replace(state, dropped=len(found) - len(cookies))

    def remove(self, name: PlatformType) -> bool:
        """Take a platform's cookies away; tell whether there were any. Raises CookiesNotWritable."""
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
            if state.condition in ("expiring", "expired", "unreadable"):
                log.warning("cookies need attention", extra={"platform": state.platform, "detail": state.sentence})

    def _path(self, name: PlatformType) -> Path:
        return self._folder / f"{name}.txt"

    def _write(self, path: Path, text: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = self._folder / f".{path.name}.{uuid.uuid4().hex}"
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise


def _judged(platform: Platform, cookies: list[Cookie], now: datetime, *, updated_at: datetime) -> CookieState:
    session = [cookie for cookie in cookies if cookie.name in platform.session_cookies]
    times = sorted(_times(session))
    state = CookieState(
        platform=platform.name,
        condition="good",
        sentence=f"The cookies for {platform.label} are good.",
        cookies=len(cookies),
        expired=sum(cookie.has_expired(now) for cookie in cookies),
        logged_in=bool(session),
        first_expires_at=times[0] if times else None,
        last_expires_at=times[-1] if times else None,
        updated_at=updated_at,
    )
    label = platform.label
    if not cookies:
        return replace(state, condition="unreadable", sentence=f"There is no cookie for {label} in its file.")
    if any(cookie.has_expired(now) for cookie in session) or state.expired == state.cookies:
        sentence = f"The cookies for {label} have expired: log in with your browser, export them and send them again."
        return replace(state, condition="expired", sentence=sentence)
    if not session:
        sentence = f"Nothing among the cookies for {label} says who you are: log in before you export them."
        return replace(state, sentence=sentence)
    if not times:
        return replace(state, sentence=f"The cookies for {label} are good; they do not say for how long.")
    left = times[0] - now
    sentence = f"The cookies for {label} expire in {_how_long(left)}."
    return replace(state, condition="expiring" if left <= SOON else "good", sentence=sentence)


def _times(cookies: list[Cookie]) -> Iterator[datetime]:
    return (cookie.expires_at for cookie in cookies if cookie.expires_at is not None)


def _how_long(left: timedelta) -> str:
    hours = int(left.total_seconds() // 3600)
    if hours < 1:
        return "less than an hour"
    number, unit = (hours, "hour") if hours < 48 else (hours // 24, "day")
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
