"""Statistics computed from counts: medians, spans, and every bucket there."""

from __future__ import annotations

import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.jobs import EndedAttempts
from downloader.platforms import PlatformType
from downloader.queue.statistics import Bucket, ErrorCount, Span, compute, quantile

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
LABELS: dict[PlatformType, str] = {"tiktok": "TikTok", "youtube": "YouTube"}


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([7], 0.5, 7),
        ([7], 0.9, 7),
        ([1, 2], 0.5, 1.5),
        ([1, 2, 9], 0.5, 2),
        ([1, 1, 1, 9], 0.5, 1),
        ([1, 1, 9, 9], 0.5, 5),
        ([0, 0, 0], 0.5, 0),
        (range(1, 11), 0.9, 9.5),
        (range(1, 12), 0.9, 10),
        (range(1, 101), 0.9, 90.5),
        ([1] * 9 + [50], 0.9, 25.5),
        ([1] * 899 + [50] * 101, 0.9, 50),
    ],
)
def test_a_quantile_is_where_a_share_ends(values: Any, share: float, expected: float | None) -> None:
    assert quantile(Counter(values), share) == expected


@given(st.lists(st.integers(0, 50), min_size=1))
def test_the_half_is_the_median(values: list[int]) -> None:
    assert quantile(Counter(values), 0.5) == statistics.median(values)


@pytest.mark.parametrize(
    ("hours", "bucket_hours", "buckets"),
    [(1, 1, 1), (24, 1, 24), (48, 1, 48), (49, 2, 25), (96, 2, 48), (97, 3, 33), (168, 4, 42)],
)
def test_a_span_has_few_buckets_of_whole_hours(hours: int, bucket_hours: int, buckets: int) -> None:
    span = Span.last(hours, NOW)
    assert (span.until - span.since, span.until) == (timedelta(hours=hours), NOW)
    assert span.bucket_seconds == bucket_hours * 3600
    beginnings = span.starts()
    assert len(beginnings) == buckets
    assert beginnings[0] == span.since
    assert NOW - timedelta(hours=bucket_hours) <= beginnings[-1] < NOW


def test_any_span_fits() -> None:
    assert max(len(Span.last(hours, NOW).starts()) for hours in range(1, 169)) == 48


def ended(bucket: int, tenths: int, count: int = 1, **more: Any) -> EndedAttempts:
    values = {
        "platform": "tiktok",
        "error_code": None,
        "bytes": 100 * count,
        "timed_microseconds": tenths * count * 10**5,
    }
    return EndedAttempts(bucket=bucket, tenths=tenths, count=count, **values | more)


def test_a_platform_where_nothing_ended_has_nulls_and_all_its_buckets() -> None:
    span = Span.last(3, NOW)
    [tiktok, youtube] = compute(span, [], LABELS).platforms
    assert (tiktok.platform, tiktok.label, youtube.platform) == ("tiktok", "TikTok", "youtube")
    assert (tiktok.succeeded, tiktok.failed, tiktok.bytes, tiktok.errors) == (0, 0, 0, [])
    assert tiktok.success_rate is tiktok.bytes_per_second is tiktok.median_seconds is tiktok.p90_seconds is None
    assert tiktok.buckets == [Bucket(at=span.since + timedelta(hours=number)) for number in range(3)]


def test_what_ended_is_summed_up_by_platform_and_bucket() -> None:
    span = Span.last(2, NOW)
    found = compute(
        span,
        [
            ended(0, 10, 3),
            ended(1, 20),
            ended(1, 40),
            ended(1, 0, 2, error_code="network", bytes=0, timed_microseconds=0),
            ended(0, 0, 1, error_code="timeout", bytes=0, timed_microseconds=0),
            ended(0, 0, 1, error_code="private", bytes=0, timed_microseconds=0),
            ended(0, 30, platform="youtube"),
            ended(0, 5, platform="unknown"),
        ],
        LABELS,
    )
    tiktok, youtube = found.platforms
    assert (tiktok.succeeded, tiktok.failed, tiktok.success_rate, tiktok.bytes) == (5, 4, 5 / 9, 500)
    assert tiktok.bytes_per_second == pytest.approx(500 / 9)
    assert (tiktok.median_seconds, tiktok.p90_seconds) == (1.0, 4.0)
    assert tiktok.errors == [
        ErrorCount(error_code="network", count=2),
        ErrorCount(error_code="private", count=1),
        ErrorCount(error_code="timeout", count=1),
    ]
    assert tiktok.buckets == [
        Bucket(at=span.since, succeeded=3, failed=2, bytes=300, median_seconds=1.0),
        Bucket(at=span.since + timedelta(hours=1), succeeded=2, failed=2, bytes=200, median_seconds=3.0),
    ]
    assert (youtube.succeeded, youtube.success_rate, youtube.median_seconds) == (1, 1.0, 3.0)


def test_where_no_size_is_known_there_is_no_throughput() -> None:
    [tiktok, _] = compute(Span.last(1, NOW), [ended(0, 10, bytes=0, timed_microseconds=0)], LABELS).platforms
    assert (tiktok.succeeded, tiktok.bytes, tiktok.bytes_per_second) == (1, 0, None)
