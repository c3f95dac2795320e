"""The archive: posts that count as had, taken over from yt-dlp's `--download-archive`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping

from flask import Blueprint

from downloader.errors import RequestRefused
from downloader.platforms import PLATFORMS, Platform, PlatformType
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.requests import ArchiveUpload
from downloader.web.responses import ArchiveAdded, ArchiveCleared
from downloader.web.routes import Routes

#: By the first word of a line, in lower case. yt-dlp writes the extractor's key like that.
_EXTRACTORS: Mapping[str, Platform] = {
    extractor.lower(): platform for platform in PLATFORMS.values() for extractor in platform.extractors
}
_BROADCASTS = "twitterbroadcast"
_BROADCAST_ID = "[A-Za-z0-9_]{1,40}"


def create_archive_api(services: Services) -> Routes:
    """Return the routes for the archive."""
    routes = Routes(Blueprint("archive", __name__, url_prefix="/api/v1"), tag="archive")

    @routes.route("POST", "/archive", ArchiveAdded, parse_bytes=_archive_upload)
    async def add_to_archive(body: ArchiveUpload) -> dict[str, int]:
        """Have the posts of a yt-dlp archive count as had: they are not downloaded unless `again` is set.

        Takes the file as it is (`curl --data-binary @archive.txt`), or as the string `archive` of a JSON object.
        Its lines look like `youtube dQw4w9WgXcQ`; other sites and malformed lines are ignored, and counted.
        """
        lines = [line for line in body.archive.removeprefix("\ufeff").splitlines() if line.strip()]
        posts = Counter(post for line in lines if (post := _post(line)) is not None)
        if not posts:
            raise RequestRefused(
                "There is no post of a supported platform in this archive: send the file that yt-dlp writes with"
                " --download-archive, with lines such as `youtube dQw4w9WgXcQ`."
            )
        added = await services.acall(JobQueue.add_to_archive, list(posts))
        valid = posts.total()
        return {"added": added, "known": valid - added, "ignored": len(lines) - valid}

    @routes.route("DELETE", "/archive", ArchiveCleared)
    async def clear_archive() -> dict[str, int]:
        """Forget all posts that the archive names; return how many they were."""
        return {"removed": await services.acall(JobQueue.clear_archive)}

    return routes


def _archive_upload(body: bytes) -> ArchiveUpload:
    """Return the archive in a request *body*: the file itself, or JSON that contains it."""
    text = body.decode(errors="replace")
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        sent = None
    return ArchiveUpload.parse(sent) if isinstance(sent, dict) else ArchiveUpload.model_construct(archive=text)


def _post(line: str) -> tuple[PlatformType, str] | None:
    """Return the platform and the name of the post on a *line*, or None."""
    extractor, _, id = line.strip().partition(" ")
    platform, id = _EXTRACTORS.get(extractor.lower()), id.strip()
    if platform is None:
        return None
    if extractor.lower() == _BROADCASTS:
        return (platform.name, f"broadcasts/{id}") if re.fullmatch(_BROADCAST_ID, id, re.ASCII) else None
    return (platform.name, id) if re.fullmatch(platform.post_id, id, re.ASCII) else None
