"""Other pages, in a real browser, in reach of a server of ours: they get nothing and change nothing."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

from downloader import create_downloader_app
from downloader.server import wsgi as wsgi_server
from downloader.settings import Settings
from downloader.web import events as api_events
from tests.browser import CHROMIUM, expect, needs_browser
from tests.routes import NOBODY, changing_routes

pytestmark = [
    needs_browser,
    pytest.mark.timeout(300),
]

#: No sandbox, because tests may run as root. The names lead to us, as their owners could have them do.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic",
    "--host-resolver-rules=MAP attacker.example 127.0.0.1, MAP nas.example 127.0.0.1",
]  # fmt: skip

#: How long something may take that happens by itself.
PATIENCE_SECONDS = 45

KEY = "a-key-that-no-one-guesses"
TIKTOK = "https://www.tiktok.com/@ada/video/7"

#: Another port of the same host, which gets the cookie along; another site, with a key and without; without TLS.
ATTACKERS = ("127.0.0.1", "localhost", "attacker.example", "nas.example")

#: Tries everything that a page can do by itself; returns what came of it that it should not have seen.
ATTACK = """async ({ target, changing, reading, media, body, turn, turns }) => {
  const FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];
  const seen = [], tries = [];
  const heard = (element, good, bad) => new Promise((resolve) => {
    element.addEventListener(good, () => resolve(true));
    element.addEventListener(bad, () => resolve(false));
  });
  const send = (method, path, options) => tries.push(
    fetch(target + path, { method, credentials: "include", ...options }).then(
      (answer) => { if (answer.type !== "opaque") seen.push(`fetch ${method} ${path} ${answer.status}`); },
      () => {},
    ),
  );
  const frame = (attributes) => {
    const made = document.createElement("iframe");
    Object.assign(made, attributes);
    document.body.append(made);
    tries.push(heard(made, "load", "error"));
    return made;
  };
  for (const [number, [method, path]] of changing.entries()) {
    for (const mode of ["cors", "no-cors"]) {
      for (const type of ["application/json", ...FORMS]) {
        if (mode === "no-cors" && method !== "POST") continue;
        send(method, path, { mode, body, headers: { "Content-Type": type } });
      }
    }
    if (method !== "POST") continue;
    navigator.sendBeacon(target + path, new Blob([body], { type: "text/plain" }));
    // Frames cost more than all else: each route gets one from one of the attackers, by turns with each kind of form.
    if (number % turns !== turn) continue;
    const enctype = FORMS[Math.floor(number / turns) % (FORMS.length + 1)];
    if (enctype) {
      const name = `frame${tries.length}`;
      frame({ name });
      const form = document.createElement("form");
      Object.assign(form, { method, enctype, action: target + path, target: name });
      const input = document.createElement("input");
      Object.assign(input, { name: body.slice(0, -1) + ',"x":"', value: '"}' });
      form.append(input);
      document.body.append(form);
      form.submit();
    } else {
      frame({
        sandbox: "allow-scripts allow-forms",
        srcdoc: `<form method=post enctype="text/plain" action="${target + path}"></form>`
          + "<script>document.forms[0].submit()<" + "/script>",
      });
    }
  }
  const SMALL = [["img", "src", "load"], ["script", "src", "load"], ["link", "href", "load"]];
  const LARGE = [
    ["video", "src", "loadeddata"], ["audio", "src", "loadeddata"],
    ["object", "data", "load"], ["embed", "src", "load"],
  ];
  for (const path of reading) {
    const address = target + path;
    for (const mode of ["cors", "no-cors"]) send("GET", path, { mode });
    for (const [tag, place, good] of media.includes(path) ? [...SMALL, ...LARGE] : SMALL) {
      const element = document.createElement(tag);
      if (tag === "link") element.rel = "stylesheet";
      element[place] = address;
      // What a plug-in element loads is anyone's guess; the server tells.
      const loaded = heard(element, good, "error");
      if (tag !== "object" && tag !== "embed") {
        tries.push(loaded.then((is) => { if (is) seen.push(`${tag} ${path}`); }));
      }
      document.body.append(element);
    }
    frame({ src: address });
    const events = new EventSource(address, { withCredentials: true });
    tries.push(heard(events, "open", "error").then((is) => {
      if (is) seen.push(`EventSource ${path}`);
      events.close();
    }));
  }
  await Promise.all(tries);
  return seen;
}"""


class Asked:
    """What a server was asked, and what it answered; what browsers vouch for as our own page's asking left out."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.answers: list[tuple[str, str, int]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, *more: Any) -> Any:
            # Our service worker gets what it keeps while the next page is open already.
            if environ.get("HTTP_SEC_FETCH_SITE") != "same-origin":
                self.answers.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], int(status.split()[0])))
            return start_response(status, *more)

        answer: Iterable[bytes] = self._app(environ, start)
        return answer


class Victim:
    """A server of ours with one video in it."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.asked = Asked(app.wsgi_app)
        app.wsgi_app = self.asked  # type: ignore[method-assign]
        self._server = wsgi_server.WsgiServer(app, wsgi_server.listen("127.0.0.1", 0), max_request_bytes=100_000)
        self._server.start()
        self.port = self._server.port

    def ask(self, path: str, *, body: str | None = None, accept: str = "application/json") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Authorization": f"Bearer {KEY}", "Accept": accept}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read(6) if accept == "text/event-stream" else answer.read()
        connection.close()
        return found

    def begins_a_stream(self) -> bool:
        """Return whether there is a place for a stream of events: a page that is left gives its own back soon."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while (found := self.ask("/api/v1/events", accept="text/event-stream"))[0] == 503:
            if time.monotonic() > patience:
                return False
        return found == (200, b"retry:")

    def state(self) -> list[Any]:
        found = [json.loads(self.ask(f"/api/v1/{what}")[1]) for what in ("batches", "jobs", "queue", "platforms")]
        del found[2]["free_bytes"]
        return found

    def close(self) -> None:
        self._server.close(5)
        self.app.extensions["downloader"].close(grace_seconds=0)


@pytest.fixture
def start_victim(tmp_path: Path, sample_mp4: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Victim]]:
    """Return what starts a server that has a single place for event streams."""
    victims: list[Victim] = []
    monkeypatch.setattr(api_events, "MAX_STREAMS", 1)

    def download(url: str, output_dir: str) -> tuple[bool, str, None]:
        return True, str(shutil.copy(sample_mp4, Path(output_dir) / "tiktok 7.mp4")), None

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)

    def start(**settings: Any) -> Victim:
        settings = {"storage_dir": tmp_path / "storage", "host": "127.0.0.1", "rate_limit": None, **settings}
        app = create_downloader_app(Settings(**settings))
        victims.append(Victim(app))
        assert json.loads(victims[-1].ask("/download", body=json.dumps({"url": TIKTOK}))[1])["success"]
        return victims[-1]

    yield start
    for victim in victims:
        victim.close()


@pytest.fixture(scope="module")
def attacker_port() -> Iterator[int]:
    """Serve a page that is not ours, at another port of the same machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>A page</title><body>")

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # here: it is of no use where there is no browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


def log_in(page: Any, address: str) -> None:
    page.goto(f"{address}/dashboard")
    page.fill("#key", KEY)
    page.click("button")
    page.wait_for_url("**/dashboard")


def reading_paths(job_id: str) -> list[str]:
    return ["/", "/dashboard", "/healthz", "/metrics", "/openapi.json", "/api/v1/events", "/api/v1/events?since=0",
            "/api/v1/batches", "/api/v1/queue", f"/api/v1/files/{job_id}", "/login", "/history", "/tunnel?id=x",
            "/download/tiktok%207.mp4"]  # fmt: skip


def attack(page: Any, victim: Victim, target: str) -> tuple[list[str], list[tuple[str, str, int]]]:
    """Have the page that is open attack *target*; return what it saw, and what the server was asked and answered."""
    [job] = victim.state()[1]["jobs"]
    body = json.dumps({"url": TIKTOK + "1", "urls": [TIKTOK + "2"], "ids": [job["job_id"]], "files": True})
    changing = [
        (method, path.replace(NOBODY, job["job_id"] if "/jobs/" in path else job["batch_id"]))
        for method, path in changing_routes(victim.app)
    ]
    assert ("POST", "/api/v1/batches") in changing
    before = victim.state()
    done = len(victim.asked.answers)
    reading = reading_paths(job["job_id"])
    # Elements that take long are tried with a page and with what may be a file.
    media = [path for path in reading if path == "/dashboard" or "/files/" in path or "/download/" in path]
    facts = {"target": target, "changing": changing, "reading": reading, "media": media, "body": body}
    turn = ATTACKERS.index(str(urlsplit(page.url).hostname))
    seen: list[str] = page.evaluate(ATTACK, {**facts, "turn": turn, "turns": len(ATTACKERS)})
    answers = victim.asked.answers[done:]
    assert shown_in_frames(page) == []
    # It was tried: what can be sent without asking first came here, and for all else the browser asked.
    assert {path for method, path in changing if method == "POST"} <= {
        path for method, path, _ in answers if method == "POST"
    }
    assert {path for _, path in changing} <= {path for method, path, _ in answers if method == "OPTIONS"}
    assert victim.state() == before
    assert victim.begins_a_stream()  # the one place is free
    return seen, answers


def shown_in_frames(page: Any) -> list[str]:
    """Return the addresses that *page* shows in its frames, once all of them show something."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while any(frame.url == "" for frame in page.frames) and time.monotonic() < patience:
        page.evaluate("new Promise(requestAnimationFrame)")
    return [frame.url for frame in page.frames[1:] if not frame.url.startswith(("about:", "chrome-error:"))]


@pytest.mark.parametrize(
    ("attackers", "keyed"),
    [(ATTACKERS[:2], True), (ATTACKERS[2:3], False)],
)
def test_another_page_can_do_nothing(
    page: Any, start_victim: Callable[..., Victim], attacker_port: int, attackers: tuple[str, ...], keyed: bool
) -> None:
    victim = start_victim(**({"api_key": KEY} if keyed else {}))
    target = f"http://127.0.0.1:{victim.port}"
    if keyed:
        log_in(page, target)
    for attacker in attackers:
        page.goto(f"http://{attacker}:{attacker_port}/")
        seen, answers = attack(page, victim, target)
        assert seen == []
        # A frame of a page that our service worker answers for asks as a link does. It is not shown: see `attack`.
        framed = [("GET", "/dashboard", 200)] if keyed and attacker == "127.0.0.1" else []
        assert [answer for answer in answers if answer[2] != 403] in ([], framed)


def test_nor_without_tls_in_a_network_where_browsers_say_less(
    page: Any, start_victim: Callable[..., Victim], attacker_port: int
) -> None:
    """No `Sec-Fetch-…` goes to http:// beyond loopback: what changes something is told by `Origin` alone."""
    victim = start_victim(api_key=KEY, allowed_hosts="nas.example")
    target = f"http://nas.example:{victim.port}"
    log_in(page, target)
    assert page.evaluate("fetch('/api/v1/queue/resume', { method: 'POST' }).then((answer) => answer.status)") == 200
    # The worst place: the same host, so that even the cookie comes along.
    page.goto(f"http://nas.example:{attacker_port}/")
    seen, answers = attack(page, victim, target)
    assert seen == []
    assert [answer for answer in answers if answer[0] not in ("GET", "HEAD") and answer[2] != 403] == []


def test_a_name_that_was_made_to_lead_here_is_refused(page: Any, start_victim: Callable[..., Victim]) -> None:
    victim = start_victim()
    address = f"http://attacker.example:{victim.port}"
    assert page.goto(f"{address}/dashboard").status == 400
    ask = "([method, path]) => fetch(path, { method }).then((answer) => answer.status)"
    for method, path in [*changing_routes(victim.app), *(("GET", path) for path in reading_paths(NOBODY))]:
        assert page.evaluate(ask, [method, path]) == 400


def test_a_link_from_another_page_finds_who_is_logged_in(
    page: Any, start_victim: Callable[..., Victim], attacker_port: int
) -> None:
    victim = start_victim(api_key=KEY)
    target = f"http://127.0.0.1:{victim.port}"
    log_in(page, target)

    def follow(path: str) -> int:
        page.goto(f"http://localhost:{attacker_port}/")
        page.evaluate("(to) => { document.body.innerHTML = `<a href='${to}'>go</a>`; }", target + path)
        with page.expect_response(target + path) as found:
            page.click("a")
        return int(found.value.status)

    assert follow("/dashboard?url=https%3A%2F%2Fx.com%2F1") == 200  # as a bookmarklet does
    assert follow("/api/v1/queue") == 200
    assert follow("/api/v1/events") == 403


# The login page


def test_the_login_page_needs_no_script(chromium: Any, start_victim: Callable[..., Victim]) -> None:
    victim = start_victim(api_key=KEY)
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    address = f"http://127.0.0.1:{victim.port}"
    page.goto(f"{address}/dashboard?text=a%20b")
    assert page.url.startswith(f"{address}/login?next=")
    page.fill("#key", "wrong")
    page.press("#key", "Enter")
    expect(page.locator("[role=alert]")).to_contain_text("Wrong key.")
    page.fill("#key", KEY)
    page.press("#key", "Enter")
    page.wait_for_url(f"{address}/dashboard?text=a%20b")
    [cookie] = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    page.goto(f"{address}/login")
    page.click("text=Log out")
    page.wait_for_url(f"{address}/login")
    assert context.cookies() == []
    page.goto(f"{address}/dashboard")
    assert "/login" in page.url
    context.close()


def test_logging_out_closes_the_dashboard_in_other_tabs(
    chromium: Any, start_victim: Callable[..., Victim], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_events, "MAX_STREAMS", 8)
    victim = start_victim(api_key=KEY)
    address = f"http://127.0.0.1:{victim.port}"
    context = chromium.new_context()
    dashboard, other = context.new_page(), context.new_page()
    with dashboard.expect_response("**/api/v1/events*"):
        log_in(dashboard, address)
    other.goto(f"{address}/login")
    other.click("text=Log out")
    dashboard.wait_for_url("**/login?next=*", timeout=PATIENCE_SECONDS * 1000)
    assert context.cookies() == []
    context.close()


def test_the_login_page_is_for_everybody(page: Any, start_victim: Callable[..., Victim]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    victim = start_victim(api_key=KEY)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)

    def check() -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            report = Axe().run(page)
            assert report.violations_count == 0, report.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    page.goto(f"http://127.0.0.1:{victim.port}/login")
    expect(page.locator("#key")).to_be_focused()  # which a browser sees to a moment after it has loaded the page
    assert page.locator("script, style, [style]").count() == 0
    check()
    page.fill("#key", "wrong")
    page.click("button")
    expect(page.locator("#key")).to_have_attribute("aria-invalid", "true")
    check()
    page.fill("#key", KEY)
    page.click("button")
    page.wait_for_url("**/dashboard")
    page.goto(f"http://127.0.0.1:{victim.port}/login")
    expect(page.locator("text=Log out")).to_be_visible()
    check()
    # Chromium reports any answer from 400 on.
    assert [text for text in complaints if not re.search(r"status of (401|404)", text)] == []
