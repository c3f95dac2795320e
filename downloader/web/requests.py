"""What clients may send, and a sentence for those who send something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from downloader.errors import RequestRefused

URL_REQUIRED = "URL is required"
URLS_REQUIRED = "At least one URL is required"

Model = TypeVar("Model", bound=BaseModel)
Batch = TypeVar("Batch", bound="BatchRequest")


def _encodable(value: object) -> object:
    # JSON can spell half of a surrogate pair; no file, log or database could hold it.
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PydanticCustomError("unicode", "must be valid Unicode text") from None
    return value


UrlText = Annotated[
    str,
    BeforeValidator(_encodable),
    StringConstraints(strict=True, min_length=1),
    # Blank ones are refused in words of their own; this says so in the document.
    WithJsonSchema({"type": "string", "pattern": r"\S"}),
]


class SingleRequest(BaseModel):
    """`{"url": "…"}`"""

    model_config = ConfigDict(frozen=True, strict=True)

    url: UrlText


class BatchRequest(BaseModel):
    """`{"urls": ["…", …]}`"""

    model_config = ConfigDict(frozen=True, strict=True)

    urls: list[UrlText] = Field(min_length=1)


class QueuedBatchRequest(BatchRequest):
    """`{"urls": ["…", …], "retry_failed_once": false}`"""

    retry_failed_once: bool = Field(
        False,
        description="`true`: when the last of its jobs has ended, those that failed with a `retryable` error are tried"
        " once more by themselves, before the batch counts as done",
    )


def parse_single(body: object) -> str:
    """Return the URL of a request's JSON *body*.

    Raises:
        RequestRefused: there is none, or it is no string.
    """
    body = _object(body)
    if body.get("url") in (None, "") or _is_blank(body.get("url")):
        raise RequestRefused(URL_REQUIRED)
    return _validated(SingleRequest.model_validate, body).url


def parse_batch(body: object, *, max_urls: int) -> list[str]:
    """Return the URLs of a request's JSON *body*: at least one, at most *max_urls*.

    Raises:
        RequestRefused: there are none, too many, or one is no string.
    """
    return _batch(BatchRequest, body, max_urls).urls


def parse_queued_batch(body: object, *, max_urls: int) -> QueuedBatchRequest:
    """Return a request's JSON *body*, its URLs as `parse_batch` has them.

    Raises:
        RequestRefused: as `parse_batch`, or what comes with the URLs is not right.
    """
    return _batch(QueuedBatchRequest, body, max_urls)


def _batch(model: type[Batch], body: object, max_urls: int) -> Batch:
    body = _object(body)
    urls = body.get("urls")
    if urls is None or urls in ([], ""):
        raise RequestRefused(URLS_REQUIRED)
    if isinstance(urls, list) and len(urls) > max_urls:
        raise RequestRefused(
            f"A batch may hold {max_urls} URLs, this one has {len(urls)}: send it in parts,"
            " or raise DOWNLOADER_MAX_BATCH_URLS."
        )
    if isinstance(urls, list):
        for number, url in enumerate(urls, start=1):
            if _is_blank(url):
                raise RequestRefused(f"URL {number} of the batch is empty: leave it out.")
    return _validated(model.model_validate, body)


def parse_object(model: type[Model], body: object) -> Model:
    """Return a request's JSON *body* as a *model*.

    Raises:
        RequestRefused: it is something else.
    """
    return _validated(model.model_validate, _object(body))


def parse_query(model: type[Model], sent: Mapping[str, Sequence[str]]) -> Model:
    """Return the query parameters *sent*, each with all its values, as a *model*; lists may be written with commas.

    Raises:
        RequestRefused: one is unknown, comes twice, or has a value that it cannot have.
    """
    fields = model.model_fields
    values: dict[str, object] = {}
    for name, texts in sent.items():
        if name not in fields:
            raise RequestRefused(f"There is no parameter {_shortened(name)}: this address takes {', '.join(fields)}.")
        if get_origin(fields[name].annotation) is list:
            values[name] = [part for text in texts for part in text.split(",")]
        elif len(texts) > 1:
            raise RequestRefused(f"The parameter {name} comes {len(texts)} times: send it once.")
        else:
            [values[name]] = texts
    return _validated(model.model_validate, values, what="parameter")


def parse_headers(model: type[Model], find: Callable[[str], str | None]) -> Model:
    """Return the headers that *model* names; *find* gives the value of one, however its name is written.

    Raises:
        RequestRefused: one has a value that it cannot have.
    """
    names = [field.alias or name for name, field in model.model_fields.items()]
    sent = {name: value for name in names if (value := find(name)) is not None}
    return _validated(model.model_validate, sent, what="header")


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise RequestRefused('The request\'s body must be a JSON object such as {"url": "https://..."}.')
    return body


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _validated(validate: Callable[[object], Model], body: object, what: str = "field") -> Model:
    try:
        return validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(_shortened(part)[1:-1] if isinstance(part, str) else str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        reason = reason[0].lower() + reason[1:]
        raise RequestRefused(f"The request's {what} {where} is not right: {reason}.") from error
