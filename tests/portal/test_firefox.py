"""The main flows in Firefox, with a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.firefox import CONTROL, ENTER, ESCAPE, FIREFOX, firefox
from tests.real_server import Server
from tests.simulator.client import Simulator

pytestmark = [
    pytest.mark.skipif(FIREFOX is None, reason="no Firefox on this machine"),
    pytest.mark.timeout(300),
]

#: Resolves when the video has played a little.
PLAYS = """
const [done] = arguments;
const video = document.querySelector("#player video");
video.muted = true;
video.addEventListener("timeupdate", () => video.currentTime > 0 && done(true));
video.addEventListener("error", () => done(video.error.message));
video.play();
"""


def test_links_are_pasted_watched_saved_retried_and_deleted(
    server: Server, simulator: Simulator, tmp_path: Path
) -> None:
    with firefox(tmp_path) as browser:
        browser.open(f"{server.url}/dashboard")
        browser.see("#connection[data-state=live]")

        # Paste anywhere, Enter.
        browser.write("#links", simulator.url("tiktok", "ok"))
        browser.press(CONTROL, "a")
        browser.press(CONTROL, "x")
        browser.run("document.activeElement.blur()")
        browser.press(CONTROL, "v")
        browser.see("#links-found", "1 from TikTok")
        browser.press(ENTER)
        browser.see(".job[data-state=succeeded]", "Ada's garden")
        browser.see(".job[data-state=succeeded] .thumb img")

        # Watch.
        browser.click(".job .thumb button", "Play")
        assert browser.ask("WebDriver:ExecuteAsyncScript", script=PLAYS, args=[]) is True
        browser.press(ESCAPE)

        # Save.
        browser.click(".job a[download]", "Save")
        [file] = (server.storage / "raw").iterdir()
        browser.see("#connection[data-state=live]")
        saved = browser.downloads / file.name
        browser.wait_for(lambda: saved.is_file() and saved.read_bytes() == file.read_bytes())

        # Retry.
        server.ask("POST", "/download", {"url": simulator.url("youtube", "private")})
        server.ask("POST", "/api/v1/queue/pause")  # or the next failure overwrites the notice
        browser.click(".job[data-state=failed] button", "Retry")
        browser.see("#status", "1 link is back in the queue.")
        server.ask("POST", "/api/v1/queue/resume")
        browser.see(".job[data-state=failed]", "private")

        # Delete, and undo it.
        browser.click(".job[data-state=failed] button", "More")
        browser.click("[role=menuitem]", "Remove from list")
        browser.wait_for(lambda: browser.run("return document.querySelectorAll('#batches .job').length") == 1)
        browser.click("#undo button", "Undo")
        browser.see(".job[data-state=failed]", "private")

        # The other views, in which the browser itself may complain.
        for view, shown in (("history", ".job"), ("statistics", ".statistics dl"), ("settings", "#cookies li")):
            browser.click(f"nav a[href='#{view}']")
            browser.see(f"#view-{view} {shown}")
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
