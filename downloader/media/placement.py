"""A checked file on its way to its place, which it reaches once, whatever happens in between.

Where a file may be replaced, its place is known beforehand. Where none may be, others compete for the place: the file
gets it by a step that fails if there is one, and then another number. Killed at any time, what was done is told from
what others did: by the file's own inode as long as it has two names, and by its size and time afterwards.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from downloader.media.folders import make_folder
from downloader.media.move import NAME_REFUSED, incoming, is_same_file, move, move_new
from downloader.media.names import spelling
from downloader.util.typed import typed

#: How often a folder is created again that was removed because it was empty.
_FOLDER_ATTEMPTS = 10

#: As exact as the times of some file systems are.
_TIME_STEP_NS = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The move of one checked file, done or still to do."""

    source: Path
    output_dir: Path
    places: tuple[Path, ...]  #: the first whose name the file system accepts is used
    size_bytes: int
    replaces: bool = False  #: whether there was a file before
    # If no file may be replaced:
    mtime_ns: int | None = None  #: when the source was written
    suffix: str = ""  #: what the names end in
    number: int = 1  #: before the suffix, from 2 on
    video: int | None = None  #: which of the moves is that of the video that this file lies beside

    @classmethod
    def plan(cls, source: Path, places: tuple[Path, ...], output_dir: Path, *, may_replace: bool) -> Move:
        """Return the move of *source* to one of *places*, without a number."""
        seen = source.stat()
        return cls(
            source=source,
            output_dir=output_dir,
            places=places,
            size_bytes=seen.st_size,
            replaces=may_replace and any(map(os.path.lexists, places)),
            mtime_ns=None if may_replace else seen.st_mtime_ns,
            suffix=places[0].suffix,
        )

    @property
    def may_replace(self) -> bool:
        """Whether a file of the same name is one of the same post."""
        return self.mtime_ns is None

    @property
    def place(self) -> Path:
        """Where the file is after the move."""
        found = next(filter(self._is_at, self.places), None) if self.may_replace else self._placed()
        return self.places[0] if found is None else found

    def is_possible(self) -> bool:
        """Tell whether the complete file is at its source or its place."""
        if self.may_replace:
            return any(map(self._is_at, (self.source, *self.places)))
        origin = self._origin()
        return self._placed() is not None or (origin is not None and self._is_at(origin))

    def pending(self) -> Sequence[Path]:
        """Return the paths that the file has, or may get in the place of another."""
        return self.places if self.may_replace else self._placed_paths()

    def added(self) -> Sequence[Path]:
        """Return the path of the file if it was moved and replaced none."""
        if self.may_replace:
            return () if self.source.exists() or self.replaces else (self.place,)
        return self._placed_paths()

    def folders(self) -> tuple[Path, ...]:
        """Return the folders that it may go to."""
        return tuple(dict.fromkeys(place.parent for place in self.places))

    # Moving

    def run(self, heartbeat: Callable[[], None]) -> None:
        """Move the file, unless it was moved before.

        Raises:
            FileExistsError: there is another in its place, which may not be replaced.
        """
        for attempt in range(_FOLDER_ATTEMPTS):
            try:
                self._run(heartbeat)
                return
            except FileNotFoundError:
                # Another job's file may just have been deleted, and with it a folder that was empty without ours.
                is_last = attempt + 1 == _FOLDER_ATTEMPTS
                if is_last or self._origin() is None or self.folders() == (self.output_dir,):
                    raise

    def _run(self, heartbeat: Callable[[], None]) -> None:
        origin = self._origin()
        if origin is None:
            return
        if not self.may_replace and self._placed() is not None:  # killed before the other name was removed
            origin.unlink()
            return
        transfer = move if self.may_replace else move_new
        for folder in (folders := self.folders()):
            try:
                make_folder(self.output_dir, folder)
                transfer(self.source, [place for place in self.places if place.parent == folder], heartbeat=heartbeat)
                return
            except OSError as error:
                if error.errno not in NAME_REFUSED or folder == folders[-1]:
                    raise

    # Numbers

    def numbered(self, number: int) -> Move:
        """Return this move with another number."""

        def renamed(place: Path) -> Path:
            stem = place.name.removesuffix(self.suffix)
            if self.number > 1:
                stem = stem.removesuffix(f" ({self.number})")
            return place.with_name((stem if number == 1 else f"{stem} ({number})") + self.suffix)

        return replace(self, places=tuple(map(renamed, self.places)), number=number)

    def apart(self) -> Move:
        """Return this move of a companion with a suffix of its own, which still begins as its video's name."""
        suffix = f".2{self.suffix}"
        places = tuple(place.with_name(place.name.removesuffix(self.suffix) + suffix) for place in self.places)
        return replace(self, places=places, suffix=suffix)

    # Where it is

    def _origin(self) -> Path | None:
        """Return where the file is moved from: its source, or the complete copy of it."""
        if self.source.is_file():
            return self.source
        if self.may_replace:
            return None
        copies = (incoming(folder, self.source.parent, self.source.name) for folder in self.folders())
        return next(filter(Path.is_file, copies), None)

    def _placed(self) -> Path | None:
        """Return where the file is, of which there may be no other, once it was moved."""
        origin = self._origin()
        is_ours = self._is_ours if origin is None else lambda place: is_same_file(origin, place)
        return next(filter(is_ours, self.places), None)

    def _placed_paths(self) -> tuple[Path, ...]:
        placed = self._placed()
        return () if placed is None else (placed,)

    def _is_ours(self, place: Path) -> bool:
        assert self.mtime_ns is not None
        if not self._is_at(place) or place.is_symlink():
            return False
        seen = place.stat()
        is_copied = seen.st_dev != self.output_dir.stat().st_dev or seen.st_dev != self.source.parent.stat().st_dev
        return abs(seen.st_mtime_ns - self.mtime_ns) <= (_TIME_STEP_NS if is_copied else 0)

    def _is_at(self, path: Path) -> bool:
        try:
            return path.is_file() and path.stat().st_size == self.size_bytes
        except OSError as error:
            if error.errno in NAME_REFUSED:  # so there is no such file
                return False
            raise

    # JSON

    def to_json(self, work_dir: Path) -> dict[str, Any]:
        """Return it as the outcome in *work_dir* has it."""
        first, *others = (place.relative_to(self.output_dir).as_posix() for place in self.places)
        found = {
            "from": str(self.source.relative_to(work_dir)),
            "to": first,
            "or_to": others,
            "size_bytes": self.size_bytes,
            "replaces": self.replaces,
        }
        if self.may_replace:
            return found
        return found | {
            "mtime_ns": self.mtime_ns,
            "suffix": self.suffix,
            "number": self.number,
            "video": self.video,
        }

    @classmethod
    def from_json(cls, found: Any, work_dir: Path, output_dir: Path) -> Move:
        """Return the move that `to_json` returned as *found*. Raises TypeError, ValueError, KeyError."""
        others = typed(found.get("or_to", []), list)
        return cls(
            source=work_dir / _plain_name(found["from"]),
            output_dir=output_dir,
            places=tuple(output_dir / _plain_path(path) for path in (found["to"], *others)),
            size_bytes=typed(found["size_bytes"], int),
            # Older versions did not write the following.
            replaces=typed(found.get("replaces", False), bool),
            mtime_ns=typed(found.get("mtime_ns"), int | None),
            suffix=typed(found.get("suffix", ""), str),
            number=typed(found.get("number", 1), int),
            video=typed(found.get("video"), int | None),
        )


def run_all(
    moves: Sequence[Move], save: Callable[[Sequence[Move]], object], heartbeat: Callable[[], None]
) -> tuple[Move, ...]:
    """Run *moves*; return them with the numbers that they got. *save* is called with moves before they change."""
    moves = tuple(moves)
    for index in range(len(moves)):
        while True:
            try:
                moves[index].run(heartbeat)
                break
            except FileExistsError:
                if moves[index].may_replace:
                    raise
            heartbeat()
            moves = _told_apart(moves, index)
            save(moves)
    return moves


def with_free_numbers(moves: Sequence[Move]) -> tuple[Move, ...]:
    """Return *moves*, none of which was run, with numbers that nothing has now; companions with their videos'."""
    moves = tuple(moves)
    for index, each in enumerate(moves):
        if not each.may_replace and each.video is None:
            later = {at for at, other in enumerate(moves) if index < (at if other.video is None else other.video)}
            moves = _with_free_number(moves, index, 1, but=later)
    return moves


def _told_apart(moves: tuple[Move, ...], index: int) -> tuple[Move, ...]:
    """Return *moves* with another place for that at *index*; its own is taken since this moment."""
    each = moves[index]
    if each.video is None:
        return _with_free_number(moves, index, each.number + 1)
    # Its video has its place already.
    return (*moves[:index], each.apart(), *moves[index + 1 :])


def _with_free_number(moves: tuple[Move, ...], index: int, least: int, but: Collection[int] = ()) -> tuple[Move, ...]:
    """Return *moves*; that at *index* and its companions have the first number, from *least* on, that is free.

    Those at *but* take none yet.
    """
    group = [at for at, each in enumerate(moves) if index in (at, each.video)]
    others = {_spelled(each.places[0]) for at, each in enumerate(moves) if at not in group and at not in but}
    for number in itertools.count(least):
        found = {at: moves[at].numbered(number) for at in group}
        firsts = [each.places[0] for each in found.values()]
        if not any(os.path.lexists(place) or _spelled(place) in others for place in firsts):
            break
    return tuple(found.get(at, each) for at, each in enumerate(moves))


def _spelled(place: Path) -> str:
    return spelling(str(place))


def _plain_path(value: object) -> str:
    """Return *value* if it is the path of a file below a folder, and cannot lead out of it."""
    path: str = typed(value, str)
    for name in path.split("/"):
        _plain_name(name)
    return path


def _plain_name(value: object) -> str:
    """Return *value* if it is the name of a file within a folder, and cannot lead out of it."""
    name: str = typed(value, str)
    if name in ("", ".", "..") or set(name) & set("/\\:\0"):
        raise ValueError(f"not a plain file name: {name!r}")
    return name
