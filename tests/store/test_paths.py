"""Paths of media files: relative to their folder, which may be moved."""

from __future__ import annotations

import contextlib
from pathlib import Path

from sqlalchemy import select

from downloader.jobs import JobFilter
from downloader.store.database import reading
from downloader.store.repository import Store
from downloader.store.schema import files
from tests.store_world import NOW, database_url, downloaded, finished, migrated_sqlite, post, submit

__all__ = ["database_url", "migrated_sqlite"]  # fixtures


def succeed(store: Store, *paths: str) -> str:
    number = len(store.jobs()[0])
    submit(store, post(number))
    [job] = store.claim("tiktok", 1, now=NOW)
    return finished(store, job, "succeeded", downloaded(*paths)).id


def test_files_are_found_where_their_folder_is_now(database_url: str) -> None:
    with contextlib.closing(Store.open(database_url)) as store:
        before = succeed(store, "/a/raw/before.mp4")  # as earlier versions stored it
    with contextlib.closing(Store.open(database_url, media_dir=Path("/a/raw"))) as store:
        inside = succeed(store, "/a/raw/ada/1.mp4", "/a/raw/2.mp4")
        outside = succeed(store, "/a/raws/3.mp4")
        assert store.job(inside).files == ("/a/raw/ada/1.mp4", "/a/raw/2.mp4")
        assert store.file_users("/a/raw/before.mp4") == store.file_users("/a/raw/2.mp4") == 1
        again = succeed(store, "/a/raw/before.mp4")
        assert store.file_users("/a/raw/before.mp4") == 2
        assert store.file_users("/a/raw/before.mp4", but=[again]) == 1
        with reading(store._engine) as connection:
            stored = set(connection.scalars(select(files.c.path)))
    assert stored == {"/a/raw/before.mp4", "before.mp4", "ada/1.mp4", "2.mp4", "/a/raws/3.mp4"}
    with contextlib.closing(Store.open(database_url, media_dir=Path("/b"))) as store:
        found = {job.id: job.files for job in store.jobs(JobFilter())[0]}
        assert found == {
            before: ("/a/raw/before.mp4",),
            inside: ("/b/ada/1.mp4", "/b/2.mp4"),
            outside: ("/a/raws/3.mp4",),
            again: ("/b/before.mp4",),
        }
        assert store.file_users("/b/2.mp4") == 1
