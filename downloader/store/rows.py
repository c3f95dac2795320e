"""Converts between rows and data: jobs, batches, events; and makes ids and cursors."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Row, case, func

from downloader.errors import BadCursor, sentence
from downloader.jobs import Attempt, AttemptEnd, Batch, Event, Job, NewJob
from downloader.models import Details, Media, Outcome
from downloader.records import thumbnail_url
from downloader.store.schema import clean, jobs

_COLUMNS = tuple(field.name for field in fields(Job) if field.name not in ("files", "entries"))

_values_of = itemgetter(*(jobs.c.keys().index(name) for name in _COLUMNS))

#: What is told of a job before it ends, and at its end.
_DETAILS = tuple(field.name for field in fields(Details))
_MEDIA = tuple(field.name for field in fields(Media) if field.name not in ("id", "kind", "pictures_missing"))

#: What a job has of the download that it reuses.
_REUSED = (
    *("files", "media_id", "title", "uploader", "uploaded_at", "duration_seconds", "width", "height", "size_bytes"),
    *("thumbnails", "subtitles", "subtitles_missing", "kind", "detail"),
)


def new_id() -> str:
    """Return an id that cannot be guessed: 80 random bits, as 16 of a-z and 2-7.

    Ids stand in addresses, on command lines and as names of folders, hence no sign that any of these takes for
    something else, and no letters that differ by case alone.
    """
    return base64.b32encode(secrets.token_bytes(10)).decode("ascii").lower()


def utc(moment: datetime) -> datetime:
    """Return the same moment in UTC; raises ValueError where *moment* does not say which it is."""
    if moment.tzinfo is None:
        raise ValueError("a time must come with its time zone")
    return moment.astimezone(UTC)


# -- cursors

#: A whole number that every database can hold is less than this.
_MOST = 2**63

Key = int | float | str


def write_cursor(kind: str, *keys: Key) -> str:
    """Return the cursor of the page after the row with these *keys*, the last of which is its `seq`."""
    text = json.dumps(keys, separators=(",", ":"))[1:-1]
    return base64.urlsafe_b64encode(f"{kind}:{text}".encode("ascii")).decode("ascii").rstrip("=")


def read_cursor(kind: str, cursor: str, *types: type[Key]) -> list[Key]:
    """Return the keys of the row that *cursor* stands for, which are of these *types*.

    Raises:
        BadCursor: `write_cursor` never gave it.
    """
    try:
        found, _, text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
        keys: list[Key] = json.loads(f"[{text}]")
    except (ValueError, RecursionError):
        raise BadCursor from None
    known = found == kind and [type(key) for key in keys] == list(types)
    numbers = [key for key in keys if isinstance(key, int)]
    fits = all(abs(number) < _MOST for number in numbers) and numbers[-1:] >= [0]  # a `seq` is never negative
    # JSON and Base64 have several spellings of one value; only ours is taken.
    if not known or not fits or write_cursor(kind, *keys) != cursor:
        raise BadCursor
    return keys


# -- jobs


def job_of(row: Row[Any], files: Iterable[str] = ()) -> Job:
    """Return the job of a row that begins with the columns of `jobs`."""
    # By place: by name it takes twice as long.
    return Job(**dict(zip(_COLUMNS, _values_of(row), strict=True)), files=tuple(files))


def new_row(job: Job) -> dict[str, Any]:
    """Return *job* as a row to insert."""
    return {name: getattr(job, name) for name in _COLUMNS} | {"search": _search(job)}


def changed_columns(before: Job, after: Job, names: Iterable[str]) -> dict[str, Any]:
    """Return those of the fields *names* in which *after* differs from *before*, as columns."""
    news = {name: value for name in names if (value := getattr(after, name)) != getattr(before, name)}
    news.pop("files", None)  # have a table of their own
    if "title" in news or "error" in news:
        news["search"] = _search(after)
    return news


def _search(job: Job) -> str:
    return "\n".join(part for part in (job.url, job.title, job.error) if part).casefold()


def search_with(error: str | None, before: str | None) -> ColumnElement[str]:
    """Return what `jobs.search` becomes where *error* takes the place of the error *before*; see `_search`."""
    found: ColumnElement[str] = jobs.c.search
    if before:
        length = func.length(found) - len(f"\n{before}".casefold())
        found = case((length > 0, func.substr(found, 1, length)), else_=found)
    return found.concat(f"\n{error}".casefold()) if error else found


def job_view(job: Job) -> dict[str, Any]:
    """Return what an event tells of *job*: enough to repaint its row without asking."""
    return {
        "state": job.state,
        "platform": job.platform,
        "preset": job.preset,
        "kind": job.kind,
        "attempts": job.counted_attempts,
        "error_code": job.error_code,
        "error": job.error,
        "next_attempt_at": None if job.next_attempt_at is None else job.next_attempt_at.isoformat(),
        "title": job.title,
        "uploader": job.uploader,
        "duration_seconds": job.duration_seconds,
        "thumbnail_url": thumbnail_url(job),
        "files": list(job.files),
        "size_bytes": job.size_bytes,
        "reused": job.reused,
        "parent_id": job.parent_id,
        "entries": {"found": job.found, "taken": job.listed} if job.kind == "collection" else None,
    }


def first_job(new: NewJob, batch_id: str, now: datetime, parent_id: str | None = None) -> Job:
    """Return the job that *new* becomes: queued, or failed if it can never be downloaded."""
    job = Job(
        id=new_id(),
        batch_id=batch_id,
        url=clean(new.url),
        link=None if new.link is None else clean(new.link),
        platform=new.platform,
        preset=new.preset,
        kind=new.kind,
        wanted_subtitles=new.wanted_subtitles,
        folder=clean(new.folder),
        again=new.again,
        photos=new.photos,
        post_key=new.post_key,
        parent_id=parent_id,
        expand=new.expand,
        title=_cleaned(new.title),
        uploaded_at=None if new.uploaded_at is None else utc(new.uploaded_at),
        duration_seconds=new.duration_seconds,
        state="queued",
        counted_attempts=0,
        created_at=now,
        updated_at=now,
    )
    if new.reused:
        return replace(job, state="succeeded", finished_at=now, **reused_fields(new.source))
    code = new.error_code
    if code is None and new.link is None:
        code = "unsupported_platform"  # it would never be claimed
    if code is None:
        return job
    return replace(job, state="failed", finished_at=now, error_code=code, error=clean(new.error or sentence(code)))


def reused_fields(source: Job | None) -> dict[str, Any]:
    """Return the fields of a job that the reuse of what *source* downloaded sets; None: an archive names the post."""
    return {"reused": True} | ({} if source is None else {name: getattr(source, name) for name in _REUSED})


def details_fields(job: Job, details: Details | None) -> dict[str, Any]:
    """Return the fields of *job* that *details* set; what the page did not say this time stays as it was."""
    if details is None:
        return {}
    changes = _known(details, _DETAILS)
    if changes.get("thumbnails", job.thumbnails) != job.thumbnails:
        changes["thumbnail_failures"] = 0
    return changes


def end_fields(job: Job, end: AttemptEnd) -> dict[str, Any]:
    """Return the fields of *job* that *end* sets: what its attempt told, and how that ended."""
    return details_fields(job, end.details) | outcome_fields(end.outcome)


def outcome_fields(outcome: Outcome | None) -> dict[str, Any]:
    """Return the fields of a job that *outcome* sets; what is unknown of its media is left out."""
    if outcome is None:
        return {"error_code": None, "error": None, "detail": None}
    success, _, error = outcome
    changes: dict[str, Any] = {
        "error_code": None if success else outcome.error_code,
        "error": None if success else _cleaned(error),
        "detail": _cleaned(outcome.detail),
    }
    if success and outcome.media is not None:
        changes |= _known(outcome.media, _MEDIA)
        changes["media_id"] = _cleaned(outcome.media.id)
        if outcome.media.kind == "photos":  # otherwise it is the preset's, which plain outcomes don't say
            changes["kind"] = "photos"
    return changes


def _known(data: Details | Media, names: Iterable[str]) -> dict[str, Any]:
    return {name: _stored(value) for name in names if (value := getattr(data, name)) not in (None, ())}


def _stored(value: Any) -> Any:
    """Return *value* as it will be read from the store."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(map(clean, value))
    return utc(value) if isinstance(value, datetime) else value


def _cleaned(text: str | None) -> str | None:
    return None if text is None else clean(text)


# -- the others


def batch_of(row: Row[Any], of_jobs: Mapping[str, Any]) -> Batch:
    """Return the batch of a row of `batches`, with the fields that its jobs set."""
    stored = row._mapping
    return Batch(**{field.name: stored[field.name] for field in fields(Batch) if field.name in stored}, **of_jobs)


def attempt_of(row: Row[Any]) -> Attempt:
    """Return the attempt of a row of `attempts`."""
    return Attempt(**row._mapping)


def event_of(row: Row[Any]) -> Event:
    """Return the event of a row of `events`."""
    return Event(**{**row._mapping, "data": json.loads(row.data)})


def event_row(event: Event) -> dict[str, Any]:
    """Return *event* as a row to insert."""
    # In ASCII: text that no database can store goes through escaped.
    data = json.dumps(event.data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return {
        "id": event.id,
        "at": event.at,
        "kind": event.kind,
        "batch_id": event.batch_id,
        "job_id": event.job_id,
        "data": data,
    }
