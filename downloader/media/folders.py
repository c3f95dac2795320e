"""Folders below the output folder: which may be named, how they are created, and when they go."""

from __future__ import annotations

import errno
import stat
import unicodedata
from contextlib import suppress
from pathlib import Path

from downloader.media.names import SHORT_NAME_BYTES, readable
from downloader.util.path_parts import FORBIDDEN, is_hidden, is_reserved

MAX_FOLDERS = 5
MAX_FOLDER_BYTES = 400


def parse_folder(text: str) -> str:
    """Return *text*, the path of a folder below the output folder, without blanks around it, in NFC; or "" for none.

    Raises:
        ValueError: it could lead elsewhere, or not every file system takes it.
    """
    folder = unicodedata.normalize("NFC", text.strip(" "))
    if not folder:
        return ""
    if folder.startswith("/"):
        raise ValueError("it must not begin with /")
    parts = folder.split("/")
    if len(parts) > MAX_FOLDERS:
        raise ValueError(f"it may be {MAX_FOLDERS} folders deep")
    for part in parts:
        _check_part(part)
    if len(folder.encode()) > MAX_FOLDER_BYTES:
        raise ValueError(f"it is longer than {MAX_FOLDER_BYTES} bytes")
    return folder


def _check_part(part: str) -> None:
    if not part:
        raise ValueError("a name between its slashes is empty")
    if not FORBIDDEN.isdisjoint(part):
        raise ValueError('it must not contain any of \\ : * ? " < > |')
    if part.startswith("."):
        raise ValueError("no name in it may begin with a dot")
    if part != part.strip(" ") or part.endswith("."):
        raise ValueError("no name in it may begin with a blank, nor end with a blank or a dot")
    if is_reserved(part):
        raise ValueError("Windows reserves one of its names")
    # Joiners and flags are hidden too, but mean something in their places.
    if part != readable(part) and (any(map(is_hidden, part)) or part.split() != part.split(" ")):
        raise ValueError("it must not contain control characters, invisible ones or several blanks in a row")
    if part != readable(part):
        raise ValueError("it has a name that not every system takes")
    if len(part.encode()) > SHORT_NAME_BYTES:
        raise ValueError(f"one of its names is longer than {SHORT_NAME_BYTES} bytes")


def make_folder(output_dir: Path, folder: Path) -> None:
    """Create *folder*, below *output_dir*, with all that is between them; *output_dir* itself must be there.

    Raises:
        NotADirectoryError: one of them is a link, which could lead anywhere, or a file.
    """
    path = output_dir
    for part in folder.relative_to(output_dir).parts:
        path /= part
        try:
            seen = path.lstat()
        except FileNotFoundError:
            path.mkdir(exist_ok=True)
            seen = path.lstat()
        if not stat.S_ISDIR(seen.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is a link or a file, not a folder", str(path))


def is_below(path: Path, output_dir: Path) -> bool:
    """Tell whether *path* is below *output_dir* by way of real folders alone. Raises OSError if one is missing."""
    if ".." in path.parts or path == output_dir or not path.is_relative_to(output_dir):
        return False
    between = [folder for folder in path.parents if folder != output_dir and folder.is_relative_to(output_dir)]
    return all(stat.S_ISDIR(folder.lstat().st_mode) for folder in between)


def remove_empty_folders(folder: Path, output_dir: Path) -> None:
    """Remove *folder* and the folders between it and *output_dir*, as far as they are empty."""
    with suppress(OSError):
        if is_below(folder / "any", output_dir):  # by no link
            while folder != output_dir:
                folder.rmdir()
                folder = folder.parent
