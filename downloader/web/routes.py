"""How the API's routes are declared: what each takes and answers, said once.

Of the declaration are made the check of the request, the answer, and the route's place in the OpenAPI document. The
views get what was sent as checked models (`query`, `headers`, `body`) and return a model; they stay thin.
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

#: The model of a 200, or for each status its content.
Answers = type[BaseModel] | Mapping[int, Content]

_ALWAYS = {
    400: "The request is not right; the sentence says how.",
    401: "A key is needed, where the server has one set.",
    403: "A page of another origin sent it, which may not use this server.",
    429: "Too many requests, or wrong keys, came from this address: `Retry-After` says how many seconds to wait.",
}
_WITH_PATH = {404: "There is no such thing, or not any more."}
_WITH_BODY = {413: "The request's body is too large."}
_WITH_QUEUE = {503: "The service cannot do this now: it is starting, stopping or full."}


class Routes:
    """A blueprint's routes, each with its declaration."""

    def __init__(self, blueprint: Blueprint, *, tag: str, takes_any_query: bool = False) -> None:
        """Declare the routes of *blueprint*; unless *takes_any_query*, unknown query parameters are refused."""
        self.blueprint = blueprint
        self.operations: list[Operation] = []
        self._tag = tag
        self._takes_any_query = takes_any_query

    def tagged(self, tag: str) -> Routes:
        """Return the same routes, to be added to under another heading."""
        routes = Routes(self.blueprint, tag=tag, takes_any_query=self._takes_any_query)
        routes.operations = self.operations
        return routes

    def get(self, rule: str, answers: Answers, **more: Any) -> Callable[[View], View]:
        """Declare a GET route, see `_declare`."""
        return partial(self._declare, "GET", rule, answers, more)

    def post(self, rule: str, answers: Answers, **more: Any) -> Callable[[View], View]:
        """Declare a POST route, see `_declare`."""
        return partial(self._declare, "POST", rule, answers, more)

    def put(self, rule: str, answers: Answers, **more: Any) -> Callable[[View], View]:
        """Declare a PUT route, see `_declare`."""
        return partial(self._declare, "PUT", rule, answers, more)

    def delete(self, rule: str, answers: Answers, **more: Any) -> Callable[[View], View]:
        """Declare a DELETE route, see `_declare`."""
        return partial(self._declare, "DELETE", rule, answers, more)

    def _declare(self, method: str, rule: str, answers: Answers, more: dict[str, Any], view: View) -> View:
        """Declare *view*, async or not.

        *more*: `query`, `headers`, `body` (models), `parse_body`
        (in place of the model's own check), `parse_bytes` (in place of both: takes the body as it came), `refusals`
        (for each status from 400 on, when), `links` (see Operation).
        """
        refusals = dict(_ALWAYS)
        if "<" in rule:
            refusals |= _WITH_PATH
        if "body" in more:
            refusals |= _WITH_BODY
        refusals |= more.pop("refusals", {})
        operation = Operation(
            method=method,
            rule=(self.blueprint.url_prefix or "") + rule,
            name=view.__name__,
            tag=self._tag,
            text=inspect.getdoc(view) or view.__name__,
            answers=answers if isinstance(answers, Mapping) else {200: answers},
            refusals=refusals | _WITH_QUEUE,
            **more,
        )
        self.operations.append(operation)
        self.blueprint.route(rule, methods=[method], endpoint=view.__name__)(self._handler(operation, view))
        return view

    def _handler(self, operation: Operation, view: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(view):

            @wraps(view)
            async def handle(**path: str) -> Any:
                return _response(await view(**path, **self._taken(operation)))

            return handle

        @wraps(view)
        def handle_blocking(**path: str) -> Any:
            return _response(view(**path, **self._taken(operation)))

        return handle_blocking

    def _taken(self, operation: Operation) -> dict[str, Any]:
        taken: dict[str, Any] = {}
        if operation.query is not None:
            taken["query"] = parse_query(operation.query, request.args.to_dict(flat=False))
        elif request.args and not self._takes_any_query:
            raise RequestRefused(f"This address takes no parameters: leave {next(iter(request.args))!r} out.")
        if operation.headers is not None:
            taken["headers"] = parse_headers(operation.headers, request.headers.get)
        if operation.parse_bytes is not None:
            taken["body"] = operation.parse_bytes(request.get_data())
        elif operation.body is not None:
            parse = operation.parse_body or partial(parse_object, operation.body)
            taken["body"] = parse(_json_body())
        return taken


def _response(said: Any) -> Any:
    """Return what a view *said*: a model, alone or with status and headers; all else is left as it is."""
    if isinstance(said, BaseModel):
        return Response(said.model_dump_json(), content_type=JSON)
    if isinstance(said, tuple):
        return (_response(said[0]), *said[1:])
    return said


def stream(chunks: Iterator[str] | Iterator[bytes], content_type: str) -> Response:
    """Return an answer that is sent bit by bit, past caches and proxies that would hold it back."""
    response = Response(chunks, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def client_gone() -> Callable[[], bool]:
    """Return what tells, at any later time, whether the client of this request has gone away, or has logged out.

    Only our own server knows of the first; elsewhere a write that fails is the first sign.
    """
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    may_stay: Callable[[], bool] = g.get("may_stay", lambda: True)  # of `web.guard`
    return lambda: gone() or not may_stay()


def _json_body() -> object:
    """Return the request's body as JSON, whatever its Content-Type says; {} where there is no body."""
    if not request.get_data():
        return {}
    try:
        return request.get_json(force=True)
    except (BadRequest, RecursionError) as error:  # RecursionError: 100,000 brackets, one in the other
        raise RequestRefused(
            'The request\'s body is not JSON: send an object such as {"url": "https://..."}.'
        ) from error
