"""One server for one store, and what it says where a file system has no locks."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from downloader.errors import StartRefused
from downloader.queue.lock import LOCK_NAME, InstanceLock

fcntl = pytest.importorskip("fcntl", reason="Windows locks by other means")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    folder = tmp_path / "storage"
    folder.mkdir()
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder / "queue.db"


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int, folder: Path) -> None:
    """Have the file system of *folder* answer a lock with an error, as a network share may."""
    real = fcntl.flock

    def flock(file: int, how: int) -> Any:
        if Path(f"/proc/self/fd/{file}").readlink().parent == folder:
            raise OSError(number, os.strerror(number))
        return real(file, how)

    monkeypatch.setattr("fcntl.flock", flock)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_storage_without_locks_is_told_where_the_database_may_be(
    storage: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_locks(monkeypatch, number, storage)
    with pytest.raises(StartRefused) as refused:
        InstanceLock(storage, storage / "downloader.db").acquire()
    assert "DOWNLOADER_DATABASE_URL" in str(refused.value)
    assert os.strerror(number) in str(refused.value)
    assert "permissions" not in str(refused.value)


def test_with_the_database_elsewhere_storage_needs_no_locks(
    storage: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Which is what that sentence advises; the lock beside the database keeps others off."""
    refuse_locks(monkeypatch, errno.ENOLCK, storage)
    first, second = InstanceLock(storage, elsewhere), InstanceLock(storage, elsewhere)
    first.acquire()
    assert "no locks" in caplog.text
    with pytest.raises(StartRefused, match="Another server"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
    InstanceLock(storage, None).acquire()  # a PostgreSQL database, which has a lock of its own


def test_the_folder_of_the_database_needs_locks(
    storage: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_locks(monkeypatch, errno.ENOLCK, elsewhere.parent)
    with pytest.raises(StartRefused, match="DOWNLOADER_DATABASE_URL"):
        InstanceLock(storage, elsewhere).acquire()
    InstanceLock(storage, storage / "downloader.db").acquire()  # what was taken is free again


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_any_other_trouble_is_one_of_permissions(storage: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number), str(storage / LOCK_NAME))

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(StartRefused, match="check its permissions"):
        InstanceLock(storage, storage / "downloader.db").acquire()


def test_another_thread_may_let_go_of_the_lock(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path, None)
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    lock.release()
    second = InstanceLock(tmp_path, None)
    second.acquire()
    second.release()
