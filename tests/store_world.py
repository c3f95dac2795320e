"""Stores in both databases, and jobs to fill them with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from downloader.errors import (
    RETRYABLE,
)
from downloader.jobs import (
    AttemptResult,
    Job,
    JobState,
    NewJob,
)
from downloader.models import Media, Outcome
from downloader.platforms import PlatformType
from downloader.store.database import open_database
from downloader.store.repository import Store
from tests import postgres
from tests.sqlite import make_database

REPOSITORY = Path(__file__).parents[1]


NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


LATER = NOW + timedelta(seconds=90)


NETWORK = Outcome(False, None, "The connection broke off.", error_code="network", detail="Errno 104")


MINUTE = timedelta(minutes=1)


BACKENDS = ["sqlite", "postgresql"]


def post(number: int, platform: PlatformType = "tiktok") -> NewJob:
    url = f"https://www.{platform}.com/post/{number}"
    return NewJob(url=url, link=url, platform=platform)


def nobody(url: str) -> NewJob:
    return NewJob(
        url=url, link=None, platform="unknown", error_code="unsupported_platform", error="Unsupported platform"
    )


def downloaded(*files: str, title: str = "A film", seconds: float = 1.5) -> Outcome:
    media = Media(files=files, id="7", title=title, duration_seconds=seconds, size_bytes=3_000_000_000)
    return Outcome(True, files[0], None, media=media)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "template.sqlite3"
    make_database(path)
    return path


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path) -> Iterator[str]:
    """Return the URL of a fresh database that has our tables."""
    if request.param == "sqlite":
        path = shutil.copy(migrated_sqlite, tmp_path / "store.sqlite3")
        yield f"sqlite:///{path}"
    else:
        with postgres.fresh_database() as url:
            yield url


@pytest.fixture
def open_store(database_url: str) -> Iterator[Callable[[], Store]]:
    """Return what opens one more Store on the same database."""
    opened: list[Store] = []

    def open_one() -> Store:
        opened.append(Store.open(database_url))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


def submit(store: Store, *new: NewJob, now: datetime = NOW) -> tuple[Job, ...]:
    return store.submit(new, now=now).jobs


def in_each_state(store: Store) -> dict[JobState, Job]:
    """Return one TikTok job in each state there is."""
    jobs: dict[JobState, Job] = {}
    submit(store, *(post(number) for number in range(5)))
    succeeds, fails, waits, runs, _ = store.claim("tiktok", 5, now=NOW)
    jobs["succeeded"] = finished(store, succeeds, "succeeded", downloaded("/raw/a.mp4"))
    jobs["failed"] = finished(store, fails, "failed", NETWORK)
    jobs["waiting"] = finished(store, waits, "waiting", NETWORK, next_attempt_at=LATER)
    jobs["running"] = runs
    [cancelled] = submit(store, post(6))
    store.cancel([cancelled.id], now=NOW)
    jobs["cancelled"] = store.job(cancelled.id)
    store.finish(_.id, state="queued", result="interrupted", outcome=None, now=NOW)
    jobs["queued"] = store.job(_.id)
    return jobs


def finished(
    store: Store, job: Job, state: JobState, outcome: Outcome | None, *, next_attempt_at: datetime | None = None
) -> Job:
    result: AttemptResult = "succeeded" if state == "succeeded" else "failed"
    ended = store.finish(job.id, state=state, result=result, outcome=outcome, now=NOW, next_attempt_at=next_attempt_at)
    assert ended is not None
    return ended


def pages(ask: Callable[[str | None], tuple[list[Any], str | None]]) -> list[list[str]]:
    """Return the ids of all pages."""
    found, cursor = ask(None)
    all_pages = [[one.id for one in found]]
    while cursor is not None:
        found, cursor = ask(cursor)
        all_pages.append([one.id for one in found])
    return all_pages


# -- the second round


def in_a_minute(job: Job, now: datetime) -> datetime | None:
    """What a store is handed as its policy here."""
    return now + MINUTE if job.error_code in RETRYABLE else None


def running(store: Store, number: int, *others: NewJob) -> tuple[str, list[Job]]:
    """Return a batch that wants a second round, and *number* jobs of it, all running."""
    new = [*(post(each) for each in range(number)), *others]
    batch_id = store.submit(new, now=NOW, retry_failed_once=True).batch.id
    return batch_id, store.claim("tiktok", number, now=NOW)


# -- the schema


@contextmanager
def opened(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    try:
        yield engine
    finally:
        engine.dispose()
