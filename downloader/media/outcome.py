"""The outcome of a download: a file in its work folder that says which files go where.

It is written once all files are checked, before the first one is moved. If the process is killed before the success is
stored, nothing needs to be downloaded again.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from downloader.media.details import media_json, read_media
from downloader.media.folders import is_below, remove_empty_folders
from downloader.media.move import incoming
from downloader.media.placement import Move
from downloader.models import Media
from downloader.presets import DEFAULT_PRESET
from downloader.util.files import atomic_write
from downloader.util.typed import typed

#: In a work folder.
OUTCOME_NAME = "outcome.json"

#: Raised by `StoredOutcome.read` for a file that is not one of ours.
UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutcome:
    """What a download came to."""

    moves: tuple[Move, ...]
    about: Media  #: without its files
    preset: str

    def write(self, work_dir: Path) -> None:
        """Write it to *work_dir*; it is on disk when this returns."""
        outcome = {
            "preset": self.preset,
            "moves": [move.to_json(work_dir) for move in self.moves],
            **media_json(self.about),
        }
        atomic_write(work_dir / OUTCOME_NAME, json.dumps(outcome).encode())

    @classmethod
    def read(cls, work_dir: Path, output_dir: Path) -> StoredOutcome:
        """Return the outcome in *work_dir*; raise one of `UNREADABLE`."""
        outcome = json.loads((work_dir / OUTCOME_NAME).read_text(encoding="utf-8"))
        moves = tuple(Move.from_json(move, work_dir, output_dir) for move in typed(outcome["moves"], list))
        if not moves or any(move.source.name == OUTCOME_NAME for move in moves):
            raise ValueError("no files, or not those of a download")
        about = read_media(outcome)
        # Older versions did not write the preset.
        return cls(moves=moves, about=about, preset=typed(outcome.get("preset", DEFAULT_PRESET), str))


def pending_files(work_dir: Path, output_dir: Path) -> frozenset[Path]:
    """Return the paths in *output_dir* that files of the outcomes in *work_dir* have, or may get in place of others."""
    return frozenset(path for move in _moves(work_dir, output_dir) for path in move.pending())


def added_files(work_dir: Path, output_dir: Path, *, if_new: bool = False) -> list[Path]:
    """Return the files of the outcomes in *work_dir* that were moved to *output_dir* and replaced none there.

    *if_new*: only those that could not have replaced any.
    """
    with contextlib.suppress(OSError):
        moves = _moves(work_dir, output_dir)
        return [path for move in moves if not (if_new and move.may_replace) for path in move.added()]
    return []


def remove_copies(work_dir: Path, output_dir: Path) -> None:
    """Remove unfinished copies of the files in *work_dir*, and folders that were created for them."""
    for place in _work_dirs(work_dir):
        with contextlib.suppress(OSError):
            incoming(output_dir, place).unlink(missing_ok=True)
    for move in _moves(work_dir, output_dir):
        place = move.source.parent
        for folder in move.folders():
            with contextlib.suppress(OSError):
                if folder == output_dir or is_below(folder / "file", output_dir):
                    incoming(folder, place).unlink(missing_ok=True)
                    incoming(folder, place, move.source.name).unlink(missing_ok=True)
                    remove_empty_folders(folder, output_dir)


def _moves(work_dir: Path, output_dir: Path) -> list[Move]:
    found: list[Move] = []
    for place in _work_dirs(work_dir):
        with contextlib.suppress(*UNREADABLE):
            found += StoredOutcome.read(place, output_dir).moves
    return found


def _work_dirs(work_dir: Path) -> list[Path]:
    """Return *work_dir* and the folders in it: on the machines of a fleet each attempt has one of its own."""
    try:
        return [work_dir, *(Path(each) for each in os.scandir(work_dir) if each.is_dir(follow_symlinks=False))]
    except OSError:
        return [work_dir]
