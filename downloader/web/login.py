"""The login page: exchanges a key for a session cookie. Works without scripts."""

from __future__ import annotations

import re
from pathlib import Path

from flask import Blueprint, Response, redirect, render_template, request, send_from_directory, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, TooManyRequests, Unauthorized, UnsupportedMediaType

from downloader.access.keys import ApiKeys
from downloader.access.sessions import LIFETIME_SECONDS, Sessions
from downloader.web.rate_limits import RateLimits

WRONG_KEY = "Wrong key. Check it, or ask the server's owner."

#: One slash, then visible ASCII: no second slash, no backslash, which browsers treat as a slash, and no line break.
_OWN_PATH = re.compile(r"/(?:[!-.0-\[\]-~][!-\[\]-~]{0,16000})?", re.ASCII)

#: What the login page sends. Multipart forms are slow to parse, and unauthenticated clients could send them.
_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 64 * 1024


def own_path(text: str | None, root: str = "") -> str | None:
    """Return *text* if it is a path of this server, which is below *root*, else None: no open redirects."""
    is_own = text is not None and _OWN_PATH.fullmatch(text) and _below(root, text) == text
    return text if is_own else None


def _below(root: str, path: str) -> str:
    """Return *path* below *root*, which a proxy may have stripped."""
    return path if re.match(rf"{re.escape(root)}(?![^/?])", path) else f"{root}{path}"


def wants_page() -> bool:
    """Tell whether the client prefers a page: whether it is a browser."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def session_token() -> str | None:
    """Return the session token of the request's cookie."""
    return request.cookies.get(_cookie_name())


def login_address() -> str:
    """Return the URL of the login page, which leads back here if the request is a GET."""
    here = None
    if request.method == "GET":
        # As it was received: decoded, it could be a different path.
        path = request.environ.get("REQUEST_URI") or request.full_path.removesuffix("?")
        here = own_path(_below(request.script_root, path))
    return url_for("login.show", next=here)


def create_login(keys: ApiKeys, sessions: Sessions | None, limits: RateLimits) -> Blueprint:
    """Return the login and logout routes; *sessions* are required if there are *keys*."""
    login = Blueprint("login", __name__, template_folder="templates")

    @login.get("/login")
    def show() -> ResponseReturnValue:
        """Show the login form, or the logout button."""
        if sessions is None:
            return redirect(_destination(), 303)
        return _page(signed_in=sessions.is_open(session_token() or "", keys.digests))

    @login.post("/login")
    def begin() -> ResponseReturnValue:
        """Start a session, given a valid key."""
        if request.mimetype not in ("", _FORM):
            raise UnsupportedMediaType("Send the key as a form, as the page at /login does: key=<key>.")
        request.max_content_length = min(_MAX_FORM_BYTES, request.max_content_length or _MAX_FORM_BYTES)
        if sessions is None:
            return redirect(_destination(), 303)
        try:
            digest = limits.find_key(request.form.get("key", "").strip().encode())
        except TooManyRequests as error:
            return _error_page(error)
        if digest is None:
            return _error_page(Unauthorized(WRONG_KEY))
        return _logged_in(sessions.begin(digest))

    @login.post("/logout")
    def end() -> ResponseReturnValue:
        """End the session, and with it every copy of its cookie."""
        if sessions is not None and (token := session_token()) is not None:
            sessions.end(token, keys.digests)
        response = redirect(url_for("login.show"), 303)
        response.delete_cookie(_cookie_name(), _cookie_path(), httponly=True, secure=request.is_secure, samesite="Lax")
        return response

    @login.get("/login.css")
    def style() -> Response:
        """Return the page's stylesheet."""
        return send_from_directory(Path(login.root_path) / "static", "login.css", mimetype="text/css")

    return login


def _logged_in(token: str) -> ResponseReturnValue:
    response = redirect(_destination(), 303)
    response.set_cookie(
        _cookie_name(),
        token,
        max_age=LIFETIME_SECONDS,
        path=_cookie_path(),
        httponly=True,
        secure=request.is_secure,
        # Not Strict: users who follow a bookmarklet or a shared link would have to log in each time. No GET changes
        # anything, and `web.guard` refuses requests that another page sent, cookie or not.
        samesite="Lax",
    )
    return response


def _cookie_name() -> str:
    # Browsers accept these prefixes over TLS only, and __Host- only from this very host, for all its paths.
    prefix = "" if not request.is_secure else "__Secure-" if request.script_root else "__Host-"
    return f"{prefix}downloader_session"


def _cookie_path() -> str:
    """Return the path of this server: the host may have others, below other prefixes."""
    return request.script_root or "/"


def _destination() -> str:
    return own_path(request.values.get("next"), request.script_root) or url_for("portal.dashboard")


def _page(*, signed_in: bool = False, error: str | None = None) -> str:
    return render_template("login.html", signed_in=signed_in, error=error, next=_destination())


def _error_page(error: HTTPException) -> ResponseReturnValue:
    if not wants_page():
        raise error
    headers = {name: value for name, value in error.get_headers() if name == "Retry-After"}
    return _page(error=error.description), error.code or 401, headers
