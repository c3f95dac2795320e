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
    """Return the app, ready to be served: routes, dashboard, JSON errors.

    Without *settings* it takes those of the environment. Its services hang on `app.extensions["downloader"]`; the queue
    opens with the first request that needs it, or with their `start`. Downloads run in *engine*: `threads` of this
    process, or worker `processes`, which can be killed.

    Raises:
        StartRefused: a setting is bad, or the storage folder cannot be written.
    """
    # Here, so that `import downloader.platform_detector` and the like need no Flask.
    from flask import Flask

    from downloader.queue.services import Services
    from downloader.settings import load_settings
    from downloader.web.batches import create_v1_api
    from downloader.web.cookies import create_cookies_api
    from downloader.web.docs import create_docs
    from downloader.web.download import DESCRIPTION, NAME, add_error_answers, create_api
    from downloader.web.events import create_events_api
    from downloader.web.files import create_files_api
    from downloader.web.guard import guard
    from downloader.web.health import create_health_api
    from downloader.web.statistics import create_figures_api
    from downloader.web.tools import create_tools_api
    from downloader.web.zip import create_zip_api
    from portal import create_portal

    settings = load_settings() if settings is None else settings
    services = Services(settings, engine=engine)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider; records read best as written
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # it would answer with an HTML page that redirects
    app.extensions["downloader"] = services
    guard(app, settings)
    apis = (
        create_api(services, __version__),
        create_v1_api(services),
        create_files_api(services),
        create_events_api(services),
        create_zip_api(services),
        create_figures_api(services),
        create_cookies_api(services),
        create_tools_api(),
    )
    for api in apis:
        app.register_blueprint(api.blueprint)
    operations = [operation for api in apis for operation in api.operations]
    app.register_blueprint(
        create_docs(
            title=NAME,
            version=__version__,
            description=DESCRIPTION,
            operations=operations,
            needs_key=settings.api_key is not None,
        )
    )
    app.register_blueprint(create_health_api(services))
    app.register_blueprint(
        create_portal(version=__version__, max_batch_urls=settings.max_batch_urls, open_to_all=settings.is_open_to_all)
    )
    add_error_answers(app)
    return app
