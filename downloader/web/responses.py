"""Response models: they shape the JSON and describe it in the OpenAPI document.

A *record* is the JSON of one object.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from downloader.cookies.store import CookieCondition
from downloader.errors import ErrorCode
from downloader.jobs import AttemptResult, EventKind, JobState, Phase
from downloader.platforms import PlatformType
from downloader.presets import Kind, PresetKind


class ResponseModel(BaseModel):
    """A response; every field is always present."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class ErrorResponse(ResponseModel):
    """Any response with a status from 400 on."""

    error: str = Field(description="a sentence: what is wrong, and what to do")


class CobaltInfo(ResponseModel):
    """What programs written for cobalt ask for."""

    version: str = Field(description="of cobalt's API")
    url: str
    startTime: str = Field(description="milliseconds since 1970")
    services: list[PlatformType]


class GitInfo(ResponseModel):
    """What runs here, for the same programs."""

    commit: str
    branch: str
    remote: str


class ServiceInfo(ResponseModel):
    """Name, version and routes of this service."""

    app: str
    version: str
    description: str
    dashboard: str
    documentation: str
    routes: list[str]
    cobalt: CobaltInfo | None = Field(None, description="null if DOWNLOADER_COMPAT is false; so is `git`")
    git: GitInfo | None = None


class Detected(ResponseModel):
    """Which platform owns a URL."""

    url: str
    platform: PlatformType


class Entries(ResponseModel):
    """How far a collection is."""

    found: int | None = Field(description="how many entries there are; null if that is not known yet")
    taken: int = Field(description="how many of them are jobs of the batch, in the order of the list")
    done: int = Field(description="how many have succeeded")
    failed: int


class DownloadRecord(ResponseModel):
    """The result of a download."""

    url: str = Field(description="as submitted")
    success: bool
    file_path: str | None = Field(description="on the server; the first of `files`")
    error: str | None = Field(description="a sentence; null if nothing went wrong")
    platform: PlatformType
    error_code: ErrorCode | None
    retryable: bool = Field(description="whether the same link may work later")
    detail: str | None = Field(
        description="yt-dlp's own message; of a success: which pictures, or what of a collection, is missing"
    )
    preset: str = Field(description="what was asked for; see `GET /api/v1/presets`")
    kind: Kind = Field(description="what the files are; until they are there, what was asked for")
    files: list[str] = Field(description="on the server, in the post's order")
    id: str | None = Field(description="the platform's id of the media")
    title: str | None = Field(description="known, like what follows, as soon as the post's page is read")
    uploader: str | None
    uploaded_at: datetime | None = Field(description="when the post was published, as far as the platform says")
    duration_seconds: float | None
    width: int | None = Field(description="of the first file, in pixels")
    height: int | None
    size_bytes: int | None = Field(
        description="of all files together; before the job has succeeded, as the platform declares it"
    )
    subtitles: list[str] = Field(description="languages that came, each as an .srt file among `files`")
    subtitles_missing: list[str] = Field(description="languages that were asked for, but that the post does not have")
    reused: bool = Field(description="whether the files were there already, so that nothing was downloaded")
    entries: Entries | None = Field(description="of a collection; its `files` are those of all entries")
    thumbnail_url: str | None = Field(
        description="path on this server, which fetches the thumbnail when it is first asked for; null if there is none"
    )
    elapsed_seconds: float = Field(description="of all attempts together")
    job_id: str | None
    batch_id: str | None
    state: JobState | None
    attempts: int | None = Field(description="attempts started")
    parent_id: str | None = Field(description="the collection that it is an entry of, which may have been deleted")
    next_attempt_at: datetime | None = Field(description="while it waits for a retry")


class Downloads(ResponseModel):
    """A record for each submitted URL, in order."""

    downloads: list[DownloadRecord]


class JobRecord(DownloadRecord):
    """The current state of a job."""

    job_id: str
    batch_id: str
    state: JobState
    attempts: int = Field(description="attempts started")
    created_at: datetime
    started_at: datetime | None = Field(description="of the latest attempt")
    finished_at: datetime | None
    file_url: str | None = Field(description="URL of the first file; `?index=` selects another")


class AttemptRecord(ResponseModel):
    """An attempt of a job."""

    number: int = Field(description="from 1")
    result: AttemptResult
    started_at: datetime
    ended_at: datetime | None
    error_code: ErrorCode | None
    error: str | None
    detail: str | None


class ProgressRecord(ResponseModel):
    """The progress of a running job."""

    job_id: str
    phase: Phase
    attempt: int = Field(description="number of the attempt, from 1")
    batch_id: str
    downloaded_bytes: int
    total_bytes: int | None = Field(description="null if unknown")
    speed_bytes_per_second: float | None
    eta_seconds: float | None


class StateCounts(ResponseModel):
    """The number of jobs in each state."""

    queued: int = 0
    running: int = 0
    waiting: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class BatchRecord(ResponseModel):
    """One submission."""

    id: str
    created_at: datetime
    total: int = Field(description="number of submitted URLs, including repeated ones")
    counts: StateCounts = Field(description="of its jobs; a link submitted twice is one job")
    retry_failed_once: bool = Field(
        description="when all jobs have ended, those that failed with a `retryable` error are retried once; false once"
        " the batch is cancelled"
    )
    second_round_at: datetime | None = Field(description="when they were retried; null if they were not")
    second_round_jobs: int = Field(description="number of jobs retried then")
    title: str | None = Field(description="of its first link's job, as soon as it is known")
    collections: StateCounts = Field(description="of those of its jobs that are collections")
    worth_retrying: int = Field(description="number of its failed and cancelled jobs that a retry may help")


class BatchPage(ResponseModel):
    """Batches, newest first."""

    batches: list[BatchRecord]
    next_cursor: str | None = Field(description="cursor of the next page; null at the end")


class BatchDetail(ResponseModel):
    """A batch and some or all of its jobs."""

    batch: BatchRecord
    jobs: list[JobRecord]


class JobPage(ResponseModel):
    """Jobs, in the order asked for."""

    jobs: list[JobRecord]
    total: int = Field(description="number of jobs on all pages together")
    next_cursor: str | None = Field(description="cursor of the next page; null at the end")


class JobDetail(ResponseModel):
    """A job with its attempts."""

    job: JobRecord
    attempts: list[AttemptRecord]
    progress: ProgressRecord | None = Field(description="while it runs, once it is known")


class ChangedJob(ResponseModel):
    """The job after the change."""

    job: JobRecord


class ChangedJobs(ResponseModel):
    """The jobs that changed; others are left out."""

    jobs: list[JobRecord]


class Deleted(ResponseModel):
    """The ids of the deleted jobs."""

    deleted: list[str]


class ArchiveAdded(ResponseModel):
    """What became of the lines of an archive."""

    added: int = Field(description="posts that count as had from now on")
    known: int = Field(description="lines with posts that did so before, or that the file names twice")
    ignored: int = Field(description="lines of other sites, and malformed ones")


class ArchiveCleared(ResponseModel):
    """What was forgotten."""

    removed: int = Field(description="number of posts")


class CookieRecord(ResponseModel):
    """The state of a platform's cookies, without the cookies."""

    platform: PlatformType
    condition: CookieCondition
    sentence: str = Field(description="a sentence: how they are, and what to do")
    cookies: int = Field(description="number of cookies")
    expired: int = Field(description="number of these that have expired")
    logged_in: bool = Field(description="whether they include a login that has not expired")
    first_expires_at: datetime | None = Field(description="when the first of the login cookies expires")
    last_expires_at: datetime | None = Field(description="when the last of the login cookies expires")
    updated_at: datetime | None = Field(description="when they were stored")
    dropped: int = Field(description="number of lines for other sites, which are never stored")
    bad_lines: list[int] = Field(description="numbers of the platform's own lines that are malformed")
    report: str | None = Field(description="a sentence: what was stored, and what was left out")


class CookieList(ResponseModel):
    """The state of all platforms' cookies."""

    cookies: list[CookieRecord]


class PresetRecord(ResponseModel):
    """What a job can be asked to get."""

    name: str = Field(description="to be sent as `preset`")
    label: str
    kind: PresetKind
    max_height: int | None = Field(description="most pixels of the shorter side; null if there is no limit")
    description: str = Field(description="a sentence: what it gives")


class Presets(ResponseModel):
    """All presets, including the operator's own."""

    presets: list[PresetRecord]
    default: str = Field(description="the one that is used if a request names none")


class EventRecord(ResponseModel):
    """A change, numbered."""

    id: int = Field(description="increasing, and never reused")
    at: datetime
    kind: EventKind
    batch_id: str | None
    job_id: str | None
    data: dict[str, Any]


class Hello(ResponseModel):
    """The start of a stream: earlier changes are not sent, so load the current state."""

    last_id: int = Field(description="id of the newest event at this moment")
    progress: list[ProgressRecord] = Field(description="of running jobs")


class Events(ResponseModel):
    """The changes since an event; continue with `last_id`."""

    events: list[EventRecord]
    progress: list[ProgressRecord] = Field(description="of running jobs")
    last_id: int
    reset: bool = Field(description="whether `since` was missing or too old; reload the current state")
