"""File names for media: safe on every file system, unique for each video, at most 200 bytes."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath

from pathvalidate import sanitize_filename

MAX_NAME_BYTES = 200
_MAX_ID_CHARACTERS = 48
_MAX_EXTENSION_CHARACTERS = 8


def media_name(platform: str, ids: tuple[str, ...], title: str | None, extension: str) -> str:
    """Return the name of a media file: `<platform>_<id>[_<id>]_<title>.<extension>`.

    Platform and ids come first, so that only the title is ever cut and two posts of one title stay apart.
    """
    stem = "_".join([platform, *(_short(_plain(part)) or "unknown" for part in ids)])
    suffix = f".{_plain(extension)[:_MAX_EXTENSION_CHARACTERS] or 'mp4'}"
    words = _readable(title or "")
    room = MAX_NAME_BYTES - len((stem + "_" + suffix).encode())
    words = words.encode()[:room].decode(errors="ignore").rstrip(" .")
    return (f"{stem}_{words}" if words else stem) + suffix


def names_together(names: Iterable[str]) -> list[str]:
    """Return what files of these *names* are called in one folder: no paths, and no two alike on any system.

    Names that `media_name` made stay as they are, except where another differs by case alone.
    """
    taken: set[str] = set()
    found = []
    for name in names:
        safe = PurePath(_readable(name) or "unknown")
        free, number = safe.name, 1
        while _as_compared(free) in taken:
            number += 1
            free = f"{safe.stem} ({number}){safe.suffix}"
        taken.add(_as_compared(free))
        found.append(free)
    return found


def _as_compared(name: str) -> str:
    """Return *name* without what Windows and macOS take no notice of."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _plain(text: str) -> str:
    """Return *text* reduced to what an id is made of."""
    return "".join(
        character for character in text if character.isascii() and (character.isalnum() or character in "-_")
    )


def _short(text: str) -> str:
    """Return *text*, or where it is too long its beginning with a digest, so that two long ids stay apart."""
    if len(text) <= _MAX_ID_CHARACTERS:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{text[: _MAX_ID_CHARACTERS - 13]}-{digest}"


def _readable(title: str) -> str:
    """Return *title* without what a file system, a shell or a reader's eye could trip over."""
    text = unicodedata.normalize("NFC", title)
    # Controls, invisible and direction-turning characters, lone surrogates: all of Unicode's "other" categories, except
    # the joiner that composed emoji are made with.
    text = "".join(
        " " if unicodedata.category(character).startswith("C") and character != "\u200d" else character
        for character in text
    )
    text = sanitize_filename(text, replacement_text=" ", platform="universal")
    return " ".join(text.split()).strip(" .")
