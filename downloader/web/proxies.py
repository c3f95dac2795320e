"""Reverse proxies in front: who they say asks, and the path prefix that they serve below, stripped or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from downloader.access.prefix import first_part, is_prefix
from downloader.errors import StartRefused

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def place_behind(app: Flask, *, trusted_proxies: int, prefix: str) -> None:
    """Serve *app*, which has all its routes, behind so many proxies, below what they say, else below *prefix*.

    Raises:
        StartRefused: a route of its own begins like *prefix*.
    """
    own = {first_part(rule.rule) for rule in app.url_map.iter_rules()}
    if prefix and first_part(prefix) in own:
        raise StartRefused(
            f"DOWNLOADER_URL_PREFIX is set wrongly: {prefix} begins like an address of the service's own. Choose"
            " another, such as /videos, and start again."
        )
    app.wsgi_app = _Mounted(app.wsgi_app, prefix, own)  # type: ignore[method-assign]
    if hops := trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops, x_prefix=hops)  # type: ignore[method-assign]


class _Mounted:
    def __init__(self, app: WSGIApplication, prefix: str, own: set[str]) -> None:
        self._app = app
        self._prefix = prefix
        self._own = own

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        forwarded = environ.get("SCRIPT_NAME", "").rstrip("/")
        # A stranger's header comes through a proxy that neither sets nor drops it.
        prefix = environ["SCRIPT_NAME"] = forwarded if is_prefix(forwarded) else self._prefix
        path = environ.get("PATH_INFO", "")
        if prefix and first_part(prefix) not in self._own and f"{path}/".startswith(f"{prefix}/"):
            environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return self._app(environ, start_response)
