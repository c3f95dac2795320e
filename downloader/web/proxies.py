"""Reverse proxies in front: who they say asks, and the path prefix that they serve below, stripped or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from downloader.access.prefix import OWN_PARTS, first_part, is_prefix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def place_behind(app: Flask, *, trusted_proxies: int, prefix: str) -> None:
    """Serve *app* behind so many proxies, below what they say, else below *prefix*."""
    app.wsgi_app = _Mounted(app.wsgi_app, prefix)  # type: ignore[method-assign]
    if hops := trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops, x_prefix=hops)  # type: ignore[method-assign]


class _Mounted:
    def __init__(self, app: WSGIApplication, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        forwarded = environ.get("SCRIPT_NAME", "").rstrip("/")
        # A stranger's header comes through a proxy that neither sets nor drops it.
        prefix = environ["SCRIPT_NAME"] = forwarded if is_prefix(forwarded) else self._prefix
        path = environ.get("PATH_INFO", "")
        if prefix and first_part(prefix) not in OWN_PARTS and f"{path}/".startswith(f"{prefix}/"):
            environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return self._app(environ, start_response)
