"""Who may use it: looks at every request before any route does, and seals every answer.

In this order: is this server meant at all (`Host`), is it another page's doing (`Origin`, `Sec-Fetch-Site`), is it too
much, and is there a key, where one is needed. What fails early costs little, and counts against nobody's limit.
"""

from __future__ import annotations

import re
from functools import partial

from flask import Flask, Response, g, redirect, request
from flask.typing import ResponseReturnValue
from flask_cors import CORS
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, Unauthorized
from werkzeug.http import parse_date
from werkzeug.middleware.proxy_fix import ProxyFix

from downloader.access.hostnames import machine_names
from downloader.access.keys import ApiKeys
from downloader.access.origins import FetchMetadata, classify_origin, is_known_host, normal_origin
from downloader.access.sessions import Sessions
from downloader.settings import Settings
from downloader.web.login import create_login, login_address, session_token, wants_page
from downloader.web.rate_limits import RateLimits

#: Answered without a key: life signs, the way in, and what the page is made of, which is the same for everybody.
OPEN_PATHS = frozenset({
    "/healthz", "/login", "/login.css", "/manifest.webmanifest", "/service-worker.js", "/portal/shell.json",
    "/favicon.ico",
})  # fmt: skip
OPEN_FOLDER = "/portal/static/"

#: Never answered to a visit from elsewhere: a page could send browsers there to take all places.
STREAMS = frozenset({"/api/v1/events"})

#: Headers that a condition with a date comes in.
_DATES = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: browsers would send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    # For what is not made to be looked at. Pages bring their own.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}

NEEDS_KEY = "This server wants a key: send it as `Authorization: Bearer <key>`, or log in at /login."
WRONG_KEY = "This is not a key of this server: check the Authorization header against DOWNLOADER_API_KEY."


def guard(app: Flask, settings: Settings) -> None:
    """Have *app* answer only those who may use it, as *settings* say; add the routes by which browsers log in.

    Raises:
        StartRefused: a key is set, and what sessions need cannot be kept in the storage folder.
    """
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    guarding = _Guard(settings)
    app.before_request(guarding.check_place)
    limits = RateLimits(app, per_address=settings.rate_limit, exempt=lambda: request.path == "/healthz")
    guarding.limits = limits
    app.before_request(guarding.check_key)
    app.before_request(_forget_impossible_dates)
    app.after_request(guarding.seal)
    app.extensions["rate_limits"] = limits
    app.register_blueprint(create_login(guarding.keys, guarding.sessions, limits.attempt))
    if settings.cors_origins:
        CORS(
            app,
            # As patterns, because a literal with brackets (IPv6) would be taken for a bad one.
            origins=[re.compile(re.escape(origin) + r"\Z", re.IGNORECASE) for origin in settings.cors_origins],
            methods=["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
            expose_headers=["Content-Disposition", "Content-Range", "ETag", "Location", "Retry-After"],
            max_age=600,
            always_send=False,
            allow_private_network=True,
        )


class _Guard:
    limits: RateLimits

    def __init__(self, settings: Settings) -> None:
        self.keys = ApiKeys(settings.api_key or ())
        self.sessions = Sessions(settings.storage_dir) if self.keys else None
        self._allowed_hosts = settings.allowed_hosts or ()
        self._named = frozenset(settings.cors_origins or ())

    def check_place(self) -> None:
        """Refuse what is meant for another server, and what another page has sent."""
        for host in _hosts():
            # Without a Host it is HTTP/1.0, and no browser.
            if host and not is_known_host(host, self._allowed_hosts, machine_names):
                raise BadRequest(
                    "This server is not known by the name in the Host header: use its address, or add the name to"
                    " DOWNLOADER_ALLOWED_HOSTS."
                )
        by = classify_origin(_said(), self._named)
        if by == "foreign" or (by == "visit" and request.path.rstrip("/") in STREAMS):
            raise Forbidden(
                "This request was sent by a page of another origin, which may not use this server: name that origin in"
                " DOWNLOADER_CORS_ORIGINS if it should."
            )

    def check_key(self) -> ResponseReturnValue | None:
        """Let pass who has a key or a session; send browsers to where they can log in."""
        if not self.keys or request.path in OPEN_PATHS or request.path.startswith(OPEN_FOLDER):
            return None
        is_named = self._is_named()
        if is_named and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return None  # browsers ask without the key whether they may send it
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            # WSGI holds bytes in strings as if they were Latin-1.
            if self.limits.attempt(lambda: self.keys.find(token.strip().encode("latin-1", "replace"))):
                return None
            raise Unauthorized(WRONG_KEY, www_authenticate=WWWAuthenticate("bearer"))
        session = session_token()
        # Other origins may use a key that they know, not the session of who happens to look at them.
        if session and not is_named and self.sessions and self.sessions.is_open(session, self.keys.digests):
            # For answers that last: who has logged out meanwhile is to get no more of them.
            g.may_stay = partial(self.sessions.is_open, session, self.keys.digests)
            return None
        if wants_page() and not is_named:
            return redirect(login_address(), 303)
        raise Unauthorized(NEEDS_KEY, www_authenticate=WWWAuthenticate("bearer"))

    def seal(self, response: Response) -> Response:
        """Give *response* the headers that every answer has, where its view did not choose stricter ones."""
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin" if self._is_named() else "same-origin"
        if self.keys:
            response.headers.setdefault("Cache-Control", "no-store")  # nothing to be found after logging out
        return response

    def _is_named(self) -> bool:
        origin = request.headers.get("Origin")
        return origin is not None and normal_origin(origin) in self._named


def _forget_impossible_dates() -> None:
    """Take dates of no calendar out of the request, as the protocol has it; Werkzeug would fail at some."""
    for name in _DATES:
        try:
            parse_date(request.environ.get(name))
        except OverflowError:
            del request.environ[name]


def _hosts() -> list[str]:
    """Return the Host that was sent, and the one that proxies say was."""
    # Both: a page can have X-Forwarded-Host sent, where the proxy does not set it, but never another Host.
    sent = request.environ.get("werkzeug.proxy_fix.orig", {}).get("HTTP_HOST")
    return [host for host in (sent, request.environ.get("HTTP_HOST")) if host]


def _said() -> FetchMetadata:
    headers = request.headers
    return FetchMetadata(
        method=request.method,
        host=request.environ.get("HTTP_HOST") or None,
        origin=headers.get("Origin"),
        site=headers.get("Sec-Fetch-Site"),
        mode=headers.get("Sec-Fetch-Mode"),
        destination=headers.get("Sec-Fetch-Dest"),
        purpose=headers.get("Sec-Purpose"),
    )
