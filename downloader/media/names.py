"""Names and folders for media, by a template: safe on every file system, at most 200 bytes each."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import PurePath

from pathvalidate import sanitize_filename

from downloader.download_settings import DEFAULT_NAME_TEMPLATE, NAME_FIELDS
from downloader.presets import DEFAULT_PRESET
from downloader.util.path_parts import FORBIDDEN, is_hidden, is_reserved
from downloader.util.templates import Field, Part, PathTemplate, parse_template

#: A name is cut to this; file systems take 255, in bytes or in UTF-16 units.
MAX_NAME_BYTES = 200

#: A path is cut to this, counted from the output folder; macOS takes 1,024 from the root.
MAX_PATH_BYTES = 800

_MAX_ID_CHARACTERS = 48
_MAX_EXTENSION_CHARACTERS = 8

#: What encrypted shares take (eCryptfs, rclone), which do not always say so.
SHORT_NAME_BYTES = 143

#: Invisible but meaningful: within Persian or Hindi words, and between the parts of an emoji.
_JOINERS = "\u200c\u200d"

#: The flag of a region, England's for one: a black flag, its code in tags, the end of tags. Or any one character.
_FLAG_OR_CHARACTER = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f|.", re.DOTALL)

#: Fields of any text. They are cut where a name is too long, in this order.
_CUT = ("title", "uploader")

#: What separates fields in a template.
_SEPARATORS = " _-"

#: Joiners that join nothing.
_IDLE_JOINERS = re.compile(rf"(?:(?<=\s)|(?<=[{_JOINERS}])|^)[{_JOINERS}]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What the name of a media file is made of."""

    platform: str
    ids: tuple[str, ...]  #: of the post, and of the video in it if that has another
    title: str | None = None
    uploader: str | None = None
    date: str = ""  #: YYYY-MM-DD
    preset: str = DEFAULT_PRESET
    index: int = 1  #: of the file in its post

    def values(self, template: PathTemplate) -> dict[str, str]:
        """Return the values of the fields of *template*."""
        ids = self.ids
        if self.preset != DEFAULT_PRESET and not template.has("preset"):  # two presets of a post are two files
            ids += (self.preset,)
        return {
            "platform": self.platform,
            "id": "_".join(_short(_plain(part)) or "unknown" for part in ids),
            "title": readable(self.title or ""),
            "uploader": (readable(self.uploader or "") or "unknown") if template.has("uploader") else "",
            "date": self.date,
            "preset": self.preset,
            "index": f"{self.index:02}",
        }


@cache
def name_template(text: str = DEFAULT_NAME_TEMPLATE) -> PathTemplate:
    """Return the template of names that *text* is. Raises ValueError."""
    return parse_template(text, NAME_FIELDS)


@cache
def tells_posts_apart(template: PathTemplate) -> bool:
    """Tell whether files of two posts, or of two presets of a post, never have one name."""
    needed = {"platform", "id"} | ({"preset"} if template.has("preset") else set())
    return needed <= {name for part in template.parts for name in _read_off(part) | _read_off(_mirrored(part))}


def _read_off(part: Part) -> set[str]:
    """Return the fields whose values can be read off a name by its beginning: no other field touches them."""
    found = set()
    for piece, following in zip(part, (*part[1:], "/"), strict=True):
        if isinstance(piece, str):
            continue
        if piece.name in _CUT or isinstance(following, Field) or following[0].isalnum():
            break
        found.add(piece.name)
    return found


def _mirrored(part: Part) -> Part:
    return tuple(piece[::-1] if isinstance(piece, str) else piece for piece in reversed(part))


def media_paths(
    template: PathTemplate,
    naming: Naming,
    extension: str,
    *,
    folder: str = "",
    max_bytes: int = MAX_NAME_BYTES,
    spare_bytes: int = 0,
) -> list[str]:
    """Return paths below the output folder for a media file, the best one first.

    Each is shorter and plainer, for file systems that refuse it; in the last, text of others is left out or in ASCII.
    A name has at most *max_bytes*, with its extension and room for *spare_bytes*. The title is cut first, then the
    uploader; what tells posts apart is never cut, but in the end replaced by a digest.
    """
    suffix = f".{_plain(extension)[:_MAX_EXTENSION_CHARACTERS] or 'mp4'}"
    values = naming.values(template)
    short = min(max_bytes, SHORT_NAME_BYTES)
    plain = {**values, "title": "", "uploader": readable(_ascii(values["uploader"])) or "unknown"}
    choices = [(template.parts, values, max_bytes), (template.parts, values, short)]
    choices.append((tuple(map(_ascii_part, template.parts)), plain, short))
    found = []
    for (*folders, name), texts, most in choices:
        last = _part(name, texts, most - len(suffix) - spare_bytes) + suffix
        before = _folders(folders, texts, short, MAX_PATH_BYTES - len(f"{folder}/{last}".encode()))
        found.append("/".join((*((folder,) if folder else ()), *before, last)))
    return list(dict.fromkeys(found))


def _folders(parts: Sequence[Part], values: Mapping[str, str], max_bytes: int, room: int) -> list[str]:
    """Return the folders *parts*, which together, with their slashes, take *room* bytes."""
    found = [_part(part, values, max_bytes) for part in parts]
    if sum(len(folder.encode()) + 1 for folder in found) > room:
        found = [_part(part, values, room // len(parts) - 1) for part in parts]
    return found


def _part(part: Part, values: Mapping[str, str], max_bytes: int) -> str:
    text = _joined(part, values)
    for name in _CUT:
        over = len(text.encode()) - max_bytes
        if over <= 0:
            break
        if count := part.count(Field(name)):
            values = {**values, name: _cut(values[name], len(values[name].encode()) - -(-over // count))}
            text = _joined(part, values)
    text = unicodedata.normalize("NFC", _short(text, max_bytes)).strip(" .")
    if is_reserved(text):
        base, dot, rest = text.partition(".")
        text = _short(f"{base.rstrip(' ')}_{dot}{rest}", max_bytes).strip(" .")
    return text or "_"


def _joined(part: Part, values: Mapping[str, str]) -> str:
    """Return *part* with its *values*; what separates an empty one from others is left out."""
    found: list[str] = []
    after_text = after_gap = False
    for piece in part:
        if isinstance(piece, str):
            found.append(piece.lstrip(_SEPARATORS) if after_gap else piece)
        elif value := values[piece.name]:
            found.append(value)
        elif after_text:
            found[-1] = found[-1].rstrip(_SEPARATORS)
        after_gap = not (found or isinstance(piece, str))
        after_text = isinstance(piece, str)
    return "".join(found)


def _cut(text: str, max_bytes: int) -> str:
    """Return as much of *text* as *max_bytes* take."""
    words = text.encode()[: max(max_bytes, 0)].decode(errors="ignore")
    # Remove a flag that was cut in half.
    return _FLAG_OR_CHARACTER.sub(_visible, words).rstrip(_JOINERS + " .")


def paths_together(paths: Iterable[Sequence[str]]) -> list[str]:
    """Return safe paths for files in one place, each given by its folders and its name: unique on every system.

    Those from `media_paths` stay as they are, unless another one differs only in case.
    """
    safe = [tuple(readable(part) or "unknown" for part in path) for path in paths]
    taken = {spelling("/".join(path[:length])) for path in safe for length in range(1, len(path))}  # by folders
    found = []
    for path in safe:
        free = PurePath(*path)
        for number in itertools.count(2):
            if spelling(free.as_posix()) not in taken:
                break
            free = numbered(PurePath(*path), number)
        taken.add(spelling(free.as_posix()))
        found.append(free.as_posix())
    return found


def numbered(path: PurePath, number: int) -> PurePath:
    """Return *path* with a number before its extension."""
    return path.with_name(f"{path.stem} ({number}){path.suffix}")


def spelling(name: str) -> str:
    """Return *name* without the differences that Windows and macOS ignore: case and Unicode normalization."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _plain(text: str) -> str:
    """Return *text* reduced to the characters of ids."""
    return re.sub(r"[^A-Za-z0-9_-]", "", text)


def _short(text: str, most: int = _MAX_ID_CHARACTERS) -> str:
    """Return *text*, cut and with a digest if it has more than *most* bytes, so that long ids stay unique."""
    if len(text.encode()) <= most:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{_cut(text, most - 13)}-{digest}"


def _ascii(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text).encode("ascii", errors="ignore").decode()
    return "".join(letter for letter in letters if letter not in FORBIDDEN)


def _ascii_part(part: Part) -> Part:
    return tuple(_ascii(piece) if isinstance(piece, str) else piece for piece in part)


@lru_cache(maxsize=16)  # each name is tried in several lengths
def readable(title: str) -> str:
    """Return *title* without what could confuse a file system, a shell or a reader."""
    text = unicodedata.normalize("NFC", title)
    if not (text.isascii() and text.isprintable()):
        text = _FLAG_OR_CHARACTER.sub(_visible, text)
    text = sanitize_filename(text, replacement_text=" ", platform="universal")
    return " ".join(_IDLE_JOINERS.sub("", text).split()).strip(" .")


def _visible(match: re.Match[str]) -> str:
    """Return the character or flag; a blank for what is hidden."""
    text = match[0]
    stays = len(text) > 1 or text in _JOINERS or not is_hidden(text)
    return text if stays else " "
