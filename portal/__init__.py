"""The dashboard: a page and what it needs, served as written. Imports nothing of ours: it is handed what it shows."""

from __future__ import annotations

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

#: Everything from here, nothing from anywhere else, and no script or style inside the page.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def create_portal(*, version: str, max_batch_urls: int) -> Blueprint:
    """Return the page's routes; *version* and *max_batch_urls* are shown on it."""
    portal = Blueprint(
        "portal", __name__, template_folder="templates", static_folder="static", static_url_path="/portal/static"
    )

    # The second address has an endpoint of its own: links are always made to the first.
    @portal.get("/portal/downloader_dashboard", endpoint="dashboard_by_template_name")
    @portal.get("/dashboard")
    def dashboard() -> ResponseReturnValue:
        """Show the page."""
        return render_template("downloader_dashboard.html", version=version, max_batch_urls=max_batch_urls)

    @portal.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return portal
