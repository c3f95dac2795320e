"""What a page says of its post: the right words of yt-dlp's info, and nothing that strangers could make too large."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.media.details import MAX_TEXT, MAX_THUMBNAILS, MAX_URL, details_of
from downloader.models import Details

INFO: dict[str, Any] = {
    "title": "Ada's garden",
    "uploader": "Ada",
    "channel": "Ada's channel",
    "uploader_id": "@ada",
    "timestamp": 1_760_000_000,
    "duration": 12,
    "width": 1080,
    "height": 1920,
    "filesize": 1000,
    "thumbnail": "https://cdn.example/default.jpg",
}


def test_details_are_those_of_the_info() -> None:
    assert details_of(INFO) == Details(
        title="Ada's garden",
        uploader="Ada",
        uploaded_at=datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC),
        duration_seconds=12.0,
        width=1080,
        height=1920,
        size_bytes=1000,
        thumbnails=("https://cdn.example/default.jpg",),
    )


def test_nothing_is_known_of_an_empty_info() -> None:
    assert details_of({}) == Details()


def test_a_sound_has_no_width_and_height() -> None:
    details = details_of(INFO, "audio")
    assert (details.width, details.height) == (None, None)


@pytest.mark.parametrize(
    ("without", "expected"),
    [((), "Ada"), (("uploader",), "Ada's channel"), (("uploader", "channel"), "@ada")],
)
def test_the_uploader_is_the_name_that_people_know(without: tuple[str, ...], expected: str) -> None:
    assert details_of({name: value for name, value in INFO.items() if name not in without}).uploader == expected


@pytest.mark.parametrize(
    ("timestamp", "date", "expected"),
    [
        (None, "20260314", datetime(2026, 3, 14, tzinfo=UTC)),
        (0, None, None),
        (1_760_000_000_000, None, None),  # milliseconds
        (-(10**30), None, None),
        (math.nan, None, None),
        (math.inf, None, None),
        (None, "20261399", None),
        (None, "today", None),
        (None, 20260314, None),
    ],
)
def test_absurd_times_are_dropped(timestamp: Any, date: Any, expected: datetime | None) -> None:
    assert details_of({"timestamp": timestamp, "upload_date": date}).uploaded_at == expected


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"requested_formats": [{"filesize": 5}, {"filesize": 7}]}, 12),
        ({"requested_formats": [{"filesize": 5}, {"filesize_approx": 7}]}, None),
        ({"filesize_approx": 7}, None),
        ({"filesize": 5, "n_entries": 3}, None),  # those of the others are not known yet
        ({"filesize": 5, "n_entries": 1}, 5),
    ],
)
def test_a_size_is_that_of_all_files_or_unknown(info: dict[str, Any], expected: int | None) -> None:
    assert details_of(info).size_bytes == expected


def url(name: str) -> str:
    return f"https://cdn.example/{name}"


@pytest.mark.parametrize(
    ("thumbnails", "expected"),
    [
        (
            [
                {"url": url("120.jpg"), "width": 120},
                {"url": url("336.jpg"), "width": 336},
                {"url": url("1280.jpg"), "width": 1280},
            ],
            ["336.jpg", "default.jpg", "1280.jpg"],
        ),
        (
            [{"url": url("320.avif"), "width": 320}, {"url": url("640.webp"), "width": 640}],
            ["640.webp", "default.jpg", "320.avif"],
        ),
        ([{"url": url("a.jpg")}, {"url": url("b.heic")}], ["default.jpg", "a.jpg", "b.heic"]),
        ([{"url": url("200.jpg"), "width": 200}], ["default.jpg", "200.jpg"]),
        ([{"url": url("default.jpg"), "width": 400}], ["default.jpg"]),
        ([{"url": "ftp://cdn.example/a.jpg"}, {"url": None}, {"url": "/a.jpg"}, "a.jpg", None], ["default.jpg"]),
        ([{"url": url("a" * MAX_URL)}], ["default.jpg"]),
    ],
)
def test_the_smallest_thumbnail_that_is_wide_enough_comes_first(thumbnails: list[Any], expected: list[str]) -> None:
    found = details_of({"thumbnail": url("default.jpg"), "thumbnails": thumbnails}).thumbnails
    assert list(found) == [url(name) for name in expected]


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3000),
    st.lists(st.dictionaries(st.sampled_from(["url", "width", "filesize"]), st.text() | st.integers() | st.none())),
)


@given(st.dictionaries(st.sampled_from([*INFO, "thumbnails", "upload_date"]), ANYTHING))
def test_whatever_a_page_says_is_bounded(info: dict[str, Any]) -> None:
    details = details_of(info)
    assert len(details.title or "") <= MAX_TEXT
    assert len(details.uploader or "") <= MAX_TEXT
    assert details.uploaded_at is None or 1990 <= details.uploaded_at.year < 2100
    assert details.duration_seconds is None or 0 <= details.duration_seconds < 1e9
    for number in (details.width, details.height, details.size_bytes):
        assert number is None or 0 < number <= 2**50
    assert len(details.thumbnails) <= MAX_THUMBNAILS
    assert all(len(each) <= MAX_URL and each.startswith("http") for each in details.thumbnails)
