"""Limits of one file: what is declared, what is guessed, and what arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from downloader.errors import DownloadFailed
from downloader.media.limits import ArrivalCount, MediaLimits

LIMITS = MediaLimits(file_bytes=1000, duration_seconds=60)


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"filesize": 1000, "duration": 60},
        {"duration": 61},  # rounded
        {"duration": "long"},
        {"filesize_approx": 2000},  # a guess
        {"requested_formats": [{"filesize": 500}, {"filesize": 500}, {}]},
    ],
)
def test_what_may_fit_is_begun(info: dict[str, Any]) -> None:
    LIMITS.check_plan(info)


@pytest.mark.parametrize(
    "info",
    [
        {"filesize": 1001},
        {"filesize_approx": 2001},
        {"requested_formats": [{"filesize": 501}, {"filesize": 500}]},
        {"requested_formats": [{"filesize": 900}, {"filesize_approx": 1200}]},
        {"duration": 62},
        {"duration": 61.5},
    ],
)
def test_what_cannot_fit_is_not(info: dict[str, Any]) -> None:
    with pytest.raises(DownloadFailed) as failure:
        LIMITS.check_plan(info)
    assert failure.value.code == "too_large"
    MediaLimits().check_plan(info)


def block(downloaded: int | None, *, part: str = "a", video: int = 1, **more: Any) -> dict[str, Any]:
    info = {"playlist_index": video}
    return {"status": "downloading", "filename": part, "downloaded_bytes": downloaded, "info_dict": info} | more


def test_the_parts_of_a_file_count_together_and_other_videos_apart() -> None:
    count = ArrivalCount(LIMITS)
    count(block(600))
    count(block(400, part="b"))
    count(block(1000, part="c", video=2))
    count(block(10))  # started over: the bytes from before still count
    with pytest.raises(DownloadFailed):
        count(block(401, part="b"))


def test_what_was_there_already_counts() -> None:
    count = ArrivalCount(LIMITS)
    with pytest.raises(DownloadFailed):
        count(block(None, status="finished", total_bytes=1001))


def test_fragments_of_an_earlier_attempt_count(tmp_path: Path) -> None:
    part = tmp_path / "v.part"
    part.write_bytes(bytes(999))
    count = ArrivalCount(LIMITS)
    count(block(10, tmpfilename=str(part), fragment_index=7))
    part.write_bytes(bytes(1001))
    count(block(20, tmpfilename=str(part), fragment_index=7))
    with pytest.raises(DownloadFailed):
        count(block(30, tmpfilename=str(part), fragment_index=8))


def test_no_limit_costs_nothing() -> None:
    ArrivalCount(MediaLimits())({"status": "downloading", "downloaded_bytes": 10**15})
