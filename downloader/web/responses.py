"""What the API's routes answer: models that shape the JSON and describe it in the OpenAPI document.

A *record* is the JSON of one thing.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from downloader.cookies.store import CookieCondition, CookieState
from downloader.errors import ErrorCode
from downloader.jobs import Attempt, AttemptResult, Batch, Event, EventKind, Job, JobState, Phase
from downloader.platforms import PlatformType
from downloader.queue.statistics import Figures
from downloader.records import Record


class Answer(BaseModel):
    """What the API answers; each field is always there."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Refusal(Answer):
    """Any answer from 400 on."""

    error: str = Field(description="a sentence for people: what is wrong, and what to do")


class ServiceInfo(Answer):
    """What this is."""

    app: str
    version: str
    description: str
    dashboard: str
    documentation: str
    routes: list[str]


class Detected(Answer):
    """Which platform owns a URL."""

    url: str
    platform: PlatformType


class DownloadRecord(Answer):
    """What a download came to."""

    url: str = Field(description="as it was sent")
    success: bool
    file_path: str | None = Field(description="on the server; the first of `files`")
    error: str | None = Field(description="a sentence for people; null where nothing went wrong")
    platform: PlatformType
    error_code: ErrorCode | None
    retryable: bool = Field(description="whether the same link may well work a little later")
    detail: str | None = Field(description="yt-dlp's own words")
    files: list[str]
    id: str | None = Field(description="what the platform calls the media")
    title: str | None
    duration_seconds: float | None
    size_bytes: int | None = Field(description="of all files together")
    elapsed_seconds: float = Field(description="of all attempts together")
    job_id: str | None
    batch_id: str | None
    state: JobState | None
    attempts: int | None = Field(description="tries begun")
    next_attempt_at: datetime | None = Field(description="set while it waits to be tried again")


class Downloads(Answer):
    """A record for each URL sent, in the order sent."""

    downloads: list[DownloadRecord]


class JobRecord(DownloadRecord):
    """A job as it is now."""

    job_id: str
    batch_id: str
    state: JobState
    attempts: int = Field(description="tries begun")
    created_at: datetime
    started_at: datetime | None = Field(description="of the latest attempt")
    finished_at: datetime | None
    file_url: str | None = Field(description="where the first file can be had; `?index=` for the others")

    @classmethod
    def of(cls, job: Job, *, files_url: str, url: str | None = None) -> Self:
        """Return the record of *job*, as the answer to *url* if another spelling of its link was sent."""
        return cls(
            **Record.from_job(job).for_url(url or job.url).to_json(),
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            file_url=f"{files_url}{job.id}" if job.files else None,
        )


class AttemptRecord(Answer):
    """One try of a job."""

    number: int = Field(description="from 1")
    result: AttemptResult
    started_at: datetime
    ended_at: datetime | None
    error_code: ErrorCode | None
    error: str | None
    detail: str | None

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """Return the record of *attempt*."""
        return cls.model_validate(attempt)


class ProgressRecord(Answer):
    """How far a running job is."""

    job_id: str
    phase: Phase
    attempt: int = Field(description="the number of the try, from 1")
    batch_id: str
    downloaded_bytes: int
    total_bytes: int | None = Field(description="null: nobody knows")
    speed_bytes_per_second: float | None
    eta_seconds: float | None


class StateCounts(Answer):
    """How many jobs are in each state."""

    queued: int = 0
    running: int = 0
    waiting: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class BatchRecord(Answer):
    """One submission."""

    id: str
    created_at: datetime
    total: int = Field(description="URLs sent, repeated ones counted")
    counts: StateCounts = Field(description="its jobs; a link that was sent twice is one job")
    retry_failed_once: bool = Field(
        description="when its last job has ended, those that failed with a `retryable` error are tried once more; false"
        " from when the batch is cancelled"
    )
    second_round_at: datetime | None = Field(description="when that was; null: not yet, or nothing was to be retried")
    second_round_jobs: int = Field(description="how many were put back then")

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Return the record of *batch*."""
        return cls(
            id=batch.id,
            created_at=batch.created_at,
            total=batch.total,
            counts=StateCounts.model_validate(dict(batch.counts)),
            retry_failed_once=batch.retry_failed_once,
            second_round_at=batch.second_round_at,
            second_round_jobs=batch.second_round_jobs,
        )


class BatchPage(Answer):
    """Batches, newest first."""

    batches: list[BatchRecord]
    next_cursor: str | None = Field(description="of the next page; null at the end")


class BatchDetail(Answer):
    """A batch, and jobs of it."""

    batch: BatchRecord
    jobs: list[JobRecord]


class JobPage(Answer):
    """Jobs, newest first."""

    jobs: list[JobRecord]
    next_cursor: str | None = Field(description="of the next page; null at the end")


class JobDetail(Answer):
    """A job with its history."""

    job: JobRecord
    attempts: list[AttemptRecord]
    progress: ProgressRecord | None = Field(description="while it runs, once something is known")


class ChangedJob(Answer):
    """The job as it is after the change."""

    job: JobRecord


class ChangedJobs(Answer):
    """The jobs that were changed; those that the change does not concern are left out."""

    jobs: list[JobRecord]


class Deleted(Answer):
    """The ids of the jobs that are gone."""

    deleted: list[str]


class QueueRecord(Answer):
    """Whether new downloads are begun, and how much there is to do."""

    paused: bool = Field(description="by hand")
    disk_low: bool = Field(description="nothing new is begun, for want of space")
    storage_full: bool = Field(description="nothing new is begun: the files together have reached the operator's limit")
    storage_error: str | None = Field(
        description="a sentence: nothing new is started, because the storage folder or the database cannot be used"
    )
    free_bytes: int = Field(description="where media files go, or unfinished ones if there is less")
    counts: StateCounts


class PlatformRecord(Answer):
    """How a platform is treated, and how it fared."""

    platform: PlatformType
    label: str
    cap: int = Field(description="downloads at once that it is allowed at present")
    running: int
    queued: int
    waiting: int
    cooling_until: datetime | None = Field(description="it gets no request before")
    succeeded_last_hour: int = Field(description="attempts")
    failed_last_hour: int = Field(description="attempts")
    success_rate_last_hour: float | None = Field(description="from 0 to 1; null where there was no attempt")
    mean_seconds_last_hour: float | None = Field(description="of the attempts that succeeded")


class Platforms(Answer):
    """All platforms."""

    platforms: list[PlatformRecord]


class ErrorCount(Answer):
    """How many attempts failed with one error."""

    error_code: ErrorCode
    count: int


class FiguresBucket(Answer):
    """What ended in one stretch of time."""

    at: datetime = Field(description="its beginning")
    succeeded: int
    failed: int
    bytes: int
    median_seconds: float | None = Field(description="of the attempts that succeeded; null where none did")


class PlatformFigures(Answer):
    """How a platform fared; what is counted are attempts, by when they ended."""

    platform: PlatformType
    label: str
    succeeded: int
    failed: int
    success_rate: float | None = Field(description="from 0 to 1; null where nothing ended")
    bytes: int = Field(description="of the attempts that succeeded")
    bytes_per_second: float | None = Field(description="of those together, while they ran; null where none did")
    median_seconds: float | None = Field(description="of the attempts that succeeded, to a tenth; null where none did")
    p90_seconds: float | None = Field(description="nine in ten of them took no longer; null where none succeeded")
    errors: list[ErrorCount] = Field(description="most frequent first")
    buckets: list[FiguresBucket] = Field(description="all of the time, in order, empty ones too")


class FiguresAnswer(Answer):
    """How every platform fared over some time."""

    since: datetime
    until: datetime
    bucket_seconds: int = Field(description="how long a bucket is; the last one may be shorter")
    platforms: list[PlatformFigures]

    @classmethod
    def of(cls, figures: Figures) -> Self:
        """Return the answer that tells of *figures*."""
        return cls(
            since=figures.span.since,
            until=figures.span.until,
            bucket_seconds=figures.span.bucket_seconds,
            platforms=[PlatformFigures.model_validate(platform) for platform in figures.platforms],
        )


class CookieRecord(Answer):
    """What there is to say of a platform's cookies."""

    platform: PlatformType
    condition: CookieCondition
    sentence: str = Field(description="for people: how they are, and what to do")
    cookies: int = Field(description="how many there are; 0: none")
    expired: int = Field(description="how many of these have expired")
    logged_in: bool = Field(description="whether yt-dlp is logged in with them: they have not expired")
    first_expires_at: datetime | None = Field(description="of what keeps one logged in, the first to expire")
    last_expires_at: datetime | None = Field(description="of what keeps one logged in, the last to expire")
    updated_at: datetime | None = Field(description="when they came")
    dropped: int = Field(description="lines of the file that belong to other sites; they are never kept")
    bad_lines: list[int] = Field(description="numbers of the platform's own lines that are no cookies")
    report: str | None = Field(description="for people: what of the file was taken, what was left out")

    @classmethod
    def of(cls, state: CookieState) -> Self:
        """Return the record of *state*."""
        return cls.model_validate(state)


class CookieList(Answer):
    """All platforms' cookies."""

    cookies: list[CookieRecord]


class ToolRecord(Answer):
    """A program that downloads need."""

    name: str
    version: str | None = Field(description="null where only the program itself could say")


class YtdlpRecord(Answer):
    """The yt-dlp at work: what the server began with."""

    version: str | None
    installed: str | None = Field(description="another one than `version` where it was updated since the start")
    released: date | None
    age_days: int | None
    old: bool = Field(description="platforms change often: whether it is time to update it")
    restart_needed: bool = Field(description="whether another one is installed than works")
    advice: str | None = Field(description="a sentence for people: what to do; null: nothing")


class ToolsAnswer(Answer):
    """What downloads are made with; null where there is none."""

    ytdlp: YtdlpRecord
    ffmpeg: ToolRecord | None
    javascript: ToolRecord | None = Field(description="YouTube needs one")


class EventRecord(Answer):
    """A numbered change."""

    id: int = Field(description="rises without end, never given twice")
    at: datetime
    kind: EventKind
    batch_id: str | None
    job_id: str | None
    data: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the record of *event*."""
        return cls.model_validate(event)


class Hello(Answer):
    """The beginning of a stream: what was before is not told, so load what you show."""

    last_id: int = Field(description="number of the newest event at this moment")
    progress: list[ProgressRecord] = Field(description="of what runs")


class Events(Answer):
    """What changed since a number; ask again with `last_id`."""

    events: list[EventRecord]
    progress: list[ProgressRecord] = Field(description="of what runs")
    last_id: int
    reset: bool = Field(description="true: `since` was not given or is too old; load what you show anew")
