"""Measures the dashboard with thousands of rows that have thumbnails, in Chromium with a real server.

    python -m benchmarks.page [--jobs 2000] [--turns 5] [--json FILE]

What each interaction costs, as a list and as tiles, with all rows shown: the processor time of the page's thread until
nothing is left to paint, which other programs don't lengthen, and the time from an event to the next paint, which they
do. Then the first paint, what the page weighs, how many thumbnails it asks for. Fails where a goal is missed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import command_line
from benchmarks.contender import Failed
from benchmarks.tables import Cell, table
from downloader.ytdlp import tools as toolchain
from tests.browser import ARGUMENTS, CHROMIUM, DESKTOP, expect
from tests.real_server import Server
from tests.simulator.client import Simulator

INTERACTION_MS = 100
FIRST_PAINT_MS = 500
WEIGHT_BYTES = 200_000

#: So many posts are downloaded; the next batches are of the same ones, whose files are there.
_BATCH = 1000
_WAIT_SECONDS = 300
_LINK = "https://youtu.be/dQw4w9WgXcQ"

#: Begins to note how long what happens takes: from an event to the next paint, and frames that take long otherwise.
WATCH = """() => {
  window.found = [];
  const note = (list) => window.found.push(...list.getEntries().map((entry) => entry.duration));
  window.watching = [["event", { durationThreshold: 16 }], ["long-animation-frame", {}]].map(([type, more]) => {
    const observer = new PerformanceObserver(note);
    observer.observe({ type, ...more });
    return observer;
  });
}"""

#: Resolves once all is painted.
SETTLE = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"

#: Returns the longest of what was noted.
LONGEST = """() => {
  window.watching.forEach((observer) => observer.disconnect());
  return Math.max(0, ...window.found);
}"""

#: What came over the wire, and what it was unpacked: the page itself, and what it asked the API.
OPENED = """() => {
  const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const sum = (entries, what) => entries.reduce((total, entry) => total + entry[what], 0);
  const [api, page] = [true, false].map((wanted) => all.filter(({ name }) => name.includes("/api/") === wanted));
  return {
    first_paint_ms: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    page_bytes: sum(page, "transferSize"),
    page_raw_bytes: sum(page, "decodedBodySize"),
    thumbnails: api.filter(({ name }) => name.endsWith("/thumbnail")).length,
  };
}"""

#: What is done: prepared up to the first `yield`, which says of how many steps it consists; measured up to the second;
#: then all is brought back.
Interaction = Callable[[Any], Iterator[int]]


def scroll_by_1200_pixels(page: Any) -> Iterator[int]:
    page.mouse.move(700, 600)
    yield (steps := 20)
    for _ in range(steps):
        page.mouse.wheel(0, 1200)
        page.evaluate("() => new Promise(requestAnimationFrame)")
    yield 0
    to_top(page)


def type_a_letter(page: Any) -> Iterator[int]:
    page.focus("#links")
    yield len(_LINK)
    page.keyboard.type(_LINK)
    yield 0
    page.fill("#links", "")
    to_top(page)


def start_selecting(page: Any) -> Iterator[int]:
    yield from pressed(page, page.locator("#select"))
    page.keyboard.press("Escape")


def select_all(page: Any) -> Iterator[int]:
    page.locator("#select").click()
    yield 1
    page.keyboard.press("Control+a")
    yield 0
    expect(page.locator("#selection p")).not_to_have_text("0 selected")
    page.keyboard.press("Escape")


def open_a_menu(page: Any) -> Iterator[int]:
    yield from pressed(page, page.locator(".job [data-menu]").first)
    page.keyboard.press("Escape")


def order_by_title(page: Any) -> Iterator[int]:
    page.locator("#sort").click()
    yield from pressed(page, page.get_by_role("menuitemradio", name="By title"))
    page.locator("#sort").click()
    page.get_by_role("menuitemradio", name="Newest first").click()


def fold_a_batch(page: Any) -> Iterator[int]:
    yield from pressed(page, page.locator(".toggle").first)
    page.locator(".toggle").first.click()


def unfold_a_batch(page: Any) -> Iterator[int]:
    page.locator(".toggle").first.click()
    yield from pressed(page, page.locator(".toggle").first)


def filter_a_batch(page: Any) -> Iterator[int]:
    yield from pressed(page, page.locator(".filters button", has_text="Done").first)
    show_all(page)


def show_200_more(page: Any) -> Iterator[int]:
    page.locator(".filters button", has_text="All").first.click()
    more = page.locator(".more:visible").first
    more.scroll_into_view_if_needed()
    yield from pressed(page, more)
    show_all(page)


INTERACTIONS: Sequence[Interaction] = (
    scroll_by_1200_pixels,
    type_a_letter,
    start_selecting,
    select_all,
    open_a_menu,
    order_by_title,
    fold_a_batch,
    unfold_a_batch,
    filter_a_batch,
    show_200_more,
)


def pressed(page: Any, button: Any) -> Iterator[int]:
    """Press *button* where it is, without Playwright looking for it meanwhile."""
    box = button.bounding_box()
    place = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*place)
    yield 1
    page.mouse.click(*place)
    yield 0


def to_top(page: Any) -> None:
    page.evaluate("() => (document.activeElement.blur(), scrollTo(0, 0))")


def show_all(page: Any) -> None:
    """Open every batch, and show every row of it."""
    folded = page.locator(".toggle[aria-expanded=false]")
    while folded.count():
        folded.first.click()
    expect(page.locator(".content[hidden]")).to_have_count(0)  # they are loaded
    page.evaluate(
        """() => document.querySelectorAll(".batch .more").forEach((more) => {
             while (!more.hidden) more.click();
           })"""
    )


def fill(server: Server, simulator: Simulator, jobs: int) -> None:
    """Have that many finished jobs, in batches of 1,000."""
    posts = [simulator.url("tiktok", "ok", number) for number in range(_BATCH)]
    deadline = time.monotonic() + _WAIT_SECONDS
    for start in range(0, jobs, _BATCH):
        wanted = min(jobs, start + _BATCH)
        server.ask("POST", "/api/v1/batches", {"urls": posts[: wanted - start]})
        while server.ask("GET", "/api/v1/jobs?state=succeeded&limit=1")[1]["total"] < wanted:
            if time.monotonic() > deadline:
                raise Failed("the jobs did not finish")
            time.sleep(0.5)


def picture() -> bytes:
    """Return a JPEG as large as those of platforms; the simulator's have eight pixels by eight."""
    tool = toolchain.ffmpeg()
    assert tool
    assert tool.path
    source = ["-f", "lavfi", "-i", "testsrc2=s=1280x720,format=yuvj420p", "-frames:v", "1", "-f", "mjpeg", "-"]
    return subprocess.run([tool.path, "-loglevel", "error", *source], check=True, capture_output=True).stdout


class Opener:
    """Opens the page, each time in a browser's profile of its own."""

    def __init__(self, browser: Any, server: Server) -> None:
        self._browser, self._address, self._picture = browser, f"{server.url}/dashboard", picture()

    def __call__(self) -> Any:
        page = self._browser.new_context(viewport=DESKTOP, service_workers="block").new_page()
        page.route("**/thumbnail", lambda route: route.fulfill(body=self._picture, content_type="image/jpeg"))
        page.goto(self._address)
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        expect(page.locator("#batches .job").first).to_be_visible()
        page.evaluate(SETTLE)
        return page


def opened(open_page: Opener, turns: int) -> dict[str, float]:
    """Return the medians of what opening it costs."""
    found: list[dict[str, float]] = []
    for _ in range(turns):
        page = open_page()
        found.append(page.evaluate(OPENED))
        page.context.close()
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


class Meter:
    """Measures interactions with a page."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def measure(self, interaction: Interaction) -> tuple[float, float]:
        """Return the milliseconds of processor time of a step, and those until the slowest was painted."""
        steps = interaction(self._page)
        count = next(steps)
        self._page.evaluate(SETTLE)
        self._page.evaluate(WATCH)
        before = self._cpu_seconds()
        next(steps)
        self._page.evaluate(SETTLE)
        cpu_ms = (self._cpu_seconds() - before) * 1000 / count
        longest = self._page.evaluate(LONGEST)
        next(steps, None)
        return cpu_ms, longest

    def _cpu_seconds(self) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


def interactions(page: Any, turns: int) -> dict[str, dict[str, list[float]]]:
    """Return for each of `INTERACTIONS` what it took, each time."""
    meter = Meter(page)
    found: dict[str, dict[str, list[float]]] = {}
    for turn in range(turns + 1):
        for each in INTERACTIONS:
            cpu_ms, painted_ms = meter.measure(each)
            if turn > 0:  # the first is for warming up
                own = found.setdefault(each.__name__, {"cpu_ms": [], "painted_ms": []})
                own["cpu_ms"].append(cpu_ms)
                own["painted_ms"].append(painted_ms)
    return found


def measured(browser: Any, server: Server, jobs: int, turns: int) -> dict[str, Any]:
    """Measure all of it, as a list and as tiles."""
    open_page = Opener(browser, server)
    found: dict[str, Any] = {"opened": opened(open_page, turns), "interactions": {}}
    page = open_page()
    show_all(page)
    expect(page.locator("#batches .job")).to_have_count(jobs)
    for layout in ("list", "tiles"):
        if layout == "tiles":
            page.locator("#layout").click()
        found["interactions"][layout] = interactions(page, turns)
    page.context.close()
    return found


def missed(found: Mapping[str, Any]) -> list[str]:
    """Return the goals that were missed, in words."""
    goals = {"first_paint_ms": FIRST_PAINT_MS, "page_bytes": WEIGHT_BYTES}
    names = [name for name, most in goals.items() if found["opened"][name] > most]
    for layout, acts in found["interactions"].items():
        slow = [name for name, own in acts.items() if statistics.median(own["cpu_ms"]) > INTERACTION_MS]
        names += [f"{name} ({layout})" for name in slow]
    return names


def report(found: Mapping[str, Any]) -> str:
    """Return *found* as text."""
    layouts = found["interactions"].values()
    rows: list[list[Cell]] = []
    for name in (each.__name__ for each in INTERACTIONS):
        row: list[Cell] = [name.replace("_", " ")]
        for own in (layout[name] for layout in layouts):
            row += [statistics.median(own["cpu_ms"]), min(own["painted_ms"])]
        rows.append(row)
    head = ["ms", *(f"{layout}, {what}" for layout in found["interactions"] for what in ("CPU", "painted"))]
    rows_opened: list[list[Cell]] = [[name.replace("_", " "), value] for name, value in found["opened"].items()]
    return "\n\n".join([table(["opening the page", "median"], rows_opened), table(head, rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it as the command line says."""
    from playwright.sync_api import sync_playwright

    parser = command_line.parser("page", __doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=5, help="of each interaction, after one that is not counted")
    options = parser.parse_args(arguments)
    with (
        command_line.measuring(options) as found,
        tempfile.TemporaryDirectory() as folder,
        Simulator(media_bytes=20_000) as simulator,
        sync_playwright() as playwright,
    ):
        storage = Path(folder) / "storage"
        server = Server(simulator, storage, DOWNLOADER_WORKERS="8", DOWNLOADER_PLATFORM_CONCURRENCY="8")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            fill(server, simulator, options.jobs)
            found |= measured(browser, server, options.jobs, options.turns)
        finally:
            browser.close()
            server.close()
    sys.stdout.write(report(found) + "\n")
    if names := missed(found):
        sys.exit(f"Goals missed: {', '.join(names)}.")


if __name__ == "__main__":
    main()
