"""What a download comes to: its files, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from downloader.errors import ErrorCode, sentence
from downloader.platforms import PLATFORMS, PlatformType
from downloader.presets import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a page says of its post, before anything is downloaded; all of it is bounded."""

    title: str | None = None
    uploader: str | None = None
    uploaded_at: datetime | None = None
    duration_seconds: float | None = None
    width: int | None = None  #: of the first video, in pixels
    height: int | None = None
    size_bytes: int | None = None  #: of all files, as far as the platform declares it
    thumbnails: tuple[str, ...] = ()  #: http(s) URLs at the platform, best one first


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """The files of a successful download; the first one is the record's `file_path`."""

    files: tuple[str, ...]
    kind: Kind = "video"
    id: str | None = None
    title: str | None = None
    uploader: str | None = None
    uploaded_at: datetime | None = None
    duration_seconds: float | None = None
    width: int | None = None  #: of the first file, in pixels
    height: int | None = None
    size_bytes: int = 0  #: of all files together
    thumbnails: tuple[str, ...] = ()  #: see `Details`
    subtitles: tuple[str, ...] = ()  #: languages that came, each with a file
    subtitles_missing: tuple[str, ...] = ()  #: languages that were wanted and that there are not
    pictures_missing: str | None = None  #: which of the post's pictures could not be had, and why


class Outcome(tuple[bool, "str | None", "str | None"]):
    """What a wrapper returns: unpacks as (success, file_path, error), and has details as attributes.

    A plain 3-tuple is accepted too; `Outcome.of` converts it.
    """

    media: Media | None
    error_code: ErrorCode | None
    detail: str | None
    retry_after_seconds: float | None
    walled: bool  #: `rate_limited` by a login page, which may concern only this post

    def __new__(
        cls,
        success: bool,
        file_path: str | None = None,
        error: str | None = None,
        *,
        media: Media | None = None,
        error_code: ErrorCode | None = None,
        detail: str | None = None,
        retry_after_seconds: float | None = None,
        walled: bool = False,
    ) -> Outcome:
        self = super().__new__(cls, (success, file_path, error))
        self.media = media
        self.error_code = error_code
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.walled = walled
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)  # for pickle, which would pass a tuple as one argument

    @classmethod
    def failed(cls, code: ErrorCode, platform: PlatformType, detail: str | None = None) -> Outcome:
        """Return the outcome of a download from *platform* that failed, with the sentence for *code*."""
        label = PLATFORMS[platform].label if platform in PLATFORMS else None
        return cls(False, None, sentence(code, label), error_code=code, detail=detail)

    @classmethod
    def of(cls, result: tuple[bool, str | None, str | None]) -> Outcome:
        """Return *result*, an Outcome or a plain 3-tuple, as an Outcome."""
        if isinstance(result, Outcome):
            return result
        success, file_path, error = result
        if success and file_path:
            return cls(True, str(file_path), None, media=Media(files=(str(file_path),)))
        if success:
            return cls(False, None, sentence("file_missing"), error_code="file_missing")
        return cls(False, None, error or sentence("internal"), error_code="internal")
