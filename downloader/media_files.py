"""Takes over what was downloaded: checks that it plays, and puts it in its place under its final name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from downloader.errors import DownloadFailed, ErrorCode
from downloader.media_check import NoPicture, NotPlayable, check_media
from downloader.media_names import media_name
from downloader.models import Media

#: With less room than this, a file that does not play was cut off by the disk.
_DISK_FULL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A file that yt-dlp wrote, with what it knows of it."""

    path: Path
    post_id: str
    video_id: str
    title: str | None
    duration_seconds: float | None

    @classmethod
    def from_info(cls, path: Path, info: Mapping[str, Any]) -> Downloaded:
        """Return the file at *path*, described by yt-dlp's *info*."""
        video_id = str(info.get("id") or "")
        title, duration = info.get("title"), info.get("duration")
        return cls(
            path=path,
            # What the platform's own links call the post; a video within it may have another id.
            post_id=str(info.get("display_id") or video_id),
            video_id=video_id,
            title=title if isinstance(title, str) else None,
            duration_seconds=float(duration) if isinstance(duration, int | float) else None,
        )

    def final_name(self, platform: str) -> str:
        """Return the name under which *platform*'s file is kept."""
        ids = (self.post_id,) if self.video_id == self.post_id else (self.post_id, self.video_id)
        return media_name(platform, ids, self.title, self.path.suffix)


def keep(platform: str, downloads: Sequence[Downloaded], output_dir: Path, *, ffmpeg: str | None) -> Media:
    """Check every file of *downloads*, then move them to *output_dir*; blocking.

    A file of the same post that is there already is replaced in one step, so whoever has its path always finds a whole
    file behind it.

    Raises:
        DownloadFailed: `file_missing` where yt-dlp left none, `not_a_video` where one does not play, `no_video`
            where it is sound alone; none is kept.
    """
    for found in downloads:
        if not found.path.is_file():
            raise DownloadFailed("file_missing", detail=f"nothing at {found.path.name}")
        try:
            check_media(found.path, ffmpeg)
        except NotPlayable as error:
            if shutil.disk_usage(found.path.parent).free < _DISK_FULL_BYTES:
                # ffmpeg does not always mind that what it merges is cut off.
                raise DownloadFailed("disk_full", detail=str(error)) from error
            # Whoever downloaded into a folder of ours empties it; this is for a file that lies elsewhere.
            found.path.unlink(missing_ok=True)
            code: ErrorCode = "no_video" if isinstance(error, NoPicture) else "not_a_video"
            raise DownloadFailed(code, detail=str(error)) from error
    places = _places(platform, downloads, output_dir)
    for found, place in zip(downloads, places, strict=True):
        found.path.replace(place)
    first = downloads[0]
    return Media(
        files=tuple(str(place) for place in places),
        id=first.post_id,
        title=first.title,
        duration_seconds=first.duration_seconds,
        size_bytes=sum(place.stat().st_size for place in places),
    )


def _places(platform: str, downloads: Sequence[Downloaded], output_dir: Path) -> list[Path]:
    """Return where each file goes; one that would take another's place gets a number."""
    taken: set[str] = set()
    places = []
    for number, found in enumerate(downloads, start=1):
        name = found.final_name(platform)
        if name in taken:
            name = replace(found, video_id=f"{found.video_id}-{number}").final_name(platform)
        taken.add(name)
        places.append(output_dir / name)
    return places
