"""The outcome of a download: a file in its work folder that says which files go where.

It is written once all files are checked, before the first one is moved. If the process is killed before the success is
stored, nothing needs to be downloaded again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downloader.media.move import NAME_REFUSED, move
from downloader.models import Media
from downloader.presets import DEFAULT_PRESET
from downloader.util.files import atomic_write

#: In a work folder: the result of the download. Written once all files are checked, before they are moved.
OUTCOME_NAME = "outcome.json"

#: Raised by `read_outcome` for a file that is not one of ours.
UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
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


def write_outcome(work_dir: Path, moves: Sequence[Move], about: Media, preset: str) -> None:
    """Write that *moves* are to be made, and what their files are *about*; on disk when this returns."""
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


def read_outcome(work_dir: Path, output_dir: Path, preset: str | None = None) -> tuple[list[Move], Media]:
    """Return the moves in the outcome of *work_dir*, and its media without files; raise one of `UNREADABLE`.

    An outcome of another *preset* counts as not found.
    """
    outcome = json.loads((work_dir / OUTCOME_NAME).read_text(encoding="utf-8"))
    if preset not in (None, outcome.get("preset", DEFAULT_PRESET)):  # older versions did not write it
        raise FileNotFoundError
    moves = [
        Move(
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


def pending_names(work_dir: Path) -> frozenset[str]:
    """Return the names that files of the outcome in *work_dir* have or will get; none without an outcome."""
    try:
        moves, _ = read_outcome(work_dir, work_dir)
    except UNREADABLE:
        return frozenset()
    return frozenset(place.name for move in moves for place in move.places)


def added_files(work_dir: Path, output_dir: Path) -> list[Path]:
    """Return the files of the outcome in *work_dir* that were moved to *output_dir* and replaced none there."""
    try:
        moves, _ = read_outcome(work_dir, output_dir)
        return [move.place for move in moves if not (move.source.exists() or move.replaces)]
    except UNREADABLE:
        return []
