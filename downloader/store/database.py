"""Opens the store's database: engine, durability, locks and migrations."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from downloader.errors import StartRefused
from downloader.store.schema import HEAD, metadata, numbers, use_postgresql

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger(__name__)

#: How long a change waits for another process that writes to the same SQLite file.
BUSY_SECONDS = 15
CONNECT_SECONDS = 10
#: Each of the server's threads may hold one connection for a moment.
POOL_SIZE = 16

#: Any number will do, as long as all versions of us take the same one: it keeps two migrations apart.
_MIGRATION_LOCK = 0x76696465  # "vide"

#: Likewise for the one server that may work on a database.
_SERVER_LOCK = 0x76696466

#: How long a server waits for the one before it to be gone: PostgreSQL needs a moment to see that one's connection end,
#: longer while it is still at work for it, and a killed server may be restarted at once.
HANDOVER_SECONDS = 5.0

#: What SQLite says where it cannot lock its file: kinds of error, without their details.
_LOCK_TROUBLE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS})

#: What PostgreSQL calls the end of that wait (its manual's appendix of error codes).
_LOCK_NOT_AVAILABLE = "55P03"


def open_database(database_url: str) -> Engine:
    """Return the engine of *database_url*, its schema at `HEAD`.

    Raises:
        StartRefused: it cannot be opened, is not ours, or was made by a newer version.
    """
    engine, name = connect(database_url)
    try:
        with refusing(name):
            _migrate(engine, name)
    except BaseException:
        engine.dispose()
        raise
    return engine


def connect(database_url: str) -> tuple[Engine, str]:
    """Return the engine of *database_url* and the name of that database."""
    url = _parse(database_url)
    name = _name(url)
    try:
        return _sqlite_engine(url) if url.get_backend_name() == "sqlite" else _postgresql_engine(url), name
    except ModuleNotFoundError as error:
        raise StartRefused(
            f"The database {name} needs a driver that is not installed: pip install 'psycopg[binary]'."
        ) from error


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn what the database's driver raises into StartRefused."""
    try:
        yield
    except (DBAPIError, OSError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip().split("\n")[0]
        raise StartRefused(f"The database {name} cannot be opened ({reason}): {_advice(error)}.") from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection whose reads, in SQLite, all see the same moment."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine, *, durable: bool = False) -> Iterator[Connection]:
    """Give a connection whose changes are committed together at the end, or not at all.

    *durable*: they are on the disk then, so that even a power cut leaves them. Without it a power cut may take the
    last few, never a part of one; a killed process takes none.
    """
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            with connection.begin():
                if durable:
                    connection.execute(text("SET LOCAL synchronous_commit TO on"))
                yield connection
            return
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        if durable:  # cannot be changed once a transaction is open
            driver.execute("PRAGMA synchronous = FULL")
        try:
            with connection.execution_options(writes=True).begin():
                yield connection
        finally:
            if durable:
                driver.execute("PRAGMA synchronous = NORMAL")


def _parse(database_url: str) -> URL:
    try:
        url = make_url(database_url)
        backend = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StartRefused(
            "DATABASE_URL is not the address of a database: write sqlite:///path/to/file or"
            " postgresql://user:password@host/name."
        ) from error
    if backend in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        return url.set(drivername="sqlite")
    raise StartRefused(f"DATABASE_URL names {backend}, which the store cannot use: take SQLite or PostgreSQL.")


def _advice(error: DBAPIError | OSError) -> str:
    code = getattr(error.orig, "sqlite_errorcode", None) if isinstance(error, DBAPIError) else None
    if code is not None and code & 0xFF in _LOCK_TROUBLE:
        return (
            "close any other program that uses it; if it is on a network share, put it on a local disk with"
            " DOWNLOADER_DATABASE_URL"
        )
    return "check DATABASE_URL"


def _name(url: URL) -> str:
    """Return what people call the database: never with its password."""
    if url.get_backend_name() == "sqlite":
        return url.database or "in memory"
    return f"{url.database or ''} at {url.host or url.query.get('host') or 'this machine'}"


def _sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StartRefused("DATABASE_URL must name a file, as in sqlite:///path/to/file: memory would not be kept.")
    path = Path(url.database)
    if not path.parent.is_dir():
        raise StartRefused(f"The folder of the database {path} does not exist: make it, or change DATABASE_URL.")
    try:
        # Links are private. SQLite gives its -wal and -shm files the same permissions.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StartRefused(f"The database {path} cannot be opened ({error.strerror}): check DATABASE_URL.") from error
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=-1,
        pool_use_lifo=True,  # each has pages and statements in memory, the last one used the newest
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def set_up(driver: sqlite3.Connection, _record: object) -> None:
        # `begin` below starts transactions; the driver would start them too late, and none for reads.
        driver.isolation_level = None
        _turn_wal_on(driver)
        for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
            driver.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and then finds it cannot write has to start again; IMMEDIATE waits instead.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _turn_wal_on(driver: sqlite3.Connection) -> None:
    # Changing the journal is the one statement that does not wait its turn as long as it should: SQLite fails at
    # once where waiting could be a deadlock, which it is for two that open a new file.
    patience = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            driver.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(0.01)


def _postgresql_engine(url: URL) -> Engine:
    use_postgresql()
    arguments: dict[str, Any] = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
    return create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_pre_ping=True,  # a database that was restarted must not cost a request
        isolation_level="READ COMMITTED",
        connect_args=arguments,
    )


_OTHER_SERVER = (
    "Another server is at work on this database: stop that one, or give this one a database of its own with"
    " DOWNLOADER_DATABASE_URL."
)

#: Does this connection hold the lock, or can it have it?
_HOLD_LOCK = text(
    "SELECT CASE WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted)"
    " THEN true ELSE pg_try_advisory_lock(:lock) END"
)


class DatabaseLock:
    """Keeps other servers off a PostgreSQL database, until `release` or the end of the process.

    An SQLite file has a lock file beside it instead, as the storage folder has: see `queue.lock`.
    """

    def __init__(self, engine: Engine) -> None:
        """Take the lock, waiting `HANDOVER_SECONDS` at most.

        Raises:
            StartRefused: another server keeps it.
        """
        self._connection: Connection | None = None
        if engine.dialect.name == "sqlite":
            return
        connection = engine.connect()
        try:
            patience = {"name": "lock_timeout", "value": f"{HANDOVER_SECONDS * 1000:.0f}ms"}
            connection.execute(text("SELECT set_config(:name, :value, true)"), patience)  # for this transaction only
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _SERVER_LOCK})
        except DBAPIError as error:
            connection.close()
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise StartRefused(_OTHER_SERVER) from None
        connection.commit()  # the lock is the session's: it stays, and no transaction stays open for it
        self._connection = connection

    def fault(self) -> str | None:
        """Take the lock again where the database ended its connection; return in a sentence why it cannot be had."""
        if self._connection is None:
            return None
        for _ in range(2):
            try:
                held = self._connection.scalar(_HOLD_LOCK, {"lock": _SERVER_LOCK})
                self._connection.commit()
                return None if held else _OTHER_SERVER
            except DBAPIError:
                self._connection.rollback()  # the next time is by a new connection
        return None  # it is away, as every other use of it says

    def release(self) -> None:
        """Let another server have it."""
        if self._connection is not None:
            self._connection.invalidate()  # closed for good: back in the pool it would keep the lock
            self._connection.close()
            self._connection = None


class DatabaseFiles:
    """Notices when SQLite's files are deleted or replaced while they are open: what is written then is lost."""

    def __init__(self, engine: Engine) -> None:
        """Remember the files of *engine* as they are; for another database there are none."""
        self._seen: dict[Path, tuple[int, int]] = {}
        self._connection: Connection | None = None
        if engine.dialect.name != "sqlite":
            return
        # With one connection open to the end, SQLite neither deletes nor replaces the second file itself.
        self._connection = engine.connect()
        self._connection.execute(text("SELECT name FROM sqlite_master")).all()
        self._connection.rollback()
        path = Path(str(engine.url.database)).resolve()
        files = path, path.with_name(f"{path.name}-wal")
        self._seen = {file: found for file in files if (found := _identity(file)) is not None}

    def fault(self) -> str | None:
        """Return what happened to them, in a sentence; None where they are as they were."""
        for file, seen in self._seen.items():
            try:
                found = _identity(file)
            except OSError as error:
                return f"The database file {file} cannot be reached ({error.strerror}): check its disk and permissions."
            if found != seen:
                what = "deleted" if found is None else "replaced"
                return f"The database file {file} was {what} while the server runs: put it back, or restart the server."
        return None

    def close(self) -> None:
        """Let go of them."""
        if self._connection is not None:
            self._connection.close()


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        seen = file.stat()
    except FileNotFoundError:
        return None
    return seen.st_dev, seen.st_ino


def _migrate(engine: Engine, name: str) -> None:
    with reading(engine) as connection:
        if revision(connection) == HEAD:
            return
    # Anything else is rare: first start, and the first one after an update.
    with writing(engine) as connection:
        if engine.dialect.name != "sqlite":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        before = revision(connection)
        if before == HEAD:
            return  # another process was quicker
        if before is None:
            _make_schema(connection)
        else:
            _upgrade(connection, before, name)
    log.info("database migrated", extra={"from_revision": before, "to_revision": HEAD})


def revision(connection: Connection) -> str | None:
    """Return the revision of the schema; None where there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _make_schema(connection: Connection) -> None:
    """Make what all migrations together make, without Alembic: 9 MB that a server would keep for as long as it runs."""
    # A table of one of these names is not ours: that is an error.
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(numbers), [{"name": "last_event_id", "value": 0}, {"name": "paused", "value": 0}])
    revision = Column("version_num", String(32), nullable=False)
    version = Table("alembic_version", MetaData(), revision, PrimaryKeyConstraint(revision, name="alembic_version_pkc"))
    version.create(connection)
    connection.execute(insert(version), {"version_num": HEAD})


def _upgrade(connection: Connection, before: str | None, name: str) -> None:
    from alembic import command

    config = migrations(before, name)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def migrations(before: str | None, name: str) -> Config:
    """Return Alembic's configuration. Raises StartRefused if it does not know the revision *before*."""
    # Costs a quarter of a second, which only the first start after an update has to pay.
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if before is not None and before not in known:
        raise StartRefused(
            f"The database {name} was made by a newer version of this program (schema {before}, this one has {HEAD}):"
            " update the program, or set DATABASE_URL to another database."
        )
    return config
