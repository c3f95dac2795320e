"""What the tests of the engines share."""

from __future__ import annotations

import asyncio
import os
import select
from pathlib import Path
from typing import Literal

import pytest

from downloader.engines.processes import ProcessEngine
from downloader.jobs import Progress, Work
from downloader.models import Outcome
from downloader.platforms import PlatformType
from tests.simulator.client import Simulator

Kind = Literal["threads", "processes"]

SIZE_BYTES = 200_000
LARGE_BYTES = 2_000_000


def work(
    tmp_path: Path, simulator: Simulator, scenario: str = "ok", serial: int = 0, platform: PlatformType = "tiktok"
) -> Work:
    assert platform != "unknown"
    name = f"{platform}-{scenario}-{serial}"
    return Work(
        job_id=name,
        platform=platform,
        link=simulator.url(platform, scenario, serial),
        output_dir=str(tmp_path / "raw"),
        work_dir=str(tmp_path / "work" / name),
    )


def ignore(progress: Progress) -> None: ...


def started(engine: ProcessEngine, job: Work) -> tuple[asyncio.Task[Outcome], asyncio.Event]:
    """Run *job*; return its task, and what is set when bytes of it arrive."""
    arriving = asyncio.Event()

    def note(progress: Progress) -> None:
        if progress.downloaded_bytes:
            arriving.set()

    return asyncio.create_task(engine.run(job, note)), arriving


def workers(engine: ProcessEngine, *, busy: bool = False) -> list[int]:
    """Return the process ids of the workers that are ready, or only of the busy ones."""
    return [worker.process.pid or 0 for worker in engine.pool.ready if worker.attempts or not busy]


def wait_for_exit(pidfd: int, timeout_seconds: float = 5.0) -> bool:
    """Wait until the process of *pidfd* has ended; it may not have been reaped yet."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    try:
        return bool(poll.poll(timeout_seconds * 1000))
    finally:
        os.close(pidfd)


class HangingFfmpeg:
    """An ffmpeg that reports its process id and hangs when asked to merge, and otherwise works."""

    def __init__(self, folder: Path, ffmpeg: str) -> None:
        folder.mkdir()
        self.folder = folder
        pipe = folder / "pid"
        os.mkfifo(pipe)
        # Open for both directions and before anyone writes, so that neither side waits for the other to open it.
        self._fd = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        script = folder / "ffmpeg"
        script.write_text(
            f"#!/bin/sh\ncase \"$*\" in *'-map 0'*) echo $$ > '{pipe}'; exec tail -f /dev/null;; esac\n"
            f"exec '{ffmpeg}' \"$@\"\n"
        )
        script.chmod(0o755)

    def pidfd(self) -> int:
        """Return the process that hangs, once there is one."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if not poll.poll(20_000):
            pytest.fail("no ffmpeg was asked to merge")
        return os.pidfd_open(int(os.read(self._fd, 100)))

    def close(self) -> None:
        os.close(self._fd)
