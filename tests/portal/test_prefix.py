"""The page below a prefix, behind a real nginx: nothing it asks for is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.browser import expect, needs_browser
from tests.nginx import PREFIX, SETTINGS, Nginx, needs_nginx
from tests.portal.test_service_worker import READY
from tests.real_server import Server
from tests.simulator.client import Simulator

pytestmark = [needs_browser, needs_nginx, pytest.mark.timeout(300)]

KEY = "a-key-that-no-one-guesses"


@pytest.fixture
def start_nginx(tmp_path: Path) -> Iterator[Callable[..., Nginx]]:
    with ExitStack() as stack:

        def start(server: Server, *, strip: bool) -> Nginx:
            nginx = Nginx(tmp_path, server.port, strip=strip)
            stack.callback(nginx.close)
            return nginx

        yield start


@pytest.mark.parametrize("strip", [False, True])
def test_a_key_a_link_its_file_and_the_page_without_its_server(
    new_page: Callable[..., Any],
    start_server: Callable[..., Server],
    start_nginx: Callable[..., Nginx],
    simulator: Simulator,
    strip: bool,
) -> None:
    settings = {"DOWNLOADER_URL_PREFIX": "videos/", "DOWNLOADER_API_KEY": KEY}
    server = start_server(**settings, **(SETTINGS if strip else {}))
    nginx = start_nginx(server, strip=strip)
    page = new_page(service_workers="allow")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{nginx.url}/")
    assert page.url.startswith(f"{nginx.url}/login?next=")
    page.fill("#key", KEY)
    page.press("#key", "Enter")
    page.wait_for_url(f"{nginx.url}/dashboard")
    [cookie] = page.context.cookies()
    assert cookie["path"] == PREFIX
    page.fill("#links", simulator.url("tiktok", "ok"))
    page.click("#download")
    row = page.locator("#batches .job[data-state=succeeded]")
    expect(row).to_have_count(1)
    expect(row.locator("img")).to_be_visible()
    with page.expect_download() as saved:
        row.get_by_role("link", name="Save").click()
    [file] = (server.storage / "raw").iterdir()
    assert Path(saved.value.path()).read_bytes() == file.read_bytes()
    page.evaluate(READY)
    page.goto(f"{nginx.url}/api/docs")
    page.goto(f"{nginx.url}/dashboard")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    server.stop()
    page.reload()
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    assert {url for url in asked if not url.startswith((f"{nginx.url}/", "blob:", "data:"))} == set()
    assert nginx.elsewhere() == []
