"""The statistics of the last hours, over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from downloader.models import Media, Outcome
from tests.web.world import TIKTOK

STATISTICS = "/api/v1/statistics"


def by_platform(said: Any) -> dict[str, Any]:
    return {each["platform"]: each for each in said["platforms"]}


def test_before_the_first_download_there_are_zeros_and_nulls(client: FlaskClient) -> None:
    said = client.get(STATISTICS).get_json()
    assert said.keys() == {"since", "until", "bucket_seconds", "platforms"}
    since, until = (datetime.fromisoformat(said[name]) for name in ("since", "until"))
    assert (until - since, said["bucket_seconds"]) == (timedelta(hours=24), 3600)
    assert by_platform(said).keys() == {"tiktok", "instagram", "twitter", "youtube"}
    tiktok = by_platform(said)["tiktok"]
    assert len(buckets := tiktok.pop("buckets")) == 24
    assert tiktok == {
        "platform": "tiktok", "label": "TikTok", "succeeded": 0, "failed": 0, "success_rate": None, "bytes": 0,
        "bytes_per_second": None, "median_seconds": None, "p90_seconds": None, "errors": [],
    }  # fmt: skip
    assert {tuple(bucket.items())[1:] for bucket in buckets} == {
        (("succeeded", 0), ("failed", 0), ("bytes", 0), ("median_seconds", None))
    }
    assert datetime.fromisoformat(buckets[0]["at"]) == since


def test_what_ended_is_told(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(url: str, output_dir: str) -> Outcome:
        if url.endswith("/3"):
            return Outcome(False, None, "It is gone.", error_code="removed")
        path = Path(output_dir) / f"{url[-1]}.mp4"
        path.write_bytes(bytes(1000))
        return Outcome(True, str(path), None, media=Media(files=(str(path),), size_bytes=1000))

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    client.post("/download/batch", json={"urls": [f"{TIKTOK}{number}" for number in (1, 2, 3)] + ["rubbish"]})
    said = client.get(f"{STATISTICS}?hours=1").get_json()
    tiktok = by_platform(said)["tiktok"]
    assert (tiktok["succeeded"], tiktok["failed"], tiktok["bytes"]) == (2, 1, 2000)
    assert tiktok["success_rate"] == pytest.approx(2 / 3)
    assert tiktok["bytes_per_second"] > 0
    assert 0 <= tiktok["median_seconds"] <= tiktok["p90_seconds"] < 10
    assert tiktok["errors"] == [{"error_code": "removed", "count": 1}]
    [bucket] = tiktok["buckets"]
    assert (bucket["succeeded"], bucket["failed"], bucket["bytes"]) == (2, 1, 2000)
    assert bucket["median_seconds"] == tiktok["median_seconds"]
    assert by_platform(said)["youtube"]["success_rate"] is None


@pytest.mark.parametrize(("hours", "bucket_seconds", "buckets"), [(1, 3600, 1), (48, 3600, 48), (168, 14_400, 42)])
def test_long_spans_have_longer_buckets(client: FlaskClient, hours: int, bucket_seconds: int, buckets: int) -> None:
    said = client.get(f"{STATISTICS}?hours={hours}").get_json()
    assert said["bucket_seconds"] == bucket_seconds
    assert {len(platform["buckets"]) for platform in said["platforms"]} == {buckets}


@pytest.mark.parametrize(
    "query", ["hours=0", "hours=169", "hours=1.5", "hours=", "hours=a", "hours=1&hours=2", "days=1"]
)
def test_a_bad_span_is_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"{STATISTICS}?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.get_json()["error"]
