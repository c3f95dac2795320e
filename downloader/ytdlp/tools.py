"""The tools downloads need: yt-dlp and its age, ffmpeg, a JavaScript runtime.

Reads files and package metadata only; starts no program and does not import yt-dlp.
"""

from __future__ import annotations

import shutil
import sysconfig
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

#: Platforms change often and yt-dlp follows within days: an older release has probably lost one of them.
OLD_AFTER_DAYS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program or package that downloads need."""

    name: str
    version: str | None = None  #: for a program from a package: which package
    path: str | None = None

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.version, f"({self.path})" if self.path else None) if part)


def ytdlp() -> Tool:
    """Return the installed yt-dlp."""
    return Tool(name="yt-dlp", version=_package_version("yt-dlp"))


@cache
def ffmpeg() -> Tool | None:
    """Return the system's ffmpeg, else the one that pip installed, or None."""
    if path := shutil.which("ffmpeg"):
        return Tool(name="ffmpeg", path=path)
    try:
        import imageio_ffmpeg  # only where the system has none

        package = f"of imageio-ffmpeg {_package_version('imageio-ffmpeg')}"
        return Tool(name="ffmpeg", version=package, path=imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # RuntimeError: its wheel has no binary for this platform
        return None


def js_runtime() -> Tool | None:
    """Return the JavaScript runtime that yt-dlp will find and use for YouTube, or None."""
    scripts = Path(sysconfig.get_path("scripts"))
    bundled = scripts / ("deno" + (sysconfig.get_config_var("EXE") or ""))
    if bundled.is_file():
        return Tool(name="deno", version=_package_version("deno"))
    path = shutil.which("deno")
    return Tool(name="deno", path=path) if path else None


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


#: Read at import: workers that run go on with the yt-dlp that they have loaded, so a later update is not in use yet.
_VERSION_IN_USE = ytdlp().version


@dataclass(frozen=True, slots=True, kw_only=True)
class YtdlpRelease:
    """The yt-dlp in use, and how it compares with the installed one."""

    version: str | None
    installed: str | None  #: differs where yt-dlp was updated since the start
    released: date | None  #: None: its version is not a date
    age_days: int | None

    @property
    def old(self) -> bool:
        """Whether it should be updated."""
        return self.age_days is not None and self.age_days > OLD_AFTER_DAYS

    @property
    def restart_needed(self) -> bool:
        """Whether another version is installed than is in use."""
        return self.version != self.installed

    @property
    def advice(self) -> str | None:
        """What the operator should do, in a sentence, or None."""
        if self.installed is None:
            return "yt-dlp is no longer installed: install it, then restart this server."
        if self.restart_needed:
            return f"Restart this server to use yt-dlp {self.installed}: it still runs {self.version}."
        if self.old:
            return (
                f"yt-dlp is {self.age_days} days old, and platforms change often: update it, as docs/operate.md"
                " says, then restart this server."
            )
        return None


def ytdlp_release(version: str | None = _VERSION_IN_USE, *, today: date | None = None) -> YtdlpRelease:
    """Return the release of *version*, by default the one in use, as of *today*, by default the date in UTC."""
    released = release_date(version)
    today = today or datetime.now(UTC).date()
    return YtdlpRelease(
        version=version,
        installed=ytdlp().version,
        released=released,
        age_days=None if released is None else max((today - released).days, 0),  # negative where a clock is wrong
    )


def release_date(version: str | None) -> date | None:
    """Return the date in yt-dlp's *version*, such as 2026.8.19 or 2026.08.19.232805.dev0, or None."""
    try:
        return date(*time.strptime(".".join((version or "").split(".")[:3]), "%Y.%m.%d")[:3])
    except ValueError:
        return None
