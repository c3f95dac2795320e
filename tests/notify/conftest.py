"""A receiver, and an outbox with messages for it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from downloader.egress.guard import open_named
from downloader.egress.proxy import Grant
from downloader.jobs import Message, NewJob
from downloader.settings import Settings
from downloader.store.outbox import Outbox
from downloader.store.repository import Store
from tests.fakes import FakeClock
from tests.receiver import Receiver
from tests.sqlite import make_database

OpenGrant = Callable[[Iterable[str]], Grant]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def open_grant(tmp_path: Path) -> OpenGrant:
    return partial(open_named, Settings(storage_dir=tmp_path).for_downloads())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    make_database(tmp_path / "queue.db")
    store = Store.open(f"sqlite:///{tmp_path / 'queue.db'}")
    yield store
    store.close()


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return store.open_outbox(["webhook", "apprise-1"], only_problems=False)


@pytest.fixture
def end_batch(store: Store, clock: FakeClock) -> Callable[[], str]:
    """Return a function that ends a batch, and returns its id."""
    failed = NewJob(url="https://example.org/a", link=None, platform="unknown")
    return lambda: store.submit([failed], now=clock()).batch.id


@pytest.fixture
def message(outbox: Outbox, end_batch: Callable[[], str]) -> Message:
    end_batch()
    found = outbox.next("webhook")
    assert found is not None
    return found


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return a function that returns all that was logged, down to DEBUG, with its facts."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join(json.dumps(vars(record), default=str) for record in caplog.records)
