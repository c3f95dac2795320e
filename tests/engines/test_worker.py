"""The worker, on its own side of the pipe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.engines.conftest import StartEngine
from tests.engines.helpers import ignore, work
from tests.simulator.client import Simulator


async def test_workers_log_through_the_server(
    start_engine: StartEngine, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await start_engine()
    job = work(tmp_path, simulator, "removed")
    await engine.run(job, ignore)
    [record] = [record for record in caplog.records if record.message == "download failed"]
    assert record.name == "downloader.ytdlp.client"
    assert vars(record)["job_id"] == job.job_id
    assert vars(record)["error_code"] == "ip_blocked"
    assert record.process != os.getpid()
