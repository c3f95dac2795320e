"""Access control: checks every request before its route runs, and adds security headers to every response.

In this order: `Host`, cross-origin requests (`Origin`, `Sec-Fetch-Site`), the rate limit, and the key where one is set.
The cheap checks come first, and a request that fails them does not count against a client's limit.
"""

from __future__ import annotations

from functools import partial

from flask import Flask, Response, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_cors import CORS
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, Unauthorized
from werkzeug.http import parse_date

from downloader.access.keys import ApiKeys, sent_key
from downloader.access.origins import AllowedOrigins, classify_origin, is_known_host, machine_names, normal_origin
from downloader.access.sessions import Sessions
from downloader.settings import Settings
from downloader.web.login import create_login, login_address, session_token, wants_page
from downloader.web.rate_limits import RateLimits

#: Served without a key: the liveness probe, the login page, and static files of the page, which hold no data.
OPEN_PATHS = frozenset({
    "/healthz", "/login", "/login.css", "/manifest.webmanifest", "/service-worker.js", "/portal/shell.json",
    "/favicon.ico",
})  # fmt: skip
OPEN_FOLDER = "/portal/static/"
#: Too, where programs written for cobalt are answered: what they ask first, and links that are signed.
_OPEN_INFO, _OPEN_LINKS = "/", "/tunnel"

#: Refused even to navigation from another site: a page could take up all stream slots by sending browsers there.
STREAMS = frozenset({"/api/v1/events"})

#: Request headers that hold a date.
_DATES = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE")

#: What programs written for cobalt may read, if it comes.
_COBALT_HEADERS = (
    *(f"Ratelimit-{name}" for name in ("Limit", "Policy", "Remaining", "Reset")), "Estimated-Content-Length",
)  # fmt: skip

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: browsers would send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
}

#: For responses that are not meant to be rendered. The dashboard and media files set their own.
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#: By blueprint.
_PAGE_POLICIES = {
    "docs": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "login": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}

NEEDS_KEY = "This server needs a key: send it as `Authorization: Bearer <key>`, or log in at {login}."
WRONG_KEY = "This is not a key of this server: check the Authorization header against DOWNLOADER_API_KEY."


def guard(app: Flask, settings: Settings) -> None:
    """Restrict *app* to authorized clients, as *settings* say, and add the login routes.

    Raises:
        StartRefused: a key is set, and the session secret cannot be stored in the storage folder.
    """
    # One that has no key can do nothing. Without keys, the operator has to name them.
    allowed = AllowedOrigins(settings.cors_origins or (), extensions=settings.api_key is not None)
    _Guard(app, settings, allowed)
    CORS(
        app,
        # As a pattern, because flask-cors would take a literal with brackets (IPv6) for a malformed pattern.
        origins=[allowed.pattern],
        methods=["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
        expose_headers=["Content-Disposition", "Content-Range", "ETag", "Location", "Retry-After", *_COBALT_HEADERS],
        max_age=600,
        always_send=False,
        allow_private_network=True,
    )


class _Guard:
    def __init__(self, app: Flask, settings: Settings, allowed_origins: AllowedOrigins) -> None:
        self.keys = ApiKeys(settings.api_key or ())
        self.sessions = Sessions(settings.storage_dir) if self.keys else None
        self._allowed_hosts = settings.allowed_hosts or ()
        self._allowed_origins = allowed_origins
        self._answers_cobalt = settings.compat
        app.before_request(self.check_origin)
        self.limits = RateLimits(app, self.keys, per_address=settings.rate_limit)  # checked at this place, too
        app.before_request(self.check_key)
        app.before_request(_drop_impossible_dates)
        app.after_request(self.add_headers)
        app.register_blueprint(create_login(self.keys, self.sessions, self.limits))

    def check_origin(self) -> None:
        """Refuse requests for another host, and those sent by a page of another origin."""
        for host in _hosts():
            if not is_known_host(host, self._allowed_hosts, machine_names):
                raise BadRequest(
                    "This server is not known by the name in the Host header: use its address, or add the name to"
                    " DOWNLOADER_ALLOWED_HOSTS."
                )
        sender = classify_origin(request.method, request.headers.get, self._allowed_origins)
        if sender == "foreign" or (sender == "visit" and request.path.rstrip("/") in STREAMS):
            raise Forbidden(
                "A page of another origin sent this request, and may not use this server: add that origin to"
                " DOWNLOADER_CORS_ORIGINS to allow it."
            )

    def check_key(self) -> ResponseReturnValue | None:
        """Require a key or a session, where keys are set; redirect browsers to the login page."""
        if not self.keys or self._is_open():
            return None
        from_allowed_origin = self._is_from_allowed_origin()
        if from_allowed_origin and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return None  # a preflight request never carries the key
        candidate = sent_key(request.headers.get("Authorization", ""))
        if candidate is not None:
            if self.limits.find_key(candidate):
                return None
            raise Unauthorized(WRONG_KEY, www_authenticate=_challenges())
        session = session_token()
        # A page of another origin may use a key that it knows, but not the session of its visitor.
        if session and not from_allowed_origin and self.sessions and self.sessions.is_open(session, self.keys.digests):
            # Long-lived responses end when the user logs out.
            g.is_logged_in = partial(self.sessions.is_open, session, self.keys.digests)
            return None
        if wants_page() and not from_allowed_origin:
            return redirect(login_address(), 303)
        raise Unauthorized(NEEDS_KEY.format(login=url_for("login.show")), www_authenticate=_challenges())

    def _is_open(self) -> bool:
        path = request.path
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return True
        # A browser at `/` wants the page, and so has to log in.
        is_info = path == _OPEN_INFO and request.method in ("GET", "HEAD") and not wants_page()
        return self._answers_cobalt and (path == _OPEN_LINKS or is_info)

    def add_headers(self, response: Response) -> Response:
        """Add the security headers to *response*, except those that its view has set."""
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", _PAGE_POLICIES.get(request.blueprint or "", _POLICY))
        policy = "cross-origin" if self._is_from_allowed_origin() else "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = policy
        if self.keys or request.blueprint == "login":
            response.headers.setdefault("Cache-Control", "no-store")  # leave nothing behind after logging out
        return response

    def _is_from_allowed_origin(self) -> bool:
        origin = request.headers.get("Origin")
        return origin is not None and normal_origin(origin) in self._allowed_origins


def _challenges() -> list[WWWAuthenticate]:
    """Return the ways to send a key."""
    ways = [WWWAuthenticate("bearer"), WWWAuthenticate("api-key")]
    # Browsers, all of which call themselves Mozilla, would open a dialog of their own over the page.
    if not (request.user_agent.string or "").startswith("Mozilla/"):
        ways.append(WWWAuthenticate("basic", {"realm": "batch video downloader"}))
    return ways


def _drop_impossible_dates() -> None:
    """Ignore invalid dates in the request, as HTTP demands; Werkzeug fails on some of them."""
    for name in _DATES:
        try:
            parse_date(request.environ.get(name))
        except OverflowError:
            del request.environ[name]


def _hosts() -> list[str]:
    """Return the Host header as received, and the one reported by proxies."""
    # HTTP/1.0 has none, but no browser speaks it.
    # Both, because a page can set X-Forwarded-Host where the proxy does not, but it can never forge Host.
    sent = request.environ.get("werkzeug.proxy_fix.orig", {}).get("HTTP_HOST")
    return [host for host in (sent, request.environ.get("HTTP_HOST")) if host]
