"""Paths of media files: those below the media folder are stored relative to it, so that it may be moved."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, Engine

_OPTION = "media_folder"


def set_media_dir(engine: Engine, folder: Path) -> None:
    """Have all connections of *engine* take paths relative to *folder*."""
    engine.update_execution_options(**{_OPTION: f"{folder}{os.sep}"})


def stored_path(connection: Connection, path: str) -> str:
    """Return *path* as it is stored."""
    return path.removeprefix(connection.get_execution_options().get(_OPTION, ""))


def path_of(connection: Connection, stored: str) -> str:
    """Return the path that is *stored*; rows of earlier versions have absolute ones."""
    return os.path.join(connection.get_execution_options().get(_OPTION, ""), stored)  # noqa: PTH118 -- no Path: many
