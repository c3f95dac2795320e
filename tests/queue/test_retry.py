"""Which failures are tried again, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from downloader.errors import ERROR_CODES, RETRYABLE, ErrorCode
from downloader.queue.retry import (
    DISK_PAUSE_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    SHORTEST_SECOND_ROUND_PAUSE_SECONDS,
    next_attempt_at,
    second_try_at,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pause_seconds(code: ErrorCode, attempts: int, *, max_attempts: int = 30, seed: int = 0) -> float | None:
    at = next_attempt_at(code, attempts, max_attempts, now=NOW, random=Random(seed))
    return None if at is None else (at - NOW).total_seconds()


@pytest.mark.parametrize("code", sorted(set(ERROR_CODES) - RETRYABLE - {"disk_full"}))
def test_what_no_retry_can_help_is_not_retried(code: ErrorCode) -> None:
    assert pause_seconds(code, 1) is None


@pytest.mark.parametrize("code", sorted(RETRYABLE | {"disk_full"}))
def test_the_rest_is_retried_until_its_tries_are_used_up(code: ErrorCode) -> None:
    assert pause_seconds(code, 1, max_attempts=3) is not None
    assert pause_seconds(code, 2, max_attempts=3) is not None
    assert pause_seconds(code, 3, max_attempts=3) is None


@pytest.mark.parametrize("attempts", range(1, 25))
def test_the_pause_grows_and_is_spread_over_all_of_it(attempts: int) -> None:
    longest = min(FIRST_PAUSE_SECONDS * 2 ** (attempts - 1), LONGEST_PAUSE_SECONDS)
    pauses = [pause for seed in range(300) if (pause := pause_seconds("network", attempts, seed=seed)) is not None]
    assert all(0 <= pause <= longest for pause in pauses)
    assert min(pauses) < longest * 0.1
    assert max(pauses) > longest * 0.9


def test_nothing_is_tried_before_the_platform_wants_it() -> None:
    at = next_attempt_at("rate_limited", 1, 3, now=NOW, random=Random(1), retry_after_seconds=30)
    assert at is not None
    assert at >= NOW + timedelta(seconds=30)
    until = NOW + timedelta(seconds=90)
    at = next_attempt_at("rate_limited", 1, 3, now=NOW, random=Random(1), retry_after_seconds=30, cooling_until=until)
    assert at is not None
    assert at >= until


def test_a_full_disk_is_looked_at_again_after_a_while() -> None:
    assert pause_seconds("disk_full", 1) == DISK_PAUSE_SECONDS


def second_pause_seconds(code: ErrorCode | None, attempts: int = 1, *, seed: int = 0) -> float | None:
    at = second_try_at(code, attempts, now=NOW, random=Random(seed))
    return None if at is None else (at - NOW).total_seconds()


@pytest.mark.parametrize("code", [*ERROR_CODES, None])
def test_a_second_round_is_for_what_is_retryable_and_for_nothing_else(code: ErrorCode | None) -> None:
    assert (second_pause_seconds(code) is not None) == (code in RETRYABLE)


@pytest.mark.parametrize("attempts", [0, 1, 2, 3, 30])
def test_the_pause_before_a_second_round_is_spread_and_never_too_short(attempts: int) -> None:
    longest = min(FIRST_PAUSE_SECONDS * 2 ** max(attempts - 1, 0), LONGEST_PAUSE_SECONDS)
    pauses = [pause for seed in range(300) if (pause := second_pause_seconds("network", attempts, seed=seed))]
    assert len(pauses) == 300
    assert all(SHORTEST_SECOND_ROUND_PAUSE_SECONDS <= pause <= longest for pause in pauses)
    assert max(pauses) > longest * 0.9


def test_a_second_round_waits_for_its_platform_to_have_rested() -> None:
    until = NOW + timedelta(seconds=90)
    at = second_try_at("rate_limited", 1, now=NOW, random=Random(1), cooling_until=until)
    assert at is not None
    assert at >= until + timedelta(seconds=SHORTEST_SECOND_ROUND_PAUSE_SECONDS)
    past = second_try_at("rate_limited", 1, now=NOW, random=Random(1), cooling_until=NOW - timedelta(days=1))
    assert past is not None
    assert past > NOW
