"""The page in a real browser: links in, files out, and strangers' text shown as text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server import Server
from tests.simulator.client import Simulator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

#: No sandbox, because tests may run as root; the others keep it from talking to anyone but the page.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # here: it is of no use where there is no browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Return an empty page that fails the test where anything on it went wrong."""
    page = browser.new_page(viewport={"width": 360, "height": 740})
    complaints: list[str] = []

    def listen(message: Any) -> None:
        # What a test cut off on purpose is reported by the browser too.
        if message.type == "error" and "net::ERR_FAILED" not in message.text:
            complaints.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def test_pasted_links_become_files(page: Any, server: Server, simulator: Simulator) -> None:
    elsewhere: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(server.url) else elsewhere.append(request.url))
    page.goto(f"{server.url}/")
    assert page.url == f"{server.url}/dashboard"
    ok, private = simulator.url("tiktok", "ok"), simulator.url("youtube", "private")
    page.fill("#links", f"Look at this: {ok}, and ({private}). Again: {ok}\nhttps://netflix.com/watch/1")
    expect(page.locator("#links-found")).to_have_text(
        "3 links: 1 × TikTok, 1 × YouTube, 1 from elsewhere, which will be refused, 1 repeated, taken once."  # noqa: RUF001
    )
    page.click("#download")
    expect(page.locator("#status")).to_have_text("1 of 3 downloaded.", timeout=20_000)
    rows = page.locator("#jobs tbody tr")
    assert [row.get_attribute("data-state") for row in rows.all()] == ["succeeded", "failed", "failed"]
    expect(rows.nth(0)).to_contain_text("tiktok_")
    expect(rows.nth(1)).to_contain_text("This YouTube post is private")
    expect(rows.nth(2)).to_contain_text("Unsupported platform")
    expect(page.locator("#links")).to_have_value("")
    assert elsewhere == []


def test_a_hostile_title_is_shown_as_text(page: Any, server: Server, simulator: Simulator) -> None:
    page.goto(f"{server.url}/dashboard")
    page.fill("#links", simulator.url("youtube", "hostile_title"))
    page.click("#download")
    expect(page.locator("#status")).to_have_text("1 of 1 downloaded.", timeout=20_000)
    expect(page.locator("#jobs")).to_contain_text("<script>")
    assert page.locator("#jobs script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # nor does it break the page


def test_what_failed_can_be_retried(page: Any, start_server: Any, simulator: Simulator) -> None:
    server: Server = start_server(DOWNLOADER_MAX_ATTEMPTS="1")
    page.goto(f"{server.url}/dashboard")
    page.fill("#links", f"{simulator.url('tiktok', 'unavailable_once')} {simulator.url('tiktok', 'ok')}")
    page.click("#download")
    expect(page.locator("#status")).to_have_text("1 of 2 downloaded.", timeout=20_000)
    page.click("#retry-failed")
    expect(page.locator("#status")).to_have_text("1 of 1 downloaded.", timeout=20_000)
    assert page.locator("#jobs tr[data-state=succeeded]").count() == 2
    expect(page.locator("#retry-failed")).to_be_hidden()


def test_a_draft_survives_a_reload(page: Any, server: Server) -> None:
    page.goto(f"{server.url}/dashboard")
    page.fill("#links", "youtu.be/dQw4w9WgXcQ")
    page.reload()
    expect(page.locator("#links")).to_have_value("youtu.be/dQw4w9WgXcQ")
    expect(page.locator("#download")).to_be_enabled()


def test_a_server_that_is_gone_is_said_in_a_sentence(page: Any, server: Server, simulator: Simulator) -> None:
    page.goto(f"{server.url}/dashboard")
    page.route("**/download/batch", lambda route: route.abort())
    page.fill("#links", simulator.url("tiktok", "ok"))
    page.click("#download")
    expect(page.locator("#status")).to_have_text("The server cannot be reached: start it, then retry.")
    page.unroute("**/download/batch")
    page.click("#retry-failed")
    expect(page.locator("#status")).to_have_text("1 of 1 downloaded.", timeout=20_000)
