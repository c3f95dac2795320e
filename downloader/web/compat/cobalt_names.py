"""Names of files in cobalt's styles, which its clients save them under."""

from __future__ import annotations

from collections.abc import Mapping

from downloader.jobs import Job
from downloader.media.names import Naming, media_paths, name_template
from downloader.web.compat.cobalt_request import Style

_TEMPLATES: Mapping[Style, str] = {
    "basic": "{title} - {uploader}",
    "classic": "{platform}_{id}",
    "pretty": "{title} - {uploader} ({platform})",
    "nerdy": "{title} - {uploader} ({platform}, {id})",
}


def file_name(job: Job, style: Style, extension: str, *, number: int | None = None) -> str:
    """Return a plain name for a file of *job*; *number* tells it from the others of its post."""
    text = _TEMPLATES[style if job.title else "classic"]
    if not job.uploader:
        text = text.replace(" - {uploader}", "")
    naming = Naming(
        platform=job.platform,
        ids=(job.media_id or job.id,),
        title=job.title,
        uploader=job.uploader,
        preset=job.preset,
        index=number or 1,
    )
    template = name_template(text if number is None else f"{text} {{index}}")
    return media_paths(template, naming, extension)[0]
