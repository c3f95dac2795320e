"""A PostgreSQL server of the tests' own, from the binaries of the system; a fresh database costs some milliseconds."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from downloader.store.repository import Store
from downloader.store.schema import HEAD, metadata

#: PostgreSQL refuses to run as root; its Debian package makes this user.
SERVER_USER = "postgres"
SECONDS = 60


class Postgres:
    """A running server, reached by a socket in its own folder."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        # Not below pytest's folder, which the server's user may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as: dict[str, Any] = {}
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            self._as = {"user": SERVER_USER, "group": SERVER_USER, "extra_groups": []}
            shutil.chown(self._folder, SERVER_USER, SERVER_USER)
        self._data = self._folder / "data"
        # Ends the server when this process has ended, however it did: then the pipe is closed.
        script = 'read -r _; "$0" stop -D data -w -m immediate; cd /; rm -rf "$1"'
        self._end = subprocess.Popen(
            ["/bin/sh", "-c", script, binaries / "pg_ctl", self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            start_new_session=True,  # what interrupts the tests must not interrupt this
            **self._as,
        )
        self._connections: list[psycopg.Connection[Any]] = []
        self._names = (f"test_{number}" for number in itertools.count())
        try:
            self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
            self.start()
            self._admin = self.connect("postgres")
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        # Nothing here has to outlive a power cut.
        fast = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        listening = f"-c listen_addresses='' -c unix_socket_directories={self._folder}"
        self._run("pg_ctl", "start", "-w", "-l", str(self._folder / "log"), "-o", f"{fast} {listening}")

    def stop(self) -> None:
        """End the server, and every connection with it, until `start`."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast")

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self._folder}"

    def create(self) -> str:
        """Make an empty database and return its name."""
        name = next(self._names)
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        return name

    def drop(self, name: str) -> None:
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._end.communicate(timeout=SECONDS)

    def connect(self, name: str) -> psycopg.Connection[Any]:
        """Return a connection, closed with the server, on which each statement is a transaction."""
        connection = psycopg.connect(host=str(self._folder), user="postgres", dbname=name, autocommit=True)
        self._connections.append(connection)
        return connection

    def _run(self, program: str, *arguments: str) -> None:
        # Not captured by pipes: the server inherits them, and they would stay open as long as it runs.
        with (self._folder / "output").open("w+") as output:
            done = subprocess.run(
                [self._binaries / program, "-D", self._data, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                timeout=SECONDS,
                check=False,
                **self._as,
            )
            output.seek(0)
            assert done.returncode == 0, f"{program}: {output.read()}"


def server() -> Postgres:
    """Return the one server of this run; skip the test where there is no PostgreSQL."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return _start(binaries)


@contextmanager
def own_server() -> Iterator[Postgres]:
    """Give a server that nothing else uses, for who stops it; skip the test where there is no PostgreSQL."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    running = Postgres(binaries)
    try:
        yield running
    finally:
        running.close()


@contextmanager
def fresh_database() -> Iterator[str]:
    """Give the URL of a database that has our tables and nothing in them; one user at a time.

    It is always the same one, emptied: that takes a tenth of the time that a copy takes.
    """
    running = server()
    name, connection = _database(running)
    # Not TRUNCATE: it makes new files, which takes longer than to delete what a test leaves.
    for table in reversed(metadata.sorted_tables):
        connection.execute(f"DELETE FROM {table.name}".encode())
    connection.execute("INSERT INTO numbers VALUES ('last_event_id', 0), ('paused', 0)")
    connection.execute("UPDATE alembic_version SET version_num = %s", [HEAD])
    yield running.url(name)


@contextmanager
def empty_database() -> Iterator[str]:
    """Give the URL of a database without tables, which is dropped at the end."""
    running = server()
    name = running.create()
    try:
        yield running.url(name)
    finally:
        running.drop(name)


def _binaries() -> Path | None:
    """Return the folder of the server's programs; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in folders), key=lambda path: int(path.parent.name), default=None)


@functools.cache
def _start(binaries: Path) -> Postgres:
    running = Postgres(binaries)
    atexit.register(running.close)
    return running


@functools.cache
def _database(running: Postgres) -> tuple[str, psycopg.Connection[Any]]:
    """Return the name of the database that tests share, and a connection to empty it."""
    name = running.create()
    Store.open(running.url(name)).close()
    return name, running.connect(name)
