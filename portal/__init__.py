"""The dashboard: a page and what it needs, served as written. Imports nothing of ours: it is handed what it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.shell import Shell, load_shell

#: Everything from here, nothing from anywhere else, and no script or style inside the page.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        # Text can become script nowhere on the page; offline.js alone may name the address of a worker.
        "require-trusted-types-for 'script'",
        "trusted-types service-worker",
    )
)

_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_FOREVER = "public, max-age=31536000, immutable"
_ASK_FIRST = "no-cache"

_THEME = "#0b57d0"
_BACKGROUND = "#ffffff"


def create_portal(*, version: str, max_batch_urls: int, open_to_all: bool = False) -> Blueprint:
    """Return the page's routes; *version* and *max_batch_urls* are shown on it, and whether it is *open_to_all*."""
    portal = Blueprint("portal", __name__, template_folder="templates")
    shell = load_shell(Path(__file__).parent, version, max_batch_urls, open_to_all)

    def shell_url(filename: str) -> str:
        """Return where *filename* is served in this version of the page."""
        assert filename in shell.assets, f"the page asks for {filename}, which is not in portal/static"
        return url_for("portal.static", digest=shell.digest, filename=filename)

    # The second address has an endpoint of its own: links are always made to the first.
    @portal.get("/portal/downloader_dashboard", endpoint="dashboard_by_template_name")
    @portal.get("/dashboard")
    def dashboard() -> ResponseReturnValue:
        """Show the page."""
        page = render_template(
            "downloader_dashboard.html",
            version=version,
            max_batch_urls=max_batch_urls,
            open_to_all=open_to_all,
            digest=shell.digest,
            shell_url=shell_url,
            text=shell.phrases.text,
        )
        answer = _answer(page, "text/html; charset=utf-8")
        answer.headers["X-Shell-Digest"] = shell.digest  # by which the service worker tells the page from all else
        return answer

    @portal.get("/portal/static/<digest>/<path:filename>", endpoint="static")
    def static_file(digest: str, filename: str) -> ResponseReturnValue:
        """Answer a file of this version of the page.

        There is none of any other version: a page of before an update that still asks must not get a module of after
        it, which it would run among its own.
        """
        asset = shell.assets.get(filename) if digest == shell.digest else None
        if asset is None:
            abort(404)
        if asset.gzipped is not None and request.accept_encodings.quality("gzip") > 0:
            answer = _answer(asset.gzipped, asset.media_type, _FOREVER)
            answer.headers["Content-Encoding"] = "gzip"
        else:
            answer = _answer(asset.content, asset.media_type, _FOREVER)
        answer.vary.add("Accept-Encoding")
        return answer

    @portal.get("/service-worker.js")
    def service_worker() -> ResponseReturnValue:
        """Answer the worker that shows the page where the server cannot be reached."""
        answer = _answer(shell.service_worker.content, shell.service_worker.media_type)
        answer.headers["Service-Worker-Allowed"] = f"{request.script_root}/"
        return answer

    @portal.get("/portal/shell.json")
    def shell_list() -> ResponseReturnValue:
        """Answer what a browser has to keep to show the page by itself."""
        files = [url_for("portal.manifest"), *map(shell_url, shell.assets)]
        page = url_for("portal.dashboard")
        return _json({"digest": shell.digest, "version": version, "page": page, "files": files}, "application/json")

    @portal.get("/manifest.webmanifest")
    def manifest() -> ResponseReturnValue:
        """Answer what makes the page an app that can be installed, and be shared to."""
        return _json(_manifest(shell, icon_url=shell_url), "application/manifest+json")

    @portal.after_request
    def protect(response: Response) -> Response:
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        if _is_trustworthy():
            response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response

    return portal


def _answer(body: str | bytes, content_type: str, cache_control: str = _ASK_FIRST) -> Response:
    """Return *body*, or 304 where the browser has it already."""
    answer = Response(body, content_type=content_type, headers={"Cache-Control": cache_control})
    answer.add_etag()
    answer.make_conditional(request)
    return answer


def _json(value: dict[str, Any], content_type: str) -> Response:
    return _answer(json.dumps(value, indent=1), content_type)


def _is_trustworthy() -> bool:
    """Whether browsers heed what is meant for secure addresses only; elsewhere they log it as an error."""
    # A forged header costs its forger a header, nobody else anything.
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    return secure or request.host.rpartition(":")[0] in {"localhost", "127.0.0.1", "[::1]"}


def _manifest(shell: Shell, *, icon_url: Any) -> dict[str, Any]:
    text = shell.phrases.text
    page = url_for("portal.dashboard")
    icons = [
        {"src": icon_url("icon.svg"), "type": "image/svg+xml", "sizes": "any"},
        {"src": icon_url("icon-192.png"), "type": "image/png", "sizes": "192x192"},
        {"src": icon_url("icon-512.png"), "type": "image/png", "sizes": "512x512"},
        {"src": icon_url("icon-maskable-512.png"), "type": "image/png", "sizes": "512x512", "purpose": "maskable"},
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
        "theme_color": _THEME,
        "background_color": _BACKGROUND,
        "icons": icons,
        "share_target": {
            "action": page,
            "method": "GET",
            "params": {"title": "title", "text": "text", "url": "url"},
        },
    }
