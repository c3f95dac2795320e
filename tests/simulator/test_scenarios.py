"""Every scenario of the simulator, through real yt-dlp: the right code, the right file, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from downloader.batch_downloader import DownloadSession, download_single_video
from downloader.errors import RETRYABLE
from downloader.media.check import check_media, check_sound
from downloader.media.photos import check_picture
from downloader.settings import Settings
from downloader.ytdlp.resume import PARTIAL_DIR
from tests.simulator.client import Simulator
from tests.simulator.model import Platform, Scenario
from tests.simulator.scenarios import SCENARIOS

PLAYED = [(platform, scenario) for scenario in SCENARIOS.values() for platform in scenario.platforms]


def media_in(raw_dir: Path) -> set[Path]:
    return {path for path in raw_dir.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("platform", "scenario"), PLAYED, ids=[f"{platform}-{scenario.name}" for platform, scenario in PLAYED]
)
async def test_a_scenario_gives_its_code_and_leaves_no_stray_file(
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    ffmpeg: str,
    platform: Platform,
    scenario: Scenario,
) -> None:
    # A post that hangs is waited for once a request and retry.
    patience = {"socket_timeout_seconds": 0.3} if scenario.expected(platform) == "timeout" else {}
    session = DownloadSession(make_settings(**patience))
    url = simulator.url(platform, scenario.name)
    record = await download_single_video(url, session=session)
    if scenario.name.endswith("_once") and record["retryable"]:
        # Trouble that passes: what it is called is another scenario's matter, that the next try works is this one's.
        record = await download_single_video(url, session=session)

    expected = scenario.expected(platform)
    assert record["error_code"] == expected, record
    assert record["success"] is (expected is None)
    assert record["platform"] == platform
    assert record["retryable"] is (expected in RETRYABLE)
    raw_dir = session.settings.raw_dir
    if expected is None:
        assert record["error"] is None
        assert media_in(raw_dir) == {Path(name) for name in record["files"]}
        assert record["file_path"] == record["files"][0]
        for name in record["files"]:
            check = {".mp4": check_media, ".m4a": check_sound}.get(Path(name).suffix, check_picture)
            check(Path(name), ffmpeg)
            assert len(Path(name).name.encode()) <= 200
        assert record["size_bytes"] == sum(Path(name).stat().st_size for name in record["files"])
    else:
        assert record["error"].endswith(".")
        assert record["detail"]
        assert record["file_path"] is None
        assert record["files"] == []
        assert media_in(raw_dir) == set()
    assert list((raw_dir / PARTIAL_DIR).iterdir()) == []
    stats = simulator.stats()
    assert stats.errors == ()
    assert stats.unknown_hosts == {}
    assert stats.canary_hits == 0
    simulator.release()
