"""The other views in a real browser: history, statistics, settings, and the lines above them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from downloader.errors import ERROR_CODES
from downloader.web.settings import GROUPS
from tests.browser import PHONE, expect, needs_browser
from tests.real_server import REPOSITORY, Server
from tests.simulator.client import Simulator

pytestmark = [needs_browser, pytest.mark.timeout(300)]

Start = Callable[..., Server]
NewPage = Callable[..., Any]

DAY = 24 * 3600 * 1_000_000  # in microseconds, as the database has them


def open_view(page: Any, server: Server, view: str) -> None:
    page.goto(f"{server.url}/dashboard#{view}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")


# History


def test_the_history_is_searched_filtered_and_sorted(page: Any, server: Server, simulator: Simulator) -> None:
    page.set_viewport_size({"width": 900, "height": 800})
    open_view(page, server, "history")
    status, jobs = page.locator("#history-status"), page.locator("#history-jobs .job")
    expect(status).to_have_text("Nothing downloaded yet.")
    urls = [simulator.url("tiktok", "ok"), simulator.url("youtube", "private"), simulator.url("youtube", "removed")]
    server.ask("POST", "/download/batch", {"urls": urls})
    server.ask("POST", "/download/batch", {"urls": [simulator.url("twitter", "removed")], "preset": "mp3"})
    page.reload()
    expect(jobs).to_have_count(4)
    expect(status).to_have_text("4 downloads")
    page.select_option("#history-platform", "youtube")
    expect(jobs).to_have_count(2)
    page.fill("#history-text", "is private")
    expect(jobs).to_have_count(1)
    expect(status).to_have_text("1 download")
    page.select_option("#history-state", "succeeded")
    expect(status).to_have_text("No matches.")
    page.get_by_role("button", name="Clear filters").click()
    expect(jobs).to_have_count(4)
    page.select_option("#history-preset", "mp3")
    expect(jobs).to_have_count(1)
    page.select_option("#history-kind", "video")
    expect(status).to_have_text("No matches.")
    page.get_by_role("button", name="Clear filters").click()
    page.select_option("#history-sort", "longest")
    expect(page.locator("#history-jobs h2")).to_have_count(0)
    expect(jobs.first).to_have_attribute("data-state", "succeeded")
    expect(jobs.first.locator("time")).to_contain_text("20")  # the date
    page.get_by_role("link", name="History").focus()
    page.keyboard.type("is private")  # anywhere
    expect(page.locator("#history-text")).to_have_value("is private")
    expect(jobs).to_have_count(1)


def test_the_history_is_grouped_by_day(page: Any, server: Server, simulator: Simulator) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    for number in range(3):
        server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok", number)]})
    with sqlite3.connect(server.storage / "downloader.db", timeout=20) as database:
        database.execute("UPDATE jobs SET created_at = created_at - ? WHERE url LIKE ?", (40 * DAY, "%0"))
    open_view(page, server, "history")
    days = page.locator("#history-jobs section")
    expect(days).to_have_count(2)
    expect(days.first.locator("h2")).to_have_text("Today")
    expect(days.first.locator(".job")).to_have_count(2)
    expect(days.last.locator("h2")).to_have_text(re.compile(r"\w+ \d+, \d{4}"))
    page.locator("#history-filters summary").click()  # a phone's are folded
    page.select_option("#history-days", "30")
    expect(days).to_have_count(1)
    expect(page.locator("#history-status")).to_have_text("2 downloads")
    page.locator("#history-jobs .job").first.get_by_role("button", name="More").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("menuitem", name="Copy link").click()
    expect(page.locator("#status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == simulator.url("tiktok", "ok", 2)


def test_a_long_history_is_paged_and_changed_as_a_whole(page: Any, server: Server, simulator: Simulator) -> None:
    server.ask("POST", "/api/v1/queue/pause")
    server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "ok", number) for number in range(70)]})
    open_view(page, server, "history")
    jobs, status = page.locator("#history-jobs .job"), page.locator("#history-status")
    expect(jobs).to_have_count(50)
    expect(status).to_have_text("70 downloads, 50 shown")
    page.get_by_role("button", name="Select", exact=True).click()
    jobs.nth(2).locator(".state").click()
    bar = page.locator("#history-selection")
    expect(bar.locator("p")).to_have_text("1 selected")
    bar.get_by_role("button", name="Select which").click()
    page.get_by_role("menuitem", name="All 70").click()  # also those that are not shown
    bar.get_by_role("button", name="Cancel").click()
    expect(page.locator("#undo")).to_contain_text("70 downloads cancelled.")
    bar.get_by_role("button", name="Remove").click()
    page.get_by_role("menuitem", name="Remove from list").click()
    expect(page.locator("#undo")).to_contain_text("70 items removed.")
    expect(status).to_have_text("Nothing downloaded yet.")
    page.get_by_role("button", name="Undo").click()
    expect(bar.locator("p")).to_have_text("70 selected")
    page.fill("#history-text", "0000000069")  # what is chosen would be out of sight
    expect(bar).to_be_hidden()
    expect(status).to_have_text("1 download")
    page.fill("#history-text", "")
    expect(status).to_have_text("70 downloads, 50 shown")
    page.get_by_role("button", name="Show more").click()
    expect(jobs).to_have_count(70)
    expect(status).to_have_text("70 downloads")
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    server.ask("POST", "/api/v1/jobs/delete", {"ids": [jobs.first.get_attribute("data-job")]})
    expect(status).to_have_text("69 downloads")


# Statistics


def test_statistics_are_drawn(page: Any, start_server: Start, simulator: Simulator) -> None:
    server = start_server()
    urls = [simulator.url("tiktok", "ok"), simulator.url("tiktok", "ok", 1), simulator.url("tiktok", "ok", 2)]
    server.ask("POST", "/download/batch", {"urls": [*urls, simulator.url("youtube", "private")]})
    open_view(page, server, "statistics")
    tiktok = page.locator(".statistics", has_text="TikTok")
    youtube = page.locator(".statistics", has_text="YouTube")
    expect(tiktok.locator("dd").first).to_have_text("100%")
    chart = tiktok.get_by_role("img", name="TikTok: downloads and failed attempts")
    expect(chart).to_be_visible()
    # As much of them is drawn as there was, beside a scale: three of four.
    figure = tiktok.locator("figure").first
    expect(figure.locator(".scale span")).to_have_text(["4", "2", "0"])
    assert chart.locator("rect.slot").count() >= 24
    heights = [float(bar.get_attribute("height")) for bar in chart.locator("rect.good").all()]
    assert sum(heights) == pytest.approx(float(chart.locator("rect.slot").first.get_attribute("height")) * 3 / 4)
    assert len(set(tiktok.locator("figure").last.locator(".scale span").all_text_contents())) == 3
    expect(figure.locator("figcaption")).to_contain_text("Downloaded")
    expect(figure.locator(".times")).to_contain_text("Now")
    expect(youtube.locator(".errors")).to_have_text(re.compile("^Private post1.$"))
    expect(page.locator(".statistics", has_text="Twitter")).to_contain_text("No downloads from Twitter/X")
    tiktok.get_by_text("Show as a table").click()
    cells = tiktok.get_by_role("row").nth(1).get_by_role("cell")
    expect(cells.first).to_have_text(re.compile("[123]"))
    page.select_option("#statistics-hours", "168")
    expect(page.locator(".statistics dd").first).to_have_text("100%")
    expect(tiktok.locator("table")).to_be_visible()  # it stays open


def test_every_reason_and_every_group_of_settings_has_its_words() -> None:
    strings = json.loads((REPOSITORY / "portal/strings/en.json").read_text(encoding="utf-8"))
    assert {f"reason_{code}" for code in ERROR_CODES} - strings.keys() == set()
    assert {f"settings_{group}" for group in GROUPS if group != "server"} - strings.keys() == set()


def test_statistics_on_screen_are_kept_up_to_date(new_page: NewPage, start_server: Start, simulator: Simulator) -> None:
    server, page = start_server(), new_page()
    page.clock.install()  # it runs normally, and can be advanced
    open_view(page, server, "statistics")
    tiktok = page.locator(".statistics", has_text="TikTok")
    expect(tiktok).to_contain_text("No downloads from TikTok")
    server.ask("POST", "/download/batch", {"urls": [simulator.url("tiktok", "ok")]})
    expect(tiktok.locator("dd").first).to_have_text("100%")
    # Not on screen: not loaded.
    page.goto(f"{page.url.partition('#')[0]}#downloads")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/statistics?" in request.url else None)
    server.ask("POST", "/download/batch", {"urls": [simulator.url("tiktok", "removed")]})
    expect(page.locator("#batches .job[data-state=failed]")).to_have_count(1)
    page.clock.run_for(60_000)
    assert asked == []
    page.goto(f"{page.url.partition('#')[0]}#statistics")
    expect(tiktok.locator("dd").first).to_have_text("50%")


# Settings


def test_settings_show_what_the_server_is_set_to_and_one_can_log_out(page: Any, start_server: Start) -> None:
    key = "correct-horse-battery"
    proxy = "http://ada:pass-word@127.0.0.1:9"
    server = start_server(DOWNLOADER_API_KEY=key, DOWNLOADER_MAX_FILE_BYTES="2G", DOWNLOADER_PROXY=proxy)
    at = "2026-01-01T00:00:00Z"
    machine = {"name": "<b>one</b>", "egress": "home", "places": 4, "busy": 1, "is_alive": True, "is_draining": False,
               "version": "0.1", "started_at": at, "heard_at": at, "fault": "Its storage is away."}  # fmt: skip
    page.route("**/api/v1/machines", lambda route: route.fulfill(json={"machines": [machine]}))
    page.goto(f"{server.url}/dashboard#settings")
    page.get_by_label("Access key").fill(key)
    page.keyboard.press("Enter")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    page.locator("nav a[href='#settings']").click()
    expect(page.locator("#storage")).to_contain_text("free")
    expect(page.locator("#tools")).to_contain_text("yt-dlp")
    expect(page.locator("#presets")).to_contain_text("Best videodefault")
    expect(page.locator("#machines dt")).to_have_text("<b>one</b>")
    expect(page.locator("#machines dd")).to_have_text("1 of 4 busy · home · Version 0.1Its storage is away.")
    for group, name, value in (
        ("limits", "DOWNLOADER_MAX_FILE_BYTES", "2 GBenvironment"),
        ("limits", "DOWNLOADER_MAX_DURATION_SECONDS", "Not set"),
        ("server", "DOWNLOADER_PROXY", "http://127.0.0.1:9environment"),
        ("access", "DOWNLOADER_API_KEY", "1 keyenvironment"),
        ("downloads", "DOWNLOADER_PHOTOS", "On"),
    ):
        place = page.locator(f"#server-settings [data-group={group}]")
        if not place.evaluate("place => place.open"):
            place.locator("summary").click()
        setting = place.locator("dl > div", has=page.get_by_text(name, exact=True))
        expect(setting.locator("dd")).to_have_text(value)
    for secret in (key, "pass-word", "ada"):
        assert secret not in page.locator("#view-settings").text_content()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Access key")).to_be_visible()
    page.goto(f"{server.url}/dashboard")
    expect(page.get_by_label("Access key")).to_be_visible()


# Banners


def test_what_is_wrong_is_a_line_that_stays_closed(page: Any, server: Server) -> None:
    tools = {
        "ytdlp": {"advice": "yt-dlp is 90 days old.", "version": None, "age_days": 90},
        "ffmpeg": None,
        "javascript": {"name": "deno", "version": "2"},
    }
    page.route("**/api/v1/tools", lambda route: route.fulfill(json=tools))
    open_view(page, server, "settings")
    old, missing = page.locator(".banner[data-id=ytdlp]"), page.locator(".banner[data-id=ffmpeg]")
    expect(old).to_contain_text("yt-dlp is 90 days old.")
    expect(missing).to_contain_text("Install it on the server.")
    expect(page.locator(".banner[data-id=javascript]")).to_have_count(0)
    expect(page.locator("#tools")).to_contain_text("Missing. Install ffmpeg")
    old.get_by_role("button", name="Close").click()
    expect(old).to_be_hidden()
    expect(page.locator("nav a[href='#settings']")).to_be_focused()
    page.reload()
    expect(missing).to_be_visible()
    expect(old).to_be_hidden()


# Phones


def test_everything_on_a_phone_is_large_enough_to_touch(
    new_page: NewPage, start_server: Start, simulator: Simulator
) -> None:
    server = start_server()
    page = new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    server.ask("POST", "/download/batch", {"urls": [simulator.url("tiktok", "ok"), simulator.url("tiktok", "removed")]})
    server.ask("POST", "/api/v1/queue/pause")
    for view, shown in (("history", ".job"), ("statistics", "dl"), ("settings", "#server-settings details")):
        open_view(page, server, view)
        place = page.locator(f"#view-{view}")
        expect(place.locator(shown).first).to_be_visible()
        place.evaluate("place => place.querySelectorAll('details').forEach(details => (details.open = true))")
        small = page.evaluate(
            """() => [...document.querySelectorAll("main :is(button, select, summary, input:not([type=file]))")]
                 .filter(each => each.offsetParent && !each.closest(".job"))
                 .filter(each => each.getBoundingClientRect().height < 43.5)
                 .map(each => each.outerHTML.slice(0, 100))"""
        )
        assert small == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), view
        for panel in place.locator(".panel").all():
            assert panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth"), view
