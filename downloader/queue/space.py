"""How much lies in the storage folder, against what the operator allows it to hold."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

#: How often the folders are measured; between two times what arrives is added up.
MEASURE_SECONDS = 30.0


class StorageWatch:
    """Measures some folders now and then; the time is handed in. Without a limit it does nothing."""

    def __init__(self, folders: Iterable[Path], max_bytes: int | None) -> None:
        self._folders = tuple(folders)
        self._max_bytes = max_bytes
        self._measured_at: datetime | None = None
        self._used_bytes = 0
        self.full = False  #: as of the last look

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all; without one it is never full."""
        return self._max_bytes is not None

    def arrived(self, size_bytes: int) -> None:
        """Note a file that is there now and was not when the folders were measured."""
        self._used_bytes += size_bytes

    def measure_soon(self) -> None:
        """Have the next look measure: something was deleted."""
        self._measured_at = None

    def look(self, now: datetime) -> bool:
        """Measure if it is time to; tell whether `full` changed. Blocking: 100,000 files take half a second."""
        if self._max_bytes is None:
            return False
        age = MEASURE_SECONDS if self._measured_at is None else (now - self._measured_at).total_seconds()
        if not 0 <= age < MEASURE_SECONDS:  # below 0: the clock was set back
            self._measured_at = now
            self._used_bytes = sum(size for folder in self._folders for size in _sizes(folder))
        before, self.full = self.full, self._used_bytes >= self._max_bytes
        return self.full != before


def _sizes(folder: Path | str) -> Iterator[int]:
    """Yield the size of each file below *folder*; links are not followed, and what goes meanwhile is passed over."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(entry.path)
                else:
                    yield _size(entry)
    except OSError:
        return


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
