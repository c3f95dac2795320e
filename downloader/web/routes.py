"""Declarative API routes: each states its request and response models once.

The declaration drives validation, serialization and the OpenAPI document. A view receives validated models: the
annotations of its parameters `query`, `headers` and `body` say which. What it returns, such as one of our dataclasses,
is validated and serialized by the response model of its route.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app, g, request
from pydantic import BaseModel
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as AnyResponse

from downloader.errors import NotFound, RequestRefused
from downloader.platforms import PLATFORMS, PlatformType
from downloader.web.openapi import JSON, Content, Operation
from downloader.web.requests import parse_headers, parse_query

View = TypeVar("View", bound=Callable[..., Any])

_ALWAYS = {
    400: "The request is invalid; `error` says why.",
    401: "The server requires a key.",
    403: "A page of another origin sent the request, and may not use this server.",
    429: "Too many requests or wrong keys from this address; `Retry-After` has the seconds to wait.",
    503: "The server is starting, stopping or at capacity.",
}
_WITH_PATH = {404: "Not found, or deleted."}
_WITH_BODY = {413: "The request body is too large."}


class Routes:
    """The routes of a blueprint, with their declarations."""

    def __init__(self, blueprint: Blueprint, *, tag: str, takes_any_query: bool = False) -> None:
        """Add routes to *blueprint*; unless *takes_any_query*, unknown query parameters are refused."""
        self.blueprint = blueprint
        self.operations: list[Operation] = []
        self._tag = tag
        self._takes_any_query = takes_any_query

    def route(
        self,
        method: str,
        rule: str,
        responses: type[BaseModel] | Mapping[int, Content],
        *,
        errors: Mapping[int, str] | None = None,
        links: Mapping[str, Mapping[str, str]] | None = None,
        parse_bytes: Callable[[bytes], Any] | None = None,
    ) -> Callable[[View], View]:
        """Declare a route, whose view may be async.

        *responses* is the model of a 200 response, or the content for each status; *errors* has the reason for each
        status from 400 on. For *links* and *parse_bytes* see Operation.
        """

        def declare(view: View) -> View:
            hints = inspect.get_annotations(view, eval_str=True)
            usual = _ALWAYS | (_WITH_PATH if "<" in rule else {}) | (_WITH_BODY if "body" in hints else {})
            operation = Operation(
                method=method,
                path=re.sub(r"<(?:[^<>:]+:)?(\w+)>", r"{\1}", (self.blueprint.url_prefix or "") + rule),
                name=view.__name__,
                tag=self._tag,
                text=inspect.getdoc(view) or view.__name__,
                responses=responses if isinstance(responses, Mapping) else {200: {JSON: responses}},
                errors=usual | dict(errors or {}),
                query=hints.get("query"),
                headers=hints.get("headers"),
                body=hints.get("body"),
                links=links or {},
                parse_bytes=parse_bytes,
            )
            self.operations.append(operation)

            @wraps(view)
            def handle(**path: str) -> Any:
                result = current_app.ensure_sync(view)(**path, **self._inputs(operation))
                return _response(operation, result)

            self.blueprint.route(rule, methods=[method], endpoint=view.__name__)(handle)
            return view

        return declare

    def _inputs(self, operation: Operation) -> dict[str, Any]:
        inputs: dict[str, Any] = {}
        if operation.query is not None:
            inputs["query"] = parse_query(operation.query, request.args.to_dict(flat=False))
        elif request.args and not self._takes_any_query:
            raise RequestRefused(f"This address takes no parameters: leave out {next(iter(request.args))!r}.")
        if operation.headers is not None:
            inputs["headers"] = parse_headers(operation.headers, request.headers.get)
        if operation.parse_bytes is not None:
            inputs["body"] = operation.parse_bytes(request.get_data())
        elif operation.body is not None:
            inputs["body"] = operation.body.parse(json_body())
        return inputs


def _response(operation: Operation, result: Any) -> Any:
    """Serialize a view's *result*, alone or with status and headers; a response is left as it is."""
    if isinstance(result, AnyResponse):
        return result
    content, status, headers = result if isinstance(result, tuple) else (result, 200, {})
    model = operation.responses[status][JSON]
    assert model is not None
    return Response(model.model_validate(content).model_dump_json(), status, headers, content_type=JSON)


def stream(chunks: Iterator[str] | Iterator[bytes], content_type: str) -> Response:
    """Return a streamed response that caches and proxies do not buffer."""
    return Response(chunks, content_type=content_type, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


def known_platform(name: str) -> PlatformType:
    """Return the platform of this *name*, else raise NotFound."""
    for platform in PLATFORMS:
        if platform == name:
            return platform
    raise NotFound("platform")


def client_gone() -> Callable[[], bool]:
    """Return a function that tells whether this request's client has disconnected or logged out since.

    Only our own server reports a disconnect; under others the first sign is a failing write.
    """
    disconnected: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    is_logged_in: Callable[[], bool] = g.get("is_logged_in", lambda: True)  # set by `web.guard`
    return lambda: disconnected() or not is_logged_in()


def json_body() -> object:
    """Return the JSON body of the request, whatever its Content-Type; {} if it has none."""
    if not request.get_data():
        return {}
    try:
        return request.get_json(force=True)
    except (BadRequest, RecursionError) as error:  # RecursionError: 100,000 nested brackets
        raise RequestRefused(
            'The request\'s body is not JSON: send an object such as {"url": "https://..."}.'
        ) from error
