"""Counts what common tasks take in the page: clicks, key presses and pastes, in Chromium with a real server.

    python -m benchmarks.clicks [--json FILE]

The page is open and the links are in the clipboard. The browser counts, by the events that people's hands cause; text
typed into a field is one more, shown as `+ typing`. Fails if a task takes more than its goal.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import command_line
from benchmarks.tables import Cell, table
from tests.browser import ARGUMENTS, CHROMIUM, expect
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.lists import list_url

#: Tells `acted` of every click, and of every key but modifiers; a letter in a text field is `typed`.
COUNTING = """
addEventListener("pointerdown", (event) => event.isTrusted && acted("click"), true);
addEventListener("keydown", (event) => {
  if (!event.isTrusted || event.repeat || ["Control", "Shift", "Alt", "Meta"].includes(event.key)) return;
  const isText = event.key.length === 1 && !event.ctrlKey && !event.metaKey;
  acted(isText ? "typed" : `${event.ctrlKey ? "Ctrl+" : ""}${event.key}`);
}, true);
"""


class Desk:
    """A person at the page: the browser's tab, the server behind it, and what the hands did."""

    def __init__(self, page: Any, server: Server, simulator: Simulator) -> None:
        self.page, self.server, self.simulator = page, server, simulator
        self.acts: list[str] = []
        page.expose_function("acted", lambda act: self.acts.append(act))
        page.add_init_script(COUNTING)

    def open(self) -> None:
        """Open the page, or come back to it."""
        self.page.goto(f"{self.server.url}/dashboard#downloads")  # a page that is open stays
        expect(self.page.locator("#connection")).to_have_attribute("data-state", "live")

    def copy(self, *links: str) -> None:
        """Put *links* into the clipboard, as any other program does."""
        self.page.evaluate("text => navigator.clipboard.writeText(text)", "\n".join(links))

    def button(self, name: str, role: Any = "button") -> Any:
        return self.page.locator("main").get_by_role(role, name=name)

    def rows(self, state: str) -> Any:
        return self.page.locator(f"#batches .job[data-state={state}]")

    def download(self, *scenarios: str) -> None:
        """Have YouTube posts downloaded, as one batch, before the page is opened."""
        self.page.goto("about:blank")
        urls = [self.simulator.url("youtube", scenario, number) for number, scenario in enumerate(scenarios)]
        assert self.server.ask("POST", "/download/batch", {"urls": urls})[0] == 200

    def presets(self) -> list[str]:
        """Return what was to be got of each post, the newest first."""
        return [job["preset"] for job in self.server.ask("GET", "/api/v1/jobs")[1]["jobs"]]

    def clear(self) -> None:
        """Forget all downloads."""
        for batch in self.server.ask("GET", "/api/v1/batches?limit=200")[1]["batches"]:
            self.server.ask("POST", f"/api/v1/batches/{batch['id']}/cancel")
            assert self.server.ask("DELETE", f"/api/v1/batches/{batch['id']}?files=true")[0] == 200
        expect(self.page.locator(".batch")).to_have_count(0)


# What people do. Each is prepared up to its `yield`, from where on is counted, and ends when the page shows the result.


def one_link(desk: Desk) -> Iterator[None]:
    desk.open()
    desk.copy(desk.simulator.url("tiktok", "ok"))
    yield
    desk.button("Paste and download").click()
    expect(desk.rows("succeeded")).to_have_count(1)


def one_link_by_keyboard(desk: Desk) -> Iterator[None]:
    desk.open()
    desk.copy(desk.simulator.url("tiktok", "ok"))
    yield
    desk.page.keyboard.press("Control+v")
    expect(desk.page.locator("#download")).to_be_enabled()
    desk.page.keyboard.press("Enter")
    expect(desk.rows("succeeded")).to_have_count(1)


def many_links(desk: Desk) -> Iterator[None]:
    desk.server.ask("POST", "/api/v1/queue/pause")  # they need not be downloaded
    desk.open()
    desk.copy(*(desk.simulator.url("twitter", "ok", number) for number in range(200)))
    yield
    desk.button("Paste and download").click()
    expect(desk.page.locator(".batch .toggle")).to_contain_text("200")
    desk.clear()
    desk.server.ask("POST", "/api/v1/queue/resume")


def a_playlist(desk: Desk) -> Iterator[None]:
    desk.open()
    desk.copy(list_url("youtube", "plain", 4))
    yield
    desk.button("Paste and download").click()
    expect(desk.rows("succeeded")).to_have_count(5)  # the playlist itself is one


def sound_only(desk: Desk) -> Iterator[None]:
    desk.open()
    desk.copy(desk.simulator.url("youtube", "ok", 1))
    yield
    desk.button("Sound only").click()
    desk.button("Paste and download").click()
    expect(desk.rows("succeeded")).to_have_count(1)
    assert desk.presets() == ["audio"]


def sound_only_again(desk: Desk) -> Iterator[None]:
    desk.open()
    desk.copy(desk.simulator.url("youtube", "ok", 2))
    yield
    desk.button("Paste and download").click()
    expect(desk.rows("succeeded")).to_have_count(1)
    assert desk.presets() == ["audio"]


def save_one(desk: Desk) -> Iterator[None]:
    desk.download("ok")
    desk.open()
    expect(desk.rows("succeeded")).to_have_count(1)
    yield
    with desk.page.expect_download():
        desk.button("Save", "link").click()


def save_all(desk: Desk) -> Iterator[None]:
    desk.download("ok", "ok", "ok")
    desk.open()
    expect(desk.rows("succeeded")).to_have_count(3)
    yield
    with desk.page.expect_download():
        desk.button("Save all", "link").click()


def retry_failed(desk: Desk) -> Iterator[None]:
    desk.download("private", "ok")
    desk.download("private")
    desk.open()
    yield
    with desk.page.expect_response("**/api/v1/jobs/retry") as answer:
        desk.button("Retry 2").click()
    assert len(answer.value.json()["jobs"]) == 2


def clear_finished(desk: Desk) -> Iterator[None]:
    for _ in range(3):
        desk.download("ok")
    desk.open()
    expect(desk.page.locator(".batch")).to_have_count(3)
    yield
    desk.button("Clear finished").click()
    expect(desk.page.locator(".batch")).to_have_count(0)


def give_cookies(desk: Desk) -> Iterator[None]:
    later = int(time.time()) + 400 * 24 * 3600
    cookies = f"# Netscape HTTP Cookie File\n.youtube.com\tTRUE\t/\tTRUE\t{later}\tSAPISID\tsecret\n"
    desk.download("age_restricted")
    desk.open()
    yield
    desk.button("Add cookies").click()
    with desk.page.expect_file_chooser() as chooser:
        desk.button("Choose file…: YouTube").click()
    chooser.value.set_files({"name": "cookies.txt", "mimeType": "text/plain", "buffer": cookies.encode()})
    expect(desk.page.locator("#view-downloads")).to_be_visible()  # where it is retried
    desk.server.ask("DELETE", "/api/v1/cookies/youtube")


def find_an_old_one(desk: Desk) -> Iterator[None]:
    desk.download("ok", "private", "ok")
    desk.open()
    yield
    desk.page.get_by_role("link", name="History").click()
    expect(desk.page.locator("#history-jobs .job")).to_have_count(3)
    desk.page.keyboard.type("is private")
    expect(desk.page.locator("#history-jobs .job")).to_have_count(1)


Task = Callable[[Desk], Iterator[None]]

#: Each with what it may take, without typing.
TASKS: dict[str, tuple[int, Task]] = {
    "download one link": (1, one_link),
    "the same by keyboard: paste, Enter": (2, one_link_by_keyboard),
    "download 200 links": (2, many_links),
    "download a playlist": (2, a_playlist),
    "one link, sound only": (2, sound_only),
    "the next one, sound only too": (1, sound_only_again),
    "save a video": (1, save_one),
    "save all of a batch": (1, save_all),
    "retry all that failed": (1, retry_failed),
    "clear all that finished": (1, clear_finished),
    "give cookies, from the row that failed": (2, give_cookies),
    "find an old one": (1, find_an_old_one),
}


def count(desk: Desk) -> dict[str, list[str]]:
    """Return for each of `TASKS` what was done for it, in order."""
    done: dict[str, list[str]] = {}
    for name, (_, task) in TASKS.items():
        steps = task(desk)
        next(steps)
        desk.acts.clear()
        next(steps, None)
        desk.page.evaluate("0")  # whatever was told before has arrived
        done[name] = desk.acts[:]
        desk.clear()
    return done


def taken(acts: Sequence[str]) -> int:
    """Return how many they are, without typing."""
    return sum(act != "typed" for act in acts)


def missed(done: dict[str, list[str]]) -> list[str]:
    """Return the tasks that took more than their goal."""
    return [name for name, acts in done.items() if taken(acts) > TASKS[name][0]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it as the command line says."""
    from playwright.sync_api import sync_playwright

    options = command_line.parser("clicks", __doc__).parse_args(arguments)
    with (
        command_line.measuring(options) as found,
        tempfile.TemporaryDirectory() as folder,
        Simulator() as simulator,
        sync_playwright() as playwright,
    ):
        server = Server(simulator, Path(folder) / "storage")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            context = browser.new_context(
                viewport={"width": 1440, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
            )
            found["done"] = done = count(Desk(context.new_page(), server, simulator))
        finally:
            browser.close()
            server.close()
    rows: list[list[Cell]] = [[name, *_cells(acts), TASKS[name][0]] for name, acts in done.items()]
    sys.stdout.write(table(["", "done", "actions", "goal"], rows) + "\n")
    if names := missed(done):
        sys.exit(f"More than their goal: {', '.join(names)}.")


def _cells(acts: Sequence[str]) -> tuple[str, str]:
    typing = " + typing" if "typed" in acts else ""
    return ", ".join(act for act in acts if act != "typed"), f"{taken(acts)}{typing}"


if __name__ == "__main__":
    main()
