"""What downloads are made with: which yt-dlp, how old; which ffmpeg, which JavaScript runtime."""

from __future__ import annotations

from flask import Blueprint

from downloader.web.responses import ToolRecord, ToolsAnswer, YtdlpRecord
from downloader.web.routes import Routes
from downloader.ytdlp import tools as toolchain
from downloader.ytdlp.tools import ytdlp_release


def create_tools_api() -> Routes:
    """Return the route to the tools of this machine."""
    routes = Routes(Blueprint("tools", __name__, url_prefix="/api/v1"), tag="queue")

    @routes.get("/tools", ToolsAnswer)
    def show_tools() -> ToolsAnswer:
        """Show the tools at work, and whether yt-dlp wants an update or a restart."""
        ffmpeg, javascript = toolchain.ffmpeg(), toolchain.js_runtime()
        return ToolsAnswer(
            ytdlp=YtdlpRecord.model_validate(ytdlp_release()),
            ffmpeg=ToolRecord.model_validate(ffmpeg) if ffmpeg else None,
            javascript=ToolRecord.model_validate(javascript) if javascript else None,
        )

    return routes
