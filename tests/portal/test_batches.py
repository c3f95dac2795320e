"""The form's options, and what the heading of a batch says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser import expect, needs_browser
from tests.portal.test_dashboard import open_dashboard, rows
from tests.real_server import Server
from tests.simulator.client import Simulator

pytestmark = [needs_browser, pytest.mark.timeout(300)]


def test_options_are_sent_remembered_and_complained_about_at_their_field(
    page: Any, server: Server, simulator: Simulator
) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    open_dashboard(page, server)
    page.click("#options summary")
    page.fill("#subtitles", "en, de")
    page.fill("#folder", "../up")
    page.check("#again")
    link = simulator.url("tiktok", "ok")
    page.fill("#links", link)
    page.click("#download")
    expect(page.locator("#folder-error")).to_have_text(
        "Files cannot be put into that folder: no name in it may begin with a dot."
    )
    expect(page.locator("#folder")).to_be_focused()
    expect(page.locator("#links")).to_have_value(link)  # to be sent again
    expect(page.locator("#outbox")).to_be_hidden()
    page.fill("#folder", "Music/2026")
    expect(page.locator("#folder-error")).to_be_empty()
    page.check("#again")
    with page.expect_request(lambda request: request.method == "POST" and "/batches" in request.url) as request:
        page.click("#download")
    body = request.value.post_data_json
    assert (body["subtitles"], body["folder"], body["again"]) == (["en", "de"], "Music/2026", True)
    expect(rows(page, "queued")).to_have_count(1)
    page.reload()
    expect(page.locator("#options summary")).to_have_text("Options: en, de · Music/2026")  # `again` was for once


def test_a_batch_is_called_by_its_first_title_and_tells_how_it_ended(
    page: Any, server: Server, simulator: Simulator
) -> None:
    ok = simulator.url("tiktok", "ok")
    ids = [
        server.ask("POST", "/api/v1/batches", {"urls": urls})[1]["batch"]["id"]
        for urls in (
            [ok, simulator.url("youtube", "removed")],
            [f"https://netflix.com/{number}" for number in range(11)],
        )
    ]
    open_dashboard(page, server)
    partly, failed = (page.locator(f"[data-batch='{id}']") for id in ids)
    expect(partly).to_have_attribute("data-state", "partly", timeout=45_000)
    expect(partly.locator(".called")).to_have_text("Ada's garden, part 1 and 1 more")
    expect(partly.locator(".summary")).to_have_text("1 of 2 downloaded, 1 failed")
    expect(partly.get_by_role("button", name="Retry")).to_have_count(0)  # no retry brings back what was removed
    expect(failed).to_have_attribute("data-state", "failed")
    expect(failed.locator(".called")).to_have_text("11 links")
    server.ask("POST", "/api/v1/queue/pause")
    urls = [simulator.url("tiktok", "ok", 1), simulator.url("tiktok", "ok", 2)]
    ended, more = (
        server.ask("POST", "/api/v1/batches", {"urls": each})[1]["batch"]["id"]
        for each in (urls, [*urls, "https://netflix.com/1"])
    )
    for id in (more, ended):
        server.ask("POST", f"/api/v1/batches/{id}/cancel")
    server.ask("POST", "/api/v1/batches", {"urls": [ok, f"{ok}?x", simulator.url("tiktok", "ok", 9)]})
    page.reload()
    for id, state, summary, again in (
        (ended, "cancelled", "0 of 2 downloaded, 2 cancelled", "Retry 2"),
        # It was never opened: the server says how many are worth it.
        (more, "failed", "0 of 3 downloaded, 1 failed, 2 cancelled", "Retry 2 of 3"),
    ):
        batch = page.locator(f"[data-batch='{id}']")
        expect(batch).to_have_attribute("data-state", state)
        expect(batch.locator(".summary")).to_have_text(summary)
        expect(batch.locator(".jobs .job")).to_have_count(0)
        expect(batch.get_by_role("button", name="Retry")).to_have_text(again)
