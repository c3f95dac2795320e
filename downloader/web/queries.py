"""What the API's routes take: models that check a request and describe it in the OpenAPI document."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from downloader.jobs import JobFilter, JobState
from downloader.platforms import PlatformType

#: Jobs that one request may change.
MAX_JOB_IDS = 1000

#: The greatest number that a database can compare with.
MAX_EVENT_ID = 2**63 - 1


def _number(value: object) -> object:
    # Pydantic would take "1_000", " 7 " and "7.0" too.
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,19}", value):
        raise ValueError("it must be a whole number")
    return value


def _flag(value: object) -> object:
    if isinstance(value, str):
        if value not in {"true", "false"}:
            raise ValueError("it must be true or false")
        return value == "true"
    return value


# The bounds go before the validator: behind it they would not reach the document.
Limit = Annotated[int, Field(ge=1, le=200, description="how many at most"), BeforeValidator(_number)]
Hours = Annotated[int, Field(ge=1, le=168, description="how far back"), BeforeValidator(_number)]
Index = Annotated[int, Field(ge=0, le=10_000), BeforeValidator(_number)]
EventNumber = Annotated[int, Field(ge=0, le=MAX_EVENT_ID), BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Cursor = Annotated[
    str | None,
    BeforeValidator(lambda value: value or None),
    Field(description="`next_cursor` of the page before; empty: the first page"),
]


class Taken(BaseModel):
    """What a client sends; what it does not know it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BatchesQuery(Taken):
    """Which batches."""

    cursor: Cursor = None
    limit: Limit = 50


class JobsQuery(Taken):
    """Which jobs."""

    state: list[JobState] = Field([], description="only those; several as `state=a&state=b` or `state=a,b`")
    platform: PlatformType | None = Field(None, description="only of this platform")
    batch: Id | None = Field(None, description="only of this batch")
    text: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        None, description="only those with this text in their URL, title or error"
    )
    cursor: Cursor = None
    limit: Limit = 50

    def filter(self) -> JobFilter:
        """Return the same as the queue takes it."""
        return JobFilter(
            states=self.state,
            platform=self.platform,
            batch_id=self.batch,
            text=self.text,
            cursor=self.cursor,
            limit=self.limit,
        )


class DeleteQuery(Taken):
    """What goes with a record."""

    files: Flag = Field(False, description="`true`: delete the media files too")


class FileQuery(Taken):
    """Which file of a job, and what for."""

    index: Index = Field(0, description="which of the job's files, from 0")
    download: Flag = Field(False, description="`true`: to be saved; else to be shown")


class EventsQuery(Taken):
    """Which events."""

    batch: Id | None = Field(None, description="only those of this batch")
    since: EventNumber | None = Field(
        None, description="number of the last event that the client has; the header `Last-Event-ID` goes before it"
    )


class FiguresQuery(Taken):
    """Of which time."""

    hours: Hours = 24


class ResumeHeaders(BaseModel):
    """What a browser sends by itself when it connects to a stream again."""

    model_config = ConfigDict(frozen=True)

    last_event_id: EventNumber | None = Field(
        None, alias="Last-Event-ID", description="number of the last event that the client has"
    )


class SubmitHeaders(BaseModel):
    """What makes a submission safe to repeat."""

    model_config = ConfigDict(frozen=True)

    idempotency_key: Annotated[str, StringConstraints(max_length=200, pattern="^[!-~]([ -~]*[!-~])?$")] | None = Field(
        None,
        alias="Idempotency-Key",
        description="of your choosing, 1 to 200 printable ASCII characters; a repeat with the same key and the same"
        " URLs returns the first batch",
    )


class JobIds(Taken):
    """`{"ids": ["…", …]}`"""

    ids: list[Id] = Field(min_length=1, max_length=MAX_JOB_IDS)


class JobIdsToDelete(JobIds):
    """`{"ids": ["…", …], "files": false}`"""

    files: Annotated[bool, Field(strict=True)] = Field(False, description="`true`: delete the media files too")


class CookieUpload(Taken):
    """`{"cookies": "…"}`"""

    cookies: Annotated[str, StringConstraints(strict=True, min_length=1)] = Field(
        description="a file in Netscape format"
    )
