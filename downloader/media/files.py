"""Takes over what was downloaded: checks that it plays, and puts it in its place under its final name.

Where the work folder outlives the attempt, the outcome is written there before the first file is moved: a process
killed between that and the moment when somebody has stored the success need not download anything again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from downloader.errors import DownloadFailed, ErrorCode
from downloader.media.check import NoPicture, NotPlayable, check_media, measured_seconds
from downloader.media.limits import MediaLimits
from downloader.media.move import NAME_REFUSED, incoming, inherit_permissions, move
from downloader.media.names import MAX_NAME_BYTES, media_names, spelling
from downloader.models import Media
from downloader.util.files import atomic_write

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: In a work folder: what the download came to. Written when all files are checked, before they are moved.
OUTCOME_NAME = "outcome.json"

#: With less room than this, a file that does not play was cut off by the disk.
_DISK_FULL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A file that yt-dlp wrote, with what it knows of it."""

    path: Path
    post_id: str
    video_id: str
    title: str | None
    duration_seconds: float | None

    @classmethod
    def from_info(cls, path: Path, info: Mapping[str, Any]) -> Downloaded:
        """Return the file at *path*, described by yt-dlp's *info*."""
        video_id = str(info.get("id") or "")
        title, duration = info.get("title"), info.get("duration")
        return cls(
            path=path,
            # What the platform's own links call the post; a video within it may have another id.
            post_id=str(info.get("display_id") or video_id),
            video_id=video_id,
            title=title if isinstance(title, str) else None,
            duration_seconds=float(duration) if isinstance(duration, int | float) else None,
        )

    def final_names(self, platform: str, max_bytes: int = MAX_NAME_BYTES) -> list[str]:
        """Return the names under which *platform*'s file may be stored, the best one first; see `media.names`."""
        ids = (self.post_id,) if self.video_id == self.post_id else (self.post_id, self.video_id)
        return media_names(platform, ids, self.title, self.path.suffix, max_bytes)

    def final_name(self, platform: str) -> str:
        """Return the name under which *platform*'s file is stored where the file system takes it."""
        return self.final_names(platform)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """One checked file on its way; done or not, it is of *size_bytes*."""

    source: Path
    places: tuple[Path, ...]  #: in one folder; it goes to the first whose name the file system takes
    size_bytes: int
    replaces: bool  #: a file that was there before
    heartbeat: Callable[[], None] = lambda: None  #: called now and then while it is copied

    @property
    def place(self) -> Path:
        """Where the file is, once it was moved."""
        return next(filter(self._is_at, self.places), self.places[0])

    def is_possible(self) -> bool:
        """Tell whether the file is whole, here or there."""
        return any(map(self._is_at, (self.source, *self.places)))

    def make(self) -> None:
        """Move the file, unless that was done before."""
        if self.source.is_file():
            move(self.source, self.places, heartbeat=self.heartbeat)

    def _is_at(self, path: Path) -> bool:
        try:
            return path.is_file() and path.stat().st_size == self.size_bytes
        except OSError as error:
            if error.errno in NAME_REFUSED:  # then nothing can be there
                return False
            raise


def finalize(
    platform: str,
    downloads: Sequence[Downloaded],
    output_dir: Path,
    *,
    ffmpeg: str | None,
    work_dir: Path | None = None,
    limits: MediaLimits = MediaLimits(),  # noqa: B008 -- frozen
    heartbeat: Callable[[], None] = lambda: None,
) -> Media:
    """Check every file of *downloads*, then move them to *output_dir*; blocking.

    A file of the same post that is there already is replaced in one step, so its path always leads to a whole file.
    With a *work_dir* that outlives the attempt, the outcome stays in it for `recover`, and nothing else does.
    *heartbeat* is called now and then while files are copied to another file system; what it raises ends that.

    Raises:
        DownloadFailed: `file_missing` where yt-dlp left none, `not_a_video` where one does not play, `no_video`
            where it is sound alone, `too_large` where one is beyond *limits*; none is kept.
    """
    for found in downloads:
        _check(found, ffmpeg)
        limits.check_size(found.path.stat().st_size)
        if limits.duration_seconds is not None:
            limits.check_duration(measured_seconds(found.path, ffmpeg))
    moves = [
        _Move(
            source=found.path,
            places=places,
            size_bytes=found.path.stat().st_size,
            replaces=any(map(os.path.lexists, places)),
            heartbeat=heartbeat,
        )
        for found, places in zip(downloads, _places(platform, downloads, output_dir), strict=True)
    ]
    first = downloads[0]
    about = Media(files=(), id=first.post_id, title=first.title, duration_seconds=first.duration_seconds)
    if work_dir is None:
        return _make(moves, about)
    _write_outcome(work_dir, moves, about)
    media = _make(moves, about)
    _remove(work_dir, but=OUTCOME_NAME)
    return media


def recover(work_dir: Path, output_dir: Path, heartbeat: Callable[[], None] = lambda: None) -> Media | None:
    """Return what an earlier attempt in *work_dir* came to, its files moved to *output_dir*; None where it failed."""
    try:
        moves, about = _read_outcome(work_dir, output_dir, heartbeat)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("an outcome cannot be read", extra={"path": str(work_dir / OUTCOME_NAME), "detail": repr(error)})
        return None
    if not all(move.is_possible() for move in moves):  # somebody took a file away
        return None
    media = _make(moves, about)
    _remove(work_dir, but=OUTCOME_NAME)
    return media


def _make(moves: Sequence[_Move], about: Media) -> Media:
    """Make *moves*; return *about* with the files that came of them."""
    for each in moves:
        each.make()
    files = tuple(str(each.place) for each in moves)
    return replace(about, files=files, size_bytes=sum(each.size_bytes for each in moves))


def pending_names(work_dir: Path) -> frozenset[str]:
    """Return the names of the files that the outcome in *work_dir* speaks of; none where there is no outcome."""
    try:
        moves, _ = _read_outcome(work_dir, work_dir)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return frozenset()
    return frozenset(place.name for move in moves for place in move.places)


def added_files(work_dir: Path, output_dir: Path) -> list[Path]:
    """Return those files that the outcome in *work_dir* speaks of, that have left it for *output_dir*, and in whose
    place there were none before."""
    try:
        moves, _ = _read_outcome(work_dir, output_dir)
        return [move.place for move in moves if not (move.source.exists() or move.replaces)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def prepare_work_dir(work_dir: Path, output_dir: Path | None = None) -> None:
    """Make *work_dir*, for us alone, unless it is there; a link in its place or in it goes: it would lead elsewhere.

    What is made in it has the group and the ACL that it would have in *output_dir*.
    """
    if work_dir.is_symlink():
        work_dir.unlink()
    work_dir.mkdir(exist_ok=True, mode=0o700)
    if output_dir is not None:
        inherit_permissions(work_dir, output_dir)
    for folder, folders, files in os.walk(work_dir, followlinks=False):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                log.warning("a link among unfinished files was removed", extra={"path": str(path)})
                path.unlink()


def remove_work_dir(work_dir: Path, output_dir: Path | None = None) -> None:
    """Remove *work_dir* with all that is in it, and what was being copied from it to *output_dir*.

    For whoever knows that its job will not be tried again. Links are not followed.
    """
    with contextlib.suppress(OSError):
        if output_dir is not None:
            incoming(output_dir, work_dir).unlink(missing_ok=True)
        if work_dir.is_symlink():
            work_dir.unlink(missing_ok=True)
    shutil.rmtree(work_dir, ignore_errors=True)


def clear_work_dir(work_dir: Path) -> None:
    """Remove all that is in *work_dir*: what lies there is no good to go on from."""
    _remove(work_dir, but=None)


def _check(found: Downloaded, ffmpeg: str | None) -> None:
    if not found.path.is_file() or found.path.is_symlink():
        raise DownloadFailed("file_missing", detail=f"nothing at {found.path.name}")
    try:
        check_media(found.path, ffmpeg)
    except NotPlayable as error:
        disk_is_full = shutil.disk_usage(found.path.parent).free < _DISK_FULL_BYTES
        # Another attempt in this folder would take it for a finished download.
        found.path.unlink(missing_ok=True)
        code: ErrorCode = "no_video" if isinstance(error, NoPicture) else "not_a_video"
        if disk_is_full:
            # ffmpeg does not always mind that what it merges is cut off.
            code = "disk_full"
        raise DownloadFailed(code, detail=str(error)) from error


def _write_outcome(work_dir: Path, moves: Sequence[_Move], about: Media) -> None:
    outcome = {
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


def _read_outcome(
    work_dir: Path, output_dir: Path, heartbeat: Callable[[], None] = lambda: None
) -> tuple[list[_Move], Media]:
    """Return the moves that *work_dir* speaks of, and a media without its files.

    Raises:
        OSError, ValueError, TypeError, KeyError, AttributeError: there is no such file, or it is not one of ours.
    """
    outcome = json.loads((work_dir / OUTCOME_NAME).read_text(encoding="utf-8"))
    moves = [
        _Move(
            source=work_dir / _plain_name(move["from"]),
            places=tuple(output_dir / _plain_name(name) for name in (move["to"], *_typed(move.get("or_to", []), list))),
            size_bytes=_typed(move["size_bytes"], int),
            replaces=_typed(move.get("replaces", False), bool),  # older versions did not write it
            heartbeat=heartbeat,
        )
        for move in _typed(outcome["moves"], list)
    ]
    if not moves:
        raise ValueError("no files")
    duration = outcome["duration_seconds"]
    about = Media(
        files=(),
        id=None if outcome["id"] is None else _typed(outcome["id"], str),
        title=None if outcome["title"] is None else _typed(outcome["title"], str),
        duration_seconds=None if duration is None else float(duration),
    )
    return moves, about


def _plain_name(value: object) -> str:
    """Return *value* if it names a file in a folder, and never one outside it."""
    name = _typed(value, str)
    if name in ("", ".", "..", OUTCOME_NAME) or set(name) & set("/\\:\0"):
        raise ValueError(f"not a plain file name: {name!r}")
    return name


def _typed(value: Any, kind: type[_T]) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not of the type expected")
    return value


def _remove(work_dir: Path, *, but: str | None) -> None:
    for path in work_dir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != but:
            path.unlink(missing_ok=True)


def _places(platform: str, downloads: Sequence[Downloaded], output_dir: Path) -> list[tuple[Path, ...]]:
    """Return where each file may go, the best place first; one that would take another's place gets a number."""
    max_bytes = _max_name_bytes(output_dir)
    taken: set[str] = set()
    places = []
    for number, found in enumerate(downloads, start=1):
        names = found.final_names(platform, max_bytes)
        numbered = replace(found, video_id=f"{found.video_id}-{number}").final_names(platform, max_bytes)
        if spelling(names[0]) in taken or _is_anothers(output_dir / names[0]):
            names = numbered
        elif not taken.isdisjoint(map(spelling, names)):
            names[1:] = numbered[1:]
        taken.update(map(spelling, names))
        places.append(tuple(output_dir / name for name in names))
    return places


def _is_anothers(place: Path) -> bool:
    """Tell whether *place* leads to a file of another name: not every file system tells upper case from lower."""
    if not os.path.lexists(place) or not os.path.lexists(place.with_name(place.name.swapcase())):
        return False
    return place.name not in (unicodedata.normalize("NFC", each.name) for each in place.parent.iterdir())


def _max_name_bytes(folder: Path) -> int:
    """Return how long a name in *folder* may be, as far as its file system says."""
    try:
        most = os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows has no such function, and not every system that limit
        return MAX_NAME_BYTES
    return most if 0 < most < MAX_NAME_BYTES else MAX_NAME_BYTES
