"""Batch video downloader: links from TikTok, Instagram, Twitter/X and YouTube in, playable files out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from downloader.settings import Settings

__version__ = "0.1.0"

__all__ = ["__version__", "create_downloader_app"]


def create_downloader_app(settings: Settings | None = None) -> Flask:
    """Return the app, ready to be served: routes, dashboard, JSON errors.

    Without *settings* it takes those of the environment. Its services hang on `app.extensions["downloader"]`.

    Raises:
        StartRefused: a setting is bad, or the storage folder cannot be written.
    """
    # Here, so that `import downloader.platform_detector` and the like need no Flask.
    from flask import Flask

    from downloader.api import add_error_answers, create_api
    from downloader.services import Services
    from downloader.settings import load_settings
    from portal import create_portal

    settings = load_settings() if settings is None else settings
    services = Services.from_settings(settings)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider; records read best as written
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # it would answer with an HTML page that redirects
    app.extensions["downloader"] = services
    app.register_blueprint(create_api(services, __version__))
    app.register_blueprint(create_portal(version=__version__, max_batch_urls=settings.max_batch_urls))
    add_error_answers(app)
    return app
