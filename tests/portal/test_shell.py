"""The page's files: one consistent set, cached by the browser, also for when the server is down."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from downloader import create_downloader_app
from downloader.settings import Settings
from tests.browser import expect, needs_browser
from tests.real_server import Server


@pytest.fixture
def client(make_settings: Callable[..., Settings]) -> FlaskClient:
    return create_downloader_app(make_settings()).test_client()


def assets(client: FlaskClient) -> list[str]:
    page = client.get("/dashboard").get_data(as_text=True)
    return re.findall(r'(?:href|src)="(/portal/static/[^"]+)"', page)


def test_the_page_has_no_script_or_style_in_it(client: FlaskClient) -> None:
    page = client.get("/dashboard").get_data(as_text=True)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page)
    policy = client.get("/dashboard").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_server_that_is_open_to_all_says_so(make_settings: Callable[..., Settings]) -> None:
    def page(**settings: str) -> str:
        return create_downloader_app(make_settings(**settings)).test_client().get("/dashboard").get_data(as_text=True)

    assert "Anyone on your network can use this server." in page(host="0.0.0.0")
    assert "Anyone on your network can use this server." not in page(host="127.0.0.1")


def test_files_never_change(client: FlaskClient) -> None:
    found = assets(client)
    assert len(found) > 20
    for address in found:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_files_are_compressed_for_those_who_can_read_it(client: FlaskClient) -> None:
    address = next(address for address in assets(client) if address.endswith("/links.js"))
    plain = client.get(address)
    packed = client.get(address, headers={"Accept-Encoding": "br, gzip"})
    assert plain.headers.get("Content-Encoding") is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != packed.headers["ETag"]
    assert client.get(address, headers={"Accept-Encoding": "gzip;q=0"}).data == plain.data


def test_modules_of_another_version_are_never_mixed_in(client: FlaskClient) -> None:
    address = next(address for address in assets(client) if address.endswith("/api.js"))
    old = re.sub("static/[0-9a-f]+/", "static/0123456789abcdef/", address)
    assert client.get(old).status_code == 404


@pytest.mark.parametrize(
    "name", ["..%2f..%2fshell.py", "../../shell.py", "%2e%2e/shell.py", "nothing.js", "a%00b.js", ""]
)
def test_nothing_but_the_pages_files_is_served(client: FlaskClient, name: str) -> None:
    folder = assets(client)[0].rpartition("/")[0]
    answer = client.get(f"{folder}/{name}")
    assert answer.status_code in {404, 405}
    assert answer.is_json


def test_every_module_is_fetched_at_once(client: FlaskClient) -> None:
    """A module that the page does not name is fetched only after the module that imports it."""
    named = {address.rpartition("/")[2] for address in assets(client)}
    for address in assets(client):
        if address.endswith(".js"):
            imported = re.findall(r'from "\./(\w+\.js)"', client.get(address).get_data(as_text=True))
            assert set(imported) <= named, address


def test_a_digest_stands_for_one_version(make_settings: Callable[..., Settings]) -> None:
    pages = [
        create_downloader_app(make_settings(max_batch_urls=most)).test_client().get("/dashboard") for most in (5, 5, 6)
    ]
    digests = [page.headers["X-Shell-Digest"] for page in pages]
    assert digests[0] == digests[1] != digests[2]


def test_the_page_is_asked_for_each_time_but_sent_once(client: FlaskClient) -> None:
    first = client.get("/dashboard")
    assert first.headers["Cache-Control"] == "no-cache"
    assert client.get("/dashboard", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_it_can_be_installed_and_shared_to(client: FlaskClient) -> None:
    answer = client.get("/manifest.webmanifest")
    assert answer.content_type.startswith("application/manifest+json")
    manifest = json.loads(answer.data)
    assert manifest["share_target"]["action"] == manifest["start_url"] == "/dashboard"
    assert manifest["share_target"]["params"] == {"title": "title", "text": "text", "url": "url"}
    for icon in manifest["icons"]:
        assert client.get(icon["src"]).content_type.startswith(icon["type"])


def test_below_a_prefix_everything_has_it(client: FlaskClient) -> None:
    options = {"base_url": "http://localhost/videos/"}
    page = client.get("/dashboard", **options).get_data(as_text=True)
    assert 'data-root="/videos"' in page
    for address in re.findall(r'(?:href|src)="(/[^"]+)"', page):
        assert address.startswith("/videos/")
    assert client.get("/service-worker.js", **options).headers["Service-Worker-Allowed"] == "/videos/"
    shell = client.get("/portal/shell.json", **options).get_json()
    assert all(address.startswith("/videos/") for address in shell["files"])


# In the browser

IN_CACHES = """async () => Promise.all((await caches.keys()).map(async name =>
    [name, (await (await caches.open(name)).keys()).map(request => new URL(request.url).pathname)]))"""

READY = "() => navigator.serviceWorker.ready.then(worker => worker.active.state)"


@needs_browser
def test_the_page_is_kept_and_what_the_api_says_is_not(page: Any, server: Server) -> None:
    page.goto(f"{server.url}/dashboard")
    page.evaluate(READY)
    page.reload()
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    [[name, kept]] = page.evaluate(IN_CACHES)
    assert name.startswith("shell ")
    assert "/dashboard" in kept
    assert not [path for path in kept if path.startswith("/api/") or path in {"/", "/healthz"}]


@needs_browser
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


@needs_browser
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


@needs_browser
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


@needs_browser
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


@needs_browser
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


@needs_browser
def test_a_browser_without_storage_still_sends(new_page: Callable[..., Any], server: Server) -> None:
    page = new_page()
    page.add_init_script(
        """Object.defineProperty(window, "indexedDB", {get() { throw new DOMException("no", "SecurityError"); }});
           Object.defineProperty(window, "localStorage", {get() { throw new DOMException("no", "SecurityError"); }});
           delete Navigator.prototype.serviceWorker;"""
    )
    page.goto(f"{server.url}/dashboard")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    page.fill("#links", "https://www.youtube.com/watch?v=dQw4w9WgXcQ")
    page.click("#download")
    expect(page.locator(".job")).to_have_count(1)


@needs_browser
@pytest.mark.parametrize(
    "response",
    [
        {
            "status": 200,
            "content_type": "text/javascript",
            "body": "export class { static {} }",
        },  # newer than the browser
        {"status": 404, "content_type": "application/json", "body": "{}"},
        {"status": 200, "content_type": "text/javascript", "body": "export const readLinks = undefined.not;"},
    ],
)
def test_a_page_whose_modules_do_not_run_says_so(browser: Any, server: Server, response: dict[str, Any]) -> None:
    with browser.new_context() as context:  # errors are expected in it
        page = context.new_page()
        page.route("**/links.js", lambda route: route.fulfill(**response))
        page.goto(f"{server.url}/dashboard")
        expect(page.locator("#not-started")).to_contain_text("your browser is too old")
        page.unroute("**/links.js")
        page.reload()
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        expect(page.locator("#not-started")).to_be_hidden()


@needs_browser
def test_two_tabs_send_once(page: Any, server: Server) -> None:
    page.goto(f"{server.url}/dashboard")
    keep = """async () => {
        const digest = document.documentElement.dataset.digest;
        const {openOutbox} = await import(`/portal/static/${digest}/outbox.js`);
        const outbox = await openOutbox();
        for (let number = 0; number < 20; number += 1) await outbox.add([`https://youtu.be/00000000${10 + number}a`]);
        return outbox.persistent;
      }"""
    assert page.evaluate(keep)
    other = page.context.new_page()
    other.goto(f"{server.url}/dashboard")
    page.reload()
    page.evaluate(
        """async () => {
             const {openOutbox} = await import(`/portal/static/${document.documentElement.dataset.digest}/outbox.js`);
             const outbox = await openOutbox();
             const empty = async () => (await outbox.entries()).length === 0;
             await new Promise(async (resolve) => {
               outbox.onChange(async () => (await empty()) && resolve());
               if (await empty()) resolve();
             });
           }"""
    )
    expect(other.locator("#outbox")).to_be_hidden()
    assert len(server.ask("GET", "/api/v1/batches?limit=100")[1]["batches"]) == 20


# The outbox alone

OPEN = """const {deliver, openOutbox} = await import(`${ADDRESS}outbox.js`); const outbox = await openOutbox();"""


@pytest.fixture
def run(new_page: Callable[..., Any], server: Server) -> Callable[..., Any]:
    """Return what runs JavaScript that has `outbox` and `deliver`, on a page without scripts of its own."""
    page = new_page()
    digest = server.ask("GET", "/portal/shell.json")[1]["digest"]
    page.goto(f"{server.url}/portal/shell.json")

    def evaluate(script: str, *, on: Any = page) -> Any:
        return on.evaluate(f"async () => {{ {OPEN.replace('${ADDRESS}', f'/portal/static/{digest}/')} {script} }}")

    evaluate.page = page  # type: ignore[attr-defined]
    return evaluate


@needs_browser
def test_what_is_kept_survives_the_page_in_order(run: Any) -> None:
    keys = run("const keys = []; for (const n of 'abcdef') keys.push((await outbox.add([n])).key); return keys")
    run.page.reload()
    entries = run("return outbox.entries()")
    assert [entry["urls"] for entry in entries] == [[each] for each in "abcdef"]
    assert [entry["key"] for entry in entries] == keys
    assert all(entry["refused"] is None and len(entry["key"]) == 32 for entry in entries)
    assert run("return outbox.persistent")


@needs_browser
@pytest.mark.parametrize(
    ("answer", "left", "delivery"),
    [
        ("({status: 202, body: {batch: {}}})", [], {"sent": 2, "refused": 0, "stopped": None}),
        ("({status: 200, body: {batch: {}}})", [], {"sent": 2, "refused": 0, "stopped": None}),
        ("({status: 200, body: null})", [None, None], {"sent": 0, "refused": 0, "stopped": 200}),
        ("({status: 400, body: {error: 'No.'}})", ["No.", "No."], {"sent": 0, "refused": 2, "stopped": None}),
        ("({status: 404, body: null})", [None, None], {"sent": 0, "refused": 0, "stopped": 404}),
        *(
            (f"({{status: {status}, body: {{error: 'Later.'}}}})", [None, None],
             {"sent": 0, "refused": 0, "stopped": status})
            for status in (401, 403, 408, 425, 429, 500, 503)
        ),
        ("Promise.reject(new TypeError('gone'))", [None, None], {"sent": 0, "refused": 0, "stopped": "unreachable"}),
    ],
)  # fmt: skip
def test_nothing_is_dropped_that_was_not_accepted(run: Any, answer: str, left: list[Any], delivery: Any) -> None:
    done = run(
        f"""await outbox.add(["a"]); await outbox.add(["b"]);
            const done = await deliver(outbox, async () => {answer});
            return [done, (await outbox.entries()).map((entry) => entry.refused)];"""
    )
    assert done == [delivery, left]


@needs_browser
@pytest.mark.parametrize("locks", ["", "Object.defineProperty(navigator, 'locks', {value: undefined});"])
def test_deliveries_at_once_send_each_entry_once(run: Any, locks: str) -> None:
    script = """const sent = []; const send = async (entry) => {
        await new Promise((resolve) => setTimeout(resolve));
        sent.push(entry.urls[0]); return {status: 202, body: {batch: 1}}; };
        for (const n of "abc") await outbox.add([n]);
        await Promise.all([deliver(outbox, send), deliver(outbox, send), deliver(outbox, send)]);
        return sent;"""
    assert run(locks + script) == ["a", "b", "c"]


@needs_browser
def test_what_is_taken_back_is_neither_sent_nor_comes_back(run: Any) -> None:
    script = """const [a, b] = [await outbox.add(["a"]), await outbox.add(["b"])]; const sent = [];
        await deliver(outbox, async (entry) => { sent.push(entry.urls[0]); await outbox.remove(a.key);
          await outbox.remove(b.key); return {status: 400, body: {error: "No."}}; });
        return [sent, await outbox.entries()];"""
    assert run(script) == [["a"], []]


@needs_browser
def test_another_tab_hears_of_a_change(run: Any, server: Server) -> None:
    other = run.page.context.new_page()
    other.goto(f"{server.url}/portal/shell.json")
    run("window.heard = new Promise((resolve) => outbox.onChange(resolve));")
    run("await outbox.add(['a'])", on=other)
    run.page.evaluate("window.heard")
    assert run("return (await outbox.entries()).length") == 1


@needs_browser
def test_a_database_that_the_browser_closed_is_opened_again(run: Any) -> None:
    script = """await outbox.add(["a"]); outbox._entries._database.close(); await outbox.add(["b"]);
        return (await outbox.entries()).map((entry) => entry.urls[0]);"""
    assert run(script) == ["a", "b"]
