"""Declarative API routes: each states its request and response models once.

The declaration drives request validation, serialization and the OpenAPI document. Views receive validated models
(`query`, `headers`, `body`) and return a model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from typing import Any, TypeVar

from flask import Blueprint, Response, g, request
from pydantic import BaseModel
from werkzeug.exceptions import BadRequest

from downloader.errors import RequestRefused
from downloader.web.openapi import JSON, Content, Operation
from downloader.web.requests import parse_headers, parse_object, parse_query

View = TypeVar("View", bound=Callable[..., Any])

#: The model of a 200 response, or the content for each status.
Responses = type[BaseModel] | Mapping[int, Content]

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

    def get(self, rule: str, responses: Responses, **more: Any) -> Callable[[View], View]:
        """Declare a GET route; *more* as in `_declare`."""
        return partial(self._declare, "GET", rule, responses, more)

    def post(self, rule: str, responses: Responses, **more: Any) -> Callable[[View], View]:
        """Declare a POST route; *more* as in `_declare`."""
        return partial(self._declare, "POST", rule, responses, more)

    def put(self, rule: str, responses: Responses, **more: Any) -> Callable[[View], View]:
        """Declare a PUT route; *more* as in `_declare`."""
        return partial(self._declare, "PUT", rule, responses, more)

    def delete(self, rule: str, responses: Responses, **more: Any) -> Callable[[View], View]:
        """Declare a DELETE route; *more* as in `_declare`."""
        return partial(self._declare, "DELETE", rule, responses, more)

    def _declare(self, method: str, rule: str, responses: Responses, more: dict[str, Any], view: View) -> View:
        """Declare *view*, which may be async.

        *more*: `query`, `headers` and `body` (models), `parse_body` (replaces the body model's own validation),
        `parse_bytes` (replaces both, and gets the raw body), `errors` (the reason for each status from 400 on), `links`
        (see Operation).
        """
        errors = dict(_ALWAYS)
        if "<" in rule:
            errors |= _WITH_PATH
        if "body" in more:
            errors |= _WITH_BODY
        errors |= more.pop("errors", {})
        operation = Operation(
            method=method,
            rule=(self.blueprint.url_prefix or "") + rule,
            name=view.__name__,
            tag=self._tag,
            text=inspect.getdoc(view) or view.__name__,
            responses=responses if isinstance(responses, Mapping) else {200: responses},
            errors=errors,
            **more,
        )
        self.operations.append(operation)
        self.blueprint.route(rule, methods=[method], endpoint=view.__name__)(self._handler(operation, view))
        return view

    def _handler(self, operation: Operation, view: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(view):

            @wraps(view)
            async def handle(**path: str) -> Any:
                return _response(await view(**path, **self._inputs(operation)))

            return handle

        @wraps(view)
        def handle_blocking(**path: str) -> Any:
            return _response(view(**path, **self._inputs(operation)))

        return handle_blocking

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
            parse = operation.parse_body or partial(parse_object, operation.body)
            inputs["body"] = parse(_json_body())
        return inputs


def _response(result: Any) -> Any:
    """Serialize a view's *result*: a model, alone or with status and headers; anything else is left to Flask."""
    if isinstance(result, BaseModel):
        return Response(result.model_dump_json(), content_type=JSON)
    if isinstance(result, tuple):
        return (_response(result[0]), *result[1:])
    return result


def stream(chunks: Iterator[str] | Iterator[bytes], content_type: str) -> Response:
    """Return a streamed response that caches and proxies do not buffer."""
    response = Response(chunks, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def client_gone() -> Callable[[], bool]:
    """Return a function that tells whether this request's client has disconnected or logged out since.

    Only our own server reports a disconnect; under others the first sign is a failing write.
    """
    disconnected: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    is_logged_in: Callable[[], bool] = g.get("is_logged_in", lambda: True)  # set by `web.guard`
    return lambda: disconnected() or not is_logged_in()


def _json_body() -> object:
    """Return the JSON body of the request, whatever its Content-Type; {} if it has none."""
    if not request.get_data():
        return {}
    try:
        return request.get_json(force=True)
    except (BadRequest, RecursionError) as error:  # RecursionError: 100,000 nested brackets
        raise RequestRefused(
            'The request\'s body is not JSON: send an object such as {"url": "https://..."}.'
        ) from error
