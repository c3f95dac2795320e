"""New SQLite databases: copied, as making their tables takes most of the time of a short test."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from downloader.store.repository import Store


def make_database(path: Path) -> None:
    """Make a database with our tables at *path*, unless something is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_new_database())


@cache
def _new_database() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "new.db")
        Store.open(f"sqlite:///{path}").close()
        return path.read_bytes()
