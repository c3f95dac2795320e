"""Limits of one media file: its bytes, counted over all parts as they arrive, and its duration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downloader.download_settings import PREFIX, DownloadSettings
from downloader.errors import DownloadFailed

#: An estimate is refused only beyond this multiple of the limit: yt-dlp's are often 50 % too high. A wrong refusal
#: loses a video, while a download that started in vain is stopped at the limit.
_ESTIMATE_FACTOR = 2

#: Platforms round to whole seconds, and a container lasts as long as its longest stream.
_SLACK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Limits of one media file; None: no limit."""

    file_bytes: int | None = None
    duration_seconds: float | None = None

    @classmethod
    def of(cls, settings: DownloadSettings) -> MediaLimits:
        """Return the limits in *settings*."""
        return cls(settings.max_file_bytes, settings.max_duration_seconds)

    def check_size(self, size_bytes: int) -> None:
        """Raise DownloadFailed `too_large`, with the limit, if a file may not be that large."""
        if self.file_bytes is not None and size_bytes > self.file_bytes:
            raise DownloadFailed(
                "too_large", detail=f"{size_bytes} bytes or more; {PREFIX}MAX_FILE_BYTES allows {self.file_bytes}"
            )

    def check_duration(self, seconds: object) -> None:
        """Raise DownloadFailed `too_large` if a video may not last that long; unknown durations pass."""
        if self.duration_seconds is None or not isinstance(seconds, int | float):
            return
        if seconds > self.duration_seconds + _SLACK_SECONDS:
            raise DownloadFailed(
                "too_large",
                detail=f"it lasts {seconds:.0f} seconds; {PREFIX}MAX_DURATION_SECONDS allows {self.duration_seconds:g}",
            )

    def check_plan(self, info: Mapping[str, Any]) -> None:
        """Check the size and duration that a platform declares (yt-dlp's info before the download)."""
        self.check_duration(info.get("duration"))
        parts = info.get("requested_formats") or (info,)
        known = sum(_number(part.get("filesize")) for part in parts)
        self.check_size(known)
        guessed = sum(_number(part.get("filesize_approx")) for part in parts if not part.get("filesize"))
        if guessed and self.file_bytes is not None and known + guessed > _ESTIMATE_FACTOR * self.file_bytes:
            self.check_size(known + guessed)


class ArrivalCount:
    """Counts each video's bytes over all its parts as they arrive, since declared sizes may be wrong.

    A progress hook for yt-dlp; it ends a download beyond the limit with DownloadFailed `too_large`.
    """

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self._arrived: dict[int, dict[str, int]] = {}  #: bytes by video of the post and part
        self._fragments: dict[str, int] = {}

    def __call__(self, progress: Mapping[str, Any]) -> None:
        """Take a report of yt-dlp; cheap, because it comes with every block of bytes."""
        if self._limits.file_bytes is None or progress.get("status") not in ("downloading", "finished"):
            return
        info = progress.get("info_dict") or {}
        parts = self._arrived.setdefault(info.get("playlist_index") or 1, {})
        name = str(progress.get("filename"))
        # The total is known before the bytes arrive; for a part that exists already, it is all that is reported.
        declared = progress.get("total_bytes")
        arrived = max(_number(progress.get("downloaded_bytes")), _number(declared), self._joined_bytes(progress))
        parts[name] = max(arrived, parts.get(name, 0))
        self._limits.check_size(sum(parts.values()))

    def _joined_bytes(self, progress: Mapping[str, Any]) -> int:
        """Return the size of a stream of fragments: yt-dlp does not count those of an earlier attempt."""
        index, path = progress.get("fragment_index"), progress.get("tmpfilename")
        if index is None or not isinstance(path, str) or self._fragments.get(path) == index:
            return 0
        self._fragments[path] = index
        try:
            return Path(path).stat().st_size
        except OSError:
            return 0


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
