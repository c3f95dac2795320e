"""Work folders of downloads: where unfinished files live, how an attempt resumes them, and when they are removed."""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from downloader.errors import DownloadFailed, ErrorCode
from downloader.media.files import recover
from downloader.media.move import INCOMING_PREFIX
from downloader.media.outcome import OUTCOME_NAME
from downloader.media.work_dir import clear_work_dir, prepare_work_dir
from downloader.models import Media
from downloader.ytdlp.errors import classify

log = logging.getLogger(__name__)

#: Below the output folder, on the same file system: one folder for each unfinished download, so that two downloads of
#: one post cannot disturb each other and unchecked files never appear among the finished ones.
PARTIAL_DIR = ".partial"

#: In a work folder while an attempt is running. If it is missing, someone else deleted files there.
MARK_NAME = ".attempt"

#: In the folder of a job: the work folder of an attempt that ended; others may be in use. See `claim_work_dir`.
RELEASED_NAME = "released"

#: How long an unfinished download lies untouched before it counts as abandoned.
LEFTOVER_SECONDS = 24 * 3600.0

#: Errors behind which there may be a failing disk.
MAYBE_STORAGE: frozenset[ErrorCode] = frozenset({"internal", "file_missing", "not_a_video", "network"})


@contextmanager
def temporary_work_dir(output_dir: Path) -> Iterator[Path]:
    """Yield a work folder below *output_dir* for one attempt alone; it is removed afterwards."""
    partial_dir = output_dir.absolute() / PARTIAL_DIR
    partial_dir.parent.mkdir(parents=True, exist_ok=True)
    prepare_work_dir(partial_dir, output_dir)
    work_dir = partial_dir / uuid.uuid4().hex
    work_dir.mkdir(mode=0o700)
    try:
        yield work_dir
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def resume(
    attempt: Callable[[Path], Media],
    work_dir: Path,
    output_dir: Path,
    *,
    make_parents: bool,
    preset: str,
    heartbeat: Callable[[], None],
) -> Media:
    """Continue by *attempt* where an earlier one in *work_dir* ended, or start; return the finished files.

    With *make_parents* the folders above the two are created too.
    """
    for folder in (output_dir, work_dir.parent):
        folder.mkdir(parents=make_parents, exist_ok=True)
    is_new = prepare_work_dir(work_dir, output_dir)
    if not is_new:
        if media := recover(work_dir, output_dir, heartbeat, preset=preset):
            return media
        _discard_joined_segments(work_dir)
    resumed = not is_new and any(work_dir.iterdir())
    try:
        return _run(attempt, work_dir)
    except DownloadFailed as failure:
        if failure.code == "too_large":
            clear_work_dir(work_dir)  # resuming would only reach the same limit
        if not resumed or failure.code != "not_a_video":
            raise
        # Perhaps the platform changed the file between the attempts, and we have halves of two.
        log.info("parts do not fit together: downloading again", extra={"path": str(work_dir)})
        clear_work_dir(work_dir)
        return _run(attempt, work_dir)


def _run(attempt: Callable[[Path], Media], work_dir: Path) -> Media:
    """Run *attempt*; if someone deletes its files during it, fail with `storage_unavailable`.

    yt-dlp recreates the folder, and reports whatever follows from the loss.
    """
    mark = work_dir / MARK_NAME
    mark.touch()
    try:
        return attempt(work_dir)
    except Exception as error:
        if not mark.exists() and classify(error).code in MAYBE_STORAGE:
            detail = f"unfinished files were deleted: {error}"
            raise DownloadFailed("storage_unavailable", detail=detail) from error
        raise
    finally:
        with suppress(OSError):
            mark.unlink()


def claim_work_dir(job_dir: Path, token: str) -> Path:
    """Return the path, in *job_dir*, of the work folder of an attempt that no other attempt has, with what may be used
    of earlier ones.

    Where several machines work, an earlier attempt may still run on one that is cut off. Renaming its folder fences it
    off: it can't move files any more. If all its files were ready to be moved, this attempt moves them; if it ended
    properly, this one resumes.
    """
    job_dir.mkdir(exist_ok=True)
    taken: list[tuple[bool, bool, Path]] = []
    for number, folder in enumerate(path for path in job_dir.iterdir() if path.is_dir() and not path.is_symlink()):
        with suppress(FileNotFoundError):  # another attempt was quicker
            path = folder.rename(job_dir / f"{token}.{number}")
            taken.append(((path / OUTCOME_NAME).exists(), folder.name == RELEASED_NAME, path))
    taken.sort()
    if taken and any(taken[-1][:2]):
        taken.pop()[2].rename(job_dir / token)
    for _, _, path in taken:
        shutil.rmtree(path, ignore_errors=True)
    return job_dir / token


def release_work_dir(work_dir: Path) -> None:
    """Leave *work_dir*, of an attempt that has ended, to the next one."""
    with suppress(OSError):  # it was taken over, or its job was removed
        work_dir.rename(work_dir.with_name(RELEASED_NAME))


def _discard_joined_segments(work_dir: Path) -> None:
    """Remove the files that yt-dlp joins from segments, but keep the segments.

    It appends each segment to one file and counts them in another; killed in between, it would repeat a scene. All
    segments are still there, so joining them again costs no request.
    """
    for segment in work_dir.glob("*.part-Frag*"):
        whole = segment.name.partition(".part-Frag")[0]
        for suffix in (".part", ".ytdl"):
            (work_dir / (whole + suffix)).unlink(missing_ok=True)


def remove_leftovers(output_dir: Path, *, now: float | None = None) -> None:
    """Remove what killed downloads left below *output_dir*, unless it was written to within the last day.

    Another process may still be downloading there.
    """
    now = time.time() if now is None else now
    leftovers = list(_copies(output_dir))
    if not (output_dir / PARTIAL_DIR).is_symlink():  # we make no such link, and it leads elsewhere
        leftovers += (output_dir / PARTIAL_DIR).glob("*")
    for leftover in leftovers:
        try:
            newest = max(path.lstat().st_mtime for path in (leftover, *leftover.rglob("*")))
        except FileNotFoundError:  # another process is at work there
            continue
        if now - newest > LEFTOVER_SECONDS:
            log.info("removing a leftover", extra={"path": str(leftover)})
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _copies(output_dir: Path) -> Iterator[Path]:
    """Yield the copies that were being made in *output_dir* and in its folders."""
    for folder, folders, names in os.walk(output_dir):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if name.startswith(INCOMING_PREFIX))
