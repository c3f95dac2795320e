"""Deleting from the page, in a real browser with a real server: only on purpose, and with undo."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser import expect, needs_browser
from tests.portal.test_dashboard import NewPage, Start, open_dashboard
from tests.real_server import Server
from tests.simulator.client import Simulator

pytestmark = [needs_browser, pytest.mark.timeout(120)]

UNDO_MS = 10_000

ROW, BATCH, HISTORY = "row", "batch", "history"
PLACES = pytest.mark.parametrize("place", [ROW, BATCH, HISTORY])

#: Fails at once, and leaves something to delete.
NO_VIDEO = "https://netflix.com/watch/1"


def open_place(page: Any, server: Server, place: str) -> None:
    """Open the view of *place*, with a clock that runs normally and can be advanced."""
    page.clock.install()
    open_dashboard(page, server, "#history" if place == HISTORY else "")


def entries(page: Any, place: str) -> Any:
    """Return what is shown there; only the newest batch shows its rows."""
    selector = {ROW: "#batches .job", BATCH: ".batch", HISTORY: "#history-jobs .job:not([hidden])"}[place]
    return page.locator(selector)


def ask_to_delete(page: Any, place: str) -> Any:
    """Click the first delete button; return the dialog."""
    name = "Delete batch" if place == BATCH else "Delete:"
    entries(page, place).first.get_by_role("button", name=name).click()
    dialog = page.locator("#delete")
    expect(dialog).to_be_visible()
    return dialog


def delete(page: Any, place: str, button: str = "Remove from list") -> None:
    ask_to_delete(page, place).get_by_role("button", name=button).click()


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
    page.evaluate(
        """async () => {
             const {active} = await navigator.serviceWorker.ready;
             if (active.state !== "activated") await new Promise(done => active.addEventListener("statechange", done));
           }"""
    )
    devtools = page.context.new_cdp_session(page)
    devtools.send("ServiceWorker.enable")
    devtools.send("ServiceWorker.stopAllWorkers")


# Asking


@PLACES
def test_only_its_two_buttons_delete(page: Any, server: Server, place: str) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO, "https://netflix.com/2"]})
    before, sent = job_ids(server), changes(page)
    open_place(page, server, ROW)
    for way in ("Escape", "Escape twice", "Back", "beside", "Cancel"):
        for view in ("statistics", "history" if place == HISTORY else "downloads"):
            page.locator(f"nav a[href='#{view}']").click()
        dialog = ask_to_delete(page, place)
        if way == "Back":
            page.go_back()
        elif way == "beside":
            page.mouse.click(5, 5)
        elif way == "Cancel":
            dialog.get_by_role("button", name=way).click()
        else:
            for _ in way.split():
                page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(undo_button(page)).to_have_count(0)
    page.clock.run_for(2 * UNDO_MS)
    page.reload()
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    assert sent == []
    assert job_ids(server) == before


def test_no_means_no_also_after_a_yes(page: Any, server: Server) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO, "https://netflix.com/2"]})
    open_place(page, server, ROW)
    delete(page, ROW)
    expect(entries(page, ROW)).to_have_count(1)
    undo_button(page).click()
    expect(entries(page, ROW)).to_have_count(2)
    sent = changes(page)
    ask_to_delete(page, ROW)
    page.keyboard.press("Escape")
    page.clock.run_for(2 * UNDO_MS)
    assert sent == []
    expect(entries(page, ROW)).to_have_count(2)


def test_the_second_half_of_a_double_click_answers_nothing(page: Any, server: Server) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    open_place(page, server, ROW)
    dialog = ask_to_delete(page, ROW)
    button = dialog.get_by_role("button", name="Delete files too")
    button.dispatch_event("click", {"detail": 2})
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(entries(page, ROW)).to_have_count(1)


def test_a_press_for_cancel_does_not_hit_delete(page: Any, server: Server, simulator: Simulator) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok")]})
    open_place(page, server, BATCH)
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    page.get_by_role("button", name="Cancel batch").click()
    button = page.get_by_role("button", name="Delete batch")
    page.clock.run_for(500)
    expect(button).to_be_visible()
    expect(button).to_be_disabled()
    page.clock.run_for(1000)
    expect(button).to_be_enabled()


def test_what_was_cancelled_is_retried_also_where_something_failed(
    page: Any, server: Server, simulator: Simulator
) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok"), NO_VIDEO]})
    open_place(page, server, BATCH)
    page.get_by_role("button", name="Cancel batch").click()
    page.get_by_role("button", name="Retry cancelled").click()
    expect(page.locator("#status")).to_have_text("1 link is back in the queue.")


# Deleting


@PLACES
@pytest.mark.parametrize(("button", "files_left"), [("Remove from list", 2), ("Delete files too", 1)])
def test_the_server_deletes_when_the_time_to_undo_is_over(
    page: Any, server: Server, simulator: Simulator, place: str, button: str, files_left: int
) -> None:
    raw = server.storage / "raw"
    for number in (1, 2):
        server.ask("POST", "/download/batch", {"urls": [simulator.url("tiktok", "ok", number)]})
    newest, oldest = job_ids(server)
    sent = changes(page)
    open_place(page, server, place)
    delete(page, place, button)
    expect(page.locator("#undo p")).to_have_text("1 item removed.")
    expect(page.locator(".batch")).to_have_count(1)
    page.clock.run_for(UNDO_MS // 2)
    assert sent == []
    assert job_ids(server) == [newest, oldest]
    assert len(list(raw.iterdir())) == 2
    with expect_server_answer(page):
        page.clock.run_for(UNDO_MS // 2)
    expect(undo_button(page)).to_have_count(0)
    expect(page.locator(".batch")).to_have_count(1)
    assert job_ids(server) == [oldest]
    assert len(list(raw.iterdir())) == files_left
    assert len(sent) == 1


@PLACES
@pytest.mark.parametrize("way", ["button", "keyboard", "shortcut"])
def test_an_undo_brings_back_everything(page: Any, server: Server, simulator: Simulator, place: str, way: str) -> None:
    server.ask("POST", "/download/batch", {"urls": [simulator.url("tiktok", "ok"), NO_VIDEO]})
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO, simulator.url("tiktok", "ok", 1)]})
    before, files = job_ids(server), list((server.storage / "raw").iterdir())
    open_place(page, server, place)
    shown = entries(page, place)
    expect(shown).to_have_count({ROW: 2, BATCH: 2, HISTORY: 4}[place])
    expect(page.locator("#batches .job")).to_have_count(2)
    texts = shown.all_inner_texts()
    sent = changes(page)
    delete(page, place, "Delete files too")
    expect(shown).to_have_count(len(texts) - 1)
    page.clock.run_for(UNDO_MS // 2)
    if way == "button":
        undo_button(page).click()
    elif way == "keyboard":
        undo_button(page).focus()
        page.keyboard.press("Enter")
    else:
        page.keyboard.press("Control+z")
    expect(shown).to_have_count(len(texts))
    expect(undo_button(page)).to_have_count(0)
    assert page.evaluate("document.activeElement !== document.body")
    page.clock.run_for(2 * UNDO_MS)
    assert sent == []
    assert shown.all_inner_texts() == texts
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


def test_what_is_about_to_be_pressed_stays(page: Any, server: Server) -> None:
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


def test_a_batch_counts_what_is_left_of_it(page: Any, server: Server) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO, "https://netflix.com/2", "https://netflix.com/3"]})
    open_place(page, server, ROW)
    delete(page, ROW)
    expect(page.locator(".batch .summary")).to_have_text("0 of 2 downloaded, 2 failed")
    expect(page.get_by_role("button", name="All 2")).to_be_visible()
    server.ask("POST", "/api/v1/batches", {"urls": [NO_VIDEO]})  # makes the page load and paint
    expect(page.locator(".batch")).to_have_count(2)
    page.evaluate("dispatchEvent(new Event('online'))")  # everything is loaded again
    expect(page.locator(".batch .summary").last).to_have_text("0 of 2 downloaded, 2 failed")
    with expect_server_answer(page):
        page.clock.run_for(UNDO_MS)
    expect(page.locator(".batch .summary").last).to_have_text("0 of 2 downloaded, 2 failed")
    assert len(job_ids(server)) == 3


def test_the_next_deletion_settles_the_one_before(page: Any, server: Server) -> None:
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


@PLACES
def test_a_page_that_is_closed_deletes_first(new_page: NewPage, server: Server, place: str) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    page = new_page()
    open_dashboard(page, server, "#history" if place == HISTORY else "")
    stop_worker(page)
    other = page.context.new_page()
    open_dashboard(other, server)
    expect(other.locator(".batch")).to_have_count(1)
    delete(page, place)
    expect(undo_button(page)).to_be_visible()
    assert len(job_ids(server)) == 1
    page.goto("about:blank")
    expect(other.locator(".batch")).to_have_count(0)
    assert job_ids(server) == []


def test_a_reload_deletes_first(page: Any, server: Server) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    open_dashboard(page, server)
    stop_worker(page)
    delete(page, BATCH)
    expect(undo_button(page)).to_be_visible()
    page.reload()
    expect(page.locator("#batches-none")).to_be_visible()
    assert job_ids(server) == []


@PLACES
def test_what_another_tab_retries_is_kept(page: Any, server: Server, simulator: Simulator, place: str) -> None:
    server.ask("POST", "/download/batch", {"urls": [simulator.url("youtube", "private")]})
    [job] = job_ids(server)
    open_place(page, server, place)
    delete(page, place, "Delete files too")
    server.ask("POST", "/api/v1/queue/pause")
    server.ask("POST", f"/api/v1/jobs/{job}/retry")
    with expect_server_answer(page):
        page.clock.run_for(UNDO_MS)
    expect(page.locator("#status")).to_contain_text("cancel it first, then delete it.")
    expect(entries(page, place)).to_have_count(1)
    assert server.ask("GET", f"/api/v1/jobs/{job}")[1]["job"]["state"] == "queued"


def test_what_another_tab_deletes_is_gone(page: Any, server: Server) -> None:
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


def test_a_batch_deleted_in_another_tab_while_the_dialog_is_open_is_just_gone(page: Any, server: Server) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    [job] = job_ids(server)
    open_place(page, server, BATCH)
    dialog = ask_to_delete(page, BATCH)
    server.ask("DELETE", f"/api/v1/jobs/{job}")
    expect(page.locator(".batch")).to_have_count(0)
    dialog.get_by_role("button", name="Remove from list").click()
    expect(dialog).to_be_hidden()
    expect(undo_button(page)).to_have_count(0)
    expect(page.locator("#status")).to_be_empty()


@PLACES
def test_what_never_reached_the_server_is_shown_again(page: Any, server: Server, place: str) -> None:
    server.ask("POST", "/download/batch", {"urls": [NO_VIDEO]})
    open_place(page, server, place)
    page.route("**/*", lambda route: route.abort() if route.request.method == "DELETE" else route.continue_())
    delete(page, place)
    expect(entries(page, place)).to_have_count(0)
    page.clock.run_for(UNDO_MS)
    expect(page.locator("#status")).to_contain_text("Can't reach the server")
    expect(entries(page, place)).to_have_count(1)
    assert len(job_ids(server)) == 1


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
