"""Collections are listed page by page, within bounds; by real yt-dlp against the simulator."""

from __future__ import annotations

import pickle
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from downloader.jobs import Entry, Page, Progress
from downloader.models import Outcome
from downloader.platforms import PLATFORMS
from downloader.settings import Settings
from downloader.ytdlp.client import FetchContext, fetch, fetch_context
from downloader.ytdlp.collections import list_collection
from downloader.ytdlp.corrections.instagram import story_number
from downloader.ytdlp.walk import Bounds
from tests.simulator.client import Simulator
from tests.simulator.lists import Plan, channel_url, list_url
from tests.simulator.model import Platform

COOKIES = (
    "# Netscape HTTP Cookie File\n"
    ".instagram.com\tTRUE\t/\tTRUE\t4102444800\tsessionid\tsimulated\n"
    ".youtube.com\tTRUE\t/\tTRUE\t4102444800\tx\tx\n"
)


@pytest.fixture
def context(make_settings: Callable[..., Settings]) -> FetchContext:
    return FetchContext(settings=make_settings().for_downloads())


class Listing:
    """What came of listing a collection."""

    def __init__(self, context: FetchContext, url: str, *, limit: int = 1_000, **options: Any) -> None:
        self.pages: list[Page] = []
        platform = next(each for each in PLATFORMS.values() if any(f"//{host}/" in url for host in each.hosts))
        options.setdefault("report", self.pages.append)
        self.outcome: Outcome = list_collection(platform, url, context, limit=limit, **options)

    @property
    def entries(self) -> list[Entry]:
        return [entry for page in self.pages for entry in page.entries]

    @property
    def serials(self) -> list[int]:
        """The numbers of the simulator's posts, which are those of their places where nothing happens."""
        return [int(entry.url.rstrip("/")[-7:]) for entry in self.entries]

    @property
    def last(self) -> Page:
        return self.pages[-1]


# Pages


@pytest.mark.parametrize(
    ("platform", "sizes"), [("youtube", [100, 100, 40]), ("tiktok", [15] * 16)], ids=["youtube", "tiktok"]
)
def test_a_list_comes_page_by_page(context: FetchContext, platform: Any, sizes: list[int]) -> None:
    listing = Listing(context, list_url(platform, "plain", 240))
    assert tuple(listing.outcome) == (True, None, None)
    assert [len(page.entries) for page in listing.pages] == sizes
    assert [page.position for page in listing.pages] == [sum(sizes[: n + 1]) for n in range(len(sizes))]
    assert listing.serials == list(range(240))
    assert [page.is_last for page in listing.pages] == [False] * (len(sizes) - 1) + [True]
    assert (listing.last.found, listing.last.has_more, listing.last.note) == (240, False, None)
    assert pickle.loads(pickle.dumps(listing.pages)) == listing.pages


def test_what_is_known_of_a_list_and_its_entries_is_told(context: FetchContext) -> None:
    [page] = Listing(context, list_url("youtube", "plain", 240), limit=1).pages
    assert (page.title, page.uploader, page.found) == ("Playlist sim-plain-240", "ada", 240)
    assert page.entries == (
        Entry(
            url="https://www.youtube.com/watch?v=S00n0000000",
            platform="youtube",
            title="Ada's garden, part 1",
            duration_seconds=2.0,
        ),
    )
    [page] = Listing(context, list_url("tiktok", "plain", 240), limit=1).pages
    assert page.title == "sim-plain-240"
    assert page.entries[0].uploaded_at == datetime.fromtimestamp(1_760_000_000, UTC)


def test_a_page_is_reported_before_the_next_is_requested(simulator: Simulator, context: FetchContext) -> None:
    requests: list[int] = []
    Listing(context, list_url("youtube", "plain", 240), report=lambda _: requests.append(len(simulator.stats().log)))
    assert requests == [2, 3, 4]  # the first page takes two


def test_entries_that_cannot_be_had_say_why(context: FetchContext) -> None:
    entries = Listing(context, list_url("youtube", "mixed", 10)).entries
    assert [entry.error_code for entry in entries[2:7]] == [None, "private", "removed", "not_yet_available", None]
    assert entries[3].error is not None
    assert entries[3].error.startswith("This YouTube post is private.")
    assert (entries[3].url, entries[3].title) == ("https://www.youtube.com/watch?v=S02n0000003", None)


@pytest.mark.parametrize("platform", ["youtube", "tiktok"])
def test_listed_entries_can_be_downloaded(context: FetchContext, tmp_path: Path, platform: Platform) -> None:
    [entry] = Listing(context, list_url(platform, "plain", 240), limit=1, skip=150).entries
    with fetch_context(context):
        success, path, _ = fetch(PLATFORMS[platform], entry.url, str(tmp_path))
    assert success
    assert path is not None
    assert "0000150" in path


# Which entries


@pytest.mark.parametrize(
    ("skip", "limit", "expected", "has_more"),
    [
        (0, 40, range(40), True),
        (0, 100, range(100), True),
        (100, 100, range(100, 200), True),
        (100, 1_000, range(100, 240), False),
        (200, 40, range(200, 240), False),
        (240, 10, range(0), False),
        (300, 10, range(0), False),
    ],
)
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_a_part_of_a_list(
    context: FetchContext, skip: int, limit: int, expected: range, has_more: bool, order: Any
) -> None:
    listing = Listing(context, list_url("youtube", "plain", 240), skip=skip, limit=limit, order=order)
    assert listing.outcome[0]
    assert listing.serials == [serial if order == "newest" else 239 - serial for serial in expected]
    assert (listing.last.is_last, listing.last.has_more) == (True, has_more)
    assert listing.last.position == skip + len(expected)
    assert listing.last.found == max(240, skip)


def test_no_more_is_requested_than_is_wanted(simulator: Simulator, context: FetchContext) -> None:
    assert Listing(context, list_url("youtube", "plain", 240), limit=100).last.has_more
    assert len(simulator.stats().log) == 2
    simulator.reset()
    assert Listing(context, list_url("youtube", "plain", 240), limit=40).last.has_more
    assert len(simulator.stats().log) == 2


def test_a_list_that_grows_meanwhile_yields_no_entry_twice(context: FetchContext) -> None:
    listing = Listing(context, list_url("youtube", "growing", 240))
    assert len(listing.serials) == len(set(listing.serials))
    assert set(listing.serials) >= set(range(240))


def test_what_was_posted_since_a_day(simulator: Simulator, context: FetchContext) -> None:
    # A post each ten minutes, the newest at 08:53 on that day, UTC; three old ones are pinned above them.
    listing = Listing(context, list_url("tiktok", "pinned", 1_000), since=date(2025, 10, 9))
    assert listing.serials == list(range(3, 54))
    assert not listing.last.has_more
    assert len(simulator.stats().log) <= 6  # and no page further


def test_youtube_tells_dates_roughly_and_of_shorts_not_at_all(simulator: Simulator, context: FetchContext) -> None:
    since = datetime.now(UTC).date() - timedelta(days=20)
    listing = Listing(context, channel_url("plain", 90, "videos"), since=since)
    assert len(listing.entries) in (20, 21, 22)  # "20 days ago"
    assert all(entry.uploaded_at is None for entry in listing.entries)
    assert listing.last.note is None
    assert len(simulator.stats().log) == 2
    shorts = Listing(context, channel_url("plain", 90, "shorts"), since=since)
    assert len(shorts.entries) == 30
    assert shorts.last.note == "YouTube doesn't say when some of these were posted; they are taken too."


# What else is a collection


def test_a_channel_gives_its_videos_then_its_shorts_then_its_broadcasts(
    simulator: Simulator, context: FetchContext
) -> None:
    listing = Listing(context, channel_url("plain", 60))
    assert listing.serials == [*range(60), *range(1_000_000, 1_000_020), *range(2_000_000, 2_000_006)]
    assert (listing.last.title, listing.last.found) == ("Ada's channel", 86)
    simulator.reset()
    Listing(context, channel_url("plain", 60), limit=30)
    assert len(simulator.stats().log) == 1  # the other tabs are not read before they are needed


@pytest.mark.parametrize(("tab", "expected"), [("shorts", range(1_000_000, 1_000_020)), ("playlists", range(30))])
def test_a_tab_of_a_channel(context: FetchContext, tab: str, expected: range) -> None:
    assert Listing(context, channel_url("plain", 60, tab)).serials == list(expected)


def test_a_tab_that_the_channel_lacks_has_no_videos(context: FetchContext) -> None:
    listing = Listing(context, channel_url("plain", 60, "podcasts"))
    assert listing.outcome[2] == "There's no video in this YouTube channel. Check that it's the right link."


def test_a_mix_has_no_end_and_is_read_beside_its_first_video(context: FetchContext) -> None:
    listing = Listing(context, "https://www.youtube.com/playlist?list=RDS00n0000000", limit=120)
    assert listing.serials == list(range(120))
    assert (listing.last.title, listing.last.has_more) == ("My mix", True)


def test_a_collection_of_a_tiktok_user(context: FetchContext) -> None:
    listing = Listing(context, "https://www.tiktok.com/@ada/collection/my-garden-7000000000000000070")
    assert listing.serials == list(range(70))
    assert listing.last.title == "ada-my-garden"


@pytest.mark.parametrize(
    ("path", "title", "links"),
    [
        ("ada", "Story by ada", "https://www.instagram.com/stories/ada/{}/"),
        ("highlights/7", "Garden", "https://www.instagram.com/stories/highlights/7/?story_media_id={}"),
    ],
)
def test_the_videos_of_a_story_have_links_of_their_own(
    simulator: Simulator, make_settings: Callable[..., Settings], tmp_path: Path, path: str, title: str, links: str
) -> None:
    (tmp_path / "instagram.txt").write_text(COOKIES)
    context = FetchContext(settings=make_settings(cookies_dir=tmp_path).for_downloads())
    listing = Listing(context, f"https://www.instagram.com/stories/{path}/")
    assert listing.outcome[0], listing.outcome.detail
    assert [entry.url.startswith(links.format("")[:-1]) for entry in listing.entries] == [True] * 3
    assert listing.last.title == title
    assert listing.entries[0].uploaded_at is not None
    with fetch_context(context):
        ends = [fetch(PLATFORMS["instagram"], entry.url, str(tmp_path / "raw")) for entry in listing.entries]
        assert [end[0] for end in ends] == [True] * 3, [end.detail for end in ends]
        assert len({end[1] for end in ends}) == 3
        picture = story_number("C47n0000001")  # the story's second item
        codes = [fetch(PLATFORMS["instagram"], links.format(n), str(tmp_path)).error_code for n in (picture, 5)]
        assert codes == ["no_video", "removed"]


def test_a_story_is_shown_to_nobody_without_cookies(context: FetchContext) -> None:
    listing = Listing(context, "https://www.instagram.com/stories/ada/")
    assert listing.outcome.error_code == "login_required"


# What goes wrong


FAILURES: list[tuple[Platform, Plan, str, str]] = [
    ("youtube", "private", "private", "This YouTube playlist is private."),
    ("youtube", "gone", "removed", "This YouTube playlist no longer exists"),
    ("tiktok", "private", "private", "This TikTok profile is private."),
    ("tiktok", "gone", "removed", "This TikTok profile no longer exists"),
    ("tiktok", "walled", "login_required", "TikTok shows this only to logged-in users."),
    ("youtube", "throttled", "rate_limited", "YouTube is limiting requests from this server."),
    ("tiktok", "throttled", "rate_limited", "TikTok is limiting requests from this server."),
]


@pytest.mark.parametrize(("platform", "plan", "code", "told"), FAILURES)
def test_a_list_that_cannot_be_had_says_why(
    context: FetchContext, platform: Platform, plan: Plan, code: str, told: str
) -> None:
    listing = Listing(context, list_url(platform, plan))
    assert listing.outcome.error_code == code, listing.outcome.detail
    assert (listing.outcome[2] or "").startswith(told)
    assert listing.pages == []


def test_a_channel_that_is_gone(context: FetchContext) -> None:
    outcome = Listing(context, channel_url("gone")).outcome
    assert outcome.error_code == "removed"
    assert (outcome[2] or "").startswith("This YouTube channel no longer exists")


@pytest.mark.parametrize(
    ("platform", "plan", "code"),
    [
        ("youtube", "limited", "rate_limited"),
        ("youtube", "expired", "server_error"),
        ("youtube", "withdrawn", "server_error"),
        ("youtube", "incomplete", "server_error"),
        ("youtube", "hanging", "timeout"),
        ("tiktok", "limited", "rate_limited"),
        ("tiktok", "hanging", "timeout"),
    ],
)
def test_what_came_before_a_failure_was_reported_and_the_rest_can_be_taken(
    simulator: Simulator, context: FetchContext, platform: Platform, plan: Plan, code: str
) -> None:
    listing = Listing(context, list_url(platform, plan, 240))
    assert listing.outcome.error_code == code, listing.outcome.detail
    listed = 200 if platform == "youtube" else 30
    assert listing.serials == list(range(listed))
    assert not listing.last.is_last
    if code == "rate_limited":
        assert listing.outcome.retry_after_seconds == 30
    if code == "server_error":  # each strikes twice
        again = Listing(context, list_url(platform, plan, 240), skip=listing.last.position)
        assert again.outcome[0]
        assert again.serials == list(range(listed, 240))


def test_a_listing_is_stopped_between_its_entries(context: FetchContext) -> None:
    stop = threading.Event()
    pages: list[Page] = []

    def report(page: Page) -> None:
        pages.append(page)
        stop.set()

    listing = Listing(replace(context, stop=stop), list_url("youtube", "plain", 240), report=report)
    assert listing.outcome.error_code == "interrupted"
    assert [len(page.entries) for page in pages] == [100]


def test_each_response_is_a_sign_of_life(context: FetchContext) -> None:
    signs: list[Progress] = []
    watched = replace(context, report=signs.append, job_id="ada")
    Listing(watched, list_url("youtube", "empty", 240))
    assert signs
    assert {(sign.job_id, sign.phase) for sign in signs} == {("ada", "extracting")}


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/results?search_query=ada",
        "https://x.com/ada",
        "https://www.instagram.com/ada/",
        "https://www.tiktok.com/music/x-7",
        "https://vm.tiktok.com/ZM1/",
        "https://www.youtube.com/watch?v=S00n0000000",
        "https://www.youtube.com/watch?v=S00n0000000&list=PLsim-plain-240",
        "https://www.youtube.com/playlist?list=P",
    ],
)
def test_what_cannot_be_listed_is_refused_unasked(simulator: Simulator, context: FetchContext, url: str) -> None:
    listing = Listing(context, url)
    assert listing.outcome.error_code == "invalid_url"
    told = "can't be listed|leads to no collection|has no valid post id"
    assert re.search(told, listing.outcome[2] or "")
    assert simulator.stats().log == ()


# Lists without end


@pytest.mark.parametrize(
    ("platform", "plan", "listed", "requests"),
    [
        ("youtube", "loop", 300, 5),
        ("youtube", "stale", 100, 5),
        ("youtube", "empty", 100, 203),
        ("tiktok", "stale", 15, 4),
    ],
)
def test_a_list_that_repeats_itself_ends_and_says_so(
    simulator: Simulator, context: FetchContext, platform: Platform, plan: Plan, listed: int, requests: int
) -> None:
    listing = Listing(context, list_url(platform, plan, 1_000))
    assert listing.outcome[0], listing.outcome.detail
    assert listing.serials == list(range(listed))
    label = PLATFORMS[platform].label
    assert listing.last.note == f"{label} sends the same pages over and over here, so reading stopped there."
    assert listing.last.is_last
    assert len(simulator.stats().log) <= requests


@pytest.mark.parametrize(
    ("bounds", "listed", "told"),
    [
        (Bounds(entries=250), 250, "This list is read no further than its first 250 entries."),
        (Bounds(requests=3), 200, "This list is read no further than 3 requests go."),
        (Bounds(seconds=0), 0, "This list is read no longer than 0 minutes."),
    ],
)
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_an_endless_list_is_read_to_a_bound(
    context: FetchContext, bounds: Bounds, listed: int, told: str, order: Any
) -> None:
    listing = Listing(context, list_url("youtube", "endless"), bounds=bounds, order=order, limit=10_000)
    assert listing.outcome[0]
    assert sorted(listing.serials) == list(range(listed))
    assert (listing.last.note, listing.last.found if listed == 0 else None) == (told, None)
    assert all(len(page.entries) <= 100 for page in listing.pages)


def test_a_list_of_which_as_much_is_wanted_as_there_may_be_is_cut_too(context: FetchContext) -> None:
    listing = Listing(context, list_url("youtube", "endless"), bounds=Bounds(entries=200), limit=200)
    assert len(listing.entries) == 200
    assert (listing.last.note, listing.last.has_more, listing.last.found) == (
        "This list is read no further than its first 200 entries.", False, 240
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "size", "limit", "skip", "found"),
    [
        ("endless", 1, 250, 0, [None] * 3),  # the platform says that there is one
        ("plain", 240, 240, 0, [240] * 3),
        ("plain", 40, 100, 60, [60]),  # there were more the last time
        ("plain", 240, 240, 200, [240]),
    ],
)
def test_never_fewer_are_found_than_were_taken(
    context: FetchContext, plan: Plan, size: int, limit: int, skip: int, found: list[int | None]
) -> None:
    listing = Listing(context, list_url("youtube", plan, size), limit=limit, skip=skip)
    assert [page.found for page in listing.pages] == found


def test_of_a_long_list_no_more_is_read_than_the_bound(simulator: Simulator, context: FetchContext) -> None:
    listing = Listing(context, list_url("youtube", "plain", 100_000), limit=100_000, bounds=Bounds(entries=1_000))
    assert len(listing.entries) == 1_000
    assert (listing.last.found, listing.last.has_more) == (100_000, False)
    assert listing.last.note == "This list is read no further than its first 1,000 entries."
    assert len(simulator.stats().log) <= 12
    assert Bounds().entries == 10_000


def test_playlists_in_a_playlist_are_read_one_level_deep(simulator: Simulator, context: FetchContext) -> None:
    listing = Listing(context, list_url("youtube", "nested", 20))  # among them are a private and this very list
    assert listing.serials == list(range(30))
    assert listing.last.note == "Some of its lists can't be read. Playlists within its playlists are left out."
    assert Listing(context, list_url("youtube", "deep", 20)).serials == []
    assert len(simulator.stats().log) <= 16
