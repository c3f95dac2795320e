"""Files as yt-dlp left them, with what it knows about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downloader.media.names import MAX_NAME_BYTES, media_names
from downloader.presets import DEFAULT_PRESET


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A file that lies beside a video, under the same name."""

    path: Path
    suffix: str  #: of its name, such as `.en.srt`


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A file that yt-dlp wrote, with its metadata."""

    path: Path
    post_id: str
    video_id: str
    title: str | None
    duration_seconds: float | None
    shorter_side: int | None = None  #: of its picture, as the platform declares it
    companions: tuple[Companion, ...] = ()

    @classmethod
    def from_info(cls, path: Path, info: Mapping[str, Any]) -> Downloaded:
        """Return the file at *path*, described by yt-dlp's *info*."""
        video_id = str(info.get("id") or "")
        title, duration = info.get("title"), info.get("duration")
        sides = [side for side in (info.get("width"), info.get("height")) if isinstance(side, int)]
        return cls(
            path=path,
            # The post's id in the platform's links; a video within it may have another.
            post_id=str(info.get("display_id") or video_id),
            video_id=video_id,
            title=title if isinstance(title, str) else None,
            duration_seconds=float(duration) if isinstance(duration, int | float) else None,
            shorter_side=min(sides, default=None),
        )

    def final_names(self, platform: str, max_bytes: int = MAX_NAME_BYTES, preset: str = DEFAULT_PRESET) -> list[str]:
        """Return the names for *platform*'s file, the best one first; see `media.names`."""
        ids: tuple[str, ...] = (self.post_id,)
        if self.video_id != self.post_id:
            ids += (self.video_id,)
        if preset != DEFAULT_PRESET:  # two presets of a post are two files
            ids += (preset,)
        return media_names(platform, ids, self.title, self.path.suffix, max_bytes)
