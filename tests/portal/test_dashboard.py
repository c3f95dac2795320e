"""The dashboard in a real browser, with a real server."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.browser import DESKTOP, PHONE, PROFILE, expect, needs_browser
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.scenarios import find_post
from tests.simulator.thumbnails import thumbnail_of
from tests.waiting import until

pytestmark = [needs_browser, pytest.mark.timeout(300)]

Start = Callable[..., Server]
NewPage = Callable[..., Any]

SOON = 45_000  # ms that a download may take on a busy machine, with retries


def open_dashboard(page: Any, server: Server, more: str = "") -> None:
    page.goto(f"{server.url}/dashboard{more}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    # Its line, which comes a moment later, would push down what a test is pressing.
    if server.ask("GET", "/api/v1/queue")[1].get("paused"):
        expect(page.locator(".banner[data-id=paused]")).to_be_visible()


def download(page: Any, text: str) -> None:
    page.fill("#links", text)
    page.click("#download")


def choose(page: Any, place: Any, item: str) -> None:
    """Choose *item* of the menu of *place*."""
    place.get_by_role("button", name="More:").click()
    page.get_by_role("menuitem", name=item).click()


def rows(page: Any, state: str) -> Any:
    return page.locator(f"#batches .job[data-state={state}]")


# Adding


def test_a_mixed_batch_is_pasted_and_its_files_arrive_and_play(
    new_page: NewPage, server: Server, simulator: Simulator
) -> None:
    page = new_page(service_workers="allow")  # all as it is for people
    elsewhere: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(server.url) else elsewhere.append(request.url))
    page.goto(f"{server.url}/")
    assert page.url == f"{server.url}/dashboard"
    ok, private = simulator.url("tiktok", "ok"), simulator.url("youtube", "private")
    page.fill("#links", f"Look at this: {ok}, and ({private}). Again: {ok}\nhttps://netflix.com/watch/1")
    found = page.locator("#links-found")
    expect(found).to_contain_text("1 from TikTok")
    expect(found).to_contain_text("1 from YouTube")
    expect(found).to_contain_text("1 duplicate skipped")
    expect(page.locator("#problems summary")).to_have_text("1 item can't be downloaded")
    page.click("#problems summary")
    expect(page.locator("#problems li")).to_contain_text("Line 2: this site isn't supported")
    expect(page.locator("#download")).to_have_text("Download 2 videos")
    page.click("#download")
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    expect(rows(page, "failed")).to_have_count(1, timeout=SOON)
    expect(rows(page, "failed")).to_contain_text("This YouTube post is private")
    expect(page.locator(".batch .summary")).to_have_text("1 of 2 downloaded, 1 failed")
    expect(page.locator("#status")).to_have_text("Batch finished: 1 of 2 downloaded, 1 failed.")
    expect(page).to_have_title("✓ 1/2 · Batch Video Downloader")
    expect(page.locator("#links")).to_have_value("https://netflix.com/watch/1")  # to be corrected, not lost

    rows(page, "succeeded").get_by_role("button", name="Play").click()
    video = page.locator("#player video")
    expect(video).to_be_visible()
    assert video.evaluate(
        """video => new Promise((resolve, reject) => {
             video.addEventListener("timeupdate", () => video.currentTime > 0 && resolve(true));
             video.addEventListener("error", () => reject(video.error.message));
             video.muted = true;
             video.play();
           })"""
    )
    page.keyboard.press("Escape")
    expect(video).to_be_hidden()

    with page.expect_download() as saved:
        rows(page, "succeeded").get_by_role("link", name="Save").click()
    assert saved.value.suggested_filename.startswith("tiktok_")
    [file] = (server.storage / "raw").iterdir()
    assert Path(saved.value.path()).read_bytes() == file.read_bytes()
    assert elsewhere == []


def test_what_is_not_a_video_is_listed_while_typing_and_not_sent(
    page: Any, server: Server, simulator: Simulator
) -> None:
    open_dashboard(page, server)
    page.fill(
        "#links",
        f"{simulator.url('tiktok', 'ok')}🔥 by https://www.tiktok.com/@ada\nhttps://www.youtube.com/hashtag/cats\n"
        "Download TikTok Lite to enjoy more posts: https://www.tiktok.com/tiktoklite\nhttps:/youtu.be/dQw4w",
    )
    expect(page.locator("#download")).to_have_text("Download 1 video")
    expect(page.locator("#asides summary")).to_have_text("3 links aren't videos")
    page.click("#asides summary")
    expect(page.locator("#asides li")).to_have_text(
        [
            re.compile("Line 1: this is a profile"),
            re.compile("Line 2: this is a hashtag"),
            re.compile("Line 3: this is an adv"),
        ]
    )
    page.click("#problems summary")
    expect(page.locator("#problems li")).to_contain_text("Line 4: the link is incomplete or mistyped")
    page.click("#download")
    # What had a line of its own was meant, and stays.
    expect(page.locator("#links")).to_have_value("https://www.youtube.com/hashtag/cats\nhttps:/youtu.be/dQw4w")
    expect(page.locator("#batches .job")).to_have_count(1)
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)


def test_a_link_of_an_unknown_form_is_offered_with_a_doubt(page: Any, server: Server) -> None:
    open_dashboard(page, server)
    page.fill("#links", "https://www.youtube.com/new/dQw4w9WgXcQ")
    expect(page.locator("#links-found")).to_contain_text("1 link may not be a video")
    expect(page.locator("#asides summary")).to_have_text("1 link may not be a video")
    expect(page.locator("#download")).to_be_enabled()


def test_a_draft_survives_a_reload(page: Any, server: Server) -> None:
    open_dashboard(page, server)
    page.fill("#links", "youtu.be/dQw4w9WgXcQ")
    page.reload()
    expect(page.locator("#links")).to_have_value("youtu.be/dQw4w9WgXcQ")
    expect(page.locator("#download")).to_be_enabled()


def test_a_file_with_links_can_be_opened(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    table = 'title;link\n"Ada; again";' + simulator.url("twitter", "ok") + "\n"
    page.set_input_files("#file", {"name": "list.csv", "mimeType": "text/csv", "buffer": table.encode()})
    expect(page.locator("#links-found")).to_contain_text("1 from Twitter/X")
    page.set_input_files("#file", {"name": "cat.png", "mimeType": "image/png", "buffer": b"\x89PNG\0\0"})
    expect(page.locator("#status")).to_have_text("Couldn't read cat.png. Choose a text or CSV file.")


def test_only_the_links_of_a_large_export_are_put_into_the_box(page: Any, server: Server) -> None:
    open_dashboard(page, server)
    channel = [{"url": "https://www.youtube.com/channel/UC1"}]
    watched = [f"https://www.youtube.com/watch?v=S00n{number:07}" for number in range(3000)]
    history = json.dumps([{"title": "x" * 500, "titleUrl": url, "subtitles": channel} for url in watched])
    assert len(history) > 1_000_000
    file = {"name": "watch-history.json", "mimeType": "application/json", "buffer": history.encode()}
    page.set_input_files("#file", file)
    expect(page.locator("#links-found")).to_contain_text("3,000 from YouTube")
    expect(page.locator("#status")).to_have_text("3,000 links found in watch-history.json.")
    expect(page.locator("#asides")).to_be_hidden()
    assert len(page.locator("#links").input_value().splitlines()) == 3000


def test_a_dropped_link_lands_in_the_box(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    page.evaluate(
        """link => {
             const data = new DataTransfer();
             data.setData("text/uri-list", link);
             for (const type of ["dragenter", "drop"]) {
               document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
             }
           }""",
        simulator.url("youtube", "ok"),
    )
    expect(page.locator("#links-found")).to_contain_text("1 from YouTube")
    expect(page.locator("#drop")).to_be_hidden()


def test_what_a_phone_shares_waits_for_one_click(page: Any, server: Server, simulator: Simulator) -> None:
    """Apps share short links, here to a profile. It is opened as Chromium opens what the manifest says."""
    link = simulator.url("tiktok", "leads_astray", 10, form="short")
    target = json.loads(server.read("/manifest.webmanifest")[1])["share_target"]
    shared = {"title": "TikTok", "text": f"Look! {link} from my phone", "url": link}
    query = urllib.parse.urlencode({target["params"][name]: value for name, value in shared.items()})
    page.goto(f"{server.url}{target['action']}?{query}")
    expect(page.locator("#download")).to_have_text("Download 1 video")
    expect(page.locator("#download")).to_be_focused()
    expect(page).not_to_have_url(re.compile(r"\?"))  # a reload does not add it again
    assert (
        server.ask("GET", "/api/v1/batches")[1]["batches"] == []
    )  # any page can link here: nothing starts without a click
    simulator.configure(media_bytes_per_second=1_000)  # none of them is done
    page.keyboard.press("Enter")
    expect(page.locator(".job.collection .facts")).to_contain_text("60 videos", timeout=SOON)
    expect(page.locator(".batch .summary")).to_have_text("0 of 60 finished")


def test_a_shared_profile_waits_for_one_click(page: Any, server: Server) -> None:
    open_dashboard(page, server, "?title=Ada&text=https%3A%2F%2Fwww.tiktok.com%2F%40ada")
    expect(page.locator("#links")).to_have_value("https://www.tiktok.com/@ada")
    expect(page.locator("#download")).to_have_text("Download profile")
    expect(page.locator("#download")).to_be_focused()


def test_a_bookmarklet_hands_over_a_link(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server, f"?url={urllib.parse.quote(simulator.url('twitter', 'ok'), safe='')}")
    expect(page.locator("#links-found")).to_contain_text("1 from Twitter/X")


def test_pasted_links_start_at_once_if_that_is_chosen(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    page.click("#options summary")
    page.check("#at-once")
    page.focus("#links")
    page.evaluate(
        """link => {
             const data = new DataTransfer();
             data.setData("text/plain", link);
             const box = document.getElementById("links");
             box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
             box.value = link;
             box.dispatchEvent(new Event("input"));
           }""",
        simulator.url("tiktok", "ok"),
    )
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)


def test_enter_sends_a_single_link_and_breaks_the_line_of_several(
    page: Any, server: Server, simulator: Simulator
) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    open_dashboard(page, server)
    page.fill("#links", simulator.url("tiktok", "ok"))
    page.press("#links", "Enter")
    expect(rows(page, "queued")).to_have_count(1)
    expect(page.locator("#links")).to_have_value("")
    two = f"{simulator.url('tiktok', 'ok', 1)}\n{simulator.url('tiktok', 'ok', 2)}"
    page.fill("#links", two)
    page.press("#links", "Enter")
    expect(page.locator("#links")).to_have_value(f"{two}\n")
    expect(rows(page, "queued")).to_have_count(1)


def test_what_is_pasted_anywhere_goes_into_the_box(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server, "#history")
    link = simulator.url("tiktok", "ok")
    page.evaluate(
        """link => {
             const data = new DataTransfer();
             data.setData("text/plain", link);
             const init = {clipboardData: data, bubbles: true, cancelable: true};
             document.body.dispatchEvent(new ClipboardEvent("paste", init));
           }""",
        link,
    )
    expect(page.locator("#links")).to_have_value(link)
    expect(page.locator("#links")).to_be_focused()


def test_a_button_pastes_and_downloads(page: Any, server: Server, simulator: Simulator) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_dashboard(page, server)
    page.evaluate("link => navigator.clipboard.writeText(link)", simulator.url("tiktok", "ok"))
    page.get_by_role("button", name="Paste and download").click()
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)


def test_what_to_get_is_remembered_and_sent(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    page.get_by_label("What to get").select_option("Sound only")
    page.reload()
    expect(page.get_by_label("What to get")).to_have_value("audio")
    download(page, simulator.url("youtube", "ok"))
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    [batch] = server.ask("GET", "/api/v1/batches")[1]["batches"]
    [job] = server.ask("GET", f"/api/v1/batches/{batch['id']}")[1]["jobs"]
    assert job["preset"] == "audio"
    sound = page.get_by_role("button", name="Sound only")
    expect(sound).to_have_attribute("aria-pressed", "true")
    sound.click()
    expect(page.get_by_label("What to get")).to_have_value("video")
    page.get_by_label("What to get").select_option("Smallest video")
    sound.click()
    expect(page.get_by_label("What to get")).to_have_value("audio")
    sound.click()
    expect(page.get_by_label("What to get")).to_have_value("smallest")


def test_a_thumbnail_that_is_gone_leaves_the_platforms_icon(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    download(page, simulator.url("tiktok", "ok"))
    picture = page.locator(".thumb img")
    expect(picture).to_be_visible(timeout=SOON)
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    page.route("**/thumbnail", lambda route: route.fulfill(status=404, json={}))
    page.reload()
    expect(page.locator(".thumb .icon").first).to_be_visible()
    expect(picture).to_be_hidden()


# Watching


def test_a_reload_in_the_middle_loses_nothing(page: Any, server: Server, simulator: Simulator) -> None:
    simulator.configure(media_bytes_per_second=1_000)  # too slow to end while the page loads again
    open_dashboard(page, server)
    download(page, "\n".join(simulator.url("tiktok", "ok", number) for number in range(3)))
    expect(rows(page, "running").first).to_contain_text("Downloading", timeout=SOON)
    expect(page.locator("#queue-state")).to_contain_text(re.compile("in progress.*/s"), timeout=SOON)
    bar = rows(page, "running").first.locator("progress")
    expect(bar).to_have_attribute("value", re.compile("."), timeout=SOON)
    expect(page).to_have_title(re.compile("/3 · Batch Video Downloader$"))
    page.reload()
    expect(rows(page, "running").first).to_contain_text("Downloading", timeout=SOON)
    simulator.configure(media_bytes_per_second=0)
    expect(rows(page, "succeeded")).to_have_count(3, timeout=SOON)
    assert len(server.ask("GET", "/api/v1/batches")[1]["batches"]) == 1


def test_a_download_of_unknown_size_has_no_invented_percentage(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    download(page, simulator.url("tiktok", "hang"))
    bar = rows(page, "running").locator("progress")
    expect(bar).to_be_visible(timeout=SOON)
    expect(bar).not_to_have_attribute("value", re.compile(""))
    simulator.wait_until_hanging(1)
    rows(page, "running").get_by_role("button", name="Cancel").click()
    expect(rows(page, "cancelled")).to_have_count(1)
    expect(page.locator("#undo")).to_contain_text("1 download cancelled.")
    page.locator("#undo").get_by_role("button", name="Undo").click()
    expect(page.locator("#status")).to_have_text("1 link is back in the queue.")
    rows(page, "running").or_(rows(page, "queued")).get_by_role("button", name="Cancel").click()
    # By keyboard: "Retry" comes where "Cancel" was, and a click as soon as that would be a double click's second half.
    rows(page, "cancelled").get_by_role("button", name="Retry").press("Enter")
    expect(page.locator("#status")).to_have_text("1 link is back in the queue.")


def test_batches_of_others_appear(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    expect(page.locator("#batches-none")).to_be_visible()
    server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok")]})
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)


def test_without_event_streams_the_page_polls(page: Any, server: Server, simulator: Simulator) -> None:
    def refuse(route: Any) -> None:
        if "text/event-stream" in route.request.headers["accept"]:
            route.fulfill(status=503, json={"error": "All places for event streams are taken."})
        else:
            route.continue_()

    page.route("**/api/v1/events*", refuse)
    page.goto(f"{server.url}/dashboard")
    expect(page.locator("#connection")).to_have_attribute("data-state", "polling")
    download(page, simulator.url("tiktok", "ok"))
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)


def test_a_platform_that_cools_down_shows_a_countdown(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    download(page, simulator.url("tiktok", "rate_limited"))
    banner = page.locator(".banner[data-id=tiktok]")
    expect(banner).to_contain_text("TikTok is limiting requests. Resuming automatically in", timeout=SOON)
    expect(rows(page, "waiting")).to_contain_text("retrying in")
    download(page, simulator.url("tiktok", "ok"))
    expect(rows(page, "queued").locator(".now")).to_contain_text("TikTok is limiting requests")
    banner.get_by_role("button", name="Resume now").click()
    expect(page.locator("#status")).to_contain_text("TikTok resumed.")


def test_the_queue_can_be_paused(page: Any, server: Server, simulator: Simulator) -> None:
    server.ask("POST", "/download", {"url": "https://netflix.com/1"})
    open_dashboard(page, server)
    page.get_by_role("button", name="Pause queue").click()
    expect(page.locator(".banner[data-id=paused]")).to_be_visible()
    download(page, simulator.url("tiktok", "ok"))
    expect(rows(page, "queued")).to_have_count(1)
    page.locator(".banner").get_by_role("button", name="Resume").click()
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)


def test_an_unusable_storage_folder_is_announced_until_it_works(page: Any, server: Server) -> None:
    raw = server.storage / "raw"
    raw.rmdir()
    raw.write_bytes(b"no folder")
    server.ask("GET", "/readyz")  # which tries
    open_dashboard(page, server)
    banner = page.locator(".banner[data-id=storage-error]")
    expect(banner).to_contain_text(f"The storage folder cannot be written ({raw}: it is not a folder")
    raw.unlink()
    server.ask("GET", "/readyz")
    open_dashboard(page, server)
    expect(banner).to_be_hidden()


# Failures


def test_what_failed_is_retried_once_automatically(page: Any, start_server: Start, simulator: Simulator) -> None:
    server = start_server(DOWNLOADER_MAX_ATTEMPTS="1", DOWNLOADER_RETRIES="0")
    open_dashboard(page, server)
    download(page, f"{simulator.url('tiktok', 'unavailable_once')} {simulator.url('tiktok', 'ok')}")
    expect(rows(page, "succeeded")).to_have_count(2, timeout=SOON)
    expect(page.locator(".batch .second-round")).to_have_text("1 failed link was retried automatically.")
    expect(page.locator(".batch .summary")).to_have_text("All 2 videos downloaded")


def test_failed_links_can_be_copied_and_retried(page: Any, server: Server, simulator: Simulator) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_dashboard(page, server)
    private, ok = simulator.url("youtube", "private"), simulator.url("tiktok", "ok")
    download(page, f"{private}\n{ok}")
    expect(page.locator(".batch .summary")).to_have_text("1 of 2 downloaded, 1 failed", timeout=SOON)
    choose(page, page.locator(".batch > .heading"), "Copy failed links")
    expect(page.locator("#status")).to_have_text("1 link copied.")
    assert page.evaluate("navigator.clipboard.readText()") == private
    page.get_by_role("button", name="Retry 1", exact=True).click()
    expect(page.locator("#status")).to_have_text("Batch finished: 1 of 2 downloaded, 1 failed.", timeout=SOON)


def test_a_retry_is_offered_only_where_it_may_help(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    removed, private = simulator.url("youtube", "removed"), simulator.url("youtube", "private")
    download(page, f"{removed}\n{private}")
    expect(rows(page, "failed")).to_have_count(2, timeout=SOON)
    expect(page.get_by_role("button", name="Retry:")).to_have_count(1)
    expect(page.get_by_role("button", name="Retry 1 of 2")).to_be_visible()
    download(page, removed)
    expect(page.locator(".batch.single .job[data-state=failed]")).to_be_visible(timeout=SOON)
    expect(page.get_by_role("button", name="Retry:")).to_have_count(1)


def test_from_ten_links_on_they_are_filtered_by_state(page: Any, server: Server, simulator: Simulator) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    links = [simulator.url("tiktok", "ok", number) for number in range(9)]
    job = server.ask("POST", "/api/v1/batches", {"urls": [*links, "https://netflix.com/1"]})[1]["jobs"][0]
    server.ask("POST", "/api/v1/batches", {"urls": links})
    server.ask("POST", f"/api/v1/jobs/{job['job_id']}/cancel")
    open_dashboard(page, server)
    small, large = page.locator(".batch").first, page.locator(".batch").last
    expect(small.locator(".filters")).to_be_hidden()
    large.locator(".toggle").click()
    expect(large.locator(".filters button:visible")).to_have_text(["All 10", "Pending 8", "Failed 1", "Cancelled 1"])
    large.get_by_role("button", name="Cancelled 1").click()
    expect(large.locator(".job")).to_have_count(1)
    expect(large.locator(".job .state")).to_have_text("Cancelled")


def test_yt_dlps_own_words_are_behind_details(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    download(page, simulator.url("youtube", "private"))
    details = rows(page, "failed").locator("details")
    details.locator("summary").focus(timeout=SOON)
    page.keyboard.press("Enter")
    expect(details.locator("p")).to_contain_text("Private video")


def test_a_hostile_title_is_shown_as_text(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    download(page, simulator.url("youtube", "hostile_title"))
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    expect(rows(page, "succeeded")).to_contain_text("<script>")
    assert page.locator("#batches script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # the page keeps its width
    page.goto(f"{server.url}/dashboard#history")
    expect(page.locator("#history-jobs")).to_contain_text("<script>")


def test_the_second_half_of_a_double_click_presses_nothing_else(
    page: Any, server: Server, simulator: Simulator
) -> None:
    """On a phone, what is below the box comes where "Download" was; on a desktop, "Paste and download"."""
    open_dashboard(page, server)
    page.fill("#links", simulator.url("tiktok", "hang"))
    box = page.locator("#download").bounding_box()
    place = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    # The page's clock, so that the second half comes soon however slow the machine is.
    page.evaluate(
        """() => {
             window.pressed = [];
             addEventListener("click", (event) => pressed.push(event.target.closest("[id]").id));
             const now = performance.now();
             Object.defineProperty(Event.prototype, "timeStamp", { get: () => now });
           }"""
    )
    page.mouse.click(*place)
    expect(page.locator("#pause")).to_be_visible()
    gone = "([x, y]) => document.elementFromPoint(x, y).closest('[id]').id !== 'download'"
    page.wait_for_function(gone, arg=place)
    page.mouse.click(*place)
    page.keyboard.press("Tab")
    assert page.evaluate("pressed") == ["download"]
    assert not server.ask("GET", "/api/v1/queue")[1]["paused"]


def test_a_double_click_counts_once(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    page.fill("#links", simulator.url("tiktok", "hang"))
    page.dblclick("#download")
    expect(rows(page, "running")).to_have_count(1, timeout=SOON)
    page.keyboard.press("Control+Enter")
    rows(page, "running").get_by_role("button", name="Cancel").dblclick()
    expect(rows(page, "cancelled")).to_have_count(1)
    expect(page.locator("#menu")).to_be_hidden()
    assert len(server.ask("GET", "/api/v1/batches")[1]["batches"]) == 1


def test_what_is_typed_while_links_are_sent_stays(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    first, second = simulator.url("tiktok", "ok", 1), simulator.url("tiktok", "ok", 2)
    page.fill("#links", first)
    expect(page.locator("#download")).to_be_enabled()
    page.evaluate(
        """second => {
             const box = document.getElementById("links");
             document.getElementById("download").click();
             box.value += second;
             box.dispatchEvent(new Event("input"));
           }""",
        second,
    )
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    expect(page.locator("#links")).to_have_value(second)


def test_an_answer_that_comes_after_the_events_turns_nothing_back(
    page: Any, server: Server, simulator: Simulator
) -> None:
    """They come by different connections."""

    def is_done() -> bool:
        [batch] = server.ask("GET", "/api/v1/batches")[1]["batches"]
        return bool(batch["counts"]["succeeded"] == 1)

    def answer_late(route: Any) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        answer = route.fetch()
        until(is_done, SOON / 1000)
        route.fulfill(response=answer)

    page.route("**/api/v1/batches", answer_late)
    open_dashboard(page, server)
    download(page, simulator.url("tiktok", "ok"))
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)


def test_a_retry_from_the_history_reaches_its_batch(page: Any, server: Server, simulator: Simulator) -> None:
    for scenario in ("private", "ok"):
        server.ask("POST", "/download", {"url": simulator.url("youtube", scenario)})
    server.ask("POST", "/api/v1/queue/pause")
    open_dashboard(page, server, "#history")
    page.locator("#history-jobs [data-state=failed]").get_by_role("button", name="Retry").click()
    expect(page.locator("#status")).to_have_text("1 link is back in the queue.")  # seen in every view
    page.locator("nav a[href='#downloads']").click()
    expect(rows(page, "queued")).to_have_count(1)


def test_a_missing_file_is_announced_in_a_sentence(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    download(page, simulator.url("tiktok", "ok"))
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    [file] = (server.storage / "raw").iterdir()
    file.unlink()
    rows(page, "succeeded").get_by_role("button", name="Play").click()
    expect(page.locator("#player-error")).to_contain_text("This file no longer exists")
    page.keyboard.press("Escape")
    rows(page, "succeeded").get_by_role("link", name="Save").click()
    expect(page.locator("#status")).to_contain_text("This file no longer exists")


def test_the_focus_is_never_lost(page: Any, server: Server, simulator: Simulator) -> None:
    urls = [simulator.url("tiktok", "ok", 1), simulator.url("tiktok", "ok", 2)]
    server.ask("POST", "/download/batch", {"urls": urls})
    simulator.configure(media_bytes_per_second=1_000)  # so that the next ones run until they are cancelled
    server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok", number) for number in (3, 4)]})
    open_dashboard(page, server)
    expect(rows(page, "running")).to_have_count(2, timeout=SOON)
    page.get_by_role("button", name="Cancel batch").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".batch .toggle").first).to_be_focused()
    page.locator(".batch .toggle").last.click()
    rows(page, "succeeded").first.get_by_role("button", name="More:").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(rows(page, "succeeded")).to_have_count(1)
    expect(rows(page, "succeeded")).to_be_focused()
    menu = page.locator(".batch > .heading").last.get_by_role("button", name="More:")
    menu.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator(".batch")).to_have_count(1)
    expect(page.locator(".batch .toggle")).to_be_focused()


# Saving


def test_a_batch_is_saved_as_one_zip(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    download(
        page,
        f"{simulator.url('tiktok', 'ok')}\n{simulator.url('instagram', 'ok')}\n{simulator.url('tiktok', 'removed')}",
    )
    expect(page.locator(".batch .summary")).to_have_text("2 of 3 downloaded, 1 failed", timeout=SOON)
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save all").click()
    assert zipped(saved.value) == files_of(server)


def test_all_files_of_a_post_are_saved(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    download(page, simulator.url("twitter", "several_videos"))
    expect(rows(page, "succeeded")).to_contain_text("3 files", timeout=SOON)
    with page.expect_download() as saved:
        rows(page, "succeeded").get_by_role("link", name="Save all 3").click()
    assert len(zipped(saved.value)) == 3
    assert zipped(saved.value) == files_of(server)


def test_pictures_are_saved_but_not_played(page: Any, server: Server, simulator: Simulator) -> None:
    server.ask("POST", "/download", {"url": simulator.url("instagram", "pictures")})
    open_dashboard(page, server)
    row = rows(page, "succeeded")
    expect(row.get_by_role("link", name="Save")).to_be_visible(timeout=SOON)
    expect(row.get_by_role("button", name="Play")).to_have_count(0)


def zipped(saved: Any) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(Path(saved.path()).read_bytes())) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


def files_of(server: Server) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (server.storage / "raw").iterdir()}


# Offline


def test_links_added_without_the_server_are_sent_once_when_it_is_back(
    new_page: NewPage, start_server: Start, simulator: Simulator
) -> None:
    server = start_server()
    page = new_page(service_workers="allow")
    open_dashboard(page, server)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    server.stop()
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline", timeout=SOON)
    page.click("#options summary")
    page.fill("#folder", "Later")
    download(page, simulator.url("tiktok", "ok"))
    expect(page.locator("#outbox")).to_contain_text("1 link, added")
    context = page.context
    page.close()

    page = context.new_page()
    page.goto(f"{server.url}/dashboard")  # the service worker answers
    expect(page.locator("#outbox")).to_contain_text("1 link, added")
    server = start_server(port=server.port)
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    expect(page.locator("#outbox")).to_be_hidden()
    page.reload()
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    [batch] = server.ask("GET", "/api/v1/batches")[1]["batches"]
    assert batch["total"] == 1
    assert [path.name for path in (server.storage / "raw").iterdir()] == ["Later"]


def test_an_answer_that_got_lost_sends_nothing_twice(page: Any, server: Server, simulator: Simulator) -> None:
    lost: list[str] = []

    def lose_the_first(route: Any) -> None:
        if route.request.method == "POST" and not lost:
            route.fetch()  # the server gets it
            lost.append(route.request.headers["idempotency-key"])
            route.abort()
        else:
            route.continue_()

    page.route("**/api/v1/batches", lose_the_first)
    open_dashboard(page, server)
    download(page, simulator.url("tiktok", "ok"))
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    expect(page.locator("#outbox")).to_be_hidden(timeout=SOON)
    assert len(lost) == 1
    assert len(server.ask("GET", "/api/v1/batches")[1]["batches"]) == 1


def test_what_the_server_refuses_can_be_taken_back(page: Any, server: Server, simulator: Simulator) -> None:
    page.route(
        "**/api/v1/batches",
        lambda route: (
            route.fulfill(status=400, json={"error": "Not today."})
            if route.request.method == "POST"
            else route.continue_()
        ),
    )
    open_dashboard(page, server)
    link = simulator.url("tiktok", "ok")
    download(page, link)
    expect(page.locator("#outbox .error")).to_have_text("Not today.")
    page.get_by_role("button", name="Back to the text box").click()
    expect(page.locator("#links")).to_have_value(link)
    expect(page.locator("#outbox")).to_be_hidden()


# Old and restricted browsers


def test_a_browser_without_storage_still_sends(page: Any, server: Server) -> None:
    page.add_init_script(
        """Object.defineProperty(window, "indexedDB", {get() { throw new DOMException("no", "SecurityError"); }});
           Object.defineProperty(window, "localStorage", {get() { throw new DOMException("no", "SecurityError"); }});
           delete Navigator.prototype.serviceWorker;"""
    )
    page.goto(f"{server.url}/dashboard")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    page.fill("#links", "https://www.youtube.com/watch?v=dQw4w9WgXcQ")
    page.click("#download")
    expect(page.locator(".job")).to_have_count(1)


BROKEN_MODULES: tuple[dict[str, Any], ...] = (
    # Newer than the browser.
    {"status": 200, "content_type": "text/javascript", "body": "export class { static {} }"},
    {"status": 404, "content_type": "application/json", "body": "{}"},
    {"status": 200, "content_type": "text/javascript", "body": "export const readLinks = undefined.not;"},
)


def test_a_page_whose_modules_do_not_run_says_so(browser: Any, server: Server) -> None:
    with browser.new_context(**PROFILE) as context:  # errors are expected in it
        page = context.new_page()
        broken = [*BROKEN_MODULES]
        page.route("**/links.js", lambda route: route.fulfill(**broken[0]))
        while broken:
            page.goto(f"{server.url}/dashboard")
            expect(page.locator("#not-started")).to_contain_text("your browser is too old")
            del broken[0]
        page.unroute("**/links.js")
        page.reload()
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        expect(page.locator("#not-started")).to_be_hidden()


# Access


def test_after_a_session_has_ended_logging_in_comes_back_to_the_page(
    page: Any, start_server: Start, simulator: Simulator
) -> None:
    server = start_server(DOWNLOADER_API_KEY="correct-horse-battery")
    page.goto(f"{server.url}/dashboard")
    page.get_by_label("Access key").fill("correct-horse-battery")
    page.keyboard.press("Enter")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    link = simulator.url("tiktok", "ok")
    page.fill("#links", link)
    page.context.clear_cookies()
    page.evaluate("dispatchEvent(new Event('online'))")
    page.get_by_label("Access key").fill("correct-horse-battery")
    page.keyboard.press("Enter")
    expect(page.locator("#links")).to_have_value(link)
    page.click("#download")
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)


def test_expiring_cookies_are_announced_before_a_batch_needs_them(page: Any, server: Server) -> None:
    soon = int(time.time()) + 24 * 3600
    cookies = f"# Netscape HTTP Cookie File\n.tiktok.com\tTRUE\t/\tTRUE\t{soon}\tsessionid\tsecret\n"
    assert server.ask("PUT", "/api/v1/cookies/tiktok", {"cookies": cookies})[0] == 200
    open_dashboard(page, server)
    expect(page.locator(".banner[data-id=cookies-tiktok]")).to_contain_text("The cookies for TikTok expire")


def cookie_file(domain: str) -> dict[str, Any]:
    later = int(time.time()) + 400 * 24 * 3600
    cookies = f"# Netscape HTTP Cookie File\n{domain}\tTRUE\t/\tTRUE\t{later}\tsessionid\tsecret\n"
    return {"name": "cookies.txt", "mimeType": "text/plain", "buffer": cookies.encode()}


def test_cookies_are_given_from_the_row_that_failed(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    download(page, simulator.url("instagram", "private"))
    page.get_by_role("button", name="Add cookies").click(timeout=SOON)
    choose_file = page.locator("#cookies").get_by_role("button", name="Choose file…: Instagram")
    expect(choose_file).to_be_focused()
    with page.expect_file_chooser() as chooser:
        choose_file.click()
    retries: list[str] = []
    page.on("request", lambda request: retries.append(request.url) if request.url.endswith("/jobs/retry") else None)
    chooser.value.set_files(cookie_file(".instagram.com"))
    expect(page.locator("#view-downloads")).to_be_visible()
    expect(rows(page, "succeeded").or_(rows(page, "failed"))).to_have_count(1, timeout=SOON)
    assert len(retries) == 1
    page.locator("nav a[href='#settings']").click()
    instagram = page.locator("#cookies [data-platform=instagram]")
    expect(instagram).to_contain_text("Added")
    instagram.get_by_role("button", name="Remove").click()
    expect(instagram.get_by_role("button", name="Remove")).to_have_count(0)
    assert all(state["condition"] == "none" for state in server.ask("GET", "/api/v1/cookies")[1]["cookies"])


def test_a_file_that_holds_no_cookies_is_refused_in_a_sentence(page: Any, server: Server) -> None:
    open_dashboard(page, server, "#settings")
    with page.expect_file_chooser() as chooser:
        page.locator("#cookies").get_by_role("button", name="Choose file…: TikTok").click()
    chooser.value.set_files(cookie_file(".example.org"))
    expect(page.locator("#status")).to_contain_text("TikTok")
    expect(page.locator("#cookies").get_by_role("button", name="Remove")).to_have_count(0)


# Accessibility and speed


WIDTHS = (360, 768, 1440)


def test_the_page_is_accessible(page: Any, server: Server, simulator: Simulator) -> None:
    mixed = [simulator.url("tiktok", "ok"), simulator.url("youtube", "private"), simulator.url("instagram", "ok")]
    server.ask("POST", "/download/batch", {"urls": mixed})
    server.ask("POST", "/api/v1/queue/pause")
    open_dashboard(page, server)
    page.fill(
        "#links",
        f"{simulator.url('tiktok', 'ok', 5)}\n{simulator.url('tiktok', 'ok', 5)}\nhttps://netflix.com/1\nhttps://x.com/ada",
    )
    page.click("#problems summary")
    page.click("#asides summary")
    expect(page.locator(".job")).to_have_count(3)
    views = {
        "#downloads": page.locator(".batch .summary"),
        "#history": page.locator("#history-jobs .job").first,
        "#statistics": page.locator(".statistics dl").first,
        "#settings": page.locator("#server-settings details").first,
    }
    for view, shown in views.items():
        page.locator(f"nav a[href='{view}']").click()
        expect(shown).to_be_visible()
        page.evaluate("document.querySelectorAll('main details').forEach(details => (details.open = true))")
        check_accessible(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (view, width)
        check_accessible(page, colours=())  # the widest is the last; its colours are the same
        page.set_viewport_size(PHONE)
    page.locator("nav a[href='#downloads']").click()
    page.get_by_role("button", name="Play").first.click()
    check_accessible(page, within="#player")
    page.keyboard.press("Escape")
    page.locator(".batch > .heading").get_by_role("button", name="More:").click()
    check_accessible(page, within="#menu")
    page.get_by_role("menuitem", name="Remove from list").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    check_accessible(page)


def check_accessible(page: Any, *, colours: Sequence[str] = ("light", "dark"), within: str | None = None) -> None:
    """Check what is shown, all of it or *within* an element: in the first of *colours* all, in others the contrasts."""
    rules: dict[str, Any] = {} if colours else {"rules": {"color-contrast": {"enabled": False}}}
    for scheme in colours or ("light",):
        page.emulate_media(color_scheme=scheme)
        run_axe(page, within, rules)
        rules = {"runOnly": ["color-contrast"]}


def run_axe(page: Any, within: str | None, options: dict[str, Any]) -> None:
    from axe_playwright_python.base import AxeResults
    from axe_playwright_python.sync_playwright import Axe

    if not page.evaluate("'axe' in window"):  # it is half a megabyte
        page.evaluate(Axe().axe_script)
    run = "([within, options]) => axe.run(within ?? document, options)"
    results = AxeResults(page.evaluate(run, [within, {"resultTypes": ["violations"], **options}]))
    assert results.violations_count == 0, results.generate_report()


def test_everything_is_done_by_keyboard(page: Any, server: Server, simulator: Simulator) -> None:
    open_dashboard(page, server)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the skip link
    page.keyboard.press("Tab")
    page.focus("#links")
    page.keyboard.insert_text(simulator.url("tiktok", "ok"))
    page.keyboard.press("Control+Enter")
    expect(rows(page, "succeeded")).to_have_count(1, timeout=SOON)
    rows(page, "succeeded").get_by_role("button", name="Play").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#player")).to_be_visible()
    page.keyboard.press("Escape")
    expect(rows(page, "succeeded").get_by_role("button", name="Play")).to_be_focused()
    more = rows(page, "succeeded").get_by_role("button", name="More:")
    more.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("menuitem", name="Delete with files")).to_be_focused()
    page.keyboard.press("Escape")
    expect(more).to_be_focused()


def test_the_colours_can_be_chosen_and_stay(page: Any, server: Server) -> None:
    open_dashboard(page, server, "#settings")
    page.get_by_label("Colours").select_option("Dark")
    expect(page.locator("html")).to_have_css("color-scheme", "dark")
    page.reload()
    expect(page.get_by_label("Colours")).to_have_value("dark")


def test_the_page_is_light(new_page: NewPage, server: Server) -> None:
    page = new_page(viewport=DESKTOP)  # which has nothing of it in its cache
    weights: list[int] = []
    page.on("requestfinished", lambda request: weights.append(weight_of(request, server)))
    open_dashboard(page, server)
    assert 20_000 < sum(weights) < 200_000  # how quick it is: python -m benchmarks.page


def weight_of(request: Any, server: Server) -> int:
    assert request.url.startswith(server.url)
    if "/api/v1/events" in request.url:
        return 0
    sizes = request.sizes()
    return int(sizes["responseBodySize"] + sizes["responseHeadersSize"])


def test_two_thousand_jobs_change_only_rows_that_are_shown(
    new_page: NewPage, server: Server, simulator: Simulator
) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    ids = []
    for half in range(2):
        urls = [simulator.url("tiktok", "ok", half * 1000 + number) for number in range(1000)]
        ids.append(server.ask("POST", "/api/v1/batches", {"urls": urls})[1]["batch"]["id"])
    page = new_page(viewport=DESKTOP)
    shown = have_thumbnails(page)
    open_dashboard(page, server)
    expect(rows(page, "queued")).to_have_count(50)  # the newest is open
    expect(page.locator(".thumb img").first).to_have_js_property("complete", True)
    assert 5 < len(shown) < 40  # those near the window, not those below it
    page.locator(".toggle[aria-expanded=false]").click()
    expect(rows(page, "queued")).to_have_count(100)
    page.get_by_role("button", name="Show 200 more").first.click()
    expect(rows(page, "queued")).to_have_count(300)

    page.evaluate(NOTE_CHANGES)
    for batch_id in ids:
        server.ask("POST", f"/api/v1/batches/{batch_id}/cancel")
    for summary in page.locator(".batch .summary").all():
        expect(summary).to_contain_text("1,000 cancelled", timeout=SOON)
    expect(page.locator(".job")).to_have_count(300)
    # To draw all rows with each event would be hundreds of thousands. How long it takes: python -m benchmarks.page
    assert 300 < page.evaluate("window.changes") < 40_000


NOTE_CHANGES = """() => {
  window.changes = 0;
  new MutationObserver((changes) => { window.changes += changes.length; })
    .observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


def have_thumbnails(page: Any) -> list[str]:
    """Let *page* believe that every job of a batch has a thumbnail; return those that it asks for, as they come."""
    asked: list[str] = []
    post = find_post("tiktok", "7000000000000000001")
    assert post
    picture = thumbnail_of(post)

    def detail(route: Any) -> None:
        response = route.fetch()
        found = response.json()
        for job in found["jobs"]:
            job["thumbnail_url"] = f"/api/v1/jobs/{job['job_id']}/thumbnail"
        route.fulfill(response=response, json=found)

    def thumbnail(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(body=picture, content_type="image/jpeg")

    page.route(re.compile(r"/api/v1/batches/\w+$"), detail)
    page.route("**/thumbnail", thumbnail)
    return asked
