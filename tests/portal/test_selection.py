"""Many rows at once, and all files of a post, in a real browser with a real server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.browser import DESKTOP, PHONE, expect, needs_browser
from tests.portal.test_dashboard import NewPage, check_accessible, files_of, open_dashboard, rows, zipped
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.lists import list_url

pytestmark = [needs_browser, pytest.mark.timeout(300)]

NO_VIDEO = "https://netflix.com/"


def submit(server: Server, *urls: str) -> list[str]:
    """Submit a batch; return the ids of its jobs."""
    return [job["job_id"] for job in server.ask("POST", "/api/v1/batches", {"urls": urls})[1]["jobs"]]


def chosen(page: Any) -> Any:
    return page.locator("#batches .job:has(.pick :checked)")


def pick(page: Any, name: str) -> None:
    """Choose by state: *name* is that of the menu's item."""
    page.get_by_role("button", name="Select which").click()
    page.get_by_role("menuitem", name=name).click()


def job_ids(server: Server) -> list[str]:
    return [job["job_id"] for job in server.ask("GET", "/api/v1/jobs")[1]["jobs"]]


def test_rows_are_chosen_by_click_shift_state_and_key(page: Any, server: Server, simulator: Simulator) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.set_viewport_size(DESKTOP)
    server.ask("POST", "/api/v1/queue/pause")
    ids = submit(server, *(f"{NO_VIDEO}{number}" for number in range(4)), simulator.url("tiktok", "ok"))
    submit(server, f"{NO_VIDEO}8", f"{NO_VIDEO}9", simulator.url("tiktok", "ok", 1))  # is open, being the newest
    open_dashboard(page, server)
    expect(page.locator("#batches .job")).to_have_count(3)
    page.locator(".toggle").last.click()
    expect(page.locator("#batches .job")).to_have_count(8)
    page.get_by_role("button", name="Select", exact=True).click()
    row = page.locator(f"#batches .job[data-job='{ids[0]}']")
    row.locator(".state").click()
    expect(page.locator("#selection p")).to_have_text("1 selected")
    expect(row.get_by_role("checkbox")).to_be_checked()
    page.locator(f"#batches .job[data-job='{ids[3]}'] .pick input").click(modifiers=["Shift"])
    expect(chosen(page)).to_have_count(4)
    row.get_by_role("checkbox").focus()
    page.keyboard.press("Space")
    expect(chosen(page)).to_have_count(3)
    page.get_by_role("button", name="Copy links").click()
    expect(page.locator("#status")).to_have_text("3 links copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "\n".join(f"{NO_VIDEO}{number}" for number in (1, 2, 3))
    page.keyboard.press("Control+a")
    expect(page.locator("#selection p")).to_have_text("8 selected")
    pick(page, "None")
    expect(page.locator("#selection p")).to_have_text("0 selected")
    pick(page, "Pending 2")
    page.locator("#selection").get_by_role("button", name="Cancel").click()
    expect(rows(page, "cancelled")).to_have_count(2)
    page.locator("#selection").get_by_role("button", name="Retry").click()
    expect(rows(page, "queued")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator("#selection")).to_be_hidden()
    expect(page.get_by_role("button", name="Select", exact=True)).to_be_focused()


def test_what_is_chosen_is_deleted_with_undo(new_page: NewPage, server: Server) -> None:
    page = new_page()
    ids = submit(server, *(f"{NO_VIDEO}{number}" for number in range(3)))
    other = submit(server, f"{NO_VIDEO}8")
    page.clock.install()
    open_dashboard(page, server)
    expect(page.locator("#batches .job")).to_have_count(1)
    page.locator(".batch:not(.single) .toggle").click()
    expect(page.locator("#batches .job")).to_have_count(4)
    page.locator(f"#batches .job[data-job='{ids[1]}'] .state").click(modifiers=["ControlOrMeta"])
    page.locator(f"#batches .job[data-job='{other[0]}'] .state").click()
    expect(page.locator("#selection p")).to_have_text("2 selected")
    for undone in (True, False):
        page.locator("#selection").get_by_role("button", name="Remove").click()
        page.get_by_role("menuitem", name="Remove from list").click()
        expect(page.locator("#undo")).to_contain_text("2 items removed.")
        expect(page.locator("#batches .job")).to_have_count(2)
        if undone:
            page.get_by_role("button", name="Undo").click()
            expect(page.locator("#batches .job")).to_have_count(4)
            expect(page.locator("#selection p")).to_have_text("2 selected")
    assert len(job_ids(server)) == 4  # nothing is deleted before the time to undo is over
    with page.expect_response(lambda response: response.url.endswith("/jobs/delete")):
        page.locator("#selection").get_by_role("button", name="Done selecting").click()
        page.mouse.move(1, 700)
        page.clock.fast_forward(12_000)
    assert sorted(job_ids(server)) == sorted([ids[0], ids[2]])


def test_one_press_clears_what_is_finished_and_one_retries_what_failed(
    page: Any, server: Server, simulator: Simulator
) -> None:
    done, private = simulator.url("tiktok", "ok"), simulator.url("youtube", "private")
    server.ask("POST", "/download/batch", {"urls": [done, private, f"{NO_VIDEO}1"]})
    server.ask("POST", "/download", {"url": simulator.url("tiktok", "ok", 1)})
    open_dashboard(page, server)
    expect(page.locator(".batch")).to_have_count(2)
    page.get_by_role("button", name="Clear finished").click()
    expect(page.locator("#undo")).to_contain_text("2 items removed.")
    expect(page.locator(".batch")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".batch")).to_have_count(2)
    server.ask("POST", "/api/v1/queue/pause")
    page.get_by_role("button", name="Retry 1 failed").click()
    expect(page.locator("#status")).to_have_text("1 link is back in the queue.")
    expect(page.locator("#retry-failed")).to_be_hidden()


def test_a_post_of_several_pictures_is_looked_through_and_saved(
    page: Any, server: Server, simulator: Simulator
) -> None:
    server.ask("POST", "/download", {"url": simulator.url("instagram", "pictures")})
    server.ask("POST", "/download", {"url": simulator.url("tiktok", "ok")})
    open_dashboard(page, server)
    page.get_by_role("button", name="View pictures").click()
    shown = page.locator("#player img")
    count = len(list((server.storage / "raw").glob("instagram*")))
    assert count > 1
    status = page.locator("#player [role=status]")
    expect(status).to_have_text(f"File 1 of {count}")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    first = shown.get_attribute("src")
    page.keyboard.press("ArrowRight")
    expect(status).to_have_text(f"File 2 of {count}")
    expect(shown).not_to_have_attribute("src", first)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(status).to_have_text(f"File {count} of {count}")
    with page.expect_download() as saved:
        page.locator("#player").get_by_role("link", name=f"Save all {count}").click()
    assert len(zipped(saved.value)) == count
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    # All chosen rows are saved as one zip.
    page.get_by_role("button", name="Select", exact=True).click()
    pick(page, "Done 2")
    with page.expect_download() as saved:
        page.locator("#selection").get_by_role("button", name="Save", exact=True).click()
    assert zipped(saved.value) == files_of(server)


def test_order_and_tiles_are_remembered(page: Any, server: Server, simulator: Simulator) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    submit(server, f"{NO_VIDEO}2")
    submit(server, simulator.url("tiktok", "ok"))
    submit(server, f"{NO_VIDEO}1")
    open_dashboard(page, server)
    titles = page.locator("#batches .job .title")
    video, one, two = re.compile("tiktok"), "netflix.com/1", "netflix.com/2"
    expect(titles).to_have_text([one, video, two])
    expect(page.locator("#queue-state")).to_have_text("1 queued")
    for name, expected in (
        ("By title", [one, two, video]),
        ("Oldest first", [two, video, one]),
        ("By status", [video, one, two]),
    ):
        page.get_by_role("button", name="Order:").click()
        page.get_by_role("menuitemradio", name=name).click()
        expect(titles).to_have_text(expected)
    page.get_by_role("button", name="Show as grid").click()
    page.reload()
    expect(titles).to_have_text([video, one, two])
    page.get_by_role("button", name="Order: By status").click()
    expect(page.get_by_role("menuitemradio", checked=True)).to_have_text("By status")
    page.keyboard.press("Escape")
    tops = page.locator("#batches .job").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().top)")
    assert tops[0] == tops[1]
    page.get_by_role("button", name=re.compile("Show as list")).click()
    tops = page.locator("#batches .job").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().top)")
    assert tops[0] < tops[1]


SMALL = """() => [...document.querySelectorAll("main :is(button, select, summary, input[type=text], label)")]
  .filter(({offsetParent}) => offsetParent)
  .map(each => [each.getAttribute("aria-label") ?? each.textContent.trim(), each.getBoundingClientRect()])
  .filter(([, {width, height}]) => width < 44 || height < 44)
  .map(([name, {width, height}]) => [name, width, height])"""


def test_on_a_phone_all_of_it_is_accessible_and_can_be_hit(
    new_page: NewPage, server: Server, simulator: Simulator
) -> None:
    page = new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    server.ask("POST", "/download/batch", {"urls": [simulator.url("youtube", "private"), f"{NO_VIDEO}1"]})
    server.ask("POST", "/api/v1/queue/pause")
    open_dashboard(page, server)
    expect(page.locator("#batches .job")).to_have_count(2)
    for place, most in ((".banner[data-id=paused]", 70), (".choices", 60), ("#toolbar", 60)):
        assert page.locator(place).bounding_box()["height"] < most, place  # two lines of text, or one row
    page.tap("#options summary")
    page.fill("#links", list_url("youtube", "plain", 240))
    expect(page.locator("#expansion")).to_be_visible()
    page.tap("#select")
    page.locator("#batches .job .facts").first.tap()
    expect(page.locator("#selection p")).to_have_text("1 selected")
    check_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert [
        each for each in page.evaluate(SMALL) if each[0] not in ("Subtitles", "Folder")
    ] == []  # of the fields below
    page.tap("#download")
    expect(page.locator("#links")).to_have_value("")
    expect(page.locator("#links")).not_to_be_focused()  # the keyboard would cover the rows
