"""A real browser for tests: Chromium, driven by Playwright. Its fixtures are those of the tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

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

#: Service workers are for the tests of what they do: to install one takes a tenth of a page's processor time.
PROFILE = {"viewport": PHONE, "service_workers": "block"}


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # here: it is of no use where there is no browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """Return what pages complain about; anything fails the test, once its pages are closed."""
    found: list[str] = []
    yield found
    assert found == [], found


@contextmanager
def heard(context: Any, complaints: list[str]) -> Iterator[Any]:
    """Add what goes wrong on the pages of *context* to *complaints*."""

    def listen(message: Any) -> None:
        # What a test cut off on purpose is reported by the browser too.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    def note(error: Any) -> None:
        complaints.append(str(error.error))

    context.on("console", listen)
    context.on("weberror", note)
    yield context
    context.remove_listener("console", listen)
    context.remove_listener("weberror", note)


@pytest.fixture
def new_page(browser: Any, complaints: list[str]) -> Iterator[Callable[..., Any]]:
    """Return what opens a page in a profile of its own: for tests that set a clock, or what a profile is allowed."""
    with ExitStack() as contexts:

        def open_page(**options: Any) -> Any:
            context = browser.new_context(**{**PROFILE, **options})
            contexts.callback(context.close)
            contexts.enter_context(heard(context, complaints))
            return context.new_page()

        yield open_page


@pytest.fixture(scope="package")
def profile(browser: Any) -> Iterator[Any]:
    """Return a profile in which pages open in half the processor time: their files are cached, and compiled."""
    context = browser.new_context(**PROFILE)
    yield context
    context.close()


@pytest.fixture
def page(profile: Any, complaints: list[str]) -> Iterator[Any]:
    """Return a page in a profile in which earlier tests have left nothing but cached files."""
    with heard(profile, complaints):
        page = profile.new_page()
        yield page
        forget(profile)


def forget(context: Any) -> None:
    """Close the pages of *context*, and delete what they stored."""
    origins = {url.scheme + "://" + url.netloc for url in (urlsplit(page.url) for page in context.pages) if url.netloc}
    kept = context.new_page()  # which asks for the deletion, when no page can store anything any more
    for page in context.pages:
        if page != kept:
            page.close()
    devtools = context.new_cdp_session(kept)
    for origin in origins:
        devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
    kept.close()
    context.clear_cookies()
    context.clear_permissions()


#: How long an assertion waits for what it expects: no machine is so slow.
PATIENCE_MS = 45_000


def expect(locator: Any) -> Any:
    """Return Playwright's assertions on *locator*, which wait until they hold."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    return expect(locator)
