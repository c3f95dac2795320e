"""Playlists, channels and profiles on the dashboard: before they are sent, while they are read, and their rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser import expect, needs_browser
from tests.portal.test_dashboard import SOON, open_dashboard
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.lists import list_url

pytestmark = [needs_browser, pytest.mark.timeout(300)]

WATCH = "https://www.youtube.com/watch?v=S00n0000001&list=PLsim0123456789"


@pytest.fixture
def slow(simulator: Simulator) -> Any:
    """Make media come slowly: entries are queued, and none is done."""
    simulator.configure(media_bytes_per_second=1_000)
    yield simulator
    simulator.configure(media_bytes_per_second=0)


def sent(page: Any) -> Any:
    """Press Download; return the body of the request."""
    with page.expect_request(lambda request: request.method == "POST" and "/batches" in request.url) as request:
        page.click("#download")
    return request.value.post_data_json


def test_a_playlist_becomes_a_batch_and_one_press_takes_the_rest(page: Any, server: Server, slow: Simulator) -> None:
    open_dashboard(page, server)
    page.fill("#links", list_url("youtube", "plain", 104))
    expect(page.locator("#links-found")).to_have_text("1 playlist from YouTube")
    expect(page.get_by_role("radio", name="100 newest")).to_be_checked()
    expect(page.get_by_role("radio", name="Just this video")).to_be_hidden()
    expect(page.locator("#download")).to_have_text("Download playlist")
    assert sent(page)["expand"] == {"limit": 100}
    row = page.locator(".job.collection")
    expect(row.locator(".facts")).to_contain_text("104 found, 100 taken", timeout=SOON)
    expect(row.locator(".now")).to_contain_text("0 of 100 done")
    expect(page.locator(".batch .called")).to_have_text("Playlist sim-plain-104")
    expect(page.locator(".batch .job:not(.collection)")).to_have_count(50)
    row.get_by_role("button", name="Take the rest (4)").click(timeout=SOON)
    expect(row.locator(".facts")).to_contain_text("104 videos", timeout=SOON)
    expect(page.locator(".batch .summary")).to_have_text("0 of 104 finished")
    page.reload()
    expect(page.locator(".batch .summary")).to_have_text("0 of 104 finished")
    expect(row.locator(".now")).to_contain_text("0 of 104 done")


def test_reading_that_ends_early_says_why_and_goes_on_when_asked(page: Any, server: Server, slow: Simulator) -> None:
    open_dashboard(page, server)
    page.fill("#links", list_url("youtube", "private", 5))
    page.click("#download")
    failed = page.locator(".job.collection[data-state=failed]")
    expect(failed).to_contain_text("This YouTube playlist is private", timeout=SOON)
    expect(failed.get_by_role("button", name="Retry:")).to_be_visible()
    page.fill("#links", list_url("youtube", "hanging", 250))
    page.get_by_role("radio", name="All").check()
    page.click("#download")
    row = page.locator(".batch").first.locator(".job.collection")
    expect(row.locator(".facts")).to_contain_text("250 found, 200 taken", timeout=SOON)
    expect(row.locator(".state")).to_have_text("Reading the list")
    row.get_by_role("button", name="Cancel").click()
    expect(row.locator(".state")).to_have_text("Cancelled")
    expect(row.get_by_role("button", name="Take the rest (50)")).to_be_visible()
    slow.release()


def test_a_video_opened_in_a_playlist_is_the_video_unless_chosen(page: Any, server: Server) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    open_dashboard(page, server)
    page.fill("#links", WATCH)
    expect(page.get_by_role("radio", name="Just this video")).to_be_checked()
    expect(page.locator("#download")).to_have_text("Download 1 video")
    body = sent(page)
    assert (body["urls"], "expand" in body) == ([WATCH], False)
    page.fill("#links", WATCH)
    page.get_by_role("radio", name="All").check()
    expect(page.locator("#download")).to_have_text("Download playlist")
    body = sent(page)
    assert (body["urls"], body["expand"]) == (
        ["https://www.youtube.com/playlist?list=PLsim0123456789"],
        {"limit": 10_000},
    )
    expect(page.locator(".batch:not(.single) .called")).to_have_text("youtube.com/playlist?list=PLsim0123456789")


def test_a_profile_that_cannot_be_listed_is_named_while_typing(page: Any, server: Server) -> None:
    open_dashboard(page, server)
    page.fill("#links", "https://www.instagram.com/ada/\nx.com/ada")
    expect(page.locator("#links-found .hint")).to_have_text(
        [
            "Instagram doesn't list a profile's posts for downloads. Paste links to posts instead.",
            "Twitter/X doesn't list a profile's posts for downloads. Paste links to posts instead.",
        ]
    )
    expect(page.locator("#download")).to_be_disabled()
    expect(page.locator("#expansion")).to_be_hidden()
