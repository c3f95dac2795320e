"""Jobs as MeTube lists them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downloader.jobs import FINAL_STATES, UNFINISHED_STATES, Job, JobFilter, JobState, Progress
from downloader.queue.operations import JobQueue

#: Jobs in each list, the newest. MeTube has no pages.
MAX_ITEMS = 1000

Item = dict[str, Any]

_QUALITIES = {"video": "best", "smallest": "worst", "audio": "best", "mp3": "best"}
_STATUSES: Mapping[JobState, str] = {
    "queued": "pending",
    "waiting": "pending",
    "succeeded": "finished",
    "failed": "error",
    "cancelled": "error",
}


async def list_items(queue: JobQueue, raw_dir: Path) -> dict[str, list[Item]]:
    """Return the newest jobs: what has ended, what has not, and what is held."""
    progress = {each.job_id: each for each in queue.scheduler.progress()}

    async def newest(*states: JobState) -> list[Job]:
        # A collection that was read is no download; its entries are.
        jobs, _ = await queue.jobs(JobFilter(states=states, limit=MAX_ITEMS))
        return [job for job in jobs if job.kind != "collection" or job.state != "succeeded"]

    def items(jobs: list[Job]) -> list[Item]:
        return [item_of(job, progress.get(job.id), raw_dir) for job in reversed(jobs)]

    # In this order: what ends in between is found twice, and not missed.
    unfinished, final, failed = await newest(*UNFINISHED_STATES), await newest(*FINAL_STATES), await newest("failed")
    ended = {job.id for job in final}
    return {
        "done": items([job for job in final if not job.is_held]),
        "queue": items([job for job in unfinished if job.id not in ended]),
        "pending": items([job for job in failed if job.is_held]),
    }


def item_of(job: Job, progress: Progress | None, raw_dir: Path) -> Item:
    """Return *job* as an item of MeTube; while it runs, with its *progress*."""
    is_audio = job.kind == "audio"
    is_shown = job.state in ("failed", "cancelled") and not job.is_held
    folder, filename = _place(job, raw_dir)
    item = {
        "id": job.media_id or job.id,
        "title": job.title or job.url,
        "url": job.url,
        "quality": _QUALITIES.get(job.preset, job.preset.removesuffix("p")),
        "download_type": "audio" if is_audio else "video",
        "codec": "auto",
        "format": ("mp3" if job.preset == "mp3" else "m4a") if is_audio else "any",
        "folder": folder,
        "custom_name_prefix": "",
        "status": _status(job, progress),
        "msg": job.error if is_shown else None,
        "error": job.error if is_shown else None,
        "percent": 100 if job.state == "succeeded" else _percent(progress),
        "speed": progress and progress.speed_bytes_per_second,
        "eta": progress and progress.eta_seconds,
        "size": job.size_bytes,
        "timestamp": int(job.created_at.timestamp() * 1e9),
    }
    return item if filename is None else {**item, "filename": filename}


def _status(job: Job, progress: Progress | None) -> str:
    if job.state == "running":
        return "preparing" if progress is None or progress.phase == "extracting" else "downloading"
    return "pending" if job.is_held else _STATUSES[job.state]


def _percent(progress: Progress | None) -> float | None:
    if progress is None or not progress.total_bytes:
        return None
    return round(100 * progress.downloaded_bytes / progress.total_bytes, 1)


def _place(job: Job, raw_dir: Path) -> tuple[str, str | None]:
    """Return the folder and the name in it of the first file of *job*: clients put them together."""
    file = Path(job.files[0]) if job.files else None
    for folder in dict.fromkeys((job.folder, "")):
        if file is not None and file.is_relative_to(raw_dir / folder):
            return folder, file.relative_to(raw_dir / folder).as_posix()
    return job.folder, None
