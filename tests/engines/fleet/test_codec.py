"""What crosses the broker comes back as it was, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from downloader.engines.fleet.codec import MAX_ITEMS, MAX_TEXT, decode, encode
from downloader.engines.fleet.wire import End, Report
from downloader.jobs import Entry, Page, Progress
from downloader.models import Details, Media
from downloader.presets import Expand

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DETAILS = Details(title="Blümchen 花", uploaded_at=NOW, duration_seconds=2.5, thumbnails=("https://a/1", "https://a/2"))
PAGE = Page(entries=(Entry(url="https://x.com/ada/status/1", platform="twitter", error_code="removed"),), position=1)
REPORT = Report(
    kind="page",
    node="a@1",
    job="job",
    attempt=2,
    progress=Progress(job_id="job", phase="extracting", details=DETAILS, page=PAGE),
    end=End(success=True, media=Media(files=("a/b.mp4",), size_bytes=7, kind="photos")),
)


@pytest.mark.parametrize("value", [REPORT, Expand(limit=3, order="oldest", since=date(2026, 1, 2))])
def test_what_is_encoded_comes_back(value: Any) -> None:
    assert decode(type(value), encode(value)) == value


def test_a_whole_number_is_taken_for_seconds() -> None:
    assert decode(Details, {"duration_seconds": 2}) == replace(Details(), duration_seconds=2.0)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "shutdown"},
        {"kind": None},
        {"node": 7},
        {"node": "x" * (MAX_TEXT + 1)},
        {"attempt": "2"},
        {"attempt": True},
        {"attempt": 2**31},
        {"attempt": 10**400},
        {"path": "/etc/passwd"},
        {"progress": []},
        {"progress": {"job_id": "job"}},
        {"progress": {"job_id": "job", "phase": "extracting", "eta_seconds": float("nan")}},
        {"progress": {"job_id": "job", "phase": "extracting", "details": {"uploaded_at": "yesterday"}}},
        {"progress": {"job_id": "job", "phase": "extracting", "details": {"uploaded_at": "2026-01-02T03:04:05"}}},
        {"progress": {"job_id": "job", "phase": "extracting", "details": {"uploaded_at": "0001-01-01T00:00:00+14:00"}}},
        {"progress": {"job_id": "job", "phase": "extracting", "downloaded_bytes": 2**60}},
        {"progress": {"job_id": "job", "phase": "extracting", "details": {"thumbnails": "https://a/1"}}},
        {"end": {"success": 1}},
        {"end": {"success": False, "error_code": "no_such_code"}},
        {"end": {"success": True, "media": {"files": ["a"] * (MAX_ITEMS + 1)}}},
    ],
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever it says
        decode(Report, encode(REPORT) | change)


@pytest.mark.parametrize("value", [None, "report", [], 1, {}])
def test_what_is_no_report_is_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever it says
        decode(Report, value)
