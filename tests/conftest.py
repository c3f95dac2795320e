"""Fixtures shared by all tests, and the marks that are set by what a test uses."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import settings as hypothesis_settings

from downloader import create_downloader_app
from downloader.batch_downloader import DownloadSession
from downloader.download_settings import PREFIX
from downloader.egress.environment import child_environment
from downloader.engines import worker_process
from downloader.settings import Settings
from downloader.ytdlp import tools as toolchain
from tests.forked import fork_server
from tests.forked_worker import CAN_FORK, Template
from tests.once import compute_once
from tests.rabbitmq import rabbitmq
from tests.real_server import ForkedServer, Server
from tests.schedule import spread
from tests.simulator.client import Simulator
from tests.sqlite import make_database

__all__ = ["rabbitmq"]  # a fixture of another module, which every test may use

compute_once()

# A busy machine may be slow with any example.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")

#: The benchmarks read /proc.
collect_ignore = [] if sys.platform.startswith("linux") else ["project/test_benchmarks.py"]

#: Fixtures that start a program: the simulator, for real yt-dlp or a real server; a browser; ffmpeg.
PROGRAMS = {"running_simulator", "browser", "ffmpeg", "rabbitmq"}
#: Folders of tests that start programs by themselves.
PROGRAM_FOLDERS = {"end_to_end", "simulator", "portal"}


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Mark the tests that start a program, or need a PostgreSQL server, as `integration`."""
    for item in items:
        by_fixture = not PROGRAMS.isdisjoint(getattr(item, "fixturenames", ()))
        if by_fixture or item.path.parent.name in PROGRAM_FOLDERS or "postgresql" in item.name:
            item.add_marker(pytest.mark.integration)
    yield
    if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        items[:] = spread(items, int(workers))


def pytest_collection_finish() -> None:
    """Spare each collection of garbage a look at ten thousand tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """Keep the settings and proxies of this machine out of the tests."""
    with pytest.MonkeyPatch.context() as environment:
        for name in tuple(os.environ):
            if name.startswith(PREFIX) or name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}:
                environment.delenv(name)
        yield


@pytest.fixture(scope="session")
def running_simulator(clean_environment: None) -> Iterator[Simulator]:
    with Simulator() as simulator, simulator.trusted():
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    """Return the simulator, with its counts at zero and at full speed, whatever a test before wanted."""
    running_simulator.reset()
    running_simulator.configure(latency_ms=0, media_bytes_per_second=0)
    return running_simulator


def simulated(simulator: Simulator, storage_dir: Path, **overrides: Any) -> Settings:
    """Return settings for a service whose internet is *simulator*."""
    values: dict[str, Any] = {
        "storage_dir": storage_dir,
        "proxy": simulator.proxy,
        "ytdlp_options": {"compat_opts": ["no-certifi"]},  # see Simulator: TLS stays verified, against its CA
        "socket_timeout_seconds": 1.0,
        "retries": 1,
    }
    return Settings(**values | overrides)


@pytest.fixture
def make_settings(tmp_path: Path, simulator: Simulator) -> Callable[..., Settings]:
    """Return a function that makes settings for a service whose internet is the simulator."""
    return partial(simulated, simulator, tmp_path / "storage")


@pytest.fixture
def session(make_settings: Callable[..., Settings]) -> DownloadSession:
    return DownloadSession(make_settings())


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    tool = toolchain.ffmpeg()
    assert tool is not None
    assert tool.path is not None
    return tool.path


@pytest.fixture(scope="session")
def sample_mp4(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a real mp4: one second, picture and sound."""
    path = tmp_path_factory.mktemp("media") / "sample.mp4"
    command = [
        ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=160x120:r=10:d=1",
        "-f", "lavfi", "-i", "sine=d=1", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac",
        "-movflags", "+faststart", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return path


def starter(kind: type[Server], simulator: Simulator, storage: Path) -> Iterator[Callable[..., Server]]:
    """Give a function that starts a server of this *kind* whose internet is *simulator*; settings are its variables."""
    with contextlib.ExitStack() as servers:

        def start(port: int = 0, **settings: str) -> Server:
            server = kind(simulator, storage, port=port, **settings)
            servers.callback(lambda: sys.stdout.writelines(server.log))  # pytest shows it where the test fails
            servers.callback(server.close)
            return server

        yield start


@pytest.fixture
def start_server(simulator: Simulator, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server, with what a start takes loaded already."""
    yield from starter(ForkedServer, simulator, tmp_path / "storage")


@pytest.fixture
def start_command(simulator: Simulator, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server as the README says."""
    yield from starter(Server, simulator, tmp_path / "storage")


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    return start_server()


@pytest.fixture(scope="module")
def shared_server(running_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return one server for all tests of a module, which leave it as they found it."""
    server = ForkedServer(running_simulator, tmp_path_factory.mktemp("server") / "storage")
    yield server
    server.close()


@pytest.fixture(scope="session")
def template() -> Template | None:
    return Template(fork_server()) if CAN_FORK else None


@pytest.fixture
def forked_workers(template: Template | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers forked: for tests of what they do once they run."""
    if template is not None:
        monkeypatch.setattr(worker_process, "_start", lambda: template.start(child_environment(os.environ)))


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Return a function that makes the app with settings, each time in the same folder, as a restart does."""
    apps: list[Flask] = []

    def make(**settings: Any) -> Flask:
        make_database(tmp_path / "storage" / "downloader.db")
        apps.append(create_downloader_app(Settings(storage_dir=tmp_path / "storage", **settings)))
        return apps[-1]

    yield make
    for app in apps:
        app.extensions["downloader"].close(grace_seconds=0)


@pytest.fixture(scope="module")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """Return one app for all tests of a module, which leave it as they found it."""
    app = create_downloader_app(Settings(storage_dir=tmp_path_factory.mktemp("app") / "storage"))
    yield app
    app.extensions["downloader"].close(grace_seconds=0)


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Return the app with its default settings."""
    return make_app()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one in CI."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
