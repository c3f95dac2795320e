"""File names for media: safe on every file system, unique for each video, at most 200 bytes."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePath

from pathvalidate import sanitize_filename

#: A name is cut to this; file systems take 255, in bytes or in UTF-16 units.
MAX_NAME_BYTES = 200
_MAX_ID_CHARACTERS = 48
_MAX_EXTENSION_CHARACTERS = 8

#: What encrypted shares take (eCryptfs, rclone), which do not always say so.
_SHORT_NAME_BYTES = 143

#: Invisible but meaningful: within Persian or Hindi words, and between the parts of an emoji.
_JOINERS = "\u200c\u200d"

#: The flag of a region, England's for one: a black flag, its code in tags, the end of tags. Or any one character.
_FLAG_OR_CHARACTER = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f|.", re.DOTALL)

#: Joiners that join nothing.
_IDLE_JOINERS = re.compile(rf"(?:(?<=\s)|(?<=[{_JOINERS}])|^)[{_JOINERS}]+")


def media_name(
    platform: str, ids: tuple[str, ...], title: str | None, extension: str, max_bytes: int = MAX_NAME_BYTES
) -> str:
    """Return the name of a media file: `<platform>_<id>[_<id>]_<title>.<extension>`, of at most *max_bytes*.

    Only the title is ever cut, so that posts with the same title keep different names.
    """
    suffix = f".{_plain(extension)[:_MAX_EXTENSION_CHARACTERS] or 'mp4'}"
    stem = "_".join([platform, *(_short(_plain(part)) or "unknown" for part in ids)])
    stem = _short(stem, max_bytes - len(suffix))
    words = _readable(title or "")
    room = max(max_bytes - len((stem + "_" + suffix).encode()), 0)
    if len(words.encode()) > room:
        words = words.encode()[:room].decode(errors="ignore")
        # Remove a flag that was cut in half.
        words = _FLAG_OR_CHARACTER.sub(_visible, words).rstrip(_JOINERS + " .")
    return (f"{stem}_{words}" if words else stem) + suffix


def media_names(
    platform: str, ids: tuple[str, ...], title: str | None, extension: str, max_bytes: int = MAX_NAME_BYTES
) -> list[str]:
    """Return names for a media file, the best one first; each is shorter and plainer, for file systems that refuse it.

    The last has only the ids, in ASCII.
    """
    short = min(max_bytes, _SHORT_NAME_BYTES)
    choices = ((title, max_bytes), (title, short), (None, short))
    return list(dict.fromkeys(media_name(platform, ids, words, extension, most) for words, most in choices))


def names_together(names: Iterable[str]) -> list[str]:
    """Return safe names for files of these *names* in one folder: no paths, and unique on every system.

    Names from `media_name` stay as they are, unless another one differs only in case.
    """
    taken: set[str] = set()
    found = []
    for name in names:
        safe = PurePath(_readable(name) or "unknown")
        free, number = safe.name, 1
        while spelling(free) in taken:
            number += 1
            free = f"{safe.stem} ({number}){safe.suffix}"
        taken.add(spelling(free))
        found.append(free)
    return found


def spelling(name: str) -> str:
    """Return *name* without the differences that Windows and macOS ignore: case and Unicode normalization."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _plain(text: str) -> str:
    """Return *text* reduced to the characters of ids."""
    return re.sub(r"[^A-Za-z0-9_-]", "", text)


def _short(text: str, most: int = _MAX_ID_CHARACTERS) -> str:
    """Return *text*, cut and with a digest if it is too long, so that long ids stay unique."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{text[: max(most - 13, 0)]}-{digest}"


@lru_cache(maxsize=16)  # each name is tried in several lengths
def _readable(title: str) -> str:
    """Return *title* without what could confuse a file system, a shell or a reader."""
    text = unicodedata.normalize("NFC", title)
    text = _FLAG_OR_CHARACTER.sub(_visible, text)
    text = sanitize_filename(text, replacement_text=" ", platform="universal")
    return " ".join(_IDLE_JOINERS.sub("", text).split()).strip(" .")


def _visible(match: re.Match[str]) -> str:
    """Return the character or flag; a blank for Unicode's "other" categories.

    These are controls, invisible characters, changes of direction and lone surrogates.
    """
    text = match[0]
    stays = len(text) > 1 or text in _JOINERS or not unicodedata.category(text).startswith("C")
    return text if stays else " "
