"""Notifications as the settings say: none, refused at the start, or told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from downloader.errors import StartRefused
from downloader.jobs import NewJob
from downloader.queue.notifications import start_notifications
from downloader.queue.scheduler import utc_now
from downloader.queue.services import Services
from downloader.settings import Settings
from downloader.store.repository import Store
from tests.receiver import Receiver
from tests.sqlite import make_database


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    make_database(tmp_path / "queue.db")
    with closing(Store.open(f"sqlite:///{tmp_path / 'queue.db'}")) as store:
        yield store


def test_no_one_is_told_unless_that_is_set(tmp_path: Path, store: Store) -> None:
    settings = Settings(storage_dir=tmp_path, webhook_secret="a-secret-of-many-letters", notify_on="problems")
    assert start_notifications(settings, store, utc_now) is None
    assert store._writer.outbox is None


def test_a_start_with_a_service_that_apprise_does_not_know_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("apprise")
    with pytest.raises(StartRefused, match="Apprise does not know its URL number 1"):
        Services(Settings(storage_dir=tmp_path, notify="nosuchservice://pass-word"))


@pytest.mark.parametrize("notify_on", ["always", "problems"])
def test_what_waits_for_one_that_is_not_set_any_more_is_dropped(
    tmp_path: Path, store: Store, notify_on: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = store.open_outbox(["webhook", "apprise-1"], only_problems=False)
    failed = NewJob(url="https://example.org/a", link=None, platform="unknown")
    store.submit([failed], now=utc_now())
    receiver = Receiver()
    url = f"http://{receiver.authority}/"
    try:
        told = start_notifications(Settings(storage_dir=tmp_path, webhook_url=url, notify_on=notify_on), store, utc_now)
        assert told is not None
        assert receiver.next().json["event"] == "batch_ended"
        store.submit([failed], now=utc_now())
        receiver.next()
        told.close()
    finally:
        receiver.close()
    assert "notifications of receivers that are not set any more were dropped" in caplog.text
    assert (before.next("apprise-1"), before.next("webhook")) == (None, None)
