"""Jobs, their attempts, batches and events: the data that the queue shares with the rest of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from downloader.errors import ErrorCode
from downloader.models import Details, Outcome
from downloader.platforms import PlatformType
from downloader.presets import DEFAULT_PRESET, Expand, Kind

JobState = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled"]

#: Every legal move of a job; any other raises IllegalTransition.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    # from queued or waiting to succeeded: another job for the same post was quicker
    "queued": frozenset({"running", "succeeded", "cancelled"}),
    # back to queued: interrupted, not failed; it resumes where it was
    "running": frozenset({"queued", "waiting", "succeeded", "failed", "cancelled"}),
    # waiting: for its retry or for its platform to cool down, until next_attempt_at
    "waiting": frozenset({"running", "queued", "succeeded", "cancelled"}),
    # to waiting: put back by the second round of its batch; to queued: by hand
    "failed": frozenset({"queued", "waiting"}),
    "cancelled": frozenset({"queued"}),
    # a collection alone: more of it is taken
    "succeeded": frozenset({"queued"}),
}

#: How long a platform may ask us to wait at most; a number beyond it is a fault.
LONGEST_ASKED_SECONDS = 86_400.0

#: After so many failures a job's thumbnail is given up; new links to it count from the start.
MAX_THUMBNAIL_FAILURES = 2

FINAL_STATES: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})

#: The others: a batch has ended when none of its jobs is in one of these.
UNFINISHED_STATES: frozenset[JobState] = frozenset(TRANSITIONS) - FINAL_STATES

AttemptResult = Literal["running", "succeeded", "failed", "interrupted", "cancelled"]

EventKind = Literal["batch_created", "batch_changed", "job_changed", "job_deleted", "platform_changed", "queue_changed"]

Phase = Literal["extracting", "downloading", "merging", "checking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A link as it is submitted."""

    url: str  #: as it was sent
    link: str | None  #: as it is fetched; equal links with one preset are one job; None: no platform owns it
    platform: PlatformType
    preset: str = DEFAULT_PRESET  #: what to get of it
    kind: Kind = "video"  #: of that preset
    wanted_subtitles: tuple[str, ...] = ()
    folder: str = ""  #: where its files go, below `raw/`
    again: bool = False  #: fetched although its files are there
    photos: bool = True  #: pictures are wanted too
    #: Which post, and what of it; equal ones are one job. None: not known from the link.
    post_key: str | None = None
    #: Set: collections are taken apart, and of their entries the above is wanted. What a short link leads to is not
    #: known yet: its `kind` becomes `collection` if it leads to one.
    expand: Expand | None = None
    title: str | None = None  #: this and the next two as a list says
    uploaded_at: datetime | None = None
    duration_seconds: float | None = None
    reused: bool = False  #: the post is there already: succeeded before it began, with the files of `source`
    source: Job | None = None  #: None: an archive names the post, which has no files
    error_code: ErrorCode | None = None  #: set: failed before it began, `error` says why
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryCounts:
    """How far the entries of a collection are."""

    done: int = 0  #: succeeded
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One link to download, or a collection to take apart, as the store knows it. All times are aware, UTC."""

    id: str
    batch_id: str
    url: str
    link: str | None
    platform: PlatformType
    state: JobState
    counted_attempts: int  #: started; one that the server itself interrupted does not count
    created_at: datetime
    updated_at: datetime
    preset: str = DEFAULT_PRESET
    kind: Kind = "video"  #: of its preset; once its files are there, what they are
    wanted_subtitles: tuple[str, ...] = ()
    folder: str = ""
    again: bool = False
    photos: bool = True
    post_key: str | None = None  #: see `NewJob`; of a short link, once it was followed
    reused: bool = False  #: its files were there already
    parent_id: str | None = None  #: the collection that it is an entry of; its record may have been deleted
    expand: Expand | None = None  #: of a collection, and of a short link that may lead to one
    listed: int = 0  #: how many entries of the collection were read, and are jobs of the batch
    found: int | None = None  #: how many there are, as far as it is known
    entries: EntryCounts | None = None  #: only where a collection was read for others to see, its `files` likewise
    started_at: datetime | None = None  #: of the latest attempt
    finished_at: datetime | None = None
    next_attempt_at: datetime | None = None  #: set exactly while it waits
    error_code: ErrorCode | None = None  #: of the latest attempt, also while it waits for the next
    error: str | None = None
    detail: str | None = None
    files: tuple[str, ...] = ()
    media_id: str | None = None
    title: str | None = None
    uploader: str | None = None
    uploaded_at: datetime | None = None
    duration_seconds: float | None = None
    width: int | None = None  #: of the first file, in pixels
    height: int | None = None
    size_bytes: int | None = None  #: of all files; as long as it runs, as the platform declares it
    thumbnails: tuple[str, ...] = ()  #: where the platform has its thumbnail, best one first
    thumbnail_failures: int = 0  #: how often none of these could be had
    subtitles: tuple[str, ...] = ()  #: languages that came
    subtitles_missing: tuple[str, ...] = ()
    elapsed_seconds: float = 0.0  #: of all attempts together
    attempt_number: int = 0  #: of the latest attempt; all count
    egress: str = ""  #: the way out of the latest attempt
    final_attempt: bool = False  #: put back by its batch's second round: it fails for good the next time

    @property
    def is_held(self) -> bool:
        """Whether it was added without starting it, and waits for a retry: a state of its own would be one for all."""
        # One that ran can fail so too: yt-dlp's own word for a download that the operator's options end.
        return self.state == "failed" and self.error_code == "cancelled" and self.attempt_number == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a job."""

    job_id: str
    number: int  #: from 1
    result: AttemptResult
    started_at: datetime
    ended_at: datetime | None = None
    error_code: ErrorCode | None = None
    error: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """How the running attempt of a job ended, and what becomes of the job."""

    job_id: str
    state: JobState
    result: AttemptResult  #: interrupted: it takes one off `counted_attempts`
    outcome: Outcome | None  #: gives files, media, error, code and detail
    at: datetime
    next_attempt_at: datetime | None = None  #: goes with waiting, and only with it
    details: Details | None = None  #: what it told; they are stored with the end, if they were not before
    #: The `attempt_number` of the one that ended; set: a later one of the same job (it was cancelled and retried in
    #: between) is left alone.
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a running attempt told of its post."""

    job_id: str
    attempt: int  #: its number: a later one of the same job is left alone
    details: Details


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Jobs that were made running."""

    jobs: tuple[Job, ...] = ()
    more: frozenset[PlatformType] = frozenset()  #: the platforms that have others to do now
    had: frozenset[str] = frozenset()  #: the ids of those whose posts may be there already


@dataclass(frozen=True, slots=True, kw_only=True)
class Had:
    """What there is of a post already."""

    sources: tuple[Job, ...] = ()  #: that downloaded it, the best to reuse first; their files may have been deleted
    archived: bool = False  #: an archive names it


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One submission."""

    id: str
    created_at: datetime
    total: int  #: links sent, repeated ones counted
    counts: Mapping[JobState, int] = field(default_factory=dict)  #: of its jobs, by state; states with none are absent
    retry_failed_once: bool = False  #: a second round is wanted; a batch that was cancelled wants none any more
    second_round_at: datetime | None = None  #: when it began; there is one at most
    second_round_jobs: int = 0  #: put back by it
    title: str | None = None  #: of the first link's job, as far as it is known
    collections: Mapping[JobState, int] = field(default_factory=dict)  #: those of `counts` that are collections
    worth_retrying: int = 0  #: jobs that failed or were cancelled, and that a retry may help


#: How jobs are listed. What has no size, length or title comes last.
JobOrder = Literal["newest", "oldest", "largest", "longest", "title"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list, in which order, and which page of them; an empty field filters nothing."""

    states: Sequence[JobState] = ()
    platform: PlatformType | None = None
    batch_id: str | None = None
    parent_id: str | None = None
    kind: Kind | None = None
    preset: str | None = None
    since: datetime | None = None  #: submitted then or later
    until: datetime | None = None  #: submitted before
    text: str | None = None  #: searched for in URL, title and error, literally, without regard to case
    sort: JobOrder = "newest"
    cursor: str | None = None  #: from the page before, which must have had the same order
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The result of a submission."""

    batch: Batch
    jobs: tuple[Job, ...]  #: one for each link sent, in that order; a repeated link has the same job again
    created: bool  #: False: the idempotency key was known, this is the batch of the first time


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A numbered change; the numbers rise without end and are never given twice."""

    id: int
    at: datetime
    kind: EventKind
    batch_id: str | None = None
    job_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)  #: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one receiver is to be told of a batch that ended."""

    id: str  #: of the end: the same for all receivers and attempts
    receiver: str
    body: str  #: JSON, as it is sent
    created_at: datetime
    attempts: int  #: to deliver it, so far
    next_attempt_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One post of a collection."""

    url: str  #: its canonical link
    platform: str
    title: str | None = None
    uploaded_at: datetime | None = None  #: None also where the platform only tells roughly
    duration_seconds: float | None = None
    error_code: ErrorCode | None = None  #: set: it cannot be downloaded, `error` says why
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Entries of a collection, as they are listed; what is said of the collection is what is known by then."""

    entries: tuple[Entry, ...]
    position: int  #: entries listed so far, these and skipped ones included
    found: int | None = None  #: how many there are, by the platform or by our count
    title: str | None = None
    uploader: str | None = None
    note: str | None = None  #: sentences on what is missing
    is_last: bool = False  #: of this listing; it may be empty
    has_more: bool = False  #: with `is_last`: listing again with *position* as *skip* gives more


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A page that a running attempt listed, and what its entries become."""

    job_id: str
    attempt: int  #: its number: a page of an earlier one is dropped
    page: Page
    new_jobs: tuple[NewJob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a running job is; published, never stored."""

    job_id: str
    phase: Phase
    attempt: int = 1  #: its number, from 1
    batch_id: str = ""
    downloaded_bytes: int = 0
    total_bytes: int | None = None  #: None: unknown
    speed_bytes_per_second: float | None = None
    eta_seconds: float | None = None
    details: Details | None = None  #: in one report, as soon as the page is read; not published with the others
    page: Page | None = None  #: of a collection, as it is listed; not published with the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Where the short link of a running job leads: a post or a collection. Its attempt waits for `Engine.proceed`."""

    job_id: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt, as an engine gets it; plain data, so that it may cross to another process."""

    job_id: str
    platform: PlatformType
    link: str
    output_dir: str  #: where finished media go
    work_dir: str  #: where this job's unfinished files are, kept from one attempt to the next
    preset: str = DEFAULT_PRESET  #: what to get
    subtitles: tuple[str, ...] = ()  #: codes of languages
    folder: str = ""  #: where its files go, below `output_dir`
    expand: Expand | None = None  #: set: a collection is listed; a short link is followed, as it may lead to one
    listed: int = 0  #: so many of its entries are known already
    photos: bool = True  #: whether a post's pictures are wanted too
    in_storage: bool = False  #: both are in a storage folder, which may be away with its disk: it is never made
    may_download: bool = True  #: no: after reading the page it waits for `Engine.permit`
    #: URL of this attempt's egress proxy, credential included; None: it opens a session of its own
    proxy: str | None = field(default=None, repr=False)
    attempt: int = 0  #: its number
    egress: str = ""  #: the way out that it is to take


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of the fleet, as the server knows it."""

    id: str  #: its name, unique in the fleet
    egress: str  #: its way out
    places: int  #: attempts at once
    busy: int
    version: str
    started_at: datetime
    heard_at: datetime
    is_draining: bool = False
    is_alive: bool = True  #: heard from lately
    fault: str | None = None  #: a sentence: its settings differ from the server's, its storage is away, …


@dataclass(frozen=True, slots=True, kw_only=True)
class CooldownState:
    """A platform's state in the governor of a way out that outlives a restart."""

    platform: PlatformType
    egress: str = ""  #: the way out
    cap: float  #: downloads at once that it is allowed now; fractions grow to whole ones
    cooling_until: datetime | None = None
    strikes: int = 0  #: rate limits in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempts:
    """Attempts that ended alike: of one platform, in one stretch of time, with one result."""

    platform: PlatformType
    bucket: int  #: the stretch of time, from 0
    error_code: ErrorCode | None  #: None: they succeeded
    tenths: int  #: of a second, that each of the succeeded took; 0 for the failed
    count: int
    bytes: int = 0  #: of the succeeded, together
    timed_microseconds: int = 0  #: what those took whose bytes are known, together
