"""Batch video downloader: links from TikTok, Instagram, Twitter/X and YouTube in, playable files out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from downloader.queue.services import EngineKind
    from downloader.settings import Settings

__version__ = "0.1.0"

__all__ = ["__version__", "create_downloader_app"]


def create_downloader_app(settings: Settings | None = None, *, engine: EngineKind = "threads") -> Flask:
    """Return the Flask app: API, dashboard and JSON errors.

    *settings* default to those of the environment. The queue opens with the first request that needs it, or when
    `app.extensions["downloader"].start()` is called. Downloads run in *engine*: `threads` of this process, or worker
    `processes`, which can be killed.

    Raises:
        StartRefused: a setting is invalid, or the storage folder cannot be written.
    """
    # Imported here, so that `import downloader.platform_detector` and the like do not need Flask.
    from downloader.queue.services import Services
    from downloader.settings import load_settings
    from downloader.web.app import create_app
    from downloader.web.proxies import place_behind
    from portal.blueprint import create_portal

    settings = load_settings() if settings is None else settings
    app = create_app(Services(settings, engine=engine, version=__version__), __version__)
    app.register_blueprint(
        create_portal(
            version=__version__,
            max_batch_urls=settings.max_batch_urls,
            open_to_all=settings.is_open_to_all,
            has_login=settings.api_key is not None,
        )
    )
    place_behind(app, trusted_proxies=settings.trusted_proxies, prefix=settings.url_prefix)
    return app
