"""How old yt-dlp is, and whether the one at work is still the one that is installed.

Platforms change often, and yt-dlp follows within days: one that is months old has lost touch with one of them. Its
version is the day of its release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from downloader.ytdlp import tools as toolchain

#: Older than this, it is told of.
OLD_AFTER_DAYS = 60

_VERSION = re.compile(r"([0-9]{4})\.([0-9]{1,2})\.([0-9]{1,2})(?:\..*)?")

#: Noted when this is loaded, at the start: workers are forked from a process that loads yt-dlp then. What is installed
#: later is not what works.
_AT_START = toolchain.ytdlp().version


@dataclass(frozen=True, slots=True, kw_only=True)
class YtdlpRelease:
    """The yt-dlp at work."""

    version: str | None
    installed: str | None  #: another one, where it was updated since the start
    released: date | None  #: of the one at work; None: its version is no day
    age_days: int | None

    @property
    def old(self) -> bool:
        """Whether it is time to update it."""
        return self.age_days is not None and self.age_days > OLD_AFTER_DAYS

    @property
    def restart_needed(self) -> bool:
        """Whether another one is installed than works."""
        return self.version != self.installed

    @property
    def advice(self) -> str | None:
        """What to do about it, in a sentence; None: nothing."""
        if self.installed is None:
            return "yt-dlp is not installed any more: run make update-ytdlp, then restart this server."
        if self.restart_needed:
            return f"Restart this server to use yt-dlp {self.installed}: it still works with {self.version}."
        if self.old:
            return (
                f"yt-dlp is {self.age_days} days old, and platforms change often: run make update-ytdlp, then restart"
                " this server."
            )
        return None


def ytdlp_release(at_work: str | None = _AT_START, *, today: date | None = None) -> YtdlpRelease:
    """Return the release of yt-dlp that is *at_work*, seen *today*, by default the day it is in UTC."""
    released = release_day(at_work)
    age = None if released is None else (today or datetime.now(UTC).date()) - released
    return YtdlpRelease(
        version=at_work,
        installed=toolchain.ytdlp().version,
        released=released,
        age_days=None if age is None else max(age.days, 0),  # below 0 where a clock is wrong
    )


def release_day(version: str | None) -> date | None:
    """Return the day that *version*, as 2026.8.19 or 2026.08.19.232805.dev0, says; None where it says none."""
    found = _VERSION.fullmatch(version or "")
    try:
        return date(int(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:  # the 31st of February
        return None
