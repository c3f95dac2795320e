"""A real browser for tests: Chromium, driven by Playwright. Its fixtures are known everywhere (conftest.py)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

#: The first takes half the processor time for the same page: see .ci/run.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

#: No sandbox, because tests may run as root; the others keep it from talking to anyone but the page.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # here: it is of no use where there is no browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return what opens a page in a profile of its own; anything that goes wrong on it fails the test."""
    complaints: list[str] = []

    def listen(message: Any) -> None:
        # What a test cut off on purpose is reported by the browser too.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    with ExitStack() as contexts:

        def open_page(**options: Any) -> Any:
            context = browser.new_context(**{"viewport": PHONE, **options})
            contexts.callback(context.close)
            context.on("console", listen)
            context.on("weberror", lambda error: complaints.append(str(error.error)))
            return context.new_page()

        yield open_page
    assert complaints == [], complaints


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    return new_page()


#: How long an assertion waits for what it expects: no machine is so slow.
PATIENCE_MS = 20_000


def expect(locator: Any) -> Any:
    """Return Playwright's assertions on *locator*, which wait until they hold."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    return expect(locator)
