"""Looks at a database without changing it."""

from __future__ import annotations

from downloader.store.database import connect, migrations, reading, refusing, revision
from downloader.store.schema import HEAD


def is_migrated(database_url: str) -> bool:
    """Tell whether the schema of *database_url* is that of this version; if not, the next start migrates it.

    Raises:
        StartRefused: it cannot be opened, is not ours, or was made by a newer version.
    """
    engine, name = connect(database_url)
    try:
        with refusing(name), reading(engine) as connection:
            before = revision(connection)
            if before not in (None, HEAD):
                migrations(before, name)
            return before == HEAD
    finally:
        engine.dispose()
