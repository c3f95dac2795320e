"""Statistics of the platforms over a span of time, computed from counts. Pure logic."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate

from downloader.errors import ErrorCode
from downloader.jobs import EndedAttempts
from downloader.platforms import PlatformType

HOUR_SECONDS = 3600
MAX_BUCKETS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformView:
    """The state of a platform, and its last hour."""

    platform: PlatformType
    label: str  #: as its users write it
    cap: int  #: downloads at once that it is allowed at present
    running: int
    queued: int
    waiting: int
    cooling_until: datetime | None  #: it gets no request before
    succeeded_last_hour: int
    failed_last_hour: int
    mean_seconds_last_hour: float | None  #: of the succeeded ones

    @property
    def success_rate_last_hour(self) -> float | None:
        """From 0 to 1; None where nothing ended."""
        ended = self.succeeded_last_hour + self.failed_last_hour
        return self.succeeded_last_hour / ended if ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCount:
    """The number of attempts that failed with an error code."""

    error_code: ErrorCode
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What ended in one part of the span, from `at` on."""

    at: datetime
    succeeded: int = 0
    failed: int = 0
    bytes: int = 0
    median_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformStatistics:
    """One platform's statistics; bytes and seconds are of attempts that succeeded."""

    platform: PlatformType
    label: str
    succeeded: int
    failed: int
    bytes: int
    bytes_per_second: float | None
    median_seconds: float | None
    p90_seconds: float | None
    errors: Sequence[ErrorCount]  #: most frequent first
    buckets: Sequence[Bucket]  #: all of the span, in order

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None where nothing ended."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From `since` until just before `until`, in buckets; the last one may be shorter."""

    since: datetime
    until: datetime
    bucket_seconds: int

    @classmethod
    def last(cls, hours: int, now: datetime) -> Span:
        """Return the last *hours* in buckets of whole hours, as few hours as give at most `MAX_BUCKETS`."""
        bucket_seconds = math.ceil(hours / MAX_BUCKETS) * HOUR_SECONDS
        return cls(since=now - timedelta(hours=hours), until=now, bucket_seconds=bucket_seconds)

    def starts(self) -> list[datetime]:
        """Return when each bucket starts."""
        number = math.ceil((self.until - self.since).total_seconds() / self.bucket_seconds)
        return [self.since + timedelta(seconds=self.bucket_seconds * index) for index in range(number)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Every platform's statistics of a span."""

    span: Span
    platforms: Sequence[PlatformStatistics]


@dataclass(slots=True)
class _Sum:
    succeeded: int = 0
    failed: int = 0
    bytes: int = 0
    timed_microseconds: int = 0
    tenths: Counter[int] = field(default_factory=Counter)

    def add(self, ended: EndedAttempts) -> None:
        if ended.error_code is not None:
            self.failed += ended.count
            return
        self.succeeded += ended.count
        self.bytes += ended.bytes
        self.timed_microseconds += ended.timed_microseconds
        self.tenths[ended.tenths] += ended.count


def compute(span: Span, ended: Iterable[EndedAttempts], labels: Mapping[PlatformType, str]) -> Statistics:
    """Return the statistics of what *ended* in *span*, for the platforms that have *labels*, in that order."""
    by_platform: dict[PlatformType, list[EndedAttempts]] = {platform: [] for platform in labels}
    for each in ended:
        if each.platform in by_platform:
            by_platform[each.platform].append(each)
    starts = span.starts()
    return Statistics(
        span=span,
        platforms=[_of_platform(platform, labels[platform], of, starts) for platform, of in by_platform.items()],
    )


def _of_platform(
    platform: PlatformType, label: str, ended: Iterable[EndedAttempts], starts: Sequence[datetime]
) -> PlatformStatistics:
    whole, parts, errors = _Sum(), [_Sum() for _ in starts], Counter[ErrorCode]()
    for each in ended:
        whole.add(each)
        parts[each.bucket].add(each)
        if each.error_code is not None:
            errors[each.error_code] += each.count
    seconds = whole.timed_microseconds / 1e6
    return PlatformStatistics(
        platform=platform,
        label=label,
        succeeded=whole.succeeded,
        failed=whole.failed,
        bytes=whole.bytes,
        bytes_per_second=whole.bytes / seconds if seconds > 0 else None,
        median_seconds=_seconds(whole.tenths, 0.5),
        p90_seconds=_seconds(whole.tenths, 0.9),
        errors=[
            ErrorCount(error_code=code, count=count)
            for code, count in sorted(errors.items(), key=lambda item: (-item[1], item[0]))
        ],
        buckets=[
            Bucket(
                at=at,
                succeeded=part.succeeded,
                failed=part.failed,
                bytes=part.bytes,
                median_seconds=_seconds(part.tenths, 0.5),
            )
            for at, part in zip(starts, parts, strict=True)
        ],
    )


def _seconds(tenths: Mapping[int, int], share: float) -> float | None:
    value = quantile(tenths, share)
    return None if value is None else value / 10


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the value that a *share* of all does not exceed; *counts*: how often each value occurs. None: no values.

    Where the share ends just between two values, it is half way between them: the median of 1 and 2 is 1.5.
    """
    if not counts:
        return None
    values = sorted(counts)
    ends = list(accumulate(counts[value] for value in values))
    # 0.9 is not quite nine tenths.
    place = round(share * ends[-1], 6)
    low, high = bisect_left(ends, place), min(bisect_right(ends, place), len(values) - 1)
    return (values[low] + values[high]) / 2
