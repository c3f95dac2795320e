"""The data that every other module speaks of; imports nothing of ours but the error codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from downloader.errors import ErrorCode, is_retryable, sentence

if TYPE_CHECKING:
    from downloader.jobs import Job

PlatformType = Literal["tiktok", "instagram", "twitter", "youtube", "unknown"]
"""What `detect_platform` answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A site we download from: declared by its wrapper, run by `ytdlp.client.fetch`."""

    name: PlatformType
    label: str  #: as its users write it
    extractors: tuple[str, ...]  #: yt-dlp's extractor keys, most frequent first; the only ones ever loaded
    options: Mapping[str, Any] = field(default_factory=dict)  #: yt-dlp options on top of the common ones
    patience: float = 1.0  #: factor on the operator's timeouts
    extra_retries: int = 0  #: on top of the operator's
    cookie_domains: tuple[str, ...] = ()  #: of its cookies, where one logs in first; lines of others are left out
    login_host: str = ""  #: yt-dlp counts as logged in who has the session cookies of this host
    session_cookies: tuple[frozenset[str], ...] = ()  #: names; of each set one is needed to be logged in


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A finished job, as its JSON says it. The first five fields are a contract; the others are additions."""

    url: str
    success: bool
    file_path: str | None = None
    error: str | None = None
    platform: PlatformType = "unknown"
    error_code: ErrorCode | None = None
    retryable: bool = False
    detail: str | None = None  #: yt-dlp's own words
    files: tuple[str, ...] = ()
    id: str | None = None
    title: str | None = None
    duration_seconds: float | None = None
    size_bytes: int | None = None
    elapsed_seconds: float = 0.0
    job_id: str | None = None  #: where it went through the server's queue, as the rest of these
    batch_id: str | None = None
    state: str | None = None
    attempts: int | None = None
    next_attempt_at: str | None = None  #: ISO 8601, UTC; set while it waits to be tried again

    @classmethod
    def from_job(cls, job: Job) -> Record:
        """Return what there is to say about *job* now, whether it is final or not."""
        error, code = job.error, job.error_code
        if job.state == "cancelled":
            error, code = sentence("cancelled"), "cancelled"
        elif job.state in ("queued", "running") and code is None:
            error = "This is not done yet: it is in the queue, and the server goes on with it by itself."
            code = "interrupted"
        return cls(
            url=job.url,
            success=job.state == "succeeded",
            file_path=job.files[0] if job.files else None,
            error=error,
            platform=job.platform,
            error_code=code,
            retryable=code is not None and is_retryable(code),
            detail=job.detail,
            files=job.files,
            id=job.media_id,
            title=job.title,
            duration_seconds=job.duration_seconds,
            size_bytes=job.size_bytes,
            elapsed_seconds=round(job.elapsed_seconds, 3),
            job_id=job.id,
            batch_id=job.batch_id,
            state=job.state,
            attempts=job.attempts,
            next_attempt_at=None if job.next_attempt_at is None else job.next_attempt_at.isoformat(),
        )

    @classmethod
    def from_outcome(cls, url: str, platform: PlatformType, outcome: Outcome, *, elapsed_seconds: float) -> Record:
        """Return the record of *url*, downloaded from *platform* with *outcome*."""
        success, file_path, error = outcome
        record = cls(
            url=url,
            success=success,
            file_path=file_path,
            error=error,
            platform=platform,
            error_code=outcome.error_code,
            retryable=outcome.error_code is not None and is_retryable(outcome.error_code),
            detail=outcome.detail,
            elapsed_seconds=round(elapsed_seconds, 3),
        )
        if outcome.media is None:
            return record
        media = outcome.media
        return replace(
            record,
            files=media.files,
            id=media.id,
            title=media.title,
            duration_seconds=media.duration_seconds,
            size_bytes=media.size_bytes,
        )

    def for_url(self, url: str) -> Record:
        """Return the same record as the answer to *url*, another spelling of the link."""
        return self if url == self.url else replace(self, url=url)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON types."""
        return asdict(self) | {"files": list(self.files)}
