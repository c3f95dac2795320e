"""Batches survive an outage of their disk or database, and end as they would have without it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import postgres
from tests.end_to_end.batches import (
    all_final,
    check_files,
    check_mixed,
    follow,
    let_run,
    mixed_urls,
    none_running,
    submit,
)
from tests.mounts import remount, tmpfs
from tests.real_server import Server
from tests.simulator.client import Simulator

JOBS = 40
PACE = 400_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MANY = {"DOWNLOADER_WORKERS": "12", "DOWNLOADER_PLATFORM_CONCURRENCY": "6", "DOWNLOADER_MAX_ATTEMPTS": "1"}


def submit_many(server: Server, simulator: Simulator) -> str:
    return submit(server, mixed_urls(simulator, JOBS))


def some_done(jobs: list[dict[str, Any]]) -> bool:
    return sum(job["state"] == "succeeded" for job in jobs) >= 8 and any(job["state"] == "running" for job in jobs)


def until_storage(server: Server, *, fails: bool) -> str:
    """Wait until the server reports that its storage fails, or no longer fails; return what it says."""
    for _ in range(80):
        _, queue = server.ask("GET", "/api/v1/queue")
        trouble = queue["storage_error"] or ("disk_low" if queue["disk_low"] else "")
        if bool(trouble) is fails:
            return str(trouble)
        let_run(server, 0.25)
    raise TimeoutError(queue)


def until_idle(server: Server) -> None:
    """Wait until all attempts under way have ended."""
    for _ in range(120):
        _, metrics = server.read("/metrics")
        if re.search(rb"workers_busy 0\b", metrics):
            return
        let_run(server, 0.25)
    raise TimeoutError(metrics.decode())


def check_end(server: Server, batch_id: str, simulator: Simulator, storage: Path, ffmpeg: str) -> None:
    simulator.configure(media_bytes_per_second=0)
    jobs = follow(server, batch_id, all_final)
    check_files(storage, check_mixed(jobs, ffmpeg))
    assert server.ask("GET", "/readyz")[0] == 200


@pytest.fixture
def slowly(simulator: Simulator) -> Any:
    """Have downloads take a while."""
    simulator.configure(latency_ms=20, media_bytes_per_second=PACE)
    yield
    simulator.configure(latency_ms=0, media_bytes_per_second=0)


@pytest.fixture
def storage(tmp_path: Path) -> Any:
    """Return the storage folder, whose two folders are disks of their own."""
    with ExitStack() as stack:
        for name in ("raw", "work"):
            stack.enter_context(tmpfs(tmp_path / "storage" / name))
        yield tmp_path / "storage"


@pytest.mark.usefixtures("slowly")
def test_a_disk_that_becomes_read_only(
    start_server: Callable[..., Server], simulator: Simulator, storage: Path, ffmpeg: str
) -> None:
    server = start_server(**MANY)
    batch_id = submit_many(server, simulator)
    follow(server, batch_id, some_done)
    remount(storage / "raw", "ro")
    assert "Read-only file system" in until_storage(server, fails=True)
    status, answer = server.ask("GET", "/readyz")
    assert status == 503
    assert "Read-only file system" in answer["checks"]["disk"]
    jobs = follow(server, batch_id, none_running)
    assert not [job for job in jobs if job["error_code"] == "internal"]
    let_run(server, 1)
    assert Counter(job["state"] for job in follow(server, batch_id, lambda _: True))["running"] == 0
    remount(storage / "raw", "rw")
    check_end(server, batch_id, simulator, storage, ffmpeg)


@pytest.mark.usefixtures("slowly")
@pytest.mark.parametrize("name", ["work", "raw"])
def test_a_folder_that_is_deleted(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path, ffmpeg: str, name: str
) -> None:
    storage = tmp_path / "storage"
    server = start_server(**MANY)
    batch_id = submit_many(server, simulator)
    follow(server, batch_id, some_done)
    if name == "raw":  # with its files elsewhere, to be checked afterwards
        (storage / "raw").rename(storage / "aside")
    else:
        for _ in range(5):
            shutil.rmtree(storage / "work", ignore_errors=True)
    follow(server, batch_id, lambda jobs: (storage / name).is_dir())
    if name == "raw":
        follow(server, batch_id, all_final)
        for path in (storage / "aside").iterdir():
            path.rename(storage / "raw" / path.name)
    check_end(server, batch_id, simulator, storage, ffmpeg)


@pytest.mark.usefixtures("slowly")
def test_a_disk_that_is_not_mounted_for_a_while(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path, ffmpeg: str
) -> None:
    raw = tmp_path / "storage" / "raw"
    raw.mkdir(parents=True)
    with tmpfs(tmp_path / "nas") as nas:
        subprocess.run(["mount", "--bind", nas, raw], check=True)
        try:
            server = start_server(**MANY)
            batch_id = submit_many(server, simulator)
            follow(server, batch_id, some_done)
            subprocess.run(["umount", "--lazy", raw], check=True)
            assert "not mounted" in until_storage(server, fails=True)
            follow(server, batch_id, none_running)
            assert list(raw.iterdir()) == []
            subprocess.run(["mount", "--bind", nas, raw], check=True)
            check_end(server, batch_id, simulator, tmp_path / "storage", ffmpeg)
        finally:
            subprocess.run(["umount", "--lazy", raw], check=False)


@pytest.mark.usefixtures("slowly")
@pytest.mark.parametrize("min_free_bytes", ["0", "300000"])
def test_a_disk_that_is_full_until_there_is_room(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path, ffmpeg: str, min_free_bytes: str
) -> None:
    storage = tmp_path / "storage"
    with tmpfs(storage, size="4m"):
        database = f"sqlite:///{tmp_path / 'queue.db'}"
        server = start_server(**MANY, DOWNLOADER_MIN_FREE_BYTES=min_free_bytes, DOWNLOADER_DATABASE_URL=database)
        batch_id = submit_many(server, simulator)
        until_storage(server, fails=True)
        follow(server, batch_id, none_running)
        remount(storage, "size=512m")
        check_end(server, batch_id, simulator, storage, ffmpeg)


def test_finished_files_on_another_disk(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path, ffmpeg: str
) -> None:
    with tmpfs(tmp_path / "storage" / "raw"):
        server = start_server(**MANY)
        batch_id = submit_many(server, simulator)
        check_end(server, batch_id, simulator, tmp_path / "storage", ffmpeg)


@pytest.mark.usefixtures("slowly")
@pytest.mark.parametrize("file", ["downloader.db", "downloader.db-wal"])
def test_a_deleted_database_is_reported_and_accepts_nothing(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path, file: str
) -> None:
    server = start_server(**MANY)
    batch_id = submit_many(server, simulator)
    follow(server, batch_id, some_done)
    simulator.configure(media_bytes_per_second=PACE / 20)  # no place for another one before the server has noticed
    (tmp_path / "storage" / file).unlink()
    assert "was deleted" in until_storage(server, fails=True)
    status, answer = server.ask("GET", "/readyz")
    assert status == 503
    assert "was deleted" in answer["checks"]["database"]
    status, answer = server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok", 999)]})
    assert (status, "was deleted" in answer["error"]) == (503, True)
    simulator.configure(media_bytes_per_second=0)
    until_idle(server)
    started = simulator.stats().posts.keys()
    assert len(started) < JOBS
    let_run(server, 2)
    assert simulator.stats().posts.keys() == started
    assert [line for line in server.log if "ERROR" in line and "was deleted" in line]
    assert server.stop() == 0


@pytest.mark.usefixtures("slowly")
def test_a_database_that_is_away_for_a_while(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path, ffmpeg: str
) -> None:
    with postgres.own_server() as database:
        server = start_server(**MANY, DOWNLOADER_DATABASE_URL=database.url(database.create()))
        batch_id = submit_many(server, simulator)
        follow(server, batch_id, some_done)
        database.stop()
        status, answer = server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok", 999)]})
        assert (status, "database" in answer["error"]) == (503, True)
        status, answer = server.ask("GET", "/readyz")
        assert (status, "database" in answer["checks"]["database"]) == (503, True)
        let_run(server, 3)
        database.start()
        check_end(server, batch_id, simulator, tmp_path / "storage", ffmpeg)
