"""Decides what becomes of a job whose attempt ended, and stores that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random

from downloader.errors import STORAGE_CODES, NotFound
from downloader.jobs import FINAL_STATES, AttemptEnd, AttemptResult, Job, JobState
from downloader.media.removal import MediaRemoval
from downloader.media.work_dir import remove_work_dir
from downloader.models import Outcome
from downloader.queue.database import Database
from downloader.queue.group_commit import GroupCommit
from downloader.queue.preemption import RunningAttempt
from downloader.queue.retry import next_attempt_at, second_try_at
from downloader.queue.storage import CHECK_INTERVAL_SECONDS, StorageMonitor
from downloader.queue.ways import Ways
from downloader.settings import Settings

log = logging.getLogger(__name__)

#: A preempted download is tried again after this.
PREEMPTED_PAUSE_SECONDS = 8.0

#: How long to wait before storing again what could not be stored.
STORE_RETRY_SECONDS = 2.0

#: Attempts that a job may lose to a disk that is otherwise well, before they count.
MAX_STORAGE_FAILURES = 20


#: Attempts of a job that do not count because another way out took it after a rate limit: afterwards they do.
MAX_HANDED_OVER = 10


def met_limit(outcome: Outcome | None) -> bool:
    """Return whether the platform limits the way out that the attempt took."""
    return outcome is not None and outcome.error_code == "rate_limited" and not outcome.walled


class NotStored(Exception):
    """The service stopped before the end of an attempt could be stored: the next start puts its job back."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a job, and what its attempt counts as."""

    state: JobState
    result: AttemptResult
    next_attempt_at: datetime | None = None


@dataclass(eq=False, kw_only=True)
class Completion:
    """All coroutines run on one event loop."""

    settings: Settings
    database: Database
    ways: Ways
    removal: MediaRemoval
    storage: StorageMonitor
    random: Random
    clock: Callable[[], datetime]
    closing: bool = False  #: set: what cannot be stored now is given up
    second_tries: int = 0  #: failed jobs that the store asked about when their batch ended

    def __post_init__(self) -> None:
        self._store = self.database.store
        self._store.on_batch_end(self._second_try)
        self.group = GroupCommit(self.database, self.clock, self._after_end)

    async def store_with_retry(
        self, attempt: RunningAttempt, outcome: Outcome | None, *, new_cooldowns: Collection[str], alone: bool
    ) -> Job | None:
        """Store the end of *attempt*, again and again where the database fails; return its job.

        None: it was cancelled or deleted. *new_cooldowns*: ways on which the state of its platform is to be stored too.
        *alone*: no other attempt runs.

        Raises:
            NotStored: the service stops.
        """
        logged = False
        while True:
            try:
                for egress in new_cooldowns:
                    await self.database.save_cooldown(attempt.job.platform, egress)
                return await self._store_end(attempt, outcome, alone=alone)
            except Exception as error:
                if not logged:
                    log.exception("the end of an attempt could not be stored", extra={"job_id": attempt.job.id})
                logged = True
                if self.closing:
                    raise NotStored from error
                await asyncio.sleep(STORE_RETRY_SECONDS)

    async def _store_end(self, attempt: RunningAttempt, outcome: Outcome | None, *, alone: bool) -> Job | None:
        job, reason = attempt.job, attempt.end_reason
        if outcome is None:
            log.info("attempt ended early", extra={"job_id": job.id, "platform": job.platform, "reason": reason})
            if reason == "cancelled":  # which is stored
                await asyncio.to_thread(self.removal.abandon, job.id)
                return None
        ended = await self.group.end(partial(self._end, attempt, outcome), alone=alone)
        if outcome is None:
            return ended
        assert attempt.ended_at is not None
        log.info(
            "attempt ended",
            extra={
                "job_id": job.id,
                "platform": job.platform,
                "attempt": job.counted_attempts,
                "state": "cancelled" if ended is None else ended.state,
                "error_code": outcome.error_code,
                "size_bytes": None if outcome.media is None else outcome.media.size_bytes,
                "seconds": round((attempt.ended_at - attempt.started_at).total_seconds(), 3),
            },
        )
        if ended is not None and outcome.media is not None:
            self.storage.quota.arrived(outcome.media.size_bytes)
        return ended

    def _end(self, attempt: RunningAttempt, outcome: Outcome | None) -> AttemptEnd:
        assert attempt.ended_at is not None
        job, now = attempt.job, attempt.ended_at
        if outcome is not None:
            verdict = self._verdict(attempt, outcome, now)
        elif attempt.end_reason == "preempted":
            verdict = Verdict("waiting", "interrupted", now + timedelta(seconds=PREEMPTED_PAUSE_SECONDS))
        else:
            verdict = Verdict("queued", "interrupted")
        return AttemptEnd(
            job_id=job.id,
            state=verdict.state,
            result=verdict.result,
            outcome=outcome,
            at=now,
            next_attempt_at=verdict.next_attempt_at,
            details=attempt.details,
            attempt=job.attempt_number,
        )

    def _verdict(self, attempt: RunningAttempt, outcome: Outcome, now: datetime) -> Verdict:
        job, code = attempt.job, outcome.error_code
        if outcome[0]:
            return Verdict("succeeded", "succeeded")
        if code is None:
            return Verdict("failed", "failed")
        if code in STORAGE_CODES:
            # Not the link's fault, so it costs no attempt. It is queued until the storage can be used again.
            if self.storage.failed_since(attempt.disk_faults):
                return Verdict("queued", "interrupted")
            # Something about this job alone, such as another user's unfinished file; it may pass, but not for ever.
            if job.attempt_number <= MAX_STORAGE_FAILURES and not job.final_attempt:
                pause_seconds = min(CHECK_INTERVAL_SECONDS * job.attempt_number, 60)
                return Verdict("waiting", "interrupted", now + timedelta(seconds=pause_seconds))
        limited = met_limit(outcome)
        if limited and self._is_handed_over(attempt, now):
            return Verdict("queued", "interrupted")
        retry_at = next_attempt_at(
            code,
            job.counted_attempts,
            # A mark on the job, not a count: a job put back by the second round has used up its attempts, but after a
            # restart max_attempts may be higher, and it would get more than the one further attempt.
            job.counted_attempts if job.final_attempt else self.settings.max_attempts,
            now=now,
            random=self.random,
            # What a way waits for is in its cooldown; another may be free sooner.
            retry_after_seconds=None if limited else outcome.retry_after_seconds,
            cooling_until=self.ways.cooling_until(job.platform, now),
        )
        return Verdict("failed" if retry_at is None else "waiting", "failed", retry_at)

    def _is_handed_over(self, attempt: RunningAttempt, now: datetime) -> bool:
        """Tell whether the job of *attempt*, which met a limit, is left to another way out, and that costs nothing."""
        job = attempt.job
        is_free = job.attempt_number - job.counted_attempts < MAX_HANDED_OVER
        return is_free and self.ways.other(job.platform, now, but={job.egress})

    def _after_end(self, end: AttemptEnd, ended: Job | None) -> Job | None:
        """Remove the files that are no longer needed now that *end* is stored. Blocking.

        Return the job as it is then; None where it was cancelled or deleted.
        """
        ended = ended or self._stored_before(end)
        try:
            if ended is not None and ended.state == "succeeded":
                remove_work_dir(self.settings.work_dir / end.job_id)
            elif ended is None or ended.state in FINAL_STATES:
                media = None if end.outcome is None else end.outcome.media
                self.removal.abandon(end.job_id, () if media is None else media.files)
        except Exception:  # the end is stored: storing it again would find the job cancelled
            log.exception("the files of an attempt could not be removed", extra={"job_id": end.job_id})
        return ended

    def _stored_before(self, end: AttemptEnd) -> Job | None:
        """Return its job if *end* is stored although the database failed to confirm it."""
        try:
            found = self._store.job(end.job_id)
        except NotFound:
            return None
        same = found.attempt_number == end.attempt
        return found if same and found.state in {"succeeded", "failed", "waiting"} else None

    def _second_try(self, job: Job, now: datetime) -> datetime | None:
        """Return when *job*, which failed and whose batch has ended, is tried once more. In any thread."""
        self.second_tries += 1
        until = self.ways.cooling_until(job.platform, now)
        return second_try_at(job.error_code, job.counted_attempts, now=now, random=self.random, cooling_until=until)
