"""Templates of paths, such as `{uploader}/{date} {title}`.

They have a parser of their own because `str.format` can reach into the values that it is given.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from downloader.util.path_parts import FORBIDDEN, is_hidden

#: Of a template.
MAX_FOLDERS = 5

_PIECE = re.compile(r"(?P<text>(?:[^{}]|\{\{|\}\})+)|\{(?P<field>[a-z]+)\}")


@dataclass(frozen=True, slots=True)
class Field:
    """The place of a value."""

    name: str


Part = tuple[str | Field, ...]


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path with fields: folders, and a name without its extension."""

    parts: tuple[Part, ...]  #: the name is the last

    def has(self, name: str) -> bool:
        """Tell whether the field *name* occurs."""
        return any(Field(name) in part for part in self.parts)


def parse_template(text: str, fields: Collection[str]) -> PathTemplate:
    """Return the template *text*, which may have *fields*.

    Raises:
        ValueError: it is not a template; the reason lists the fields.
    """
    try:
        parts = tuple(_parse_part(part, fields) for part in unicodedata.normalize("NFC", text).split("/"))
        if len(parts) > MAX_FOLDERS + 1:
            raise ValueError(f"it may have at most {MAX_FOLDERS} folders")
    except ValueError as error:
        listed = ", ".join(f"{{{name}}}" for name in fields)
        raise ValueError(f"{error}; it is a path of text and the fields {listed}") from error
    return PathTemplate(parts)


def _parse_part(text: str, fields: Collection[str]) -> Part:
    if not text.strip():
        raise ValueError("a folder or the name is empty")
    pieces: list[str | Field] = []
    position = 0
    while position < len(text):
        found = _PIECE.match(text, position)
        if found is None:
            raise ValueError("braces must enclose the name of a field, and are doubled where they are text")
        position = found.end()
        if found["field"] is not None:
            if found["field"] not in fields:
                raise ValueError("it has an unknown field")
            pieces.append(Field(found["field"]))
        else:
            pieces.append(_checked(found["text"].replace("{{", "{").replace("}}", "}")))
    if isinstance(pieces[0], str) and pieces[0].lstrip().startswith("."):
        raise ValueError("no folder and no name may begin with a dot")
    return tuple(pieces)


def _checked(text: str) -> str:
    if not FORBIDDEN.isdisjoint(text):
        raise ValueError('it must not contain any of \\ : * ? " < > |')
    if any(map(is_hidden, text)):
        raise ValueError("it must not contain control characters or invisible ones")
    return text
