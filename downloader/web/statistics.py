"""How the platforms fared over the last hours, in figures."""

from __future__ import annotations

from flask import Blueprint

from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.queries import FiguresQuery
from downloader.web.responses import FiguresAnswer
from downloader.web.routes import Routes


def create_figures_api(services: Services) -> Routes:
    """Return the route to the figures of *services*."""
    routes = Routes(Blueprint("figures", __name__, url_prefix="/api/v1"), tag="queue")

    @routes.get("/figures", FiguresAnswer, query=FiguresQuery)
    async def show_figures(query: FiguresQuery) -> FiguresAnswer:
        """Show how each platform fared in the last hours: successes, failures, sizes, times, errors."""
        return FiguresAnswer.of(await services.acall(JobQueue.figures, query.hours))

    return routes
