"""Finalizes downloads: checks that each file plays, and moves it to the output folder under its final name.

Where the work folder outlives the attempt, the outcome is written there before the first file is moved. If the process
is killed before the success is stored, nothing needs to be downloaded again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from downloader.errors import DownloadFailed, ErrorCode
from downloader.media.check import NoPicture, NoSound, NotPlayable, check_media, measured_seconds, shorter_side
from downloader.media.details import media_of
from downloader.media.downloads import Downloaded
from downloader.media.limits import MediaLimits
from downloader.media.outcome import OUTCOME_NAME, UNREADABLE, StoredOutcome, added_files
from downloader.media.placement import Move, run_all, with_free_numbers
from downloader.media.places import Layout, beside_video, find_places
from downloader.media.work_dir import clear_work_dir
from downloader.models import Details, Media
from downloader.presets import DEFAULT_PRESET, PRESETS, Preset

log = logging.getLogger(__name__)

#: With less free space than this, a file that does not play was truncated by the disk.
_DISK_FULL_BYTES = 64 * 1024

#: Encoders round a picture's sides up to whole blocks.
_BLOCK_PIXELS = 16


def finalize(
    platform: str,
    downloads: Sequence[Downloaded],
    output_dir: Path,
    *,
    ffmpeg: str | None,
    preset: Preset = PRESETS[DEFAULT_PRESET],
    layout: Layout = Layout(),  # noqa: B008 -- frozen
    work_dir: Path | None = None,
    details: Details = Details(),  # noqa: B008 -- frozen
    pictures_missing: str | None = None,
    limits: MediaLimits = MediaLimits(),  # noqa: B008 -- frozen
    heartbeat: Callable[[], None] = lambda: None,
) -> Media:
    """Check every file of *downloads*, then move them to *output_dir*, with their companions; blocking.

    The companions are not checked; their files come last in the result.

    Where *layout* tells posts apart, an existing file of the same post is replaced atomically, so its path always leads
    to a complete file. Otherwise no file is replaced: one whose name is taken gets a number. With a *work_dir* that
    outlives the attempt, only the outcome stays in it, for `recover`. *heartbeat* is called regularly while files are
    copied to another file system; an exception from it stops the copy.

    Raises:
        DownloadFailed: `file_missing` if yt-dlp left no file, `not_a_video` if one does not play, `no_video` if it has
            only sound, `too_large` if it exceeds *limits*, `platform_changed` if it is larger than *preset* allows and
            the platform declared. No file is moved then.
    """
    sizes = []
    for found in downloads:
        sizes.append(_check(found, preset, ffmpeg))
        limits.check_size(found.path.stat().st_size)
        if limits.duration_seconds is not None and found.plain != "picture":
            limits.check_duration(measured_seconds(found.path, ffmpeg))
    places = find_places(platform, downloads, output_dir, preset.name, layout)
    about = _about(downloads, preset, details, sizes[0], pictures_missing)
    outcome = StoredOutcome(
        moves=with_free_numbers(_moves(downloads, places, output_dir, layout)),
        about=about,
        preset=preset.name,
    )
    if work_dir is not None:
        outcome.write(work_dir)
    return _run(outcome, work_dir, heartbeat)


def _about(
    downloads: Sequence[Downloaded],
    preset: Preset,
    details: Details,
    size: tuple[int, int] | None,
    pictures_missing: str | None,
) -> Media:
    """Return what is known of *downloads*; *size* is the width and height of the first one."""
    first = downloads[0]
    return replace(
        media_of(details, first.post_id, first.title, first.duration_seconds, size),
        kind="photos" if all(found.plain for found in downloads) else preset.kind,
        subtitles=tuple(dict.fromkeys(language for found in downloads for language in found.subtitles)),
        # Of several videos, some may have nothing to say.
        subtitles_missing=tuple(
            code for code in first.subtitles_missing if all(code in found.subtitles_missing for found in downloads)
        ),
        pictures_missing=pictures_missing,
    )


def recover(
    work_dir: Path,
    output_dir: Path,
    heartbeat: Callable[[], None] = lambda: None,
    *,
    preset: str = DEFAULT_PRESET,
) -> Media | None:
    """Return the media of an earlier attempt in *work_dir*, moved to *output_dir*; None if it did not get *preset*."""
    try:
        outcome = StoredOutcome.read(work_dir, output_dir)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        log.warning("outcome cannot be read", extra={"path": str(work_dir / OUTCOME_NAME), "detail": repr(error)})
        return None
    if outcome.preset == preset and all(move.is_possible() for move in outcome.moves):
        return _run(outcome, work_dir, heartbeat)
    # A file was removed. The others come again, under other numbers where they replace none.
    for path in added_files(work_dir, output_dir, if_new=True):
        path.unlink(missing_ok=True)
    return None


def _moves(
    downloads: Sequence[Downloaded], places: Sequence[tuple[Path, ...]], output_dir: Path, layout: Layout
) -> list[Move]:
    """Return the moves of *downloads* to their *places*, then those of their companions."""
    plan = partial(Move.plan, output_dir=output_dir, may_replace=layout.replaces)
    moves = [plan(found.path, its) for found, its in zip(downloads, places, strict=True)]
    for index, (found, its) in enumerate(zip(downloads, places, strict=True)):
        for companion in found.companions:
            beside = plan(companion.path, beside_video(its, companion.suffix))
            moves.append(replace(beside, suffix=companion.suffix, video=index))
    return moves


def _run(outcome: StoredOutcome, work_dir: Path | None, heartbeat: Callable[[], None]) -> Media:
    """Move the files, then clear *work_dir* but for the outcome; return what it is about, with the moved files."""

    def save(moves: Sequence[Move]) -> None:
        if work_dir is not None:
            replace(outcome, moves=tuple(moves)).write(work_dir)

    moves = run_all(outcome.moves, save, heartbeat)
    if work_dir is not None:
        clear_work_dir(work_dir, but=OUTCOME_NAME)
    files = tuple(str(each.place) for each in moves)
    return replace(outcome.about, files=files, size_bytes=sum(each.size_bytes for each in moves))


def _check(found: Downloaded, preset: Preset, ffmpeg: str | None) -> tuple[int, int] | None:
    """Check a file; return the width and height of its picture, as far as that is known from the check."""
    check_exists(found)
    if preset.kind == "audio" or found.plain:  # checked before, see `media.sound` and `media.photos`
        return found.size
    with reported(found):
        size = check_media(found.path, ffmpeg)
    # A platform may have nothing smaller, but then it says so.
    if preset.max_height is None or found.shorter_side is None or found.shorter_side > preset.max_height:
        return size
    side = shorter_side(found.path, size, ffmpeg)
    if side is not None and side > preset.max_height + _BLOCK_PIXELS:
        found.path.unlink(missing_ok=True)
        detail = f"its shorter side has {side} pixels, although {found.shorter_side} were declared"
        raise DownloadFailed("platform_changed", detail=detail)
    return size


def check_exists(found: Downloaded) -> None:
    """Raise DownloadFailed `file_missing` if there is no such file."""
    if not found.path.is_file() or found.path.is_symlink():
        raise DownloadFailed("file_missing", detail=f"nothing at {found.path.name}")


@contextmanager
def reported(found: Downloaded) -> Iterator[None]:
    """Report a NotPlayable from within as DownloadFailed, and remove the file."""
    try:
        yield
    except NotPlayable as error:
        disk_is_full = shutil.disk_usage(found.path.parent).free < _DISK_FULL_BYTES
        # Another attempt in this folder would take it for a finished file.
        found.path.unlink(missing_ok=True)
        code: ErrorCode = "no_video" if isinstance(error, NoPicture) else "not_a_video"
        if isinstance(error, NoSound):
            code = "no_audio"
        # ffmpeg does not always fail when its output is cut off.
        raise DownloadFailed("disk_full" if disk_is_full else code, detail=str(error)) from error
