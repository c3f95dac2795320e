"""Request bodies: their models; parsing of all that a request has, and a sentence for what does not match."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Self, TypeVar, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo

from downloader.errors import RequestRefused
from downloader.media.folders import parse_folder
from downloader.presets import MAX_ENTRIES, Expand, ListingOrder, Wanted
from downloader.settings import Settings
from downloader.util.languages import CODE_PATTERN, MAX_CODES, language_codes

#: Jobs that one request may change.
MAX_JOB_IDS = 1000

Model = TypeVar("Model", bound="RequestModel")


# Field types


UrlText = Annotated[
    str,
    # Its length is that of Unicode text only: lone surrogates, which JSON can contain, are refused.
    StringConstraints(strict=True, min_length=1),
    # Blank URLs are refused separately, by number; this documents it. Python has more blanks than regular expressions.
    WithJsonSchema({"type": "string", "pattern": r"[^\s\x1c-\x1f\x85]"}),
]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
LanguageCodes = Annotated[
    list[str],
    BeforeValidator(language_codes),
    WithJsonSchema(
        {"type": "array", "items": {"type": "string", "pattern": CODE_PATTERN}, "maxItems": MAX_CODES, "default": []}
    ),
]


def _count(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("it must be a whole number")
    return value


EntryCount = Annotated[int, Field(ge=1, le=MAX_ENTRIES), BeforeValidator(_count)]


def _allow_boolean(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"type": "boolean"})


def _date(value: object) -> object:
    # Pydantic would accept times and numbers too.
    if value is not None and not (isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value)):
        raise ValueError("it must be a date such as 2026-01-31")
    return value


class RequestModel(BaseModel):
    """A body, a query or headers; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, body: object) -> Self:
        """Return a JSON *body* as this model.

        Raises:
            RequestRefused: it does not match.
        """
        return _validated(cls, _object(body))


# Bodies of the contract's routes, which ignore unknown fields


class SingleRequest(RequestModel, extra="ignore", strict=True):
    """`{"url": "…"}`"""

    url: UrlText

    @classmethod
    def parse(cls, body: object) -> Self:
        url = _object(body).get("url")
        if url is None or _is_blank(url):
            raise RequestRefused("URL is required")
        return super().parse(body)


class ExpandRequest(RequestModel):
    """`{"limit": 100, "order": "newest", "since": null}`"""

    limit: EntryCount = Field(100, description="entries to take at most")
    order: ListingOrder = Field("newest", description="`oldest`: from the end of the list, once all of it is read")
    since: Annotated[date | None, BeforeValidator(_date)] = Field(None, description="only posts of that day or later")


class WantedRequest(RequestModel):
    """A body that may say what to get."""

    # Which names there are is known only once the settings are: `web.openapi` puts them into the document.
    preset: Annotated[object, WithJsonSchema({"type": "string"})] = Field(
        None, description="what to get of each post; see `GET /api/v1/presets`"
    )
    subtitles: LanguageCodes = Field(
        [], description="languages to get subtitles in, such as `en` or `pt-BR`: .srt files beside the video"
    )
    folder: Annotated[object, WithJsonSchema({"type": "string"})] = Field(
        "", description="where to put the files: a path below the folder of all files, its parts separated by `/`"
    )
    again: Annotated[bool, Field(strict=True)] = Field(False, description="`true`: download also what is there already")
    expand: Annotated[
        ExpandRequest | None, BeforeValidator(lambda value: {} if value is True else None if value is False else value)
    ] = Field(
        None,
        description="take collections, such as playlists and profiles, apart; `true` is the same as `{}`",
        json_schema_extra=_allow_boolean,
    )
    # Also a bad value is refused by `wanted`, in words that say what to send.
    photos: Annotated[object, WithJsonSchema({"type": "boolean"})] = Field(
        None, description="`false`: leave out the pictures of posts; by default as the operator set it"
    )

    def wanted(self, settings: Settings) -> Wanted:
        """Return what was asked for; what was not, as *settings* say.

        Raises:
            RequestRefused: there is no preset of that name, no folder may have that path, or a field has a bad value.
        """
        photos = self.photos if "photos" in self.model_fields_set else settings.photos
        if not isinstance(photos, bool):
            raise RequestRefused("photos must be true or false.")
        presets, default = settings.presets, settings.default_preset
        name = self.preset if "preset" in self.model_fields_set else default
        if isinstance(name, str) and name in presets:
            return Wanted(
                preset=presets[name],
                subtitles=tuple(self.subtitles),
                folder=checked_folder(self.folder),
                again=self.again,
                expand=None if self.expand is None else Expand(**dict(self.expand)),
                photos=photos,
            )
        raise RequestRefused(f"There is no such preset. Send one of {', '.join(presets)}, or none to get {default}.")


def checked_folder(value: object) -> str:
    """Return *value* as the path of a folder below that of all files; "": none. Raises RequestRefused."""
    if not isinstance(value, str):
        raise RequestRefused("The folder must be text, such as Music/2026.")
    try:
        return parse_folder(value)
    except ValueError as error:
        raise RequestRefused(f"Files cannot be put into that folder: {error}.") from error


class DownloadRequest(WantedRequest, SingleRequest):
    """`{"url": "…", "preset": "video"}`"""


class BatchRequest(WantedRequest, extra="ignore", strict=True):
    """`{"urls": ["…", …], "preset": "video"}`"""

    urls: list[UrlText] = Field(min_length=1)

    @classmethod
    def parse(cls, body: object) -> Self:
        urls = _object(body).get("urls")
        if urls in (None, [], ""):
            raise RequestRefused("At least one URL is required")
        for number, url in enumerate(urls if isinstance(urls, list) else (), start=1):
            if _is_blank(url):
                raise RequestRefused(f"URL {number} of the batch is empty: leave it out.")
        return super().parse(body)

    def refuse_more_than(self, max_urls: int) -> None:
        """Raise RequestRefused if there are more than *max_urls*."""
        if len(self.urls) > max_urls:
            raise RequestRefused(
                f"A batch may have {max_urls} URLs, but this one has {len(self.urls)}: split it, or raise"
                " DOWNLOADER_MAX_BATCH_URLS."
            )


class QueuedBatchRequest(BatchRequest, extra="forbid"):
    """`{"urls": ["…", …], "preset": "video", "retry_failed_once": false}`"""

    retry_failed_once: bool = Field(
        False,
        description="`true`: when all jobs have ended, those that failed with a `retryable` error are retried once,"
        " before the batch counts as done",
    )


# Everything else


class TakeMore(RequestModel):
    """`{"limit": 100}`"""

    limit: EntryCount | None = Field(None, description="how many more entries to take; none: all that are left")


class JobIds(RequestModel):
    """`{"ids": ["…", …]}`"""

    ids: list[Id] = Field(min_length=1, max_length=MAX_JOB_IDS)


class JobIdsToDelete(JobIds):
    """`{"ids": ["…", …], "files": false}`"""

    files: Annotated[bool, Field(strict=True)] = Field(False, description="`true`: delete the media files too")


class ArchiveUpload(RequestModel):
    """`{"archive": "…"}`"""

    archive: Annotated[str, StringConstraints(strict=True, min_length=1)] = Field(
        description="a file that yt-dlp writes with `--download-archive`"
    )


class CookieUpload(RequestModel):
    """`{"cookies": "…"}`"""

    cookies: Annotated[str, StringConstraints(strict=True, min_length=1)] = Field(
        description="a cookies.txt file in Netscape format"
    )


# Parsing


def parse_query(model: type[Model], sent: Mapping[str, Sequence[str]]) -> Model:
    """Return query parameters as a *model*; *sent* has all values of each, and lists may also be comma-separated.

    Raises:
        RequestRefused: a parameter is unknown, repeated, or has a bad value.
    """
    fields = _by_alias(model)
    values: dict[str, object] = {}
    for name, texts in sent.items():
        if name not in fields:
            raise RequestRefused(f"Unknown parameter {_shortened(name)}: this address takes {', '.join(fields)}.")
        if get_origin(fields[name].annotation) is list:
            values[name] = [part for text in texts for part in text.split(",")]
        elif len(texts) > 1:
            raise RequestRefused(f"The parameter {name} was sent {len(texts)} times: send it once.")
        else:
            [values[name]] = texts
    return _validated(model, values, what="parameter")


def parse_headers(model: type[Model], find: Callable[[str], str | None]) -> Model:
    """Return the headers that *model* names; *find* looks up one by name, ignoring case.

    Raises:
        RequestRefused: a header has a bad value.
    """
    sent = {name: value for name in _by_alias(model) if (value := find(name)) is not None}
    return _validated(model, sent, what="header")


def _by_alias(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise RequestRefused('The request body must be a JSON object such as {"url": "https://..."}.')
    return body


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _validated(model: type[Model], body: object, what: str = "field") -> Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(_shortened(part)[1:-1] if isinstance(part, str) else str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] in ("model_type", "dict_type"):
            reason = "it must be an object"
        if first["type"] == "extra_forbidden":
            reason = "there is none of that name"
        reason = reason[0].lower() + reason[1:]
        raise RequestRefused(f"The request's {what} {where} is not valid: {reason}.") from error
