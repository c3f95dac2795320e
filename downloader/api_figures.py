"""How the platforms fared over the last hours, in figures."""

from __future__ import annotations

from flask import Blueprint

from downloader.api_models import FiguresAnswer
from downloader.api_requests import FiguresQuery
from downloader.api_routes import Routes
from downloader.services import Services


def create_figures_api(services: Services) -> Routes:
    """Return the route to the figures of *services*."""
    routes = Routes(Blueprint("figures", __name__, url_prefix="/api/v1"), tag="queue")

    @routes.get("/figures", FiguresAnswer, query=FiguresQuery)
    async def show_figures(query: FiguresQuery) -> FiguresAnswer:
        """Show how each platform fared in the last hours: successes, failures, sizes, times, errors."""
        return FiguresAnswer.of(await services.use(lambda queue: queue.figures(query.hours)))

    return routes
