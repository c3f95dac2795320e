"""Deletes jobs that were done with long ago, and their files, a few at a time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from downloader.media.removal import MediaRemoval
from downloader.store.repository import Store

log = logging.getLogger(__name__)

#: Jobs that are deleted at once: what else wants the database does not notice.
PORTION = 50

_LONGEST_LOOK_SECONDS = 600.0


class Retention:
    """Blocking; the time is handed in."""

    def __init__(self, store: Store, removal: MediaRemoval, days: float | None) -> None:
        """Keep what ended less than *days* ago; None: everything, for ever."""
        self._store = store
        self._removal = removal
        self._kept = None if days is None else timedelta(days=days)
        self._looked_at: datetime | None = None

    @property
    def look_seconds(self) -> float | None:
        """How often to look; None: there is no need to."""
        return None if self._kept is None else min(max(self._kept.total_seconds() / 20, 1.0), _LONGEST_LOOK_SECONDS)

    def remove_some(self, now: datetime) -> bool:
        """Delete some of what is too old, if it is time to look; tell whether there may be more."""
        if self._kept is None or self.look_seconds is None:
            return False
        age = self.look_seconds if self._looked_at is None else (now - self._looked_at).total_seconds()
        if 0 <= age < self.look_seconds:  # below 0: the clock was set back
            return False
        old = self._store.finished_before(now - self._kept, PORTION)
        if old:
            ids = [job.id for job in old]
            # First the files: a process killed in between finds the records again, and would not find the files.
            files = self._removal.remove((path for job in old for path in job.files), of=ids)
            jobs = self._store.delete(ids, now=now)
            log.info("old jobs deleted", extra={"jobs": len(jobs), "files": files})
        more = len(old) == PORTION
        self._looked_at = None if more else now
        return more
