"""Takes screenshots of every view: `python -m tests.take_screenshots FOLDER`. Real server, platform simulator.

Each view on a desktop and a phone, in light and dark colours. `--docs` takes those of the README instead.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from downloader.ytdlp import tools as toolchain
from tests.browser import ARGUMENTS, CHROMIUM, expect
from tests.real_server import REPOSITORY, Server
from tests.simulator.client import Simulator
from tests.simulator.lists import list_url
from tests.simulator.model import Platform

WAIT_MS = 30_000
RUNNING = ".job[data-state=running] progress[value]"
TOUCH = {"device_scale_factor": 1.5, "has_touch": True, "is_mobile": True}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1200, "height": 1000}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, **TOUCH}
WIDE: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
NARROW: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, **TOUCH}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=REPOSITORY / "docs" / "images")
    parser.add_argument("--docs", action="store_true", help="those of the README, by default to where they belong")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as storage,
        Simulator(media_bytes=1_500_000) as simulator,
        sync_playwright() as playwright,
    ):
        server = Server(simulator, Path(storage))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            fill(server, simulator)
            if options.docs:
                take_for_docs(browser, server, options.folder)
            else:
                take_all(browser, server, simulator, options.folder)
        finally:
            browser.close()
            server.close()


def fill(server: Server, simulator: Simulator) -> None:
    """Have downloads in every state; the last ones are still running."""
    url = simulator.url
    server.ask("POST", "/api/v1/batches", {"urls": [list_url("youtube", "plain", 12)], "expand": {"limit": 12}})
    platforms: tuple[Platform, ...] = ("youtube", "tiktok", "instagram", "twitter")
    server.ask(
        "POST", "/download/batch", {"urls": [*(url(each, "ok", 1) for each in platforms), url("youtube", "private")]}
    )
    server.ask("POST", "/download/batch", {"urls": [url("instagram", "private", 2)]})
    server.ask("POST", "/download/batch", {"urls": [url("youtube", "removed", 1)]})
    server.ask("POST", "/download/batch", {"urls": [url("youtube", "ok", 3)], "preset": "audio"})
    server.ask("POST", "/download/batch", {"urls": [url("tiktok", "pictures", 1)]})
    server.ask("POST", "/download/batch", {"urls": [url("twitter", "ok", 4)]})
    simulator.configure(media_bytes_per_second=30_000)
    server.ask("POST", "/api/v1/batches", {"urls": [url(each, "ok", 2) for each in platforms]})


@lru_cache
def painted(name: str) -> bytes:
    """Return a picture of colours of its own, as JPEG."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:3])
    source = f"gradients=s=320x180:n=5:seed={seed}:type=radial,format=yuvj420p"
    return ffmpeg("-f", "lavfi", "-i", source, "-frames:v", "1", "-f", "mjpeg", "-")


def shrunk(png: bytes) -> bytes:
    """Return *png* with 256 colours, which takes half as much."""
    filters = "split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none"
    return ffmpeg("-f", "png_pipe", "-i", "-", "-vf", filters, "-f", "image2pipe", "-c:v", "png", "-", given=png)


def ffmpeg(*arguments: str, given: bytes = b"") -> bytes:
    tool = toolchain.ffmpeg()
    assert tool
    assert tool.path
    command = [tool.path, "-loglevel", "error", *arguments]
    return subprocess.run(command, input=given, check=True, capture_output=True).stdout


class Visit:
    """A browser's tab, of one size and in one of the colours."""

    def __init__(self, browser: Any, server: Server, colours: str, kind: dict[str, Any]) -> None:
        self.page = browser.new_context(**kind, color_scheme=colours, service_workers="block").new_page()
        # The simulator's thumbnails are grey.
        self.page.route(
            "**/thumbnail", lambda route: route.fulfill(body=painted(route.request.url), content_type="image/jpeg")
        )
        self._address = f"{server.url}/dashboard"

    def open(self, view: str, shown: str) -> None:
        """Open *view* and wait until *shown* is."""
        self.page.goto("about:blank")
        self.page.goto(f"{self._address}#{view}")
        expect(self.page.locator(shown).first).to_be_visible(timeout=WAIT_MS)
        self.settle()

    def settle(self) -> None:
        """Wait for the pictures in sight."""
        self.page.wait_for_function(
            """() => [...document.querySelectorAll("#batches img, #history-jobs img, #player img")]
                 .filter(each => each.checkVisibility() && each.getBoundingClientRect().top < innerHeight)
                 .every(each => each.complete)"""
        )
        self.page.mouse.move(0, 0)


def take_all(browser: Any, server: Server, simulator: Simulator, folder: Path) -> None:
    """Take every view, light and dark, on a desktop and a phone."""
    for size, kind in (("desktop", WIDE), ("phone", NARROW)):
        for colours in ("light", "dark"):
            visit = Visit(browser, server, colours, kind)
            for name in take_views(visit, simulator):
                visit.page.screenshot(path=folder / f"{size}-{colours}-{name}.png")
            visit.page.context.close()


def take_views(visit: Visit, simulator: Simulator) -> Iterator[str]:
    """Show each view; yield its name once it is."""
    page = visit.page
    visit.open("downloads", RUNNING)
    yield "list"
    page.fill(
        "#links", f"See {simulator.url('youtube', 'ok', 9)}\nhttps://netflix.com/1\n{list_url('youtube', 'plain', 40)}"
    )
    expect(page.locator("#expansion")).to_be_visible()
    yield "form"
    page.fill("#links", "")
    page.locator(".job [data-menu]").first.click()
    yield "menu"
    page.keyboard.press("Escape")
    page.locator("#select").click()
    page.locator("#batches .job .facts").first.click()
    yield "selection"
    page.keyboard.press("Escape")
    page.locator("#sort").click()
    yield "order"
    page.keyboard.press("Escape")
    page.locator("#pause").click()
    expect(page.locator(".banner[data-id=paused]")).to_be_visible()
    yield "paused"
    page.locator("#pause").click()
    expect(page.locator(".banner[data-id=paused]")).to_be_hidden()
    page.locator("#layout").click()
    visit.settle()
    yield "grid"
    page.locator("#layout").click()
    for view, shown in (
        ("history", "#history-jobs .job"),
        ("statistics", ".statistics dl"),
        ("settings", "#server-settings details"),
    ):
        visit.open(view, shown)
        yield view
        if view == "history":
            page.locator("#history-select").click()
            page.locator("#history-jobs .facts").nth(5).click()
            yield "history-selection"
            page.keyboard.press("Escape")
    visit.open("downloads", RUNNING)
    page.locator(".job .thumb button:has(use[href='#i-pictures'])").first.click()
    expect(page.locator("#player img")).to_be_visible()
    visit.settle()
    yield "gallery"


def take_for_docs(browser: Any, server: Server, folder: Path) -> None:
    """Take those that the README and `docs/use.md` show."""
    for name, colours, kind in (
        ("dashboard", "light", DESKTOP),
        ("dashboard-grid", "dark", DESKTOP),
        ("dashboard-phone", "dark", PHONE),
    ):
        visit = Visit(browser, server, colours, kind)
        visit.open("downloads", RUNNING)
        if name.endswith("grid"):
            visit.page.locator("#layout").click()
            visit.settle()
        (folder / f"{name}.png").write_bytes(shrunk(visit.page.screenshot()))


if __name__ == "__main__":
    main()
