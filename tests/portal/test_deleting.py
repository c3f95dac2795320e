"""Deleting from the page, in a real browser with a real server: only on purpose, and with undo."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser import expect, needs_browser
from tests.portal.test_dashboard import NewPage, Start, open_dashboard
from tests.portal.test_service_worker import READY
from tests.real_server import Server
from tests.simulator.client import Simulator

pytestmark = [needs_browser, pytest.mark.timeout(300)]

UNDO_MS = 10_000

ROW, BATCH, HISTORY = "row", "batch", "history"
PLACES = (ROW, BATCH, HISTORY)

#: Fails at once, and leaves something to delete.
NO_VIDEO = "https://netflix.com/watch/1"


def open_place(page: Any, server: Server, place: str) -> None:
    open_dashboard(page, server, "#history" if place == HISTORY else "")


def show_place(page: Any, place: str) -> None:
    """Switch an open page to the view of *place*."""
    page.locator(f"nav a[href='#{'history' if place == HISTORY else 'downloads'}']").click()
    expect(entries(page, place).first).to_be_visible()


@pytest.fixture
def timed_page(new_page: NewPage) -> Any:
    """Return a page with a clock that runs normally and can be advanced."""
    page = new_page()
    page.clock.install()
    return page


def stop_clock(page: Any) -> None:
    """Let time pass, and frames be painted, only where the test says so: on a busy machine an undo comes late."""
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)


def entries(page: Any, place: str) -> Any:
    """Return what is shown there; only the newest batch shows its rows."""
    selectors = {ROW: "#batches .job", HISTORY: "#history-jobs .job:not([hidden])"}
    return page.locator(selectors.get(place, ".batch"))


def menu_button(page: Any, place: str) -> Any:
    """Return the first menu's button there: of a batch, or of a row."""
    return entries(page, place).first.get_by_role("button", name="More:").first


def delete(page: Any, place: str, item: str = "Remove from list") -> None:
    menu_button(page, place).click()
    page.get_by_role("menuitem", name=item).click()


def submit(server: Server, url: str) -> str:
    """Submit a batch of one link; return the id of its job."""
    job_id: str = server.ask("POST", "/api/v1/batches", {"urls": [url]})[1]["jobs"][0]["job_id"]
    return job_id


def undo_button(page: Any) -> Any:
    return page.get_by_role("button", name="Undo")


def job_ids(server: Server) -> list[str]:
    return [job["job_id"] for job in server.ask("GET", "/api/v1/jobs")[1]["jobs"]]


def changes(page: Any) -> list[str]:
    """Return a list that collects every changing request of *page*."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method in ("DELETE", "POST") else None)
    return sent


def expect_server_answer(page: Any) -> Any:
    return page.expect_response(lambda response: response.request.method == "DELETE")


def stop_worker(page: Any) -> None:
    """Stop the service worker, as browsers do after half a minute of idling."""
    page.evaluate(READY)
    devtools = page.context.new_cdp_session(page)
    devtools.send("ServiceWorker.enable")
    devtools.send("ServiceWorker.stopAllWorkers")


# On purpose


def test_only_what_is_chosen_in_the_menu_deletes(timed_page: Any, server: Server) -> None:
    page = timed_page
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO, "https://netflix.com/2"]})
    before, sent = job_ids(server), changes(page)
    open_place(page, server, HISTORY)
    menu = page.locator("#menu")
    for place in PLACES:
        show_place(page, place)
        for way in ("Escape", "Tab", "beside", "again", "Back"):
            more = menu_button(page, place)
            more.click()
            expect(menu).to_be_visible()
            if way == "Back":
                page.go_back()
            elif way == "beside":
                page.mouse.click(5, 300)
            elif way == "again":
                more.click()
            else:
                page.keyboard.press(way)
            expect(menu).to_be_hidden()
        page.go_forward()
    expect(undo_button(page)).to_have_count(0)
    page.clock.run_for(2 * UNDO_MS)
    assert sent == []
    assert job_ids(server) == before


def test_a_menu_is_closed_by_scrolling_but_not_by_what_scrolled_before(page: Any, server: Server) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    open_dashboard(page, server)
    # As where a button is scrolled into view and pressed at once: the browser reports the scrolling afterwards.
    menu_button(page, ROW).evaluate(
        """button => new Promise((resolve) => {
             addEventListener("scroll", resolve, {once: true});
             document.body.style.minHeight = "3000px";
             scrollTo(0, 100);
             button.click();
           })"""
    )
    expect(page.locator("#menu")).to_be_visible()
    page.mouse.wheel(0, 50)
    expect(page.locator("#menu")).to_be_hidden()


def test_the_second_half_of_a_double_click_chooses_nothing(page: Any, server: Server) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    open_place(page, server, ROW)
    menu_button(page, ROW).click()
    item = page.get_by_role("menuitem", name="Remove from list")
    item.dispatch_event("click", {"detail": 2})
    expect(item).to_be_visible()
    page.keyboard.press("Escape")
    expect(entries(page, ROW)).to_have_count(1)


def test_what_is_cancelled_can_be_taken_up_again(page: Any, server: Server, simulator: Simulator) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok", number) for number in range(3)]})
    open_place(page, server, BATCH)
    page.get_by_role("button", name="Cancel batch").click()
    expect(page.locator("#undo")).to_contain_text("3 downloads cancelled.")
    expect(page.locator("#batches .job[data-state=cancelled]")).to_have_count(3)
    undo_button(page).click()
    expect(page.locator("#batches .job[data-state=queued]")).to_have_count(3)


def test_what_was_cancelled_is_retried_also_where_something_failed(
    page: Any, server: Server, simulator: Simulator
) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok"), NO_VIDEO]})
    open_place(page, server, BATCH)
    page.get_by_role("button", name="Cancel batch").click()
    page.get_by_role("button", name="Retry 1 of 2").click()
    expect(page.locator("#status")).to_have_text("1 link is back in the queue.")


# Deleting


def test_the_server_deletes_when_the_time_to_undo_is_over(
    timed_page: Any, server: Server, simulator: Simulator
) -> None:
    page = timed_page
    raw = server.storage / "raw"
    for number in range(5):
        server.ask("POST", "/download/batch", {"urls": [simulator.url("tiktok", "ok", number)]})
    left, sent = job_ids(server), changes(page)
    files_left = 5
    open_dashboard(page, server)
    for place, item, said, files_gone in (
        (ROW, "Remove from list", "1 item removed.", 0),
        (BATCH, "Remove from list", "1 item removed.", 0),
        (BATCH, "Delete with files", "1 item and its files deleted.", 1),
        (HISTORY, "Delete with files", "1 item and its files deleted.", 1),
    ):
        show_place(page, place)
        stop_clock(page)
        delete(page, place, item)
        page.clock.run_for(UNDO_MS // 2)
        expect(page.locator("#undo p")).to_have_text(said)
        expect(page.locator(".batch")).to_have_count(len(left) - 1)
        assert sent == []
        assert job_ids(server) == left
        assert len(list(raw.iterdir())) == files_left
        with expect_server_answer(page):
            page.clock.run_for(UNDO_MS // 2)
        page.clock.resume()
        del left[0]
        files_left -= files_gone
        expect(undo_button(page)).to_have_count(0)
        expect(page.locator(".batch")).to_have_count(len(left))
        assert job_ids(server) == left
        assert len(list(raw.iterdir())) == files_left
        assert len(sent) == 1
        sent.clear()


def test_an_undo_brings_back_everything(timed_page: Any, server: Server, simulator: Simulator) -> None:
    page = timed_page
    server.ask("POST", "/download/batch", {"urls": [simulator.url("tiktok", "ok"), NO_VIDEO]})
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO, simulator.url("tiktok", "ok", 1)]})
    before, files = job_ids(server), list((server.storage / "raw").iterdir())
    open_dashboard(page, server)
    sent = changes(page)
    counts = {ROW: 2, BATCH: 2, HISTORY: 4}
    for place in PLACES:
        show_place(page, place)
        shown = entries(page, place)
        expect(shown).to_have_count(counts[place])
        expect(page.locator("#batches .job")).to_have_count(2)
        # Not what is rendered: of a row that a busy browser has not painted yet, that is nothing.
        texts = shown.all_text_contents()
        stop_clock(page)
        for way in ("button", "keyboard", "shortcut"):
            delete(page, place)
            page.clock.run_for(UNDO_MS // 2)
            expect(shown).to_have_count(len(texts) - 1)
            if way == "button":
                undo_button(page).click()
            elif way == "keyboard":
                undo_button(page).focus()
                page.keyboard.press("Enter")
            else:
                page.keyboard.press("Control+z")
            page.clock.run_for(UNDO_MS)
            expect(undo_button(page)).to_have_count(0)
            expect(shown).to_have_text(texts)
            assert page.evaluate("document.activeElement !== document.body")
        page.clock.resume()
    assert sent == []
    page.reload()
    expect(shown).to_have_count(len(texts))
    assert job_ids(server) == before
    assert list((server.storage / "raw").iterdir()) == files


def test_a_shortcut_while_typing_is_for_what_is_typed(page: Any, server: Server) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    open_place(page, server, ROW)
    delete(page, ROW)
    page.focus("#links")
    page.keyboard.type("ab")
    page.keyboard.press("Control+z")
    expect(entries(page, ROW)).to_have_count(0)
    expect(undo_button(page)).to_be_visible()


def test_what_is_about_to_be_pressed_stays(timed_page: Any, server: Server) -> None:
    page = timed_page
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    open_place(page, server, ROW)
    delete(page, ROW)
    undo_button(page).hover()
    page.clock.run_for(3 * UNDO_MS)
    expect(undo_button(page)).to_be_visible()
    page.mouse.move(1, 1)
    with expect_server_answer(page):
        page.clock.run_for(2000)
    assert job_ids(server) == []


def test_a_batch_counts_what_is_left_of_it(timed_page: Any, server: Server) -> None:
    page = timed_page
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO, "https://netflix.com/2", "https://netflix.com/3"]})
    open_place(page, server, ROW)
    delete(page, ROW)
    expect(page.locator(".batch .summary")).to_have_text("0 of 2 downloaded, 2 failed")
    server.ask("POST", "/api/v1/batches", {"urls": [NO_VIDEO]})  # makes the page load and paint
    expect(page.locator(".batch")).to_have_count(2)
    page.evaluate("dispatchEvent(new Event('online'))")  # everything is loaded again
    expect(page.locator(".batch .summary").last).to_have_text("0 of 2 downloaded, 2 failed")
    with expect_server_answer(page):
        page.clock.run_for(UNDO_MS)
    expect(page.locator(".batch .summary").last).to_have_text("0 of 2 downloaded, 2 failed")
    assert len(job_ids(server)) == 3


def test_the_next_deletion_settles_the_one_before(timed_page: Any, server: Server) -> None:
    page = timed_page
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO, "https://netflix.com/2", "https://netflix.com/3"]})
    open_place(page, server, ROW)
    delete(page, ROW)
    expect(entries(page, ROW)).to_have_count(2)
    with expect_server_answer(page):
        delete(page, ROW)
    undo_button(page).click()
    expect(entries(page, ROW)).to_have_count(2)
    page.clock.run_for(2 * UNDO_MS)
    assert len(job_ids(server)) == 2


def test_a_page_that_is_left_deletes_first(new_page: NewPage, server: Server) -> None:
    ids = [submit(server, NO_VIDEO) for _ in range(4)]
    page = new_page(service_workers="allow")
    open_dashboard(page, server)
    other = page.context.new_page()
    open_dashboard(other, server)
    for place in (*PLACES, "reload"):
        show_place(page, place)
        stop_worker(page)
        delete(page, place)
        expect(undo_button(page)).to_be_visible()
        assert job_ids(server) == ids[::-1]
        if place == "reload":
            page.reload()
            expect(page.locator("#batches-none")).to_be_visible()
        else:
            page.goto("about:blank")
            expect(other.locator(".batch")).to_have_count(len(ids) - 1)
            open_dashboard(page, server)
        del ids[-1]
        assert job_ids(server) == ids[::-1]


def test_what_another_tab_retries_is_kept(timed_page: Any, server: Server, simulator: Simulator) -> None:
    page = timed_page
    server.ask("POST", "/api/v1/queue/pause")
    job = submit(server, simulator.url("tiktok", "ok"))
    open_dashboard(page, server)
    for place in PLACES:
        server.ask("POST", f"/api/v1/jobs/{job}/cancel")
        show_place(page, place)
        expect(page.locator(".job[data-state=queued]")).to_have_count(0)
        delete(page, place)
        expect(entries(page, place)).to_have_count(0)
        server.ask("POST", f"/api/v1/jobs/{job}/retry")
        with expect_server_answer(page):
            page.clock.run_for(UNDO_MS)
        expect(page.locator("#status")).to_contain_text("cancel it first, then delete it.")
        expect(entries(page, place)).to_have_count(1)
        assert server.ask("GET", f"/api/v1/jobs/{job}")[1]["job"]["state"] == "queued"


def test_what_another_tab_deletes_is_gone(timed_page: Any, server: Server) -> None:
    page = timed_page
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    [job] = job_ids(server)
    open_place(page, server, ROW)
    delete(page, ROW)
    server.ask("DELETE", f"/api/v1/jobs/{job}")
    with expect_server_answer(page):
        page.clock.run_for(UNDO_MS)
    expect(undo_button(page)).to_have_count(0)
    expect(page.locator("#status")).to_be_empty()
    expect(page.locator(".batch")).to_have_count(0)


def test_a_job_deleted_in_another_tab_while_the_menu_is_open_is_just_gone(page: Any, server: Server) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    [job] = job_ids(server)
    open_place(page, server, ROW)
    menu_button(page, ROW).click()
    server.ask("DELETE", f"/api/v1/jobs/{job}")
    expect(page.locator(".batch")).to_have_count(0)
    page.get_by_role("menuitem", name="Remove from list").click()
    expect(page.locator("#menu")).to_be_hidden()
    expect(undo_button(page)).to_have_count(0)
    expect(page.locator("#status")).to_be_empty()


def test_what_never_reached_the_server_is_shown_again(timed_page: Any, server: Server) -> None:
    page = timed_page
    job = submit(server, NO_VIDEO)
    open_dashboard(page, server)
    page.route("**/*", lambda route: route.abort() if route.request.method == "DELETE" else route.continue_())
    for place in PLACES:
        show_place(page, place)
        delete(page, place)
        expect(entries(page, place)).to_have_count(0)
        with page.expect_event("requestfailed", lambda request: request.method == "DELETE"):
            page.clock.run_for(UNDO_MS)
        expect(page.locator("#status")).to_contain_text("Can't reach the server")
        expect(entries(page, place)).to_have_count(1)
        assert job_ids(server) == [job]


def test_without_the_server_nothing_is_deleted(page: Any, start_server: Start) -> None:
    server = start_server()
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    open_place(page, server, ROW)
    expect(entries(page, ROW)).to_have_count(1)
    server.stop()
    page.evaluate("dispatchEvent(new Event('offline'))")
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    delete(page, ROW)
    expect(page.locator("#status")).to_contain_text("Can't reach the server")
    expect(entries(page, ROW)).to_have_count(1)


# The box


def test_cleared_links_can_be_restored(page: Any, server: Server) -> None:
    open_dashboard(page, server)
    page.fill("#links", "https://youtu.be/dQw4w9WgXcQ\nhttps://x.com/ada/status/1")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#links")).to_have_value("")
    undo_button(page).click()
    expect(page.locator("#links")).to_have_value("https://youtu.be/dQw4w9WgXcQ\nhttps://x.com/ada/status/1")
