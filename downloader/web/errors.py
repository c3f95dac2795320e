"""Error handlers: every error becomes `{"error": sentence}`, never a page or a stack trace."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from downloader.errors import (
    CookiesNotWritable,
    DownloaderError,
    IdempotencyConflict,
    IllegalTransition,
    NotExpandable,
    NotFound,
    RequestRefused,
    StartRefused,
    StoreUnavailable,
)

log = logging.getLogger(__name__)

#: All others are 400.
_STATUSES: dict[type[RequestRefused], int] = {
    NotFound: 404,
    NotExpandable: 409,
    CookiesNotWritable: 409,
    IdempotencyConflict: 409,
    IllegalTransition: 409,
}

_SENTENCES = {
    404: "There is nothing at this address: GET / lists the routes.",
    405: "This address does not support that method: GET / lists the routes.",
    413: "The request is too large: send fewer URLs at once, or raise DOWNLOADER_MAX_REQUEST_BYTES.",
    416: "The file has no such range: request one that starts before its end.",
}

_CRASHED = "Something went wrong inside this server: see its log for the cause, and please report it."


def handle_errors(app: Flask) -> None:
    """Have *app* answer every error in JSON."""
    app.register_error_handler(RequestRefused, _refused)
    app.register_error_handler(StartRefused, _unavailable)
    app.register_error_handler(StoreUnavailable, _unavailable)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _crashed)


def refusal_status(error: RequestRefused) -> int:
    """Return the status that *error* is answered with."""
    return _STATUSES.get(type(error), 400)


def _refused(error: RequestRefused) -> ResponseReturnValue:
    return {"error": str(error)}, refusal_status(error)


def _unavailable(error: StartRefused | StoreUnavailable) -> ResponseReturnValue:
    return {"error": str(error)}, 503, {"Retry-After": "5"}


def _http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    # Errors that we raise carry a sentence; Werkzeug's own descriptions are written for developers.
    own = error.description if error.description != type(error).description else None
    response: Response = jsonify(error=own or _SENTENCES.get(status) or error.description or error.name)
    response.status_code = status
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "Content-Range", "WWW-Authenticate"):
            response.headers.add(name, value)  # there may be several ways to send a key
    return response


def _crashed(error: Exception) -> ResponseReturnValue:
    log.error("request crashed", exc_info=error)
    text = str(error) if isinstance(error, DownloaderError) else _CRASHED
    return {"error": text}, 500
