"""The service worker, in a real browser: the page cached as one version, shown while the server is down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from downloader import create_downloader_app
from downloader.settings import Settings
from tests.browser import expect, needs_browser
from tests.real_server import Server

pytestmark = [needs_browser, pytest.mark.timeout(300)]

IN_CACHES = """async () => Promise.all((await caches.keys()).map(async name =>
    [name, (await (await caches.open(name)).keys()).map(request => new URL(request.url).pathname)]))"""


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    return new_page(service_workers="allow")


#: Resolves when the service worker answers: it has deleted what earlier ones kept.
READY = """async () => {
    const {active} = await navigator.serviceWorker.ready;
    if (active.state !== "activated") await new Promise(done => active.addEventListener("statechange", done));
  }"""


def test_the_page_is_kept_and_what_the_api_says_is_not(page: Any, server: Server) -> None:
    page.goto(f"{server.url}/dashboard")
    page.evaluate(READY)
    page.reload()
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    [[name, kept]] = page.evaluate(IN_CACHES)
    assert name.startswith("shell ")
    assert "/dashboard" in kept
    assert not [path for path in kept if path.startswith("/api/") or path in {"/", "/healthz"}]


def test_a_new_version_takes_the_place_of_the_old(page: Any, start_server: Callable[..., Server]) -> None:
    server = start_server()
    page.goto(f"{server.url}/dashboard")
    page.evaluate(READY)
    [[old, _]] = page.evaluate(IN_CACHES)
    server.stop()
    page.reload()
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    start_server(port=server.port, DOWNLOADER_MAX_BATCH_URLS="7")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-max-urls", "7")  # at once, not the time after
    page.evaluate(
        """old => new Promise(resolve => {
             const look = async () => (await caches.keys()).includes(old) ? setTimeout(look, 50) : resolve();
             look();
           })""",
        old,
    )
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-max-urls", "7")
    assert len(page.evaluate(IN_CACHES)) == 1


def test_a_prefixs_caches_are_its_own(page: Any, server: Server) -> None:
    page.goto(f"{server.url}/api/docs")
    page.evaluate("Promise.all(['shell /videos 0123', 'shell  0123', 'other'].map(name => caches.open(name)))")
    page.goto(f"{server.url}/dashboard")
    page.evaluate(READY)
    assert {name for name, kept in page.evaluate(IN_CACHES) if not kept} == {"shell /videos 0123", "other"}


class Front:
    """A server before the app: `instead`, if set, answers at the page's address.

    Playwright's routes would answer before the service worker is asked.
    """

    def __init__(self, app: Flask) -> None:
        self.instead: Callable[[], tuple[str, list[tuple[str, str]], bytes]] | None = None
        self.asked = threading.Event()
        self._app = app
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/log-in":
            start_response("200 OK", [("Content-Type", "text/html")])
            return [b"<h1>Log in</h1>"]
        if self.instead and environ["PATH_INFO"] == "/dashboard":
            self.asked.set()
            status, headers, body = self.instead()
            start_response(status, headers)
            return [body]
        if environ["PATH_INFO"].startswith("/api/"):  # only the page is tested
            start_response("503 Service Unavailable", [("Content-Type", "application/json")])
            return [b'{"error": "Not now."}']
        return self._app(environ, start_response)


@pytest.fixture
def front(make_settings: Callable[..., Settings]) -> Iterator[Front]:
    front = Front(create_downloader_app(make_settings()))
    yield front
    front.close()


HTML = [("Content-Type", "text/html")]


@pytest.mark.parametrize(
    "log_in", [("200 OK", HTML, b"<h1>Log in</h1>"), ("302 Found", [("Location", "/log-in")], b"")]
)
def test_a_login_page_is_shown_but_never_kept(page: Any, front: Front, log_in: Any) -> None:
    page.goto(f"{front.url}/dashboard")
    page.evaluate(READY)
    front.instead = lambda: log_in
    page.reload()
    expect(page.locator("h1")).to_have_text("Log in")
    front.instead = lambda: ("502 Bad Gateway", HTML, b"<h1>Bad gateway</h1>")
    page.goto(f"{front.url}/dashboard")
    expect(page.locator("h1")).to_contain_text("Batch Video Downloader")


def test_nothing_is_cached_before_logging_in(page: Any, front: Front) -> None:
    page.goto(f"{front.url}/manifest.webmanifest")
    front.instead = lambda: ("302 Found", [("Location", "/log-in")], b"")
    state = page.evaluate(
        """async () => {
             const {digest} = await (await fetch("/portal/shell.json")).json();
             const {registerShell} = await import(`/portal/static/${digest}/offline.js`);
             const worker = (await registerShell("", digest)).installing;
             await new Promise((resolve) => (worker.onstatechange = resolve));
             return [worker.state, await caches.keys()];
           }"""
    )
    assert state == ["redundant", []]


def test_a_silent_network_shows_what_was_kept(page: Any, front: Front) -> None:
    page.goto(f"{front.url}/dashboard")
    page.evaluate(READY)
    over = threading.Event()

    def silence() -> tuple[str, list[tuple[str, str]], bytes]:
        over.wait(30)
        return "200 OK", HTML, b"too late"

    front.instead = silence
    try:
        page.goto(f"{front.url}/dashboard?url=https://youtu.be/dQw4w9WgXcQ")
        expect(page.locator("#links")).to_have_value("https://youtu.be/dQw4w9WgXcQ")
        assert front.asked.is_set()
    finally:
        over.set()
