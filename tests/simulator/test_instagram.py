"""The simulated Instagram, asked by the real yt-dlp."""

from __future__ import annotations

from http.cookiejar import Cookie
from pathlib import Path
from typing import Any

import pytest
from yt_dlp import YoutubeDL
from yt_dlp.extractor.instagram import InstagramIE
from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.utils import DownloadError, ExtractorError

from tests.simulator.client import Simulator
from tests.simulator.instagram import MEDIA_HOST
from tests.simulator.playback import Warnings, assert_plays
from tests.simulator.scenarios import SCENARIOS, find_post, title_of

HOME = "GET www.instagram.com/"
RULING = "GET www.instagram.com/api/v1/web/get_ruling_for_content/"
GRAPHQL = "POST www.instagram.com/api/graphql"
PAGE = "GET www.instagram.com/p/C00n0000000"
MEDIA = f"GET {MEDIA_HOST}/v/C00n0000000/0/muxed.mp4"


@pytest.fixture(params=["with_curl_cffi", "without_curl_cffi"])
def impersonation(request: pytest.FixtureRequest) -> bool:
    """Whether yt-dlp can pass for a browser: it then asks GraphQL, else the post's page."""
    if request.param == "with_curl_cffi":
        pytest.importorskip("curl_cffi")
    return bool(request.param == "with_curl_cffi")


def session(simulator: Simulator, folder: Path, *, impersonation: bool = True, **options: Any) -> YoutubeDL:
    """Return a YoutubeDL that knows Instagram alone."""
    ydl = YoutubeDL(
        {
            **simulator.ytdlp_options(),
            "logger": Warnings(),
            "noprogress": True,
            "socket_timeout": 5,
            "retries": 1,
            "outtmpl": str(folder / "%(id)s.%(ext)s"),
            **options,
        },
        auto_init=False,
    )
    if not impersonation:
        # The one way to make it do without an installed curl_cffi.
        ydl._request_director.handlers.pop("CurlCFFI", None)
    ydl.add_info_extractor(InstagramIE(ydl))
    return ydl


def fetch(simulator: Simulator, folder: Path, scenario: str, **options: Any) -> list[Path]:
    """Download the post that plays *scenario* and return the files that are there then."""
    with session(simulator, folder, **options) as ydl:
        ydl.download([simulator.url("instagram", scenario)])
    return sorted(folder.iterdir())


def failure(simulator: Simulator, folder: Path, scenario: str, **options: Any) -> tuple[Exception, str]:
    """Download in vain; return what was at the bottom of it, and the sentence yt-dlp has for it."""
    with pytest.raises(DownloadError) as caught:
        fetch(simulator, folder, scenario, **options)
    assert caught.value.exc_info is not None
    return caught.value.exc_info[1], str(caught.value)


def requests(simulator: Simulator) -> list[str]:
    return [f"{entry.method} {entry.host}{entry.path}" for entry in simulator.stats().log]


def test_ok_plays(simulator: Simulator, tmp_path: Path, impersonation: bool) -> None:
    warnings = Warnings()
    (file,) = fetch(simulator, tmp_path, "ok", impersonation=impersonation, logger=warnings)
    assert_plays(file, "instagram C00n0000000")
    assert warnings.texts == []
    assert requests(simulator) == [HOME, RULING, GRAPHQL if impersonation else PAGE, MEDIA]


@pytest.mark.parametrize(
    "url",
    [
        "https://www.instagram.com/reel/C00n0000003/?igsh=abc",
        "https://www.instagram.com/reels/C00n0000003",
        "https://instagram.com/p/C00n0000003/",
        "http://www.instagram.com/p/C00n0000003/?img_index=1",
        "https://www.instagram.com/tv/C00n0000003/",
        "https://www.instagram.com/ada/reel/C00n0000003/",
        "https://www.instagram.com/ada/p/C00n0000003/",
        "https://www.instagram.com/p/C00n0000003/embed/captioned/",
    ],
)
def test_every_form_of_address_leads_to_the_post(
    simulator: Simulator, tmp_path: Path, url: str, impersonation: bool
) -> None:
    with session(simulator, tmp_path, impersonation=impersonation) as ydl:
        found = ydl.extract_info(url, download=False)
    assert (found["id"], found["title"]) == ("C00n0000003", "Video by ada")
    assert simulator.stats().posts["C00n0000003"].page_requests == 2


def test_share_link_redirects_to_the_post(simulator: Simulator, tmp_path: Path) -> None:
    with session(simulator, tmp_path) as ydl:
        url = "https://www.instagram.com/share/reel/C00n0000003/"
        # No extractor but the generic one takes share links; they must be followed first.
        assert not InstagramIE.suitable(url)
        with ydl.urlopen(url) as response:
            assert response.url == "https://www.instagram.com/reel/C00n0000003/"


def test_title_arrives_as_hostile_as_it_is(simulator: Simulator, tmp_path: Path, impersonation: bool) -> None:
    with session(simulator, tmp_path, impersonation=impersonation) as ydl:
        found = ydl.extract_info(simulator.url("instagram", "hostile_title"), download=False)
    post = find_post("instagram", found["id"])
    assert post is not None
    assert found["description"].partition("\n\n")[0] == title_of(post)


def test_page_holds_a_hostile_title_inside_its_script(simulator: Simulator, tmp_path: Path) -> None:
    with session(simulator, tmp_path) as ydl, ydl.urlopen(simulator.url("instagram", "hostile_title")) as page:
        assert b"<script>alert" not in page.read()


def test_carousel_gives_one_file_per_video(simulator: Simulator, tmp_path: Path, impersonation: bool) -> None:
    files = fetch(simulator, tmp_path, "several_videos", impersonation=impersonation)
    assert [file.name for file in files] == ["C17a0000000.mp4", "C17b0000000.mp4", "C17c0000000.mp4"]
    for file in files:
        assert_plays(file, "instagram C17n0000000")
    assert requests(simulator)[3:] == [f"GET {MEDIA_HOST}/v/C17n0000000/{number}/muxed.mp4" for number in range(3)]


def test_picture_in_a_carousel_fails_it_unless_errors_are_ignored(simulator: Simulator, tmp_path: Path) -> None:
    error, text = failure(simulator, tmp_path, "mixed_carousel")
    assert isinstance(error, ExtractorError)
    assert "C69b0000000: No video formats found!" in text
    files = fetch(simulator, tmp_path, "mixed_carousel", ignoreerrors=True)
    assert [file.name for file in files] == ["C69a0000000.mp4", "C69c0000000.mp4"]


EMPTY = "Instagram sent an empty media response."
REFUSALS: list[tuple[str, type[Exception], str]] = [
    ("removed", HTTPError, "Unable to download webpage: HTTP Error 404: Not Found"),
    ("private", ExtractorError, EMPTY),
    ("geo_blocked", ExtractorError, EMPTY),
    ("login_wall", ExtractorError, "was redirected to the login page. You have exceeded the rate-limit"),
    ("age_restricted", ExtractorError, "Restricted Video: You must be 18 years old or over to see this video. Use"),
    ("one_picture", ExtractorError, "There is no video in this post"),
    ("rate_limited", HTTPError, "Unable to download webpage: HTTP Error 429: Too Many Requests"),
    ("unavailable", HTTPError, "Unable to download webpage: HTTP Error 503: Service Unavailable"),
]


@pytest.mark.parametrize(("scenario", "kind", "sentence"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_trouble_is_told_in_the_words_of_today(
    simulator: Simulator, tmp_path: Path, impersonation: bool, scenario: str, kind: type[Exception], sentence: str
) -> None:
    error, text = failure(simulator, tmp_path, scenario, impersonation=impersonation)
    assert type(error) is kind
    assert sentence in text


def test_private_link_with_its_key_says_what_it_is(simulator: Simulator, tmp_path: Path) -> None:
    url = f"https://www.instagram.com/p/C02n0000000{'k' * 28}/"
    with session(simulator, tmp_path) as ydl, pytest.raises(DownloadError, match="registered users who follow"):
        ydl.download([url])


@pytest.mark.parametrize("scenario", ["age_restricted", "login_wall", "private", "several_videos"])
def test_account_opens_what_strangers_may_not_see(simulator: Simulator, tmp_path: Path, scenario: str) -> None:
    with session(simulator, tmp_path) as ydl:
        ydl.cookiejar.set_cookie(_session_cookie())
        ydl.download([simulator.url("instagram", scenario)])
    for file in tmp_path.iterdir():
        assert_plays(file, f"instagram C{SCENARIOS[scenario].number:02d}n0000000")
    assert len(list(tmp_path.iterdir())) == (3 if scenario == "several_videos" else 1)
    assert not {HOME, RULING, GRAPHQL} & set(requests(simulator))


@pytest.mark.parametrize(("scenario", "status"), [("rate_limited_once", 429), ("unavailable_once", 503)])
def test_trouble_that_passes_fails_the_first_visit_and_only_that(
    simulator: Simulator, tmp_path: Path, impersonation: bool, scenario: str, status: int
) -> None:
    error, _ = failure(simulator, tmp_path, scenario, impersonation=impersonation)
    assert isinstance(error, HTTPError)
    assert error.status == status
    (file,) = fetch(simulator, tmp_path, scenario, impersonation=impersonation)
    assert_plays(file, f"instagram C{SCENARIOS[scenario].number:02d}n0000000")


def test_silence_becomes_a_timeout(simulator: Simulator, tmp_path: Path) -> None:
    # Not with curl_cffi: it waits more than twice as long as it is told, at each of three addresses.
    error, text = failure(simulator, tmp_path, "hang", impersonation=False, socket_timeout=0.3)
    assert isinstance(error, TransportError)
    assert "timed out" in text


def test_media_that_is_cut_is_resumed(simulator: Simulator, tmp_path: Path) -> None:
    (file,) = fetch(simulator, tmp_path, "cut")
    assert_plays(file, "instagram C09n0000000")
    assert simulator.stats().posts["C09n0000000"].media_requests == 2


@pytest.mark.parametrize(("scenario", "canary_hits"), [("html", 0), ("stray_bytes", 0), ("redirect_to_loopback", 1)])
def test_ytdlp_takes_anything_for_media(simulator: Simulator, tmp_path: Path, scenario: str, canary_hits: int) -> None:
    (file,) = fetch(simulator, tmp_path, scenario)
    assert file.suffix == ".mp4"
    assert file.stat().st_size < 200
    assert simulator.stats().canary_hits == canary_hits


def test_refused_media_address_is_replaced_by_another_visit(simulator: Simulator, tmp_path: Path) -> None:
    error, text = failure(simulator, tmp_path, "media_forbidden_once")
    assert isinstance(error, HTTPError)
    assert "unable to download video data: HTTP Error 403: Forbidden" in text
    (file,) = fetch(simulator, tmp_path, "media_forbidden_once")
    assert_plays(file, "instagram C68n0000000")


def _session_cookie() -> Cookie:
    return Cookie(
        version=0, name="sessionid", value="simulated", port=None, port_specified=False, domain=".instagram.com",
        domain_specified=True, domain_initial_dot=True, path="/", path_specified=True, secure=True, expires=None,
        discard=True, comment=None, comment_url=None, rest={},
    )  # fmt: skip
