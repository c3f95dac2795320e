"""The web application: access control, routes, documentation and JSON errors, put together."""

from __future__ import annotations

from flask import Flask

from downloader.queue.services import Services
from downloader.web.archive import create_archive_api
from downloader.web.batches import create_batches_api
from downloader.web.compat.cobalt import create_cobalt
from downloader.web.compat.metube import create_metube
from downloader.web.cookies import create_cookies_api
from downloader.web.download import create_download_api, create_waiting_slots
from downloader.web.errors import handle_errors
from downloader.web.events import create_events_api
from downloader.web.files import create_files_api
from downloader.web.guard import guard
from downloader.web.jobs import create_jobs_api
from downloader.web.openapi import create_docs
from downloader.web.presets import create_presets_api
from downloader.web.queue import create_queue_api
from downloader.web.settings import create_settings_api
from downloader.web.status import create_probes
from downloader.web.thumbnails import create_thumbnails_api
from downloader.web.zip import create_zip_api


def create_app(services: Services, version: str) -> Flask:
    """Return the app with the routes of *services*; it finds them as `extensions["downloader"]`.

    Raises:
        StartRefused: a secret, of sessions or of links, cannot be stored in the storage folder.
    """
    settings = services.settings
    waiting = create_waiting_slots()
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider; records keep their order
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # it would redirect by an HTML page
    app.extensions["downloader"] = services
    guard(app, settings)
    apis = (
        create_download_api(services, version, waiting),
        create_batches_api(services),
        create_jobs_api(services),
        create_presets_api(services),
        create_queue_api(services),
        create_settings_api(services),
        create_files_api(services),
        create_thumbnails_api(services),
        create_events_api(services),
        create_zip_api(services),
        create_cookies_api(services),
        create_archive_api(services),
    )
    for api in apis:
        app.register_blueprint(api.blueprint)
    operations = [operation for api in apis for operation in api.operations]
    docs = create_docs(
        version,
        operations,
        needs_key=settings.api_key is not None,
        presets=tuple(settings.presets),
        default_preset=settings.default_preset,
    )
    app.register_blueprint(docs)
    app.register_blueprint(create_probes(services))
    if settings.compat:
        app.register_blueprint(create_metube(services, version))
        app.register_blueprint(create_cobalt(services, waiting))
    handle_errors(app)
    return app
