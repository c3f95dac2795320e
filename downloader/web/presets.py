"""What a request can ask for."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from downloader.queue.services import Services
from downloader.web.responses import Presets
from downloader.web.routes import Routes


def create_presets_api(services: Services) -> Routes:
    """Return the route that lists the presets."""
    routes = Routes(Blueprint("presets", __name__, url_prefix="/api/v1"), tag="batches")
    settings = services.settings

    @routes.route("GET", "/presets", Presets)
    def list_presets() -> dict[str, Any]:
        """List the presets: what a batch can be asked to get of each post."""
        return {"presets": list(settings.presets.values()), "default": settings.default_preset}

    return routes
