"""What clients may send, and a sentence for those who send something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from downloader.errors import RequestRefused

URL_REQUIRED = "URL is required"
URLS_REQUIRED = "At least one URL is required"

Model = TypeVar("Model", bound=BaseModel)


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
]


class SingleRequest(BaseModel):
    """`{"url": "…"}`"""

    model_config = ConfigDict(frozen=True, strict=True)

    url: UrlText


class BatchRequest(BaseModel):
    """`{"urls": ["…", …]}`"""

    model_config = ConfigDict(frozen=True, strict=True)

    urls: list[UrlText]


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
    return _validated(BatchRequest.model_validate, body).urls


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise RequestRefused('The request\'s body must be a JSON object such as {"url": "https://..."}.')
    return body


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _validated(validate: Callable[[object], Model], body: object) -> Model:
    try:
        return validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"][0].lower() + first["msg"][1:]
        raise RequestRefused(f"The request's field {where} is not right: {what}.") from error
