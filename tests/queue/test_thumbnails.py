"""Thumbnails of a service whose internet is the simulator: fetched once, kept, refused, removed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from downloader import create_downloader_app
from downloader.jobs import Event, Job
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.queue.thumbnails import ThumbnailFolder, _first_picture
from downloader.settings import Settings
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS, Platform
from tests.simulator.scenarios import find_post
from tests.simulator.thumbnails import png, thumbnail_of
from tests.waiting import until

#: Where each platform has its thumbnails.
PATHS = ("cover.jpeg", "cover.jpg", "a.jpg", "hqdefault.jpg")

REFUSED = ("svg", "html", "large", "endless", "to_loopback", "huge", "missing", "pixel")


class Service:
    """A running service, and what a test asks of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app: Flask = create_downloader_app(settings)
        self.services: Services = self.app.extensions["downloader"]

    def download(self, *urls: str) -> list[Job]:
        """Download *urls*; return their jobs."""
        records = self.app.test_client().post("/download/batch", json={"urls": urls}).get_json()["downloads"]
        assert all(record["success"] for record in records), records
        return [self.job(record["job_id"]) for record in records]

    def job(self, job_id: str) -> Job:
        return self.services.call(JobQueue.job, job_id)

    def thumbnail(self, job: Job) -> bytes | None:
        async def get(queue: JobQueue) -> bytes | None:
            found = await queue.thumbnails.get(job)
            return None if found is None else found[1]

        return self.services.call(get)

    def kept(self) -> set[str]:
        folder = self.settings.thumbnails_dir
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def close(self) -> None:
        self.services.close(grace_seconds=0)


@pytest.fixture
def start(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Service]]:
    """Return a function that starts a service, which fetches nothing in the background unless it is told to."""
    running: list[Service] = []

    def start(*, background: bool = False, **settings: Any) -> Service:
        monkeypatch.setattr("downloader.queue.thumbnails.IDLE_POLL_SECONDS", 0.01 if background else 3600)
        running.append(Service(make_settings(**settings)))
        return running[-1]

    yield start
    for service in running:
        service.close()


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start()


def asked(simulator: Simulator) -> int:
    """Return how often the simulator was asked for a thumbnail."""
    return len([entry for entry in simulator.stats().log if entry.path.endswith(PATHS)])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_thumbnail_is_fetched_when_it_is_first_asked_for(
    service: Service, simulator: Simulator, platform: Platform
) -> None:
    [job] = service.download(simulator.url(platform, "ok"))
    assert asked(simulator) == 0
    assert job.media_id is not None
    post = find_post(platform, simulator.url(platform, "ok").rstrip("/").replace("=", "/").rpartition("/")[2])
    assert post is not None
    for _ in range(2):
        assert service.thumbnail(job) == thumbnail_of(post)
    assert service.kept() == {job.id}
    assert asked(simulator) == 1


def test_a_reused_post_has_the_thumbnail_of_the_job_that_downloaded_it(service: Service, simulator: Simulator) -> None:
    [first] = service.download(simulator.url("tiktok", "ok"))
    kept = service.thumbnail(first)
    [second] = service.download(simulator.url("tiktok", "ok"))
    assert second.reused
    assert service.thumbnail(second) == kept is not None
    assert service.kept() == {first.id, second.id}
    assert asked(simulator) == 1


def test_many_who_ask_at_once_make_one_request(service: Service, simulator: Simulator) -> None:
    [job] = service.download(simulator.url("tiktok", "ok"))

    async def get(queue: JobQueue) -> list[bool]:
        return [found is not None for found in await asyncio.gather(*(queue.thumbnails.get(job) for _ in range(20)))]

    assert service.services.call(get) == [True] * 20
    assert asked(simulator) == 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_refused_and_not_asked_for_again(
    service: Service, simulator: Simulator, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [job] = service.download(simulator.url("tiktok", f"thumbnail_{name}"))
    for _ in range(3):
        assert service.thumbnail(service.job(job.id)) is None
    assert service.kept() == set()
    assert asked(simulator) == 1
    assert simulator.stats().canary_hits == 0
    # Later once more, and then it is given up, in whichever process.
    monkeypatch.setattr("downloader.queue.thumbnails.FAILURE_SECONDS", -1)
    for _ in range(3):
        assert service.thumbnail(service.job(job.id)) is None
    assert asked(simulator) == 2
    assert service.job(job.id).thumbnail_failures == 2


def test_one_that_takes_too_long_is_given_up(
    service: Service, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.thumbnails.FETCH_SECONDS", 0.3)
    [job] = service.download(simulator.url("tiktok", "thumbnail_slow"))
    assert service.thumbnail(job) is None
    simulator.wait_until_hanging(0)


def test_the_next_candidate_is_taken_where_the_first_is_none(service: Service, simulator: Simulator) -> None:
    good, bad = service.download(simulator.url("tiktok", "ok"), simulator.url("tiktok", "thumbnail_svg"))
    both = replace(good, thumbnails=("ftp://x.example/", *bad.thumbnails, *good.thumbnails))
    picture = _first_picture(both, service.settings.for_downloads())
    assert picture is not None
    assert picture.startswith(b"\xff\xd8")


def test_a_storage_that_is_full_or_away_counts_as_no_failure(service: Service, simulator: Simulator) -> None:
    [job] = service.download(simulator.url("tiktok", "ok"))
    service.settings.thumbnails_dir.write_bytes(b"in the way")
    assert service.thumbnail(job) is None
    assert service.job(job.id).thumbnail_failures == 0
    service.settings.thumbnails_dir.unlink()
    disk = service.services.open().scheduler.storage.disk
    disk.mounts.add(service.settings.work_dir)  # which is no mount point
    assert service.thumbnail(job) is None
    assert not service.settings.thumbnails_dir.exists()
    disk.mounts.clear()
    assert service.thumbnail(job) is not None


def test_a_thumbnail_goes_with_its_job(start: Callable[..., Service], simulator: Simulator) -> None:
    service = start(background=True)
    jobs = service.download(*(simulator.url("tiktok", "ok", number) for number in range(3)))
    until(lambda: service.kept() == {job.id for job in jobs})
    service.services.call(JobQueue.delete, [jobs[0].id, jobs[1].id], with_files=False)
    until(lambda: service.kept() == {jobs[2].id})


def test_the_latest_jobs_get_theirs_without_being_asked_for_it(
    start: Callable[..., Service], simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.queue.thumbnails.LATEST_JOBS", 2)
    service = start(background=False)
    jobs = service.download(*(simulator.url("tiktok", "ok", number) for number in range(4)))
    service.close()
    again = start(background=True)
    again.services.open()
    until(lambda: again.kept() == {job.id for job in jobs[2:]})
    # Newest first.
    log = [entry.path for entry in simulator.stats().log if entry.path.endswith(PATHS)]
    assert [path.split("/")[2] for path in log] == [str(job.media_id) for job in reversed(jobs[2:])]


def test_nothing_is_fetched_in_the_background_while_something_runs(
    start: Callable[..., Service], simulator: Simulator
) -> None:
    service = start(background=True, workers=2, socket_timeout_seconds=30.0)
    client = service.app.test_client()
    urls = [simulator.url("tiktok", "hang"), simulator.url("tiktok", "ok")]
    batch = client.post("/api/v1/batches", json={"urls": urls}).get_json()
    hanging, done = (job["job_id"] for job in batch["jobs"])
    simulator.wait_until_hanging(1, timeout_seconds=10)
    until(lambda: service.job(done).state == "succeeded")
    assert not service.services.open().scheduler.is_idle()
    assert asked(simulator) == 0
    service.services.call(JobQueue.cancel, [hanging])
    until(lambda: service.kept() == {done})


def test_a_pause_between_two_downloads_is_no_time_to_fetch_them(
    start: Callable[..., Service], simulator: Simulator
) -> None:
    service = start(background=True)
    asked_for = 0

    def is_idle() -> bool:
        nonlocal asked_for
        asked_for += 1
        return asked_for % 2 == 0  # for a moment, each time

    service.services.open().thumbnails._is_idle = is_idle
    [job] = service.download(simulator.url("tiktok", "ok"))
    until(lambda: asked_for >= 20)
    assert asked(simulator) == 0
    service.services.open().thumbnails._is_idle = lambda: True
    until(lambda: service.kept() == {job.id})


def test_nor_is_one_in_which_downloads_start_and_end(start: Callable[..., Service], simulator: Simulator) -> None:
    service = start(background=True)
    thumbnails = service.services.open().thumbnails
    checks = 0

    def is_idle() -> bool:
        nonlocal checks
        checks += 1
        thumbnails._note(Event(id=0, at=datetime.now(UTC), kind="job_changed", job_id="x", data={"state": "running"}))
        return True

    thumbnails._is_idle = is_idle
    [job] = service.download(simulator.url("tiktok", "ok"))
    until(lambda: checks >= 20)
    assert asked(simulator) == 0
    thumbnails._is_idle = lambda: True
    until(lambda: service.kept() == {job.id})


def test_a_stop_waits_for_no_thumbnail(start: Callable[..., Service], simulator: Simulator) -> None:
    service = start(background=True)
    service.download(simulator.url("tiktok", "thumbnail_slow"))
    simulator.wait_until_hanging(1, timeout_seconds=10)
    stopping = threading.Thread(target=service.close, daemon=True)
    stopping.start()
    stopping.join(30)
    assert not stopping.is_alive()


def test_files_of_no_job_are_swept_at_the_start(start: Callable[..., Service], simulator: Simulator) -> None:
    service = start()
    [job] = service.download(simulator.url("tiktok", "ok"))
    assert service.thumbnail(job) is not None
    service.close()
    for name in ("nosuchjobatall22", ".unfinished"):
        (service.settings.thumbnails_dir / name).write_bytes(b"x")
    again = start(background=True)
    again.services.open()
    until(lambda: again.kept() == {job.id})


def test_a_file_is_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    folder = ThumbnailFolder(tmp_path / "thumbnails")
    folder.write("a", png(2, 2))
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "thumbnails" / "a").stat().st_mode == plain.stat().st_mode


def test_what_someone_put_in_the_place_of_a_thumbnail_is_not_served(tmp_path: Path) -> None:
    folder = ThumbnailFolder(tmp_path)
    (tmp_path / "page").write_bytes(b"<html></html>")
    (tmp_path / "secret").write_bytes(png(2, 2))
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "folder").mkdir()
    assert [folder.read(name) for name in ("page", "link", "folder", "missing")] == [None] * 4
    folder.write("link", png(4, 4))
    assert not (tmp_path / "link").is_symlink()
    assert folder.read("link") is not None
