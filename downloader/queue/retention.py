"""Deletes jobs that ended long ago, and their files, a few at a time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from downloader.media.removal import MediaRemoval
from downloader.queue.interval import Every
from downloader.store.repository import Store

log = logging.getLogger(__name__)

#: Jobs deleted at once: few enough that other users of the database do not notice.
PORTION = 50

_MAX_INTERVAL_SECONDS = 600.0


class Retention:
    """Blocking; the time is handed in."""

    def __init__(self, store: Store, removal: MediaRemoval, days: float) -> None:
        """Keep what ended less than *days* ago."""
        self._store = store
        self._removal = removal
        self._kept = timedelta(days=days)
        self._every = Every(min(max(self._kept.total_seconds() / 20, 1.0), _MAX_INTERVAL_SECONDS))

    @property
    def interval_seconds(self) -> float:
        """How often to look for old jobs."""
        return self._every.seconds

    def remove_some(self, now: datetime) -> bool:
        """Delete some of what is too old, if it is time to; tell whether there may be more."""
        if not self._every.is_due(now):
            return False
        old = self._store.finished_before(now - self._kept, PORTION)
        if old:
            ids = [job.id for job in old]
            # First the files: a process killed in between finds the records again, and would not find the files.
            files = self._removal.remove((path for job in old for path in job.files), of=ids)
            jobs = self._store.delete(ids, now=now)
            log.info("old jobs deleted", extra={"jobs": len(jobs), "files": files})
        more = len(old) == PORTION
        if more:
            self._every.expire()
        else:
            self._every.done(now)
        return more
