"""One server for the tests of the page: emptied after each of them, and replaced where that does not do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.browser import browser, complaints, new_page, page, profile
from tests.nginx import SETTINGS as NGINX_SETTINGS
from tests.nginx import Nginx
from tests.real_server import ForkedServer, Server
from tests.simulator.client import Simulator

__all__ = ["browser", "complaints", "new_page", "page", "profile"]  # fixtures of tests/browser.py

#: Set by CI for a second run: each page is served by nginx below a prefix, and asks for nothing else.
BEHIND_NGINX = os.environ.get("TESTS_BEHIND_NGINX") == "1"

#: What a platform's record says of other tests, but not whether one has left anything behind.
RESULTS = frozenset({"succeeded_last_hour", "failed_last_hour", "success_rate_last_hour", "mean_seconds_last_hour"})


@pytest.fixture(scope="session")
def idle_servers() -> Iterator[list[tuple[Server, Any]]]:
    """Return the servers that no test uses, one at most, and what state each started in."""
    servers: list[tuple[Server, Any]] = []
    yield servers
    for server, _ in servers:
        server.close()


@pytest.fixture(scope="session")
def in_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Server], Nginx]]:
    """Return a function that gives the nginx in front of a server: the same one, as browsers keep files by address."""
    with ExitStack() as stack:
        running: dict[int, Nginx] = {}

        def give(server: Server) -> Nginx:
            if server.port not in running:
                running[server.port] = Nginx(tmp_path_factory.mktemp("nginx"), server.port)
                stack.callback(running[server.port].close)
            return running[server.port]

        yield give


@pytest.fixture
def server(
    idle_servers: list[tuple[Server, Any]],
    in_front: Callable[[Server], Nginx],
    simulator: Simulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """Return a server in which nothing is left of other tests but statistics: a test of these needs one of its own."""
    with ExitStack() as stack:
        if idle_servers:
            server, new = idle_servers.pop()
            stack.callback(server.close)
        else:
            folder = tmp_path_factory.mktemp("server")
            settings: dict[str, Any] = {**NGINX_SETTINGS} if BEHIND_NGINX else {}
            server = ForkedServer(simulator, folder / "storage", **settings)
            stack.callback(server.close)
            new = state(server)
        logged = len(server.log)
        if BEHIND_NGINX:
            nginx = in_front(server)
            strays = len(nginx.elsewhere())
            at, server.url = server.url, nginx.url
        yield server
        if BEHIND_NGINX:
            server.url = at
            assert nginx.elsewhere()[strays:] == []
        # pytest shows it where the test fails.
        sys.stdout.writelines(server.log[logged:])
        shown = ("url", "state", "attempts", "error_code", "next_attempt_at")
        sys.stdout.writelines(
            f"{[job[name] for name in shown]}\n" for job in server.ask("GET", "/api/v1/jobs")[1]["jobs"]
        )
        if empty(server) and state(server) == new:
            stack.pop_all()
            idle_servers.append((server, new))


@pytest.fixture(autouse=True)
def server_outlives_pages(request: pytest.FixtureRequest) -> None:
    """Start the server before any page, so that it is emptied when no page can change it any more."""
    if "server" in request.fixturenames:
        request.getfixturevalue("server")


def empty(server: Server) -> bool:
    """Delete all jobs and files of *server*; return whether that was possible."""
    while batches := server.ask("GET", "/api/v1/batches?limit=200")[1]["batches"]:
        for batch in batches:
            server.ask("POST", f"/api/v1/batches/{batch['id']}/cancel")
            if server.ask("DELETE", f"/api/v1/batches/{batch['id']}?files=true")[0] != 200:
                return False
    server.ask("POST", "/api/v1/queue/resume")  # now: what was queued must not start
    for path in (server.storage / "raw").iterdir():  # of jobs that were deleted without their files
        path.unlink()
    return True


def state(server: Server) -> Any:
    """Return all of the state of *server* that a test may change."""
    queue = server.ask("GET", "/api/v1/queue")[1]
    platforms = server.ask("GET", "/api/v1/platforms")[1]["platforms"]
    return (
        {name: value for name, value in queue.items() if name != "free_bytes"},
        # A cap that is lowered stays so: the platform met a limit.
        [{name: value for name, value in platform.items() if name not in RESULTS} for platform in platforms],
        server.ask("GET", "/api/v1/cookies")[1],
        sorted((server.storage / "work").iterdir()),
    )
