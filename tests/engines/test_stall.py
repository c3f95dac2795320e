"""The watch for attempts that make no progress."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import pytest

from downloader.engines.stall import Stalled, StallWatch
from downloader.jobs import Progress, Work
from downloader.settings import Settings


async def test_growing_files_count_as_progress(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(stall_timeout_seconds=30)
    job = Work(job_id="1", platform="tiktok", link="", output_dir="", work_dir=str(settings.storage_dir))
    now = [1000.0]
    watch = StallWatch(job, settings.for_downloads(), clock=lambda: now[0])
    settings.storage_dir.mkdir()
    part = settings.storage_dir / "1-7.mp4.part"
    part.write_bytes(b"x")
    now[0] += 31
    end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.05, end.set_result, 7)
    assert await watch.wait_for(end) == 7
    now[0] += 31  # and no write
    with pytest.raises(Stalled):
        await watch.wait_for(asyncio.get_running_loop().create_future())
    watch.note(Progress(job_id="1", phase="merging"))
    now[0] += 599  # ffmpeg is given more
    waiting = asyncio.ensure_future(watch.wait_for(asyncio.get_running_loop().create_future()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, 0.1)


@pytest.mark.parametrize("skew_seconds", [-7200, 7200])
async def test_a_clock_that_is_set_does_not_count_as_progress(
    make_settings: Callable[..., Settings], skew_seconds: float
) -> None:
    """A clock set back, or a file server whose clock is ahead, makes files from the future: not a sign of life."""
    settings = make_settings(stall_timeout_seconds=30)
    job = Work(job_id="1", platform="tiktok", link="", output_dir="", work_dir=str(settings.storage_dir))
    now = [1000.0]
    watch = StallWatch(job, settings.for_downloads(), clock=lambda: now[0])
    settings.storage_dir.mkdir()
    part = settings.storage_dir / "1-7.mp4.part"
    part.write_bytes(b"x")
    os.utime(part, (time.time() + skew_seconds,) * 2)
    now[0] += 31
    assert watch.seconds_left_since_write() == (30 if skew_seconds > 0 else pytest.approx(-7170, abs=5))
    for write in range(3):
        os.utime(part, (time.time() + skew_seconds + write,) * 2)
        now[0] += 31
        assert watch.seconds_left_since_write() == 30
    now[0] += 31
    with pytest.raises(Stalled):
        await watch.wait_for(asyncio.get_running_loop().create_future())
