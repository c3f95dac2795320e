"""What the machine offers for the job: which yt-dlp, which ffmpeg, which JavaScript runtime.

Looks at files and package records only: neither yt-dlp nor a program is started to find out.
"""

from __future__ import annotations

import shutil
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program or package that downloads need."""

    name: str
    version: str | None = None  #: or, of a program in a package, which package
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
        import imageio_ffmpeg  # here, because it is not needed where the system has one

        package = f"of imageio-ffmpeg {_package_version('imageio-ffmpeg')}"
        return Tool(name="ffmpeg", version=package, path=imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # RuntimeError: its wheel holds no binary for this machine
        return None


def js_runtime() -> Tool | None:
    """Return the JavaScript runtime that yt-dlp will use for YouTube, or None. yt-dlp finds it by itself."""
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
