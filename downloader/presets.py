"""Presets: what to get of a post, in words that users choose among. Data only; `ytdlp.options` says how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, get_args

ListingOrder = Literal["newest", "oldest"]

#: How many entries are taken of a collection at most.
MAX_ENTRIES = 10_000

PresetKind = Literal["video", "audio"]

#: What the files of a post are: `photos` if it has only pictures, and perhaps their sound.
Kind = Literal["video", "audio", "photos", "collection"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: The preset that needs no word in a file's name. The operator may set another default.
DEFAULT_PRESET = "video"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What to get of a post."""

    name: str
    label: str
    kind: PresetKind = "video"
    max_height: int | None = None  #: of the shorter side, which of upright videos is the width; None: no limit
    smallest: bool = False
    description: str = ""  #: what it gives, in one sentence
    ytdlp_options: Mapping[str, Any] = field(default_factory=dict)  #: the operator's own; they override all others


def _at_most(pixels: int) -> Preset:
    return Preset(
        name=f"{pixels}p",
        label=f"Up to {pixels}p",
        max_height=pixels,
        description=f"The best video whose shorter side has at most {pixels} pixels, or else the smallest there is.",
    )


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name=DEFAULT_PRESET,
            label="Best video",
            description="The best video in H.264, which plays everywhere, as an mp4.",
        ),
        *map(_at_most, (1080, 720, 480)),
        Preset(
            name="smallest",
            label="Smallest video",
            smallest=True,
            description="The smallest video there is, for slow connections and full disks.",
        ),
        Preset(
            name="audio",
            label="Sound only",
            kind="audio",
            description="The sound as the platform has it, mostly as .m4a.",
        ),
        Preset(name="mp3", label="Sound as mp3", kind="audio", description="The sound, encoded as .mp3."),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expand:
    """How a collection is taken apart."""

    limit: int = 100  #: entries in all, `MAX_ENTRIES` at most
    order: ListingOrder = "newest"  #: newest: as the platform lists it; oldest: the reverse
    since: date | None = None  #: only what was posted on that day or later, as far as the platform says


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to get of each post of a batch, and how."""

    preset: Preset = PRESETS[DEFAULT_PRESET]
    subtitles: tuple[str, ...] = ()  #: codes of languages
    folder: str = ""  #: where to put the files, below the output folder; checked, with / between its parts
    again: bool = False  #: also what is there already
    expand: Expand | None = None  #: None: a collection is not taken apart, and fails
    photos: bool = True  #: pictures too
