"""Whether a failed attempt is tried again, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from downloader.errors import RETRYABLE, STORAGE_CODES, ErrorCode
from downloader.jobs import LONGEST_ASKED_SECONDS

#: The longest pause before the second attempt; it doubles with each further one.
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 300.0

#: The second round waits at least this long, whatever the jitter: the job failed for good a moment ago.
SHORTEST_SECOND_ROUND_PAUSE_SECONDS = 1.0

#: A full or failing disk is tried again after this, without backoff: no platform is asked too often.
DISK_PAUSE_SECONDS = 60.0


def next_attempt_at(
    code: ErrorCode,
    attempts: int,
    max_attempts: int,
    *,
    now: datetime,
    random: Random,
    retry_after_seconds: float | None = None,
    cooling_until: datetime | None = None,
) -> datetime | None:
    """Return when to try again after attempt number *attempts* ended with *code*, or None if that is no use.

    Exponential backoff with full jitter (any time between now and the pause), never before what the platform asked for.
    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    if attempts >= max_attempts:
        return None
    if code in STORAGE_CODES:
        return now + timedelta(seconds=DISK_PAUSE_SECONDS)
    if code not in RETRYABLE:
        return None
    asked_until = now + timedelta(seconds=min(retry_after_seconds or 0, LONGEST_ASKED_SECONDS))
    return max(asked_until, cooling_until or now) + timedelta(seconds=_jitter_seconds(attempts, random))


def second_try_at(
    code: ErrorCode | None, attempts: int, *, now: datetime, random: Random, cooling_until: datetime | None = None
) -> datetime | None:
    """Return when to retry what failed for good after *attempts*, now that its batch has ended; None: not at all.

    Backoff and jitter are those of `next_attempt_at`; the limit on attempts does not apply.
    """
    if code not in RETRYABLE:
        return None
    pause_seconds = max(_jitter_seconds(attempts, random), SHORTEST_SECOND_ROUND_PAUSE_SECONDS)
    return max(now, cooling_until or now) + timedelta(seconds=pause_seconds)


def _jitter_seconds(attempts: int, random: Random) -> float:
    exponent = min(max(attempts, 1) - 1, 20)
    return random.uniform(0, min(FIRST_PAUSE_SECONDS * 2**exponent, LONGEST_PAUSE_SECONDS))
