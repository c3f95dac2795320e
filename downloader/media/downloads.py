"""Files as yt-dlp left them, with what it knows about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from downloader.media.details import uploaded_at_of, uploader_of
from downloader.media.names import Naming
from downloader.media.srt import Subtitles
from downloader.presets import DEFAULT_PRESET

#: What a file of a post may be beside a video: a picture, or the sound of a slideshow.
Plain = Literal["picture", "sound"]


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
    uploader: str | None = None
    uploaded_at: datetime | None = None
    number: int = 1  #: in the post
    plain: Plain | None = None  #: None: a video
    size: tuple[int, int] | None = None  #: width and height of a picture
    companions: tuple[Companion, ...] = ()
    subtitles: tuple[str, ...] = ()  #: languages of those among them, and what there is none of; see `models.Media`
    subtitles_missing: tuple[str, ...] = ()

    @classmethod
    def from_info(cls, path: Path, info: Mapping[str, Any], plain: Plain | None = None) -> Downloaded:
        """Return the file at *path*, described by yt-dlp's *info*."""
        video_id = str(info.get("id") or "")
        title, duration = info.get("title"), info.get("duration")
        sides = [side for side in (info.get("width"), info.get("height")) if isinstance(side, int)]
        return cls(
            path=path,
            # The post's id in the platform's links; a video within it may have another.
            post_id=str(info.get("display_id") or video_id),
            video_id=video_id,
            number=info.get("playlist_index") or 1,
            title=title if isinstance(title, str) else None,
            duration_seconds=float(duration) if isinstance(duration, int | float) else None,
            shorter_side=min(sides, default=None),
            uploader=uploader_of(info),
            uploaded_at=uploaded_at_of(info),
            plain=plain,
        )

    def naming(self, platform: str, preset: str = DEFAULT_PRESET, index: int = 1) -> Naming:
        """Return what the file's name is made of; it is the *index*-th of its post, from *platform*."""
        return Naming(
            platform=platform,
            ids=(self.post_id,) if self.video_id == self.post_id else (self.post_id, self.video_id),
            title=self.title,
            uploader=self.uploader,
            date=(self.uploaded_at or datetime.now(UTC)).date().isoformat(),
            preset=preset,
            index=index,
        )

    def with_subtitles(self, found: Subtitles) -> Downloaded:
        """Return the same with what was *found* of subtitles beside it."""
        return replace(
            self,
            companions=tuple(Companion(path=path, suffix=f".{language}.srt") for language, path in found.files.items()),
            subtitles=tuple(found.files),
            subtitles_missing=found.missing,
        )
