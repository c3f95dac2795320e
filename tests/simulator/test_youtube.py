"""The simulated YouTube, asked by the real yt-dlp."""

from __future__ import annotations

import re
import subprocess
from http.cookiejar import Cookie
from pathlib import Path
from typing import Any

import pytest
from yt_dlp import YoutubeDL
from yt_dlp.extractor.youtube import YoutubeIE
from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessorError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError

from tests.simulator.client import Simulator
from tests.simulator.media import find_ffmpeg
from tests.simulator.playback import Warnings, assert_plays
from tests.simulator.scenarios import SCENARIOS, find_post, title_of
from tests.simulator.youtube import MEDIA_HOST

WATCH = "GET www.youtube.com/watch"
PLAYER = "POST www.youtube.com/youtubei/v1/player"
MEDIA = f"GET {MEDIA_HOST}/videoplayback"


def session(simulator: Simulator, folder: Path, **options: Any) -> YoutubeDL:
    """Return a YoutubeDL that knows YouTube alone."""
    ydl = YoutubeDL(
        {
            **simulator.ytdlp_options(),
            "logger": Warnings(),
            "noprogress": True,
            "cachedir": False,
            "socket_timeout": 5,
            "retries": 1,
            "extractor_retries": 1,
            "ffmpeg_location": find_ffmpeg(),
            "outtmpl": str(folder / "%(id)s.%(ext)s"),
            **options,
        },
        auto_init=False,
    )
    ydl.add_info_extractor(YoutubeIE(ydl))
    return ydl


def fetch(simulator: Simulator, folder: Path, scenario: str, **options: Any) -> list[Path]:
    """Download the post that plays *scenario* and return the files that are there then."""
    with session(simulator, folder, **options) as ydl:
        ydl.download([simulator.url("youtube", scenario)])
    return sorted(folder.iterdir())


def failure(simulator: Simulator, folder: Path, scenario: str, **options: Any) -> tuple[Exception, str]:
    """Download in vain; return what was at the bottom of it, and the sentence yt-dlp has for it."""
    with pytest.raises(DownloadError) as caught:
        fetch(simulator, folder, scenario, **options)
    assert caught.value.exc_info is not None
    return caught.value.exc_info[1], str(caught.value)


def requests(simulator: Simulator) -> list[str]:
    """Return them in order; how many clients yt-dlp asks the player for, one after another, is its own affair."""
    log = [f"{entry.method} {entry.host}{entry.path}" for entry in simulator.stats().log]
    return [each for number, each in enumerate(log) if each != PLAYER or log[number - 1 : number] != [PLAYER]]


def streams(file: Path) -> list[str]:
    """Return the kinds of the streams in *file*."""
    done = subprocess.run([find_ffmpeg(), "-i", str(file)], capture_output=True, text=True, timeout=30, check=False)
    return re.findall(r"Stream #.*?: (Video|Audio): ", done.stderr)


@pytest.mark.parametrize("runtimes", [{"deno": {}}, {}], ids=["with_deno", "without_javascript"])
def test_ok_is_merged_from_picture_and_sound(simulator: Simulator, tmp_path: Path, runtimes: Any) -> None:
    (file,) = fetch(simulator, tmp_path, "ok", js_runtimes=runtimes)
    assert_plays(file, "youtube S00n0000000")
    assert requests(simulator) == [WATCH, PLAYER, MEDIA, MEDIA]


def test_picture_and_sound_are_apart(simulator: Simulator, tmp_path: Path) -> None:
    template = str(tmp_path / "%(format_id)s.%(ext)s")
    picture, sound = fetch(simulator, tmp_path, "ok", format="134,140", outtmpl=template)
    assert (picture.name, streams(picture)) == ("134.mp4", ["Video"])
    assert (sound.name, streams(sound)) == ("140.m4a", ["Audio"])


def test_progressive_file_needs_no_merge(simulator: Simulator, tmp_path: Path) -> None:
    (file,) = fetch(simulator, tmp_path, "ok", format="b")
    assert_plays(file, "youtube S00n0000000")
    assert requests(simulator) == [WATCH, PLAYER, MEDIA]


@pytest.mark.parametrize("client", ["tv", "tv_downgraded", "visionos", "web_embedded"])
def test_clients_that_need_no_token_get_addresses(simulator: Simulator, tmp_path: Path, client: str) -> None:
    (file,) = fetch(simulator, tmp_path, "ok", extractor_args={"youtube": {"player_client": [client]}})
    assert_plays(file, "youtube S00n0000000")


@pytest.mark.parametrize("client", ["mweb", "web", "web_music", "web_safari"])
def test_browser_clients_get_no_addresses(simulator: Simulator, tmp_path: Path, client: str) -> None:
    clients = {"youtube": {"player_client": [client]}}
    _, text = failure(simulator, tmp_path, "ok", extractor_args=clients)
    assert "No video formats found" in text


def test_player_script_is_there_where_the_page_is_skipped(simulator: Simulator, tmp_path: Path) -> None:
    skip = {"youtube": {"player_skip": ["webpage"], "player_client": ["tv_downgraded"]}}
    (file,) = fetch(simulator, tmp_path, "ok", extractor_args=skip)
    assert_plays(file, "youtube S00n0000000")
    assert "GET www.youtube.com/iframe_api" in requests(simulator)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=S00n0000003&t=12s",
        "http://youtube.com/watch?app=desktop&v=S00n0000003",
        "https://m.youtube.com/watch?v=S00n0000003",
        "https://music.youtube.com/watch?v=S00n0000003&si=abc",
        "https://youtu.be/S00n0000003?si=abc",
        "https://www.youtube.com/shorts/S00n0000003",
        "https://www.youtube.com/live/S00n0000003?feature=share",
        "https://www.youtube.com/embed/S00n0000003?rel=0",
        "https://www.youtube-nocookie.com/embed/S00n0000003",
        "https://www.youtube.com/v/S00n0000003",
    ],
)
def test_every_form_of_address_leads_to_the_post(simulator: Simulator, tmp_path: Path, url: str) -> None:
    with session(simulator, tmp_path) as ydl:
        found = ydl.extract_info(url, download=False)
    assert (found["id"], found["title"]) == ("S00n0000003", "Ada's garden, part 4")
    assert requests(simulator) == [WATCH, PLAYER]
    assert simulator.stats().posts["S00n0000003"].page_requests == len(simulator.stats().log)


def test_title_arrives_as_hostile_as_it_is(simulator: Simulator, tmp_path: Path) -> None:
    with session(simulator, tmp_path) as ydl:
        found = ydl.extract_info(simulator.url("youtube", "hostile_title"), download=False)
    post = find_post("youtube", found["id"])
    assert post is not None
    assert found["title"] == title_of(post)


def test_page_holds_a_hostile_title_inside_its_script(simulator: Simulator, tmp_path: Path) -> None:
    with session(simulator, tmp_path) as ydl, ydl.urlopen(simulator.url("youtube", "hostile_title")) as page:
        assert b"<script>alert" not in page.read()


def test_thumbnail_is_found_though_not_every_size_exists(simulator: Simulator, tmp_path: Path) -> None:
    (file,) = fetch(simulator, tmp_path, "ok", writethumbnail=True, skip_download=True)
    assert file.read_bytes().startswith(b"\xff\xd8")


REFUSALS: list[tuple[str, type[Exception], str]] = [
    ("removed", ExtractorError, "Video unavailable. This video has been removed by the uploader"),
    ("account_terminated", ExtractorError, "because the YouTube account associated with this video has been"),
    ("private", ExtractorError, "Private video. Sign in if you've been granted access to this video. Use --cookies"),
    ("login_wall", ExtractorError, "Please sign in. Use --cookies"),
    ("members_only", ExtractorError, "Join this channel to get access to members-only content"),
    ("geo_blocked", GeoRestrictedError, "The uploader has not made this video available in your country"),
    ("copyright_blocked", ExtractorError, "who has blocked it in your country on copyright grounds"),
    ("age_restricted", ExtractorError, "Sign in to confirm your age. This video may be inappropriate for some users"),
    ("bot_check", ExtractorError, "Sign in to confirm you\u2019re not a bot. Use --cookies"),
    ("captcha", ExtractorError, "Video unavailable. YouTube is requiring a captcha challenge before playback"),
    ("session_limited", ExtractorError, "has been rate-limited by YouTube for up to an hour"),
    ("other_video", ExtractorError, "All player responses are invalid. Your IP is likely being blocked by Youtube"),
    ("live_soon", ExtractorError, "Premieres in 3 hours"),
    ("page_reload", ExtractorError, "The page needs to be reloaded."),
    ("no_addresses", ExtractorError, "No video formats found!"),
    ("unavailable", HTTPError, "HTTP Error 503: Service Unavailable"),
    # The 429s are in yt-dlp's warnings alone.
    ("rate_limited", ExtractorError, "Failed to extract any player response"),
    ("html", FFmpegPostProcessorError, "Invalid data found when processing input"),
    ("stray_bytes", FFmpegPostProcessorError, "Invalid data found when processing input"),
]


@pytest.mark.parametrize(("scenario", "kind", "sentence"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_trouble_is_told_in_the_words_of_today(
    simulator: Simulator, tmp_path: Path, scenario: str, kind: type[Exception], sentence: str
) -> None:
    error, text = failure(simulator, tmp_path, scenario)
    assert type(error) is kind
    assert sentence in text


def test_table_has_every_scenario_of_youtube_alone() -> None:
    ours = {name for name, scenario in SCENARIOS.items() if scenario.platforms == ("youtube",)}
    ours.remove("disguised_playlist")  # no trouble to yt-dlp: it is we who refuse it
    assert ours <= {row[0] for row in REFUSALS}


def test_post_that_never_was_is_unavailable(simulator: Simulator, tmp_path: Path) -> None:
    with session(simulator, tmp_path) as ydl, pytest.raises(DownloadError, match="This video is not available"):
        ydl.download(["https://www.youtube.com/watch?v=S00n000000x"])


@pytest.mark.parametrize("scenario", ["age_restricted", "members_only", "private"])
def test_account_opens_what_strangers_may_not_see(simulator: Simulator, tmp_path: Path, scenario: str) -> None:
    warnings = Warnings()
    with session(simulator, tmp_path, logger=warnings) as ydl:
        for name in ("LOGIN_INFO", "SAPISID"):
            ydl.cookiejar.set_cookie(_cookie(name))
        ydl.download([simulator.url("youtube", scenario)])
    (file,) = tmp_path.iterdir()
    assert_plays(file, f"youtube S{SCENARIOS[scenario].number:02d}n0000000")
    assert warnings.texts == []


def test_limit_that_passes_fails_the_first_visit_and_only_that(simulator: Simulator, tmp_path: Path) -> None:
    warnings = Warnings()
    error, text = failure(simulator, tmp_path, "rate_limited_once", logger=warnings)
    assert "Failed to extract any player response" in text
    assert not isinstance(error, HTTPError)
    assert all("HTTP Error 429" in warning for warning in warnings.texts)
    assert warnings.texts
    (file,) = fetch(simulator, tmp_path, "rate_limited_once")
    assert_plays(file, "youtube S05n0000000")


def test_ytdlp_gets_over_one_stumble_by_itself(simulator: Simulator, tmp_path: Path) -> None:
    (file,) = fetch(simulator, tmp_path, "unavailable_once")
    assert_plays(file, "youtube S07n0000000")


def test_media_that_is_cut_is_resumed(simulator: Simulator, tmp_path: Path) -> None:
    (file,) = fetch(simulator, tmp_path, "cut")
    assert_plays(file, "youtube S09n0000000")
    assert simulator.stats().posts["S09n0000000"].media_requests == 3


def test_silence_becomes_a_timeout(simulator: Simulator, tmp_path: Path) -> None:
    error, text = failure(simulator, tmp_path, "hang", socket_timeout=0.3, extractor_retries=0)
    assert isinstance(error, TransportError)
    assert "timed out" in text
    # The page, and then the data that would have been in it.
    assert simulator.stats().posts["S11n0000000"].page_requests == 2


def test_refused_media_address_is_replaced_by_another_visit(simulator: Simulator, tmp_path: Path) -> None:
    error, text = failure(simulator, tmp_path, "media_forbidden_once")
    assert isinstance(error, HTTPError)
    assert "unable to download video data: HTTP Error 403: Forbidden" in text
    (file,) = fetch(simulator, tmp_path, "media_forbidden_once")
    assert_plays(file, "youtube S68n0000000")


def test_media_can_lead_into_this_machine(simulator: Simulator, tmp_path: Path) -> None:
    failure(simulator, tmp_path, "redirect_to_loopback")
    assert simulator.stats().canary_hits == 2  # nothing in yt-dlp stops it: picture and sound


def _cookie(name: str) -> Cookie:
    return Cookie(
        version=0, name=name, value="simulated", port=None, port_specified=False, domain=".youtube.com",
        domain_specified=True, domain_initial_dot=True, path="/", path_specified=True, secure=True, expires=None,
        discard=True, comment=None, comment_url=None, rest={},
    )  # fmt: skip
