"""Finalizes downloads: checks that each file plays, and moves it to the output folder under its final name.

Where the work folder outlives the attempt, the outcome is written there before the first file is moved. If the process
is killed before the success is stored, nothing needs to be downloaded again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from downloader.errors import DownloadFailed, ErrorCode
from downloader.media.check import NoPicture, NoSound, NotPlayable, check_media, measured_seconds, shorter_side
from downloader.media.limits import MediaLimits
from downloader.media.move import NAME_REFUSED, incoming, inherit_permissions, move
from downloader.media.names import MAX_NAME_BYTES, media_names, spelling
from downloader.models import Media
from downloader.presets import DEFAULT_PRESET, PRESETS, Preset
from downloader.util.files import atomic_write

log = logging.getLogger(__name__)

#: In a work folder: the result of the download. Written once all files are checked, before they are moved.
OUTCOME_NAME = "outcome.json"

#: With less free space than this, a file that does not play was truncated by the disk.
_DISK_FULL_BYTES = 64 * 1024

#: Encoders round a picture's sides up to whole blocks.
_BLOCK_PIXELS = 16

#: Raised by `_read_outcome` for a file that is not one of ours.
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A file that yt-dlp wrote, with its metadata."""

    path: Path
    post_id: str
    video_id: str
    title: str | None
    duration_seconds: float | None
    shorter_side: int | None = None  #: of its picture, as the platform declares it

    @classmethod
    def from_info(cls, path: Path, info: Mapping[str, Any]) -> Downloaded:
        """Return the file at *path*, described by yt-dlp's *info*."""
        video_id = str(info.get("id") or "")
        title, duration = info.get("title"), info.get("duration")
        sides = [side for side in (info.get("width"), info.get("height")) if isinstance(side, int)]
        return cls(
            path=path,
            # The post's id in the platform's links; a video within it may have another.
            post_id=str(info.get("display_id") or video_id),
            video_id=video_id,
            title=title if isinstance(title, str) else None,
            duration_seconds=float(duration) if isinstance(duration, int | float) else None,
            shorter_side=min(sides, default=None),
        )

    def final_names(self, platform: str, max_bytes: int = MAX_NAME_BYTES, preset: str = DEFAULT_PRESET) -> list[str]:
        """Return the names for *platform*'s file, the best one first; see `media.names`."""
        ids: tuple[str, ...] = (self.post_id,)
        if self.video_id != self.post_id:
            ids += (self.video_id,)
        if preset != DEFAULT_PRESET:  # two presets of a post are two files
            ids += (preset,)
        return media_names(platform, ids, self.title, self.path.suffix, max_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """The move of one checked file, done or still to do."""

    source: Path
    places: tuple[Path, ...]  #: in one folder; the first whose name the file system accepts is used
    size_bytes: int
    replaces: bool  #: whether there was a file before

    @property
    def place(self) -> Path:
        """Where the file is after the move."""
        return next(filter(self._is_at, self.places), self.places[0])

    def is_possible(self) -> bool:
        """Tell whether the complete file is at its source or its place."""
        return any(map(self._is_at, (self.source, *self.places)))

    def run(self, heartbeat: Callable[[], None]) -> None:
        """Move the file, unless it was moved before."""
        if self.source.is_file():
            move(self.source, self.places, heartbeat=heartbeat)

    def _is_at(self, path: Path) -> bool:
        try:
            return path.is_file() and path.stat().st_size == self.size_bytes
        except OSError as error:
            if error.errno in NAME_REFUSED:  # so there is no such file
                return False
            raise


def finalize(
    platform: str,
    downloads: Sequence[Downloaded],
    output_dir: Path,
    *,
    ffmpeg: str | None,
    preset: Preset = PRESETS[DEFAULT_PRESET],
    work_dir: Path | None = None,
    limits: MediaLimits = MediaLimits(),  # noqa: B008 -- frozen
    heartbeat: Callable[[], None] = lambda: None,
) -> Media:
    """Check every file of *downloads*, then move them to *output_dir*; blocking.

    An existing file of the same post is replaced atomically, so its path always leads to a complete file. With a
    *work_dir* that outlives the attempt, only the outcome stays in it, for `recover`. *heartbeat* is called regularly
    while files are copied to another file system; an exception from it stops the copy.

    Raises:
        DownloadFailed: `file_missing` if yt-dlp left no file, `not_a_video` if one does not play, `no_video` if it has
            only sound, `too_large` if it exceeds *limits*, `platform_changed` if it is larger than *preset* allows and
            the platform declared. No file is moved then.
    """
    for found in downloads:
        _check(found, preset, ffmpeg)
        limits.check_size(found.path.stat().st_size)
        if limits.duration_seconds is not None:
            limits.check_duration(measured_seconds(found.path, ffmpeg))
    moves = [
        _Move(
            source=found.path,
            places=places,
            size_bytes=found.path.stat().st_size,
            replaces=any(map(os.path.lexists, places)),
        )
        for found, places in zip(downloads, _places(platform, downloads, output_dir, preset.name), strict=True)
    ]
    first = downloads[0]
    about = Media(files=(), id=first.post_id, title=first.title, duration_seconds=first.duration_seconds)
    if work_dir is not None:
        _write_outcome(work_dir, moves, about, preset.name)
    return _run(moves, about, work_dir, heartbeat)


def recover(
    work_dir: Path,
    output_dir: Path,
    heartbeat: Callable[[], None] = lambda: None,
    *,
    preset: str = DEFAULT_PRESET,
) -> Media | None:
    """Return the media of an earlier attempt in *work_dir*, moved to *output_dir*; None if it did not get *preset*."""
    try:
        moves, about = _read_outcome(work_dir, output_dir, preset)
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        log.warning("outcome cannot be read", extra={"path": str(work_dir / OUTCOME_NAME), "detail": repr(error)})
        return None
    if not all(move.is_possible() for move in moves):  # a file was removed
        return None
    return _run(moves, about, work_dir, heartbeat)


def _run(moves: Sequence[_Move], about: Media, work_dir: Path | None, heartbeat: Callable[[], None]) -> Media:
    """Run *moves*, then clear *work_dir* but for the outcome; return *about* with the moved files."""
    for each in moves:
        each.run(heartbeat)
    if work_dir is not None:
        clear_work_dir(work_dir, but=OUTCOME_NAME)
    files = tuple(str(each.place) for each in moves)
    return replace(about, files=files, size_bytes=sum(each.size_bytes for each in moves))


def pending_names(work_dir: Path) -> frozenset[str]:
    """Return the names that files of the outcome in *work_dir* have or will get; none without an outcome."""
    try:
        moves, _ = _read_outcome(work_dir, work_dir)
    except _UNREADABLE:
        return frozenset()
    return frozenset(place.name for move in moves for place in move.places)


def added_files(work_dir: Path, output_dir: Path) -> list[Path]:
    """Return the files of the outcome in *work_dir* that were moved to *output_dir* and replaced none there."""
    try:
        moves, _ = _read_outcome(work_dir, output_dir)
        return [move.place for move in moves if not (move.source.exists() or move.replaces)]
    except _UNREADABLE:
        return []


def prepare_work_dir(work_dir: Path, output_dir: Path) -> bool:
    """Create *work_dir* for this user alone; if it exists, remove symbolic links in its place and inside it.

    Files created in it get the group and ACL that they would get in *output_dir*. Returns whether it is new, and empty.
    """
    if work_dir.is_symlink():
        work_dir.unlink()
    is_new = not work_dir.exists()
    work_dir.mkdir(exist_ok=True, mode=0o700)
    inherit_permissions(work_dir, output_dir)
    if is_new:
        return True
    for folder, folders, files in os.walk(work_dir, followlinks=False):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                log.warning("removed a link among unfinished files", extra={"path": str(path)})
                path.unlink()
    return False


def remove_work_dir(work_dir: Path, output_dir: Path | None = None) -> None:
    """Remove *work_dir* with its contents, and an unfinished copy of its files in *output_dir*.

    Only for jobs that will not be retried. Links are not followed.
    """
    with contextlib.suppress(OSError):
        if output_dir is not None:
            incoming(output_dir, work_dir).unlink(missing_ok=True)
        if work_dir.is_symlink():
            work_dir.unlink(missing_ok=True)
    shutil.rmtree(work_dir, ignore_errors=True)


def clear_work_dir(work_dir: Path, *, but: str | None = None) -> None:
    """Remove the contents of *work_dir*, except the file named *but*."""
    for path in work_dir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != but:
            path.unlink(missing_ok=True)


def _check(found: Downloaded, preset: Preset, ffmpeg: str | None) -> None:
    check_exists(found)
    if preset.kind == "audio":  # checked when it was taken out, see `media.sound`
        return
    with reported(found):
        size = check_media(found.path, ffmpeg)
    # A platform may have nothing smaller, but then it says so.
    if preset.max_height is None or found.shorter_side is None or found.shorter_side > preset.max_height:
        return
    side = shorter_side(found.path, size, ffmpeg)
    if side is not None and side > preset.max_height + _BLOCK_PIXELS:
        found.path.unlink(missing_ok=True)
        detail = f"its shorter side has {side} pixels, although {found.shorter_side} were declared"
        raise DownloadFailed("platform_changed", detail=detail)


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


def _write_outcome(work_dir: Path, moves: Sequence[_Move], about: Media, preset: str) -> None:
    outcome = {
        "preset": preset,
        "moves": [
            {
                "from": str(move.source.relative_to(work_dir)),
                "to": move.places[0].name,
                "or_to": [place.name for place in move.places[1:]],
                "size_bytes": move.size_bytes,
                "replaces": move.replaces,
            }
            for move in moves
        ],
        "id": about.id,
        "title": about.title,
        "duration_seconds": about.duration_seconds,
    }
    atomic_write(work_dir / OUTCOME_NAME, json.dumps(outcome).encode())


def _read_outcome(work_dir: Path, output_dir: Path, preset: str | None = None) -> tuple[list[_Move], Media]:
    """Return the moves in the outcome of *work_dir*, and its media without files; raise one of `_UNREADABLE`.

    An outcome of another *preset* counts as not found.
    """
    outcome = json.loads((work_dir / OUTCOME_NAME).read_text(encoding="utf-8"))
    if preset not in (None, outcome.get("preset", DEFAULT_PRESET)):  # older versions did not write it
        raise FileNotFoundError
    moves = [
        _Move(
            source=work_dir / _plain_name(move["from"]),
            places=tuple(output_dir / _plain_name(name) for name in (move["to"], *_typed(move.get("or_to", []), list))),
            size_bytes=_typed(move["size_bytes"], int),
            replaces=_typed(move.get("replaces", False), bool),  # older versions did not write it
        )
        for move in _typed(outcome["moves"], list)
    ]
    if not moves:
        raise ValueError("no files")
    duration = outcome["duration_seconds"]
    about = Media(
        files=(),
        id=_typed(outcome["id"], str | None),
        title=_typed(outcome["title"], str | None),
        duration_seconds=None if duration is None else float(duration),
    )
    return moves, about


def _plain_name(value: object) -> str:
    """Return *value* if it is the name of a file within a folder, and cannot lead out of it."""
    name: str = _typed(value, str)
    if name in ("", ".", "..", OUTCOME_NAME) or set(name) & set("/\\:\0"):
        raise ValueError(f"not a plain file name: {name!r}")
    return name


def _typed(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not of the expected type")
    return value


def _places(platform: str, downloads: Sequence[Downloaded], output_dir: Path, preset: str) -> list[tuple[Path, ...]]:
    """Return the places for each file, the best one first; one that would collide with another gets a number."""
    max_bytes = _max_name_bytes(output_dir)
    taken: set[str] = set()
    places = []
    for number, found in enumerate(downloads, start=1):
        names = found.final_names(platform, max_bytes, preset)
        first_is_taken = spelling(names[0]) in taken or _is_taken_by_other_case(output_dir / names[0])
        if first_is_taken or not taken.isdisjoint(map(spelling, names)):
            numbered = replace(found, video_id=f"{found.video_id}-{number}").final_names(platform, max_bytes, preset)
            names = numbered if first_is_taken else [names[0], *numbered[1:]]
        taken.update(map(spelling, names))
        places.append(tuple(output_dir / name for name in names))
    return places


def _is_taken_by_other_case(place: Path) -> bool:
    """Tell whether *place* leads to a file whose name differs in case: not every file system is case-sensitive."""
    if not os.path.lexists(place) or not os.path.lexists(place.with_name(place.name.swapcase())):
        return False
    return place.name not in (unicodedata.normalize("NFC", each.name) for each in place.parent.iterdir())


def _max_name_bytes(folder: Path) -> int:
    """Return the maximum length of a name in *folder*, as far as its file system reports it."""
    try:
        most = os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows has no pathconf, and not every system this limit
        return MAX_NAME_BYTES
    return most if 0 < most < MAX_NAME_BYTES else MAX_NAME_BYTES
