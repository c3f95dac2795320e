"""The database itself: migrations, durability, files, locks."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import IntegrityError

from downloader.errors import (
    StartRefused,
    StoreUnavailable,
)
from downloader.jobs import CooldownState, NewJob
from downloader.platform_detector import read_link
from downloader.queue.reuse import post_key
from downloader.store import database as store_database
from downloader.store.database import _upgrade, open_database, reading, writing
from downloader.store.repository import Store
from downloader.store.schema import HEAD, metadata
from tests import postgres
from tests.store_world import (
    BACKENDS,
    NETWORK,
    NOW,
    REPOSITORY,
    database_url,
    finished,
    in_a_minute,
    migrated_sqlite,
    open_store,
    opened,
    post,
    running,
    store,
    submit,
)

__all__ = ["database_url", "migrated_sqlite", "open_store", "store"]  # fixtures


@pytest.fixture(params=BACKENDS)
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.sqlite3'}"
    else:
        with postgres.empty_database() as url:
            yield url


def test_a_second_running_attempt_is_refused_by_the_database_itself(store: Store, database_url: str) -> None:
    submit(store, post(1))
    [job] = store.claim("tiktok", 1, now=NOW)
    statement = text("INSERT INTO attempts (job_id, number, result, started_at) VALUES (:id, 2, 'running', 0)")
    with opened(database_url) as engine, pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(statement, {"id": job.id})


def test_a_time_to_wait_for_without_waiting_is_refused_by_the_database_itself(store: Store, database_url: str) -> None:
    submit(store, post(1))
    with opened(database_url) as engine, pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(text("UPDATE jobs SET next_attempt_at = 1"))


def test_sqlite_syncs_a_submission_to_the_disk_and_nothing_else(tmp_path: Path, migrated_sqlite: Path) -> None:
    path = shutil.copy(migrated_sqlite, tmp_path / "store.sqlite3")
    store = Store.open(f"sqlite:///{path}")
    synchronous: list[int] = []

    def note(connection: Connection) -> None:
        synchronous.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    event.listen(Engine, "commit", note)
    try:
        submit(store, post(1))
        store.set_paused(True, now=NOW)
    finally:
        event.remove(Engine, "commit", note)
        store.close()
    full, normal = 2, 1
    assert synchronous == [full, normal]


def test_a_sqlite_file_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite3'}")
        submit(store, post(1))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    store.close()
    assert modes == {f"store.sqlite3{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}


def described(connection: Connection) -> dict[str, Any]:
    """Return all that the database says of its tables, but for the order of columns and constraints."""

    def plain(entry: Any) -> str:
        options = entry.get("dialect_options", {})
        return repr(entry | {"dialect_options": {name: str(value) for name, value in sorted(options.items())}})

    inspector = inspect(connection)
    facts = {}
    for table in inspector.get_table_names():
        facts[table] = {
            "columns": sorted(map(plain, inspector.get_columns(table))),
            "key": inspector.get_pk_constraint(table),
            "foreign": sorted(map(plain, inspector.get_foreign_keys(table))),
            "unique": sorted(map(plain, inspector.get_unique_constraints(table))),
            "checks": sorted(map(plain, inspector.get_check_constraints(table))),
            "indexes": sorted(map(plain, inspector.get_indexes(table))),
        }
    return facts


def test_the_migrations_make_what_a_new_database_has(new_database_url: str) -> None:
    rows = [text("SELECT name, value FROM numbers ORDER BY name"), text("SELECT * FROM alembic_version")]
    with opened(new_database_url) as engine:
        with writing(engine) as connection:
            context = MigrationContext.configure(connection, opts={"compare_server_default": True})
            assert compare_metadata(context, metadata) == []
            made = described(connection), [connection.execute(each).all() for each in rows]
            metadata.drop_all(connection)
            connection.execute(text("DROP TABLE alembic_version"))
        with writing(engine) as connection:
            _upgrade(connection, None, "this one")
        with reading(engine) as connection:
            context = MigrationContext.configure(connection, opts={"compare_server_default": True})
            assert compare_metadata(context, metadata) == []
            assert (described(connection), [connection.execute(each).all() for each in rows]) == made


def test_the_head_that_is_written_down_is_that_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "downloader" / "store" / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@contextlib.contextmanager
def plain_connection(database_url: str) -> Iterator[Connection]:
    """Give a connection that knows nothing of our tables, and commit in the end."""
    url = make_url(database_url)
    engine = create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() != "sqlite" else url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def migrate(database_url: str, revision: str) -> None:
    """Bring a database to *revision*, as a version of us that knew no later one did."""
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "downloader" / "store" / "migrations"))
    with plain_connection(database_url) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def fill(database_url: str, statements: str) -> None:
    """Execute *statements*, each of which ends with its line."""
    with plain_connection(database_url) as connection:
        for statement in statements.split(";\n")[:-1]:
            connection.exec_driver_sql(statement)


#: A batch with one job that failed and one that waits, as version 0.1.0 of the schema has them.
OF_0001 = """
INSERT INTO batches (id, created_at, total, idempotency_key, fingerprint) VALUES ('b', 1, 2, 'k', 'f');
INSERT INTO jobs (id, batch_id, url, link, platform, state, attempts, tries, created_at, updated_at, next_attempt_at,
  error_code, elapsed_seconds, search) VALUES ('j1', 'b', 'u1', 'u1', 'tiktok', 'failed', 3, 4, 1, 1, NULL, 'network',
  0.5, 'u1'), ('j2', 'b', 'u2', 'u2', 'tiktok', 'waiting', 1, 1, 1, 1, 2, 'network', 0.5, 'u2');
INSERT INTO links (batch_id, position, job_id, url) VALUES ('b', 0, 'j1', 'u1'), ('b', 1, 'j2', 'u2');
INSERT INTO attempts (job_id, number, result, started_at, ended_at) VALUES ('j2', 1, 'failed', 1, 2);
INSERT INTO events (id, at, kind, batch_id, data) VALUES (1, 1, 'batch_created', 'b', '{"total":2}');
UPDATE numbers SET value = 1 WHERE name = 'last_event_id';
"""


def test_a_database_of_the_first_schema_keeps_all_that_is_in_it(new_database_url: str) -> None:
    migrate(new_database_url, "0001")
    fill(new_database_url, OF_0001)
    store = Store.open(new_database_url)
    store.on_batch_end(in_a_minute)
    batch = store.batch("b")
    assert (batch.total, batch.counts) == (2, {"failed": 1, "waiting": 1})
    assert (batch.retry_failed_once, batch.second_round_at, batch.second_round_jobs) == (False, None, 0)
    failed, waits = (job for _, job in store.batch_jobs("b"))
    assert [(job.id, job.counted_attempts, job.attempt_number, job.final_attempt) for job in (failed, waits)] == [
        ("j1", 3, 4, False),
        ("j2", 1, 1, False),
    ]
    assert [attempt.result for attempt in store.attempts("j2")] == ["failed"]
    assert store.last_event_id() == 1
    [again] = store.claim("tiktok", 5, now=NOW)
    assert finished(store, again, "failed", NETWORK).state == "failed"  # nobody asked for a second round then
    batch_id, [job] = running(store, 1)
    assert finished(store, job, "failed", NETWORK).state == "waiting"
    assert store.batch(batch_id).second_round_jobs == 1
    store.close()
    with opened(new_database_url) as engine, reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


#: A batch of two jobs that had an idempotency key, as the schema before presets has it.
OF_0002 = """
INSERT INTO batches (id, created_at, total, idempotency_key, fingerprint, retry_failed_once) VALUES ('b', 1, 2, 'k',
  '04222ee911655dc70495ddb34a7834622946ab99ee58e155400574fc8c2b7f53', true);
INSERT INTO jobs (id, batch_id, url, link, platform, state, attempts, tries, created_at, updated_at, elapsed_seconds,
  search) VALUES ('j1', 'b', 'u1', 'u1', 'tiktok', 'succeeded', 1, 1, 1, 1, 0.5, 'u1'),
  ('j2', 'b', 'u2', 'u2', 'tiktok', 'queued', 0, 0, 1, 1, 0, 'u2');
INSERT INTO links (batch_id, position, job_id, url) VALUES ('b', 0, 'j1', 'u1'), ('b', 1, 'j2', 'u2');
INSERT INTO files (job_id, position, path) VALUES ('j1', 0, '/raw/a.mp4');
"""


def test_jobs_from_before_presets_are_videos(new_database_url: str) -> None:
    migrate(new_database_url, "0002")
    fill(new_database_url, OF_0002)
    with contextlib.closing(Store.open(new_database_url)) as store:
        assert [(job.preset, job.kind, job.files) for _, job in store.batch_jobs("b")] == [
            ("video", "video", ("/raw/a.mp4",)),
            ("video", "video", ()),
        ]
        again = [NewJob(url=url, link=url, platform="tiktok") for url in ("u1", "u2")]
        assert not store.submit(again, now=NOW, idempotency_key="k").created
        [claimed] = store.claim("tiktok", 1, now=NOW)
        assert claimed.preset == "video"
        [low] = store.submit([replace(again[0], preset="480p")], now=NOW).jobs
        assert store.job(low.id).preset == "480p"
    with opened(new_database_url) as engine, reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


#: Posts downloaded before there were keys: id, link, platform, preset, state, what yt-dlp called the post.
OF_0003 = [
    ("a", "https://music.youtube.com/watch?v=dQw4w9WgXcQ", "youtube", "mp3", "succeeded", "dQw4w9WgXcQ"),
    ("b", "https://vm.tiktok.com/ZM1/", "tiktok", "video", "succeeded", "7"),
    ("c", "https://vm.tiktok.com/ZM1/", "tiktok", "video", "failed", None),
    ("d", "https://x.com/ada/status/20/video/2", "twitter", "video", "succeeded", "20"),
    ("e", "https://x.com/ada/status/21", "twitter", "video", "succeeded", "22"),  # which it quotes
    ("f", "https://www.instagram.com/share/reel/abc/", "instagram", "video", "succeeded", "C_a-1"),
    ("g", "https://www.instagram.com/share/reel/abc/", "instagram", "video", "succeeded", "no id"),
    ("h", "https://www.tiktok.com/@ada/video/8?x", "tiktok", "video", "queued", None),
    ("i", None, "unknown", "video", "failed", None),
    ("j", "https://www.tiktok.com/strange", "tiktok", "video", "succeeded", "9"),
]
KEYS_OF_0003 = {
    "a": "youtube:dQw4w9WgXcQ:mp3:",
    "b": "tiktok:7:video:",
    "d": "twitter:20/video/2:video:",
    "e": "twitter:21:video:",
    "f": "instagram:C_a-1:video:",
    "h": "tiktok:8:video:",
}


def test_jobs_from_before_keys_get_those_that_new_ones_have(
    new_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(new_database_url, "0003")
    with plain_connection(new_database_url) as connection:
        connection.exec_driver_sql("INSERT INTO batches (id, created_at, total, fingerprint) VALUES ('b', 1, 2, 'f')")
        insert_job = text(
            "INSERT INTO jobs (id, batch_id, url, link, platform, preset, state, media_id, attempts, tries, created_at,"
            " updated_at, elapsed_seconds, search) VALUES (:id, 'b', 'u', :link, :platform, :preset, :state, :media_id,"
            " 1, 1, 1, 1, 0.5, 'u')"
        )
        names = ("id", "link", "platform", "preset", "state", "media_id")
        connection.execute(insert_job, [dict(zip(names, job, strict=True)) for job in OF_0003])
        connection.exec_driver_sql("INSERT INTO files (job_id, position, path) VALUES ('a', 0, '/raw/a.mp3')")
    portions = import_module("downloader.store.migrations.versions.0004_details")
    monkeypatch.setattr(portions, "_PORTION", 3)
    with contextlib.closing(Store.open(new_database_url)) as store:
        keys = {job.id: job.post_key for job in store.jobs()[0]}
        assert {id: key for id, key in keys.items() if key is not None} == KEYS_OF_0003
        assert len(keys) == len(OF_0003)
        for id, link, _, preset, _, _ in OF_0003:
            if id in KEYS_OF_0003 and read_link(link or "").kind == "post":
                assert keys[id] == post_key(link, preset, ())
        assert [job.id for job in store.had(["youtube:dQw4w9WgXcQ:mp3:"])["youtube:dQw4w9WgXcQ:mp3:"].sources] == ["a"]
    with opened(new_database_url) as engine, reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_batch_from_before_the_outbox_is_told_when_it_ends(new_database_url: str) -> None:
    migrate(new_database_url, "0002")
    fill(new_database_url, OF_0002)
    migrate(new_database_url, "0005")
    with contextlib.closing(Store.open(new_database_url)) as store:
        outbox = store.open_outbox(["webhook"], only_problems=False)
        [job] = store.claim("tiktok", 1, now=NOW)
        finished(store, job, "failed", NETWORK)
        message = outbox.next("webhook")
        assert message is not None
        assert '"counts":{"queued":0,"running":0,"waiting":0,"succeeded":1,"failed":1,' in message.body


def test_cooldowns_from_before_ways_out_are_those_of_the_only_one(new_database_url: str) -> None:
    migrate(new_database_url, "0002")
    fill(new_database_url, OF_0002)
    migrate(new_database_url, "0006")
    fill(new_database_url, "INSERT INTO platform_rests VALUES ('tiktok', 1.5, 60000000, 2), ('youtube', 4, NULL, 0);\n")
    at_once = threading.Barrier(2)

    def open_one(_: int) -> Store:
        at_once.wait(10)
        return Store.open(new_database_url)

    with ThreadPoolExecutor(2) as threads:
        store, other = threads.map(open_one, range(2))
    other.close()
    limited = CooldownState(platform="tiktok", cap=1.5, cooling_until=datetime(1970, 1, 1, 0, 1, tzinfo=UTC), strikes=2)
    assert store.cooldowns() == [limited, CooldownState(platform="youtube", cap=4)]
    assert {job.egress for _, job in store.batch_jobs("b")} == {""}
    assert [job.egress for job in store.claim("tiktok", 1, egress="b", now=NOW)] == ["b"]
    store.save_cooldown(replace(limited, egress="b"), now=NOW)
    assert store.cooldowns()[:2] == [limited, replace(limited, egress="b")]
    store.close()
    with opened(new_database_url) as engine, reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_many_that_open_a_new_database_at_once_all_get_it(new_database_url: str) -> None:
    barrier = threading.Barrier(8)

    def open_one(_: int) -> int:
        barrier.wait(30)
        store = Store.open(new_database_url)
        try:
            return store.last_event_id()
        finally:
            store.close()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(open_one, range(8))) == [0] * 8


@pytest.mark.integration
def test_only_a_database_of_an_older_version_needs_alembic(new_database_url: str) -> None:
    program = (
        "import sys; from downloader.store.repository import Store; Store.open(sys.argv[1]).close();"
        " sys.exit('alembic' in sys.modules)"
    )
    command_line = [sys.executable, "-c", program, new_database_url]
    for _ in range(2):
        assert subprocess.run(command_line, cwd=REPOSITORY, timeout=30, check=False).returncode == 0


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database_url: str) -> None:
    with opened(database_url) as engine, writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for _ in range(2):
        with pytest.raises(StartRefused, match="newer version"):
            Store.open(database_url)


def refused(database_url: str) -> str:
    with pytest.raises(StartRefused) as refusal:
        Store.open(database_url)
    return str(refusal.value)


def test_a_database_that_cannot_be_opened_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("This is not a database. " * 100)
    assert "does not exist: make it" in refused(f"sqlite:///{tmp_path / 'nowhere' / 'store.sqlite3'}")
    assert "cannot be opened" in refused(f"sqlite:///{tmp_path / 'text'}")
    assert "cannot be opened" in refused(f"sqlite:///{tmp_path}")
    assert "must name a file" in refused("sqlite://")
    assert "not the address of a database" in refused("rubbish")
    assert "cannot use" in refused("mysql://u:p@h/d")


def test_a_database_that_cannot_be_locked_belongs_on_a_local_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downloader.store.database.BUSY_SECONDS", 0.01)
    with contextlib.closing(sqlite3.connect(tmp_path / "queue.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        sentence = refused(f"sqlite:///{tmp_path / 'queue.db'}")
    assert "database is locked" in sentence
    assert "put it on a local disk with DOWNLOADER_DATABASE_URL" in sentence


def test_a_server_that_is_not_there_is_refused_without_a_word_of_the_password(tmp_path: Path) -> None:
    sentence = refused(f"postgresql://ada:secret@/videos?host={tmp_path}")
    assert "videos" in sentence
    assert "cannot be opened" in sentence
    assert "secret" not in sentence


def _delete(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    shutil.copyfile(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize(("harm", "word"), [(_delete, "was deleted"), (_replace, "was replaced")])
def test_a_database_that_was_taken_away_is_noticed_and_takes_nothing_more(
    tmp_path: Path, suffix: str, harm: Callable[[Path], None], word: str
) -> None:
    path = tmp_path / "queue.db"
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store:
        batch = store.submit([post(1)], now=NOW).batch
        assert store.fault() is None
        harm(tmp_path / f"queue.db{suffix}")
        fault = store.fault()
        assert fault is not None
        assert word in fault
        with pytest.raises(StoreUnavailable, match=word):
            store.submit([post(1)], now=NOW)
        assert store.batch(batch.id).total == 1  # what it knew it still tells


def test_a_database_that_is_back_is_taken_for_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with contextlib.closing(Store.open(f"sqlite:///{path}")) as store:
        path.rename(tmp_path / "aside")
        assert store.fault() is not None
        (tmp_path / "aside").rename(path)
        assert store.fault() is None
        store.submit([post(1)], now=NOW)


def test_what_sqlite_itself_does_to_its_files_is_no_fault(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    with contextlib.closing(Store.open(url)) as store:
        for _ in range(3):
            store.submit([post(number) for number in range(50)], now=NOW)
            with contextlib.closing(Store.open(url)) as other:
                other.submit([post(1)], now=NOW)
            with contextlib.closing(sqlite3.connect(tmp_path / "queue.db")) as tool:
                tool.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                tool.execute("VACUUM")
            store._engine.dispose()  # as after a broken connection
            assert store.fault() is None


def test_one_server_has_a_postgresql_database_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has a lock file beside it instead, see tests/end_to_end/test_chaos.py."""
    with postgres.empty_database() as url:
        first, second = Store.open(url), Store.open(url)
        try:
            first.lock_out_others()
            with monkeypatch.context() as impatient:
                impatient.setattr(store_database, "HANDOVER_SECONDS", 0.1)
                with pytest.raises(StartRefused, match="Another server is at work"):
                    second.lock_out_others()
            first.close()
            second.lock_out_others()
        finally:
            first.close()
            second.close()


def test_a_server_keeps_its_postgresql_database_to_itself_when_that_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_database, "HANDOVER_SECONDS", 0.1)
    with postgres.own_server() as running:
        url = running.url(running.create())
        first, second = Store.open(url), Store.open(url)
        try:
            first.lock_out_others()
            running.stop()
            assert first.fault() is None  # it is away, and that is told of otherwise
            running.start()
            assert first.fault() is None
            second._engine.dispose()  # its connections ended too, and it has not noticed
            with pytest.raises(StartRefused, match="Another server is at work"):
                second.lock_out_others()

            running.stop()
            running.start()
            second._engine.dispose()
            second.lock_out_others()  # quicker than the first, which must start nothing more
            assert "Another server is at work" in str(first.fault())
        finally:
            first.close()
            second.close()


def test_a_server_waits_until_postgresql_has_seen_the_end_of_the_one_before_it() -> None:
    """Who restarts a killed server starts the next one at once."""
    with postgres.empty_database() as url:
        first, second, watcher = Store.open(url), Store.open(url), open_database(url)
        try:
            first.lock_out_others()
            with ThreadPoolExecutor() as threads:
                start = threads.submit(second.lock_out_others)
                with watcher.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    waiting = text(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
                    while connection.execute(waiting).scalar() == 0 and not start.done():
                        pass
                assert not start.done()
                first.close()
                start.result(timeout=10)
        finally:
            first.close()
            second.close()
            watcher.dispose()
