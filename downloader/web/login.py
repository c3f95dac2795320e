"""The page on which a browser shows its key, once: from then on a cookie speaks for it. Needs no script."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from flask import Blueprint, Response, redirect, render_template, request, send_from_directory, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, TooManyRequests, Unauthorized, UnsupportedMediaType

from downloader.access.keys import ApiKeys
from downloader.access.sessions import LIFETIME_SECONDS, Sessions

#: Runs the check of a key it is given, unless there were too many wrong ones.
Attempt = Callable[[Callable[[], bytes | None]], bytes | None]

WRONG_KEY = "That is not a key of this server: look it up where DOWNLOADER_API_KEY is set."

_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

#: Visible ASCII from one slash on: not two, nor a backslash, which browsers take for one, and nothing that ends a line.
_OWN_PATH = re.compile(r"/(?:[!-.0-\[\]-~][!-\[\]-~]*)?", re.ASCII)
_MAX_PATH_CHARACTERS = 16_000

#: What the page sends. All else that is a form too takes long to read, and anybody may send it.
_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 64 * 1024


def own_path(text: str | None) -> str | None:
    """Return *text* if it is a path of this server and nothing else, else None."""
    if text is None or len(text) > _MAX_PATH_CHARACTERS or not _OWN_PATH.fullmatch(text):
        return None
    return text


def wants_page() -> bool:
    """Tell whether a browser asks, for something to look at."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def session_token() -> str | None:
    """Return what the browser shows for its session."""
    return request.cookies.get(_cookie_name())


def login_address() -> str:
    """Return where to log in and come back here, where a visit of this page can be repeated."""
    here = None
    if request.method == "GET":
        # As it was sent: decoded, it could be another path.
        here = own_path(request.environ.get("REQUEST_URI") or request.full_path.removesuffix("?"))
    return url_for("login.show", next=here)


def create_login(keys: ApiKeys, sessions: Sessions | None, attempt: Attempt) -> Blueprint:
    """Return the routes by which a browser begins and ends a session; *sessions* are needed where *keys* are."""
    login = Blueprint("login", __name__, template_folder="templates")

    def is_open() -> bool:
        token = session_token()
        return sessions is not None and token is not None and sessions.is_open(token, keys.digests)

    @login.get("/login")
    def show() -> ResponseReturnValue:
        """Ask for the key, or offer the way out to who is in."""
        if not keys:
            return redirect(_destination(), 303)
        return _page(signed_in=is_open())

    @login.post("/login")
    def begin() -> ResponseReturnValue:
        """Begin a session with the right key."""
        if request.mimetype not in ("", _FORM):
            raise UnsupportedMediaType("Send the key as a form, as the page at /login does: key=<key>.")
        request.max_content_length = min(_MAX_FORM_BYTES, request.max_content_length or _MAX_FORM_BYTES)
        if sessions is None:
            return redirect(_destination(), 303)
        given = request.form.get("key", "").strip().encode()
        try:
            digest = attempt(lambda: keys.find(given))
        except TooManyRequests as error:
            return _refusal(error)
        if digest is None:
            return _refusal(Unauthorized(WRONG_KEY))
        answer = redirect(_destination(), 303)
        answer.set_cookie(
            _cookie_name(),
            sessions.begin(digest),
            max_age=LIFETIME_SECONDS,
            httponly=True,
            secure=request.is_secure,
            # Not Strict: who comes by a bookmarklet, a shared link or a chat would have to log in each time. No visit
            # changes anything, and what does is refused to other pages by `web.guard`, cookie or not.
            samesite="Lax",
        )
        return answer

    @login.post("/logout")
    def end() -> ResponseReturnValue:
        """End the session, also where its cookie was copied to."""
        token = session_token()
        if sessions is not None and token is not None:
            sessions.end(token, keys.digests)
        answer = redirect(url_for("login.show"), 303)
        answer.delete_cookie(_cookie_name(), httponly=True, secure=request.is_secure, samesite="Lax")
        return answer

    @login.get("/login.css")
    def style() -> Response:
        """Answer the page's looks."""
        return send_from_directory(Path(login.root_path) / "static", "login.css", mimetype="text/css")

    @login.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return login


def _cookie_name() -> str:
    # Over TLS a name that browsers take from nobody but this host itself; cookies know no ports, and http has no such.
    return "__Host-downloader_session" if request.is_secure else "downloader_session"


def _destination() -> str:
    return own_path(request.values.get("next")) or url_for("portal.dashboard")


def _page(*, signed_in: bool = False, error: str | None = None) -> str:
    return render_template("login.html", signed_in=signed_in, error=error, next=_destination())


def _refusal(error: HTTPException) -> ResponseReturnValue:
    if not wants_page():
        raise error
    headers = {name: value for name, value in error.get_headers() if name == "Retry-After"}
    return _page(error=error.description), error.code or 401, headers
