"""Where finished files go: names that the output folder takes, and that are not taken."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from downloader.media.downloads import Downloaded
from downloader.media.names import MAX_NAME_BYTES, spelling


def find_places(
    platform: str, downloads: Sequence[Downloaded], output_dir: Path, preset: str
) -> list[tuple[Path, ...]]:
    """Return the places for each file, the best one first; one that would collide with another gets a number."""
    most = _max_name_bytes(output_dir)
    taken: set[str] = set()
    places = []
    for number, found in enumerate(downloads, start=1):
        # The names of its companions are longer.
        longest = max((len(beside.suffix.encode()) for beside in found.companions), default=0)
        max_bytes = most - max(longest - len(found.path.suffix), 0)
        names = found.final_names(platform, max_bytes, preset)
        first_is_taken = spelling(names[0]) in taken or _is_taken_by_other_case(output_dir / names[0])
        if first_is_taken or not taken.isdisjoint(map(spelling, names)):
            numbered = replace(found, video_id=f"{found.video_id}-{number}").final_names(platform, max_bytes, preset)
            names = numbered if first_is_taken else [names[0], *numbered[1:]]
        taken.update(map(spelling, names))
        places.append(tuple(output_dir / name for name in names))
    return places


def beside(places: Sequence[Path], suffix: str) -> tuple[Path, ...]:
    """Return the places of a companion, whose name ends in *suffix*, of the video with these *places*."""
    return tuple(place.with_name(place.stem + suffix) for place in places)


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
