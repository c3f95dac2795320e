"""Models of query parameters and headers."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field, StringConstraints, WithJsonSchema

from downloader.jobs import JobOrder, JobState
from downloader.platforms import PlatformType
from downloader.presets import Kind
from downloader.web.requests import Id, RequestModel

#: Jobs whose files one request may ask for: their ids must fit into its address.
MAX_ZIP_JOBS = 200

#: The greatest integer that every database can compare with.
MAX_EVENT_ID = 2**63 - 1


# Field types


def _number(value: object) -> object:
    # Pydantic would accept "1_000", " 7 " and "7.0" too.
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,19}", value):
        raise ValueError("it must be a whole number")
    return value


# The bounds go before the validator: after it they would be missing in the OpenAPI document.
Limit = Annotated[int, Field(ge=1, le=200, description="maximum number of results"), BeforeValidator(_number)]
Hours = Annotated[int, Field(ge=1, le=168, description="how far to look back"), BeforeValidator(_number)]
Index = Annotated[int, Field(ge=0, le=10_000), BeforeValidator(_number)]
EventNumber = Annotated[int, Field(ge=0, le=MAX_EVENT_ID), BeforeValidator(_number)]
# Pydantic would accept "yes", "on" and "1" too.
Flag = Annotated[bool, Field(strict=True), BeforeValidator(lambda value: {"true": True, "false": False}.get(value))]
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = r"T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"


def _start(value: object) -> object:
    """Return *value* as a moment in ISO 8601: of a day, its start in UTC."""
    if not isinstance(value, str) or not re.fullmatch(f"{_DAY.pattern}({_TIME})?", value):
        raise ValueError("it must be a date, or a time with its zone, such as 2026-01-31 or 2026-01-31T18:30:00Z")
    return f"{value}T00:00:00Z" if _DAY.fullmatch(value) else value


def _end(value: object) -> object:
    """As `_start`; of a day, its end."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            value = (date.fromisoformat(value) + timedelta(days=1)).isoformat()
        except OverflowError as error:
            raise ValueError("it is too late") from error
    return _start(value)


_moment = WithJsonSchema({"type": "string", "pattern": f"^{_DAY.pattern}({_TIME})?$"})
Start = Annotated[AwareDatetime, BeforeValidator(_start), _moment]
End = Annotated[AwareDatetime, BeforeValidator(_end), _moment]

Cursor = Annotated[
    str | None,
    BeforeValidator(lambda value: value or None),
    Field(description="`next_cursor` of the previous page; empty: the first page"),
]


class BatchesQuery(RequestModel):
    """Which batches to list."""

    cursor: Cursor = None
    limit: Limit = 50


class JobsQuery(RequestModel):
    """Which jobs to list; the fields are those of JobFilter."""

    states: list[JobState] = Field([], alias="state", description="only these states: `state=a&state=b` or `state=a,b`")
    platform: PlatformType | None = Field(None, description="only this platform")
    batch_id: Id | None = Field(None, alias="batch", description="only this batch")
    parent_id: Id | None = Field(None, alias="parent", description="only the entries of this collection")
    kind: Kind | None = Field(None, description="only jobs whose files are of this kind")
    preset: Annotated[str, StringConstraints(max_length=64)] | None = Field(None, description="only with this preset")
    since: Start | None = Field(
        None, description="only jobs submitted then or later: a day, which starts at 0:00 UTC, or a time with its zone"
    )
    until: End | None = Field(None, description="only jobs submitted before, or on this day")
    text: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        None, description="only jobs with this text in their URL, title or error"
    )
    sort: JobOrder = Field("newest", description="what comes first; jobs without a size, length or title come last")
    cursor: Cursor = None
    limit: Limit = 50


class DeleteQuery(RequestModel):
    """What to delete along with a record."""

    files: Flag = Field(False, description="`true`: delete the media files too")


class FileQuery(RequestModel):
    """Which file of a job to send, and how."""

    index: Index = Field(0, description="which of the job's files, from 0")
    download: Flag = Field(False, description="`true`: as an attachment, to be saved instead of shown")


class ZipQuery(RequestModel):
    """Whose files to send."""

    ids: list[Id] = Field([], max_length=MAX_ZIP_JOBS, description="jobs: `ids=a,b` or `ids=a&ids=b`")


class EventsQuery(RequestModel):
    """Which events to send."""

    batch: Id | None = Field(None, description="only events of this batch")
    since: EventNumber | None = Field(
        None, description="id of the last event that the client has; the header `Last-Event-ID` takes precedence"
    )


class StatisticsQuery(RequestModel):
    """Which time span to count."""

    hours: Hours = 24


class ResumeHeaders(RequestModel):
    """What a browser sends when it reconnects to a stream."""

    last_event_id: EventNumber | None = Field(
        None, alias="Last-Event-ID", description="id of the last event that the client has"
    )


class SubmitHeaders(RequestModel):
    """What makes a submission safe to repeat."""

    idempotency_key: Annotated[str, StringConstraints(max_length=200, pattern="^[!-~]([ -~]*[!-~])?$")] | None = Field(
        None,
        alias="Idempotency-Key",
        description="1 to 200 printable ASCII characters of your choice; a repeated request with the same key and the"
        " same URLs and choices returns the first batch",
    )
