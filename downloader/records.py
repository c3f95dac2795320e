"""Records: the JSON of a job, as clients of the API and of the library get it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from downloader.errors import RETRYABLE, ErrorCode, sentence
from downloader.jobs import MAX_THUMBNAIL_FAILURES, EntryCounts, Job
from downloader.models import Outcome
from downloader.platforms import PlatformType
from downloader.presets import DEFAULT_PRESET, Kind, Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The JSON of a job. The first five fields are a contract; the others are additions."""

    url: str
    success: bool
    file_path: str | None = None
    error: str | None = None
    platform: PlatformType = "unknown"
    error_code: ErrorCode | None = None
    retryable: bool = False
    detail: str | None = None  #: yt-dlp's own words; of a success, which pictures of the post are missing
    preset: str = DEFAULT_PRESET  #: what was asked for
    kind: Kind = "video"  #: what the files are; without files, what was asked for
    files: tuple[str, ...] = ()
    id: str | None = None
    title: str | None = None
    uploader: str | None = None
    uploaded_at: str | None = None  #: ISO 8601, UTC
    duration_seconds: float | None = None
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None
    subtitles: tuple[str, ...] = ()
    subtitles_missing: tuple[str, ...] = ()
    reused: bool = False  #: the files were there already
    entries: dict[str, int | None] | None = None  #: of a collection
    thumbnail_url: str | None = None
    elapsed_seconds: float = 0.0
    job_id: str | None = None  #: this and the following are None in library use
    batch_id: str | None = None
    state: str | None = None
    attempts: int | None = None
    parent_id: str | None = None  #: the collection that it is an entry of
    next_attempt_at: str | None = None  #: ISO 8601, UTC; set while it waits for its retry

    @classmethod
    def from_job(cls, job: Job) -> Record:
        """Return *job* as it is now."""
        return cls(
            url=job.url,
            success=job.state == "succeeded",
            file_path=job.files[0] if job.files else None,
            error=job.error,
            platform=job.platform,
            error_code=job.error_code,
            retryable=job.error_code in RETRYABLE,
            detail=job.detail,
            preset=job.preset,
            kind=job.kind,
            files=job.files,
            id=job.media_id,
            title=job.title,
            uploader=job.uploader,
            uploaded_at=_iso(job.uploaded_at),
            duration_seconds=job.duration_seconds,
            width=job.width,
            height=job.height,
            size_bytes=job.size_bytes,
            subtitles=job.subtitles,
            subtitles_missing=job.subtitles_missing,
            reused=job.reused,
            entries=_entries(job),
            thumbnail_url=thumbnail_url(job),
            elapsed_seconds=round(job.elapsed_seconds, 3),
            job_id=job.id,
            batch_id=job.batch_id,
            state=job.state,
            attempts=job.counted_attempts,
            parent_id=job.parent_id,
            next_attempt_at=_iso(job.next_attempt_at),
        )

    @classmethod
    def reply(cls, job: Job, url: str) -> Record:
        """Return the answer to a request that waited for *url*: if there is no file, it says why."""
        record = cls.from_job(job).for_url(url)
        if job.state == "cancelled":
            return record._with_error("cancelled", sentence("cancelled"))
        if job.state in ("queued", "running") and job.error_code is None:
            return record._with_error("interrupted", "This download is still in the queue and continues on the server.")
        return record

    @classmethod
    def from_outcome(
        cls, url: str, platform: PlatformType, outcome: Outcome, *, elapsed_seconds: float = 0.0
    ) -> Record:
        """Return the record of *url* on *platform*, whose download had *outcome*."""
        success, file_path, error = outcome
        media = {} if outcome.media is None else asdict(outcome.media)
        if media:
            media["uploaded_at"] = _iso(media["uploaded_at"])
            del media["thumbnails"]  # only a server keeps them
            del media["pictures_missing"]  # the detail says so
        return cls(
            url=url,
            success=success,
            file_path=file_path,
            error=error,
            platform=platform,
            error_code=outcome.error_code,
            retryable=outcome.error_code in RETRYABLE,
            detail=outcome.detail,
            elapsed_seconds=round(elapsed_seconds, 3),
            **media,  # has these fields by the same names
        )

    def _with_error(self, code: ErrorCode, error: str) -> Record:
        return replace(self, error=error, error_code=code, retryable=code in RETRYABLE)

    def for_preset(self, preset: Preset) -> Record:
        """Return the same record as the answer to a request for *preset*."""
        return replace(self, preset=preset.name, kind=self.kind if self.kind == "photos" else preset.kind)

    def for_url(self, url: str) -> Record:
        """Return the same record as the answer to *url*, another spelling of the link."""
        return self if url == self.url else replace(self, url=url)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON types."""
        # Not by `asdict`, which copies deeply: a page of jobs would take half as long again.
        return {name: getattr(self, name) for name in _FIELDS} | {name: list(getattr(self, name)) for name in _LISTS}


def thumbnail_url(job: Job) -> str | None:
    """Return where this server has the thumbnail of *job*; None if there is none, or it could not be had."""
    if not job.thumbnails or job.thumbnail_failures >= MAX_THUMBNAIL_FAILURES:
        return None
    return f"/api/v1/jobs/{job.id}/thumbnail"


def _entries(job: Job) -> dict[str, int | None] | None:
    if job.kind != "collection":
        return None
    counts = job.entries or EntryCounts()
    return {"found": job.found, "taken": job.listed, "done": counts.done, "failed": counts.failed}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


_LISTS = ("files", "subtitles", "subtitles_missing")
_FIELDS = tuple(field.name for field in fields(Record))
