"""Takes the README's screenshots: `python -m tests.take_screenshots`. Real server, platform simulator."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from tests.browser import ARGUMENTS, CHROMIUM, expect
from tests.real_server import REPOSITORY, Server
from tests.simulator.client import Simulator

WAIT_MS = 30_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "docs" / "images", help="where the pictures go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as storage, Simulator(media_bytes=1_500_000) as simulator:
        server = Server(simulator, Path(storage))
        try:
            take(server, simulator, folder)
        finally:
            server.close()


def take(server: Server, simulator: Simulator, folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        desktop = browser.new_page(viewport={"width": 1200, "height": 1240}, color_scheme="light")
        fill(desktop, server, simulator)
        desktop.screenshot(path=folder / "dashboard.png")
        phone = browser.new_page(
            viewport={"width": 390, "height": 780}, color_scheme="dark", device_scale_factor=1.5, has_touch=True
        )
        phone.goto(f"{server.url}/dashboard")
        expect(phone.locator(".job[data-state=running]").first).to_be_visible(timeout=WAIT_MS)
        phone.evaluate("document.getElementById('batches').scrollIntoView()")
        phone.screenshot(path=folder / "dashboard-phone.png")
        browser.close()


def fill(page: Any, server: Server, simulator: Simulator) -> None:
    """Fill *page* with downloads in every state."""
    page.goto(f"{server.url}/dashboard")
    done = [simulator.url(platform, "ok", 1) for platform in ("youtube", "tiktok", "instagram", "twitter")]
    failed = [simulator.url("youtube", "private", 1), simulator.url("instagram", "removed", 1)]
    slow = [simulator.url(platform, "ok", 2) for platform in ("tiktok", "youtube", "twitter", "instagram")]
    page.fill("#links", "\n".join([*done[:2], failed[0], *done[2:], failed[1]]))
    page.click("#download")
    expect(page.locator(".batch .summary").first).to_contain_text("downloaded", timeout=WAIT_MS)
    simulator.configure(media_bytes_per_second=60_000)
    page.fill("#links", "\n".join(slow))
    page.click("#download")
    expect(page.locator(".job[data-state=running] progress[value]").nth(1)).to_be_visible(timeout=WAIT_MS)
    page.fill(
        "#links", f"Have you seen these?\n{simulator.url('youtube', 'ok', 9)}\n{simulator.url('tiktok', 'ok', 9)}"
    )
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")


if __name__ == "__main__":
    main()
