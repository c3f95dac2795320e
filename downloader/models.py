"""What a download comes to: its files, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from downloader.errors import ErrorCode, sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """What a successful download is made of; the first of `files` is the record's `file_path`."""

    files: tuple[str, ...]
    id: str | None = None
    title: str | None = None
    duration_seconds: float | None = None
    size_bytes: int = 0  #: of all files together


class Outcome(tuple[bool, "str | None", "str | None"]):
    """What a wrapper returns: unpacks as (success, file_path, error), details hang on as attributes.

    A plain 3-tuple is as good wherever one is expected: `Outcome.of` takes either.
    """

    media: Media | None
    error_code: ErrorCode | None
    detail: str | None
    retry_after_seconds: float | None
    walled: bool  #: `rate_limited` by a login page, which may as well be this post's own

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

    def __reduce__(self) -> tuple[Any, ...]:
        # A tuple subclass would lose its attributes on the way to or from a worker process.
        return _restore_outcome, (
            *self,
            self.media,
            self.error_code,
            self.detail,
            self.retry_after_seconds,
            self.walled,
        )

    @classmethod
    def of(cls, result: tuple[bool, str | None, str | None]) -> Outcome:
        """Return *result* as an Outcome: itself, or a plain 3-tuple with what can be told about it."""
        if isinstance(result, Outcome):
            return result
        success, file_path, error = result
        if success and file_path:
            return cls(True, str(file_path), None, media=Media(files=(str(file_path),)))
        if success:
            return cls(False, None, sentence("file_missing"), error_code="file_missing")
        return cls(False, None, error or sentence("internal"), error_code="internal")


def _restore_outcome(
    success: bool,
    file_path: str | None,
    error: str | None,
    media: Media | None,
    error_code: ErrorCode | None,
    detail: str | None,
    retry_after_seconds: float | None,
    walled: bool,
) -> Outcome:
    return Outcome(
        success,
        file_path,
        error,
        media=media,
        error_code=error_code,
        detail=detail,
        retry_after_seconds=retry_after_seconds,
        walled=walled,
    )
