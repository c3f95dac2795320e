"""Where finished files go: names that the output folder takes, and that are not taken."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from downloader.media.downloads import Downloaded
from downloader.media.names import MAX_NAME_BYTES, media_paths, name_template, spelling, tells_posts_apart
from downloader.util.templates import PathTemplate

#: Of a number that tells a file from another of its name.
_NUMBER_BYTES = len(" (9999)")


@dataclass(frozen=True, slots=True)
class Layout:
    """How files are named, and in which folder they lie."""

    template: PathTemplate = name_template()  # noqa: RUF009 -- frozen
    folder: str = ""  #: below the output folder, checked

    @property
    def replaces(self) -> bool:
        """Whether a file of the same name is one of the same post, and is replaced; else the new one gets a number."""
        return tells_posts_apart(self.template)


def find_places(
    platform: str, downloads: Sequence[Downloaded], output_dir: Path, preset: str, layout: Layout
) -> list[tuple[Path, ...]]:
    """Return the places for each file, the best one first.

    Where the layout tells posts apart, those of one post that would collide are told apart too.
    """
    paths = partial(_paths, platform, preset, layout, _max_name_bytes(output_dir))
    found = []
    taken: set[str] = set()
    for number, each in enumerate(downloads, start=1):
        own = paths(each, number)
        if layout.replaces:
            first_is_taken = spelling(own[0]) in taken or _is_taken_by_another(output_dir, own[0])
            if first_is_taken or not taken.isdisjoint(map(spelling, own)):
                others = paths(replace(each, video_id=f"{each.video_id}-{number}"), number)
                own = others if first_is_taken else [own[0], *others[1:]]
            taken.update(map(spelling, own))
        found.append(tuple(output_dir / path for path in own))
    return found


def _paths(platform: str, preset: str, layout: Layout, max_bytes: int, found: Downloaded, index: int) -> list[str]:
    # The names of its companions are longer.
    longest = max((len(companion.suffix.encode()) for companion in found.companions), default=0)
    spare_bytes = max(longest - len(found.path.suffix), 0) + (0 if layout.replaces else _NUMBER_BYTES)
    return media_paths(
        layout.template,
        found.naming(platform, preset, index),
        found.path.suffix,
        folder=layout.folder,
        max_bytes=max_bytes,
        spare_bytes=spare_bytes,
    )


def beside_video(places: Sequence[Path], suffix: str) -> tuple[Path, ...]:
    """Return the places of a companion, whose name ends in *suffix*, of the video with these *places*."""
    return tuple(place.with_name(place.stem + suffix) for place in places)


def _is_taken_by_another(output_dir: Path, path: str) -> bool:
    """Tell whether *path* leads to a folder, which a request may have named so, or a file spelled in another case."""
    place = output_dir / path
    if not os.path.lexists(place):
        return False
    if place.is_dir():
        return True
    # Not every file system is case-sensitive.
    parts = place.relative_to(output_dir).parts
    return any(map(_is_in_other_case, (place, *place.parents[: len(parts) - 1])))


def _is_in_other_case(place: Path) -> bool:
    if not os.path.lexists(place.with_name(place.name.swapcase())):
        return False
    return place.name not in (unicodedata.normalize("NFC", each.name) for each in place.parent.iterdir())


def _max_name_bytes(folder: Path) -> int:
    """Return the maximum length of a name in *folder*, as far as its file system reports it."""
    try:
        most = os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows has no pathconf, and not every system this limit
        return MAX_NAME_BYTES
    return most if 0 < most < MAX_NAME_BYTES else MAX_NAME_BYTES
