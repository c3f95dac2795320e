"""The dashboard's routes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from downloader.platforms import PLATFORMS
from portal.shell import Shell, load_shell

#: Everything from this server, nothing from elsewhere; no inline script or style.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self';"
    " manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
    # No text can become script; only offline.js may give the address of a worker.
    " require-trusted-types-for 'script'; trusted-types service-worker"
)

#: Beside those of every response (`downloader.web.guard`).
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

_FOREVER = "public, max-age=31536000, immutable"


def create_portal(*, version: str, max_batch_urls: int, open_to_all: bool, has_login: bool) -> Blueprint:
    """Return the dashboard's routes; its page shows these facts, with a warning if it is *open_to_all*."""
    portal = Blueprint("portal", __name__, template_folder="templates")
    shell = load_shell(Path(__file__).parent, version, max_batch_urls, open_to_all, has_login)

    # The second address has an endpoint of its own, so that links always use the first.
    @portal.get("/portal/downloader_dashboard", endpoint="dashboard_by_template_name")
    @portal.get("/dashboard")
    def dashboard() -> ResponseReturnValue:
        """Show the page."""
        page = render_template(
            "downloader_dashboard.html",
            digest=shell.digest,
            shell_url=partial(_shell_url, shell),
            modules=shell.modules,
            platforms=tuple(PLATFORMS),
            text=shell.phrases.text,
            version=version,
            max_batch_urls=max_batch_urls,
            open_to_all=open_to_all,
            has_login=has_login,
        )
        response = _cached(page, "text/html; charset=utf-8")
        response.headers["X-Shell-Digest"] = shell.digest  # the service worker knows the page by it
        return response

    _add_files(portal, shell, version)
    portal.after_request(_protect)
    return portal


def _add_files(portal: Blueprint, shell: Shell, version: str) -> None:
    """Add what the page needs, and what a browser needs to show it offline."""

    @portal.get("/portal/static/<digest>/<path:filename>", endpoint="static")
    def static_file(digest: str, filename: str) -> ResponseReturnValue:
        """Send a file of this version of the page.

        Other versions are 404: a page loaded before an update must not mix new modules with its own.
        """
        asset = shell.assets.get(filename) if digest == shell.digest else None
        if asset is None:
            abort(404)
        if asset.gzipped is not None and request.accept_encodings.quality("gzip") > 0:
            response = _cached(asset.gzipped, asset.media_type, _FOREVER)
            response.headers["Content-Encoding"] = "gzip"
        else:
            response = _cached(asset.content, asset.media_type, _FOREVER)
        response.vary.add("Accept-Encoding")
        return response

    @portal.get("/service-worker.js")
    def service_worker() -> ResponseReturnValue:
        """Send the worker that shows the page while the server cannot be reached."""
        response = _cached(shell.service_worker.content, shell.service_worker.media_type)
        response.headers["Service-Worker-Allowed"] = f"{request.script_root}/"
        return response

    @portal.get("/portal/shell.json")
    def shell_list() -> ResponseReturnValue:
        """List what a browser has to keep to show the page offline."""
        files = [url_for("portal.manifest"), *(_shell_url(shell, name) for name in shell.assets)]
        page = url_for("portal.dashboard")
        return _json({"digest": shell.digest, "version": version, "page": page, "files": files}, "application/json")

    @portal.get("/manifest.webmanifest")
    def manifest() -> ResponseReturnValue:
        """Send the web app manifest: the page can be installed, and shared to."""
        return _json(_manifest(shell), "application/manifest+json")


def _shell_url(shell: Shell, filename: str) -> str:
    """Return the address of *filename* in this version of the page."""
    assert filename in shell.assets, f"the page asks for {filename}, which is not in portal/static"
    return url_for("portal.static", digest=shell.digest, filename=filename)


def _protect(response: Response) -> Response:
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    if _is_trustworthy():
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


def _cached(body: str | bytes, content_type: str, cache_control: str = "no-cache") -> Response:
    """Return *body*, or 304 if the browser has it already."""
    response = Response(body, content_type=content_type, headers={"Cache-Control": cache_control})
    response.add_etag()
    response.make_conditional(request)
    return response


def _json(value: dict[str, Any], content_type: str) -> Response:
    return _cached(json.dumps(value, indent=1), content_type)


def _is_trustworthy() -> bool:
    """Tell whether the browser treats this address as secure; elsewhere it logs the header as an error."""
    # A forged header affects no one but its sender.
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    return secure or request.host.rpartition(":")[0] in {"localhost", "127.0.0.1", "[::1]"}


def _manifest(shell: Shell) -> dict[str, Any]:
    text = shell.phrases.text
    page = url_for("portal.dashboard")
    maskable = _shell_url(shell, "icon-maskable-512.png")
    icons = [
        {"src": _shell_url(shell, "icon.svg"), "type": "image/svg+xml", "sizes": "any"},
        {"src": _shell_url(shell, "icon-192.png"), "type": "image/png", "sizes": "192x192"},
        {"src": _shell_url(shell, "icon-512.png"), "type": "image/png", "sizes": "512x512"},
        {"src": maskable, "type": "image/png", "sizes": "512x512", "purpose": "maskable"},
    ]
    return {
        "id": page,
        "name": text("app_name"),
        "short_name": text("app_short_name"),
        "description": text("tagline"),
        "lang": "en",
        "start_url": page,
        "scope": f"{request.script_root}/",
        "display": "standalone",
        "theme_color": "#0b57d0",
        "background_color": "#ffffff",
        "icons": icons,
        "share_target": {"action": page, "params": {name: name for name in ("title", "text", "url")}},
    }
