"""Is there room for another download?"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

#: How often the disk is looked at.
LOOK_SECONDS = 5.0


class DiskWatch:
    """Looks at the free space of a folder's disk, now and then; the time is handed in."""

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._looked_at: datetime | None = None
        self.low = False  #: as of the last look

    def free_bytes(self) -> int:
        """Return what is free; 0 where the folder is gone."""
        try:
            return shutil.disk_usage(self._folder).free
        except OSError:
            return 0

    def look(self, now: datetime) -> bool:
        """Look again if it is time to; tell whether `low` changed."""
        age = LOOK_SECONDS if self._looked_at is None else (now - self._looked_at).total_seconds()
        if 0 <= age < LOOK_SECONDS:  # below 0: the clock was set back
            return False
        self._looked_at = now
        before, self.low = self.low, self.free_bytes() < self._min_free_bytes
        return self.low != before
