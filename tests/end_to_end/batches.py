"""Batches sent to a real server: submitted, followed, and checked when they have ended."""

from __future__ import annotations

import contextlib
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downloader.media.check import check_media
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS

FINAL = frozenset({"succeeded", "failed", "cancelled"})

#: Scenarios that fail for good.
_LASTING = ("removed", "private")


def mixed_urls(simulator: Simulator, number: int) -> list[str]:
    """Return links of all platforms, every tenth of which fails."""
    return [
        simulator.url(PLATFORMS[each % 4], _LASTING[each // 10 % 2] if each % 10 == 9 else "ok", each)
        for each in range(number)
    ]


def check_mixed(jobs: list[dict[str, Any]], ffmpeg: str) -> list[dict[str, Any]]:
    """Check that the jobs of `mixed_urls` have ended as they should; return those that succeeded."""
    wrong = Counter(
        str(job["error_code"]) for number, job in enumerate(jobs) if number % 10 != 9 and job["state"] != "succeeded"
    )
    assert not wrong
    for number, job in enumerate(jobs):
        if number % 10 == 9:
            assert job["state"] == "failed", job
            assert job["error_code"] in ("removed", "private", "ip_blocked", "login_required"), job
        else:
            check_media(Path(job["file_path"]), ffmpeg)
    return [job for job in jobs if job["state"] == "succeeded"]


def check_files(storage: Path, jobs: list[dict[str, Any]]) -> None:
    """Check that *storage* holds the files of *jobs* and nothing else."""
    assert set((storage / "raw").iterdir()) == {Path(name) for job in jobs for name in job["files"]}
    assert list((storage / "work").iterdir()) == []


def submit(server: Server, urls: list[str]) -> str:
    """Submit a batch; return its id."""
    status, answer = server.ask("POST", "/api/v1/batches", {"urls": urls})
    assert status == 202, answer
    batch_id: str = answer["batch"]["id"]
    return batch_id


def jobs_of(server: Server, batch_id: str) -> list[dict[str, Any]]:
    status, answer = server.ask("GET", f"/api/v1/batches/{batch_id}")
    assert status == 200, answer
    jobs: list[dict[str, Any]] = answer["jobs"]
    return jobs


def let_run(server: Server, seconds: float) -> None:
    """Let the server run for a while, and fail if it ends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(timeout=seconds)
        pytest.fail("the server ended")


def follow(server: Server, batch_id: str, until: Callable[[list[dict[str, Any]]], bool], polls: int = 480) -> Any:
    """Return the jobs of a batch once *until* is true of them."""
    for _ in range(polls):
        jobs = jobs_of(server, batch_id)
        if until(jobs):
            return jobs
        let_run(server, 0.25)
    raise TimeoutError(Counter(job["state"] for job in jobs))


def all_final(jobs: list[dict[str, Any]]) -> bool:
    return all(job["state"] in FINAL for job in jobs)


def none_running(jobs: list[dict[str, Any]]) -> bool:
    return not any(job["state"] == "running" for job in jobs)
