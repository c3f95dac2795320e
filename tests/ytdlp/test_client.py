"""What yt-dlp is told and what is made of its answer; with real yt-dlp against the simulator where that can be."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from downloader.insta_downloader import download_instagram_video
from downloader.jobs import Progress
from downloader.media.work_dir import remove_work_dir
from downloader.models import Outcome
from downloader.platforms import PLATFORMS, PlatformType
from downloader.settings import Settings
from downloader.tiktok_downloader import download_tiktok_video
from downloader.twitter_downloader import download_twitter_video
from downloader.youtube_downloader import download_youtube_video
from downloader.ytdlp import client
from downloader.ytdlp.client import FetchContext, fetch_context
from downloader.ytdlp.resume import LEFTOVER_SECONDS, PARTIAL_DIR, remove_leftovers
from tests.simulator.client import Simulator

WRAPPERS: Mapping[PlatformType, Callable[[str, str], Outcome]] = {
    "tiktok": download_tiktok_video,
    "instagram": download_instagram_video,
    "twitter": download_twitter_video,
    "youtube": download_youtube_video,
}

LINKS: Mapping[PlatformType, str] = {
    "tiktok": "https://www.tiktok.com/@ada/video/7",
    "instagram": "https://www.instagram.com/reel/C1/",
    "twitter": "https://x.com/ada/status/1",
    "youtube": "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
}


@pytest.fixture
def context(make_settings: Callable[..., Settings]) -> Iterator[FetchContext]:
    context = FetchContext(settings=make_settings().for_downloads())
    with fetch_context(context):
        yield context


class FakeYoutubeDL:
    """Takes the place of `yt_dlp.YoutubeDL`: remembers what it was told, says that all went well."""

    told: Mapping[str, Any]
    extractors: tuple[str, ...]
    cookies: str | None = None

    def __init__(self, params: Mapping[str, Any], auto_init: bool = True) -> None:
        assert auto_init is False  # else all 1,800 extractors are loaded, the generic one among them
        FakeYoutubeDL.told = params
        FakeYoutubeDL.extractors = ()
        if cookies := params.get("cookiefile"):
            FakeYoutubeDL.cookies = cookies.read()
            cookies.write("yt-dlp writes back")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def add_info_extractor(self, extractor: Any) -> None:
        FakeYoutubeDL.extractors += (extractor.ie_key(),)

    def add_post_processor(self, processor: Any, when: str) -> None: ...

    def urlopen(self, request: object) -> object:
        raise AssertionError("the fake asks for nothing")

    def extract_info(self, url: str, download: bool) -> dict[str, Any]:
        return {"id": "7", "title": "t", "ext": "mp4"}

    def prepare_filename(self, info: Mapping[str, Any]) -> str:
        return str(Path(self.told["outtmpl"]).with_name("1-7.mp4"))


@pytest.fixture
def fake_youtube_dl(monkeypatch: pytest.MonkeyPatch) -> type[FakeYoutubeDL]:
    monkeypatch.setattr("yt_dlp.YoutubeDL", FakeYoutubeDL)
    return FakeYoutubeDL


@pytest.mark.usefixtures("context", "fake_youtube_dl")
@pytest.mark.parametrize("platform", WRAPPERS)
def test_yes_without_a_file_is_said_in_the_contracts_words(platform: PlatformType, tmp_path: Path) -> None:
    outcome = WRAPPERS[platform](LINKS[platform], str(tmp_path))
    assert outcome.error_code == "file_missing"
    assert outcome == (False, None, "Download completed but file not found")


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize("platform", WRAPPERS)
def test_retries_and_timeouts_are_always_told(
    platform: PlatformType, tmp_path: Path, fake_youtube_dl: type[FakeYoutubeDL]
) -> None:
    WRAPPERS[platform](LINKS[platform], str(tmp_path))
    told = fake_youtube_dl.told
    assert told["retries"] >= 1
    assert told["fragment_retries"] >= 1
    assert told["socket_timeout"] >= 1
    assert told["merge_output_format"] == "mp4"
    assert told["skip_unavailable_fragments"] is False


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize("platform", WRAPPERS)
def test_only_the_platforms_own_extractors_are_loaded(
    platform: PlatformType, tmp_path: Path, fake_youtube_dl: type[FakeYoutubeDL]
) -> None:
    WRAPPERS[platform](LINKS[platform], str(tmp_path))
    assert fake_youtube_dl.extractors == PLATFORMS[platform].extractors
    assert "Generic" not in fake_youtube_dl.extractors


@pytest.mark.usefixtures("context")
def test_instagram_gets_a_browsers_headers_and_more_patience(
    tmp_path: Path, fake_youtube_dl: type[FakeYoutubeDL]
) -> None:
    download_tiktok_video(LINKS["tiktok"], str(tmp_path))
    usual = fake_youtube_dl.told
    download_instagram_video(LINKS["instagram"], str(tmp_path))
    told = fake_youtube_dl.told
    assert told["socket_timeout"] > usual["socket_timeout"]
    assert told["retries"] > usual["retries"]
    assert {"Accept", "Accept-Language", "Referer", "Sec-Fetch-Mode"} <= told["http_headers"].keys()


def test_the_operators_options_win(
    make_settings: Callable[..., Settings], tmp_path: Path, fake_youtube_dl: type[FakeYoutubeDL]
) -> None:
    settings = make_settings(ytdlp_options={"format": "worst", "retries": 9}).for_downloads()
    with fetch_context(FetchContext(settings=settings)):
        download_youtube_video(LINKS["youtube"], str(tmp_path))
    assert fake_youtube_dl.told["format"] == "worst"
    assert fake_youtube_dl.told["retries"] == 9


def test_yt_dlp_is_told_of_the_guard_and_not_of_the_operators_proxy(
    make_settings: Callable[..., Settings], tmp_path: Path, fake_youtube_dl: type[FakeYoutubeDL]
) -> None:
    with fetch_context(FetchContext(settings=make_settings(proxy="socks5://ada:hunter2@127.0.0.1:9").for_downloads())):
        download_youtube_video(LINKS["youtube"], str(tmp_path))
    assert re.fullmatch(r"http://attempt-\d+:[\w-]{32}@127\.0\.0\.1:\d+", fake_youtube_dl.told["proxy"])
    assert "hunter2" not in repr(fake_youtube_dl.told)


def test_each_platform_gets_a_private_copy_of_its_own_cookies(
    make_settings: Callable[..., Settings], tmp_path: Path, fake_youtube_dl: type[FakeYoutubeDL]
) -> None:
    cookies = tmp_path / "cookies"
    cookies.mkdir()
    own = ".tiktok.com\tTRUE\t/\tTRUE\t0\tsid\tabc\n"
    foreign = ".google.com\tTRUE\t/\tTRUE\t0\tSID\tdef\n.nottiktok.com\tTRUE\t/\tTRUE\t0\tsid\tghi\n"
    (cookies / "tiktok.txt").write_text(f"# Netscape HTTP Cookie File\n{foreign}{own}")
    with fetch_context(FetchContext(settings=make_settings(cookies_dir=cookies).for_downloads())):
        download_tiktok_video(LINKS["tiktok"], str(tmp_path / "out"))
        assert fake_youtube_dl.cookies == f"# Netscape HTTP Cookie File\n\n{own}"
        download_youtube_video(LINKS["youtube"], str(tmp_path / "out"))
        assert "cookiefile" not in fake_youtube_dl.told
    assert (cookies / "tiktok.txt").read_text() == f"# Netscape HTTP Cookie File\n{foreign}{own}"
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_a_broken_line_among_the_cookies_is_left_out_and_not_shown(
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    fake_youtube_dl: type[FakeYoutubeDL],
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = ".tiktok.com\tTRUE\t/\tTRUE\t0\tsession\tabc\n"
    http_only = "#HttpOnly_.tiktok.com\tTRUE\t/\tTRUE\t1893456000\tsid\tdef\n"
    broken = "".join(
        f"{line}\n"
        for line in (
            "session=hunter2; x=y",  # of no site
            ".tiktok.com\tTRUE\t/\tTRUE\tnever\tsid\thunter2",  # yt-dlp shows the line
            ".tiktok.com\tMAYBE\t/\tTRUE\t0\tsid\thunter2",
            ".tiktok.com\tTRUE\t/\tTRUE\t0\tsid\thunter2\u2028",  # no header can carry it
        )
    )
    (tmp_path / "tiktok.txt").write_text(f"# Netscape HTTP Cookie File\n\n{good}{broken}{http_only}")
    with fetch_context(FetchContext(settings=make_settings(cookies_dir=tmp_path).for_downloads())):
        download_tiktok_video(LINKS["tiktok"], str(tmp_path / "out"))
    assert fake_youtube_dl.cookies is not None
    assert good in fake_youtube_dl.cookies
    assert http_only in fake_youtube_dl.cookies
    # yt-dlp would write the line to stderr, value and all.
    assert "hunter2" not in fake_youtube_dl.cookies
    assert fake_youtube_dl.cookies.count("TRUE\t/") == 2
    assert "cookie lines left out" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(("expires", "told"), [("1000000000", True), ("4102444800", False)])
def test_a_failure_says_that_the_cookies_have_expired(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path, expires: str, told: bool
) -> None:
    (tmp_path / "youtube.txt").write_text(f".youtube.com\tTRUE\t/\tTRUE\t{expires}\tLOGIN_INFO\tabc\n")
    with fetch_context(FetchContext(settings=make_settings(cookies_dir=tmp_path).for_downloads())):
        outcome = download_youtube_video(simulator.url("youtube", "bot_check"), str(tmp_path / "out"))
    assert outcome.error_code == "bot_check"
    assert (outcome[2] or "").endswith("The stored cookies for YouTube have expired.") is told


def test_a_failure_says_that_the_cookies_are_for_another_domain(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "twitter.txt").write_text(".twitter.com\tTRUE\t/\tTRUE\t4102444800\tauth_token\tabc\n")
    with fetch_context(FetchContext(settings=make_settings(cookies_dir=tmp_path).for_downloads())):
        outcome = download_twitter_video(simulator.url("twitter", "login_wall"), str(tmp_path / "out"))
    assert outcome.error_code == "login_required"
    assert (outcome[2] or "").endswith("are for twitter.com: log in at x.com and export again.")


@pytest.mark.parametrize("content", [b"", b'[{"name": "sid"}]', b"\xff\xd8\xff", None])
def test_a_file_of_cookies_that_is_of_no_use_fails_no_download(
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    fake_youtube_dl: type[FakeYoutubeDL],
    caplog: pytest.LogCaptureFixture,
    content: bytes | None,
) -> None:
    path = tmp_path / "tiktok.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    with fetch_context(FetchContext(settings=make_settings(cookies_dir=tmp_path).for_downloads())):
        download_tiktok_video(LINKS["tiktok"], str(tmp_path / "out"))
    assert "cookiefile" not in fake_youtube_dl.told
    assert "cookies not used" in caplog.text


@pytest.mark.parametrize("name", ["100%(id)s", "$HOME", "${HOME}", "~", "~root"])
def test_a_folders_name_is_no_template(
    simulator: Simulator, context: FetchContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(name)
    cookies = context.settings.cookies_folder
    cookies.mkdir(parents=True)
    (cookies / "tiktok.txt").write_text(".tiktok.com\tTRUE\t/\tTRUE\t0\tsid\tabc\n")
    success, path, error = download_tiktok_video(simulator.url("tiktok", "ok"), str(folder))
    assert (success, error) == (True, None)
    assert path is not None
    assert Path(path).parent == folder
    assert Path(path).is_file()


@pytest.mark.parametrize(
    ("platform", "url"),
    [
        ("tiktok", "https://www.tiktok.com/@ada"),
        ("tiktok", "https://www.tiktok.com/"),
        ("instagram", "https://www.instagram.com/ada/"),
        ("twitter", "https://x.com/ada"),
        ("youtube", "https://www.youtube.com/@ada"),
        ("youtube", "https://www.youtube.com/playlist?list=PL123"),
        ("youtube", "https://www.youtube.com/results?search_query=cats"),
        ("youtube", "https://www.youtube.com/redirect?q=https%3A%2F%2Fx.com%2Fada%2Fstatus%2F1"),
        # ids that no platform gives
        ("tiktok", "https://www.tiktok.com/@ada/video/7123🔥"),
        ("tiktok", "https://vm.tiktok.com/ZMabc123すごい"),
        ("instagram", "https://www.instagram.com/reel/C2Gz6dessjX🔥🔥"),
        ("instagram", "https://www.instagram.com/p/C2Gz6dessjX؟"),
        ("instagram", "https://www.instagram.com/share/reel/BAD🔥/"),
        ("twitter", "https://x.com/ada/status/abc"),
        ("youtube", "https://www.youtube.com/watch?v=dQw4w9WgXcQQ"),
        ("youtube", "https://youtu.be/dQw4w9Wg"),
    ],
)
def test_a_link_to_no_single_post_is_refused_unasked(
    simulator: Simulator, context: FetchContext, tmp_path: Path, platform: PlatformType, url: str
) -> None:
    outcome = WRAPPERS[platform](url, str(tmp_path))
    assert outcome.error_code == "invalid_url"
    assert simulator.stats().log == ()


@pytest.mark.parametrize(
    ("platform", "url", "told"),
    [
        ("tiktok", "https://www.tiktok.com/@ada", "leads to a profile, not to a single post: send it with `expand`"),
        (
            "tiktok",
            "https://www.tiktok.com/@ada/liked",
            "leads to a profile, not to a single post, and its videos can't",
        ),
        ("twitter", "https://x.com/ada", "leads to a profile, not to a single post, and its videos can't be listed"),
        ("tiktok", "https://www.tiktok.com/@ada/live", "leads to a live broadcast"),
        ("tiktok", "https://www.tiktok.com/music/x-7", "leads to a sound"),
        ("tiktok", "https://www.tiktok.com/tiktoklite", "leads to an advertisement"),
        ("instagram", "https://www.instagram.com/stories/ada/", "leads to a story"),
        ("instagram", "https://www.instagram.com/stories/ada/x/", "has no valid post id"),
        ("instagram", "https://www.instagram.com/accounts/login/", "leads to the login page"),
        ("twitter", "https://x.com/i/spaces/1", "leads to an audio room"),
        ("youtube", "https://www.youtube.com/playlist?list=PL123", "leads to a playlist"),
        ("youtube", "https://www.youtube.com/clip/UgkxU2HSeGL", "leads to a clip"),
        (
            "youtube",
            "https://www.youtube.com/redirect?q=https%3A%2F%2Fx.com%2Fada%2Fstatus%2F1",
            "leads to another site",
        ),
        ("youtube", "https://www.youtube.com/new/dQw4w9WgXcQ", "This isn't a link to a single YouTube post"),
        ("youtube", "https://youtu.be/dQw4w9Wg", "This YouTube link has no valid post id"),
        (
            "instagram",
            "https://www.instagram.com/reel/C2Gz\u2013worth",
            "This Instagram link has no valid post id",
        ),
    ],
)
def test_what_is_wrong_with_a_link_is_said(
    context: FetchContext, tmp_path: Path, platform: Any, url: str, told: str
) -> None:
    _, _, error = WRAPPERS[platform](url, str(tmp_path))
    assert error is not None
    assert told in error


@pytest.mark.parametrize(
    ("platform", "form"),
    [
        ("tiktok", "https://tiktok.com/@ada/video/{}"),
        ("tiktok", "https://m.tiktok.com/v/{}.html"),
        ("tiktok", "https://www.tiktok.com/embed/v2/{}"),
        ("tiktok", "https://www.tiktok.com/player/v1/{}"),
        ("tiktok", "https://www.tiktok.com/foryou?item_id={}"),
        ("tiktok", "https://www.tiktok.com/@ada/photo/{}"),
        ("tiktok", "https://www.tiktok.com/login?redirect_url=%2F%40ada%2Fvideo%2F{}"),
        ("instagram", "https://instagr.am/p/{}/"),
        ("instagram", "https://www.instagram.com/ada/reel/{}/"),
        ("instagram", "https://www.instagram.com/accounts/login/?next=/reel/{}/"),
        ("twitter", "https://mobile.twitter.com/ada/status/{}"),
        ("twitter", "https://x.com/i/web/status/{}"),
        ("twitter", "https://twitter.com/ada/statuses/{}"),
        ("twitter", "https://twitter.com/intent/like?tweet_id={}"),
        ("twitter", "https://x.com/ada/status/{}/photo/1"),
        ("twitter", "https://x.com/ada/status/{}/video/1"),
        ("twitter", "https://x.com/i/flow/login?redirect_after_login=%2Fada%2Fstatus%2F{}"),
        ("youtube", "https://www.youtube.com/watch?v={}&list=PL1&index=2"),
        ("youtube", "https://youtu.be/{}?list=PL1"),
        ("youtube", "https://music.youtube.com/watch?v={}"),
        ("youtube", "https://www.youtube-nocookie.com/embed/{}"),
        ("youtube", "https://youtube.com/shorts/{}?feature=share"),
        ("youtube", "https://m.youtube.com/live/{}"),
        ("youtube", "https://www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3D{}%26feature%3Dshare"),
        ("youtube", "https://www.youtube.com/redirect?q=https%3A%2F%2Fyoutu.be%2F{}"),
        ("youtube", "https://www.youtube.com/verify_age?next_url=%2Fwatch%3Fv%3D{}"),
        ("youtube", "https://www.youtube.com/source/{}/shorts"),
        ("youtube", "https://www.youtube.com/watch/{}"),
        ("youtube", "https://youtu.be/watch?v={}"),
        ("youtube", "https://www.youtube.com/watch_videos?video_ids={},S00n0000009"),
    ],
)
def test_every_spelling_of_a_link_leads_to_its_video(
    simulator: Simulator, context: FetchContext, tmp_path: Path, platform: Any, form: str
) -> None:
    post_id = simulator.url(platform, "ok", 3).rstrip("/").split("/")[-1].split("=")[-1]
    success, path, error = WRAPPERS[platform](form.format(post_id), str(tmp_path))
    assert (success, error) == (True, None)
    assert path is not None
    assert f"{platform}_{post_id}" in path


@pytest.mark.parametrize("platform", ["tiktok", "instagram", "twitter"])
@pytest.mark.parametrize("serial", [0, 1])
def test_without_photos_a_post_of_pictures_has_no_video_on_every_way(
    simulator: Simulator, context: FetchContext, tmp_path: Path, platform: Any, serial: int
) -> None:
    plain = simulator.url(platform, "pictures", serial)
    with fetch_context(replace(context, photos=False)):
        for url in (
            plain,
            plain.replace("/video/", "/photo/"),
            simulator.url(platform, "pictures", serial, form="short"),
        ):
            outcome = WRAPPERS[platform](url, str(tmp_path))
            assert outcome.error_code == "no_video"


@pytest.mark.parametrize("platform", ["tiktok", "instagram", "twitter", "youtube"])
def test_a_rate_limit_keeps_the_wait_that_was_asked_for(
    simulator: Simulator, context: FetchContext, tmp_path: Path, platform: Any
) -> None:
    # YouTube's extractor swallows the refusal and says that it cannot read the page.
    outcome = WRAPPERS[platform](simulator.url(platform, "rate_limited"), str(tmp_path))
    assert outcome.error_code == "rate_limited"
    assert outcome.retry_after_seconds == 30
    assert not outcome.walled


def test_a_login_page_that_may_be_a_limit_is_marked(
    simulator: Simulator, context: FetchContext, tmp_path: Path
) -> None:
    outcome = WRAPPERS["instagram"](simulator.url("instagram", "login_wall"), str(tmp_path))
    assert (outcome.error_code, outcome.walled) == ("rate_limited", True)


@pytest.mark.parametrize(("scenario", "form"), [("login_wall", "plain"), ("leads_astray", "short")])
def test_instagrams_login_page_is_a_limit_that_may_be_the_posts_own(
    simulator: Simulator, context: FetchContext, tmp_path: Path, scenario: str, form: Any
) -> None:
    serial = 6 if scenario == "leads_astray" else 0
    outcome = download_instagram_video(simulator.url("instagram", scenario, serial, form=form), str(tmp_path))
    assert outcome.error_code == "rate_limited"
    assert outcome.walled


def test_a_body_cut_off_is_resumed_where_it_broke(simulator: Simulator, context: FetchContext, tmp_path: Path) -> None:
    success, _, error = download_tiktok_video(simulator.url("tiktok", "cut"), str(tmp_path))
    assert (success, error) == (True, None)
    size_bytes = 200_000
    assert size_bytes <= simulator.stats().media_bytes_sent["tiktok"] < size_bytes * 1.5


def tweet_id(simulator: Simulator, scenario: str, serial: int = 0) -> str:
    return simulator.url("twitter", scenario, serial).rpartition("/")[2]


@pytest.mark.parametrize("way", ["", "/photo/1", "/video/1"])
def test_a_tweet_that_quotes_another_gives_its_own_videos_alone(
    simulator: Simulator, context: FetchContext, tmp_path: Path, way: str
) -> None:
    media = download_twitter_video(simulator.url("twitter", "quote") + way, str(tmp_path)).media
    assert media is not None
    assert len(media.files) == 1
    # A video has an id of its own within its tweet.
    assert f"twitter_{tweet_id(simulator, 'quote')}" in media.files[0]
    assert (media.title or "").startswith("Ada - ")
    assert "#" not in (media.title or "")


@pytest.mark.parametrize(("scenario", "serial"), [("quote_of_video", 0), ("quote_of_video", 1), ("quote_by_embed", 0)])
@pytest.mark.parametrize("way", ["", "/photo/1"])
def test_the_video_of_a_quoted_tweet_comes_under_the_quoted_ones_name(
    simulator: Simulator, context: FetchContext, tmp_path: Path, scenario: str, serial: int, way: str
) -> None:
    with fetch_context(replace(context, photos=False)):  # the second has a picture of its own
        media = download_twitter_video(simulator.url("twitter", scenario, serial) + way, str(tmp_path)).media
    assert media is not None
    assert len(media.files) == 1
    assert f"twitter_{tweet_id(simulator, 'quoted', serial)}" in media.files[0]
    assert (media.title or "").startswith("Bob - ")


@pytest.mark.parametrize(
    ("way", "numbers"),
    [
        ("", [2, 3]),
        ("/photo/1", [2, 3]),
        ("/photo/3", [2, 3]),
        ("/video/2", [2]),
        ("/video/3", [3]),
        ("/video/1", [2, 3]),  # a picture
        ("/video/9", [2, 3]),
    ],
)
def test_the_videos_of_a_tweet_are_counted_as_x_counts_them(
    simulator: Simulator, context: FetchContext, tmp_path: Path, way: str, numbers: list[int]
) -> None:
    with fetch_context(replace(context, photos=False)):
        media = download_twitter_video(simulator.url("twitter", "mixed_tweet") + way, str(tmp_path)).media
    assert media is not None
    post_id = tweet_id(simulator, "mixed_tweet")
    assert [f"_{post_id}{number}_" in path for number, path in zip(numbers, media.files, strict=True)] == [True] * len(
        numbers
    )


def test_a_gif_is_a_video_by_the_link_of_its_picture_too(
    simulator: Simulator, context: FetchContext, tmp_path: Path
) -> None:
    for way in ("", "/photo/1", "/video/1"):
        assert download_twitter_video(simulator.url("twitter", "gif") + way, str(tmp_path)).error_code is None


def test_without_photos_a_picture_among_the_videos_of_a_post_is_passed_over(
    simulator: Simulator, context: FetchContext, tmp_path: Path
) -> None:
    with fetch_context(replace(context, photos=False)):
        outcome = download_instagram_video(simulator.url("instagram", "mixed_carousel"), str(tmp_path))
    assert outcome.media is not None
    assert len(outcome.media.files) == 2


def test_a_stop_ends_a_running_download_and_leaves_nothing(
    simulator: Simulator, context: FetchContext, tmp_path: Path
) -> None:
    simulator.configure(media_bytes_per_second=20_000)
    result: list[Outcome] = []

    def download() -> None:
        with fetch_context(context):
            result.append(download_tiktok_video(simulator.url("tiktok", "ok"), str(tmp_path)))

    thread = threading.Thread(target=download)
    try:
        thread.start()
        context.stop.set()
        thread.join(30)
    finally:
        simulator.configure(media_bytes_per_second=0)
    assert not thread.is_alive()
    assert result[0].error_code == "interrupted"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_larger_than_the_operator_allows_is_called_so(
    simulator: Simulator, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    options = {"compat_opts": ["no-certifi"], "max_filesize": 1000}
    with fetch_context(FetchContext(settings=make_settings(ytdlp_options=options).for_downloads())):
        for platform in ("tiktok", "youtube"):
            outcome = WRAPPERS[platform](simulator.url(platform, "ok"), str(tmp_path))
            assert outcome.error_code == "too_large"


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize(
    ("platform", "scenario"), [("youtube", "disguised_playlist"), ("twitter", "playlist_for_subtitles")]
)
def test_ffmpeg_is_not_talked_into_reading_other_files_of_this_machine(
    simulator: Simulator, sample_mp4: Path, tmp_path: Path, platform: PlatformType, scenario: str
) -> None:
    other = tmp_path / "elsewhere.mp4"
    shutil.copy(sample_mp4, other)
    outcome = WRAPPERS[platform](simulator.url(platform, scenario), str(tmp_path))  # type: ignore[arg-type]
    assert outcome.error_code == "not_a_video", outcome
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize(
    ("platform", "scenario"), [("youtube", "disguised_playlist"), ("twitter", "playlist_for_subtitles")]
)
def test_ffmpeg_itself_reads_no_other_file_whatever_gets_past_our_check(
    simulator: Simulator,
    sample_mp4: Path,
    tmp_path: Path,
    platform: PlatformType,
    scenario: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("downloader.ytdlp.hooks.check_part", lambda path: None)
    other = tmp_path / "elsewhere.mp4"
    shutil.copy(sample_mp4, other)
    outcome = WRAPPERS[platform](simulator.url(platform, scenario), str(tmp_path))  # type: ignore[arg-type]
    # What ffmpeg says of it differs from one version to the next.
    assert outcome.error_code in {"not_a_video", "internal"}, outcome
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]


@pytest.mark.parametrize(
    ("scenario", "code"), [("rtmp_media", "blocked_address"), ("encrypted_stream", "platform_changed")]
)
def test_no_other_program_is_asked_to_fetch(
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    ffmpeg: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scenario: str,
    code: str,
) -> None:
    told = tmp_path / "told"
    for name, then in (("rtmpdump", ""), ("ffmpeg", f'exec {ffmpeg} "$@"')):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "$*" >> {told}\n{then}\n')
        program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    options = {"compat_opts": ["no-certifi"], "ffmpeg_location": str(tmp_path / "ffmpeg")}
    with fetch_context(FetchContext(settings=make_settings(ytdlp_options=options).for_downloads())):
        outcome = download_twitter_video(simulator.url("twitter", scenario), str(tmp_path / "raw"))
    assert outcome.error_code == code, outcome
    # Every user of this machine can read it: addresses, cookies, the guard's credential.
    assert "://" not in (told.read_text() if told.exists() else "")


@pytest.mark.parametrize(
    ("platform", "scenario", "limit"),
    [
        ("tiktok", "ok", 150_000),  # the page says so, and Content-Length does
        ("tiktok", "understated", 150_000),  # the page lies, and nothing else tells
        ("twitter", "ok", 150_000),
        ("twitter", "stream_alone", 150_000),  # segments, of which only an estimate is known
        ("youtube", "ok", 300_000),  # picture and sound together
        ("twitter", "several_videos", 150_000),
    ],
)
def test_a_file_beyond_the_limit_is_ended_and_nothing_of_it_stays(
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    platform: PlatformType,
    scenario: str,
    limit: int,
) -> None:
    work_dir = tmp_path / "work" / "1"
    settings = make_settings(max_file_bytes=limit).for_downloads()
    arrived: list[int] = []
    context = FetchContext(
        settings=settings, work_dir=work_dir, report=lambda progress: arrived.append(progress.downloaded_bytes)
    )
    with fetch_context(context):
        outcome = WRAPPERS[platform](simulator.url(platform, scenario), str(tmp_path / "raw"))  # type: ignore[arg-type]
    assert outcome.error_code == "too_large"
    assert f"DOWNLOADER_MAX_FILE_BYTES allows {limit}" in (outcome.detail or "")
    assert list(work_dir.iterdir()) == []
    assert list((tmp_path / "raw").iterdir()) == []
    assert max(arrived, default=0) <= limit


def test_what_ffmpeg_makes_of_a_file_is_ended_at_the_limit_too(
    simulator: Simulator, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    limit = 300_000
    with fetch_context(FetchContext(settings=make_settings(max_file_bytes=limit).for_downloads())):
        outcome = download_twitter_video(simulator.url("twitter", "swollen"), str(tmp_path))
    assert outcome.error_code == "too_large", outcome
    written = int((outcome.detail or "").split()[0])
    assert limit < written < 2 * limit


def test_what_is_declared_too_large_is_not_begun(
    simulator: Simulator, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    with fetch_context(FetchContext(settings=make_settings(max_file_bytes=150_000).for_downloads())):
        assert download_tiktok_video(simulator.url("tiktok", "ok"), str(tmp_path)).error_code == "too_large"
    assert simulator.stats().media_bytes_sent.get("tiktok", 0) == 0


def test_a_file_at_the_limit_is_kept(
    simulator: Simulator, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings(max_file_bytes=200_000, max_duration_seconds=2).for_downloads()
    with fetch_context(FetchContext(settings=settings)):
        for scenario in ("ok", "understated"):
            assert download_tiktok_video(simulator.url("tiktok", scenario), str(tmp_path))[0]


@pytest.mark.parametrize("platform", ["tiktok", "instagram", "twitter", "youtube"])
def test_a_video_that_lasts_too_long_is_refused_before_its_first_byte(
    simulator: Simulator, make_settings: Callable[..., Settings], tmp_path: Path, platform: Any
) -> None:
    with fetch_context(FetchContext(settings=make_settings(max_duration_seconds=0.5).for_downloads())):
        outcome = WRAPPERS[platform](simulator.url(platform, "ok"), str(tmp_path))
    assert outcome.error_code == "too_large"
    assert outcome.detail == "it lasts 2 seconds; DOWNLOADER_MAX_DURATION_SECONDS allows 0.5"
    assert simulator.stats().media_bytes_sent.get(platform, 0) == 0


def test_a_link_in_place_of_the_partial_folder_leads_nowhere(
    simulator: Simulator, context: FetchContext, tmp_path: Path
) -> None:
    raw, outside = tmp_path / "raw", tmp_path / "outside"
    for folder in (raw, outside / "old"):
        folder.mkdir(parents=True)
    (outside / "old" / "precious").write_bytes(b"x")
    (raw / PARTIAL_DIR).symlink_to(outside)
    remove_leftovers(raw, now=(outside / "old").stat().st_mtime + LEFTOVER_SECONDS + 60)
    assert (outside / "old" / "precious").exists()
    assert download_tiktok_video(simulator.url("tiktok", "ok"), str(raw))[0]
    assert [path.name for path in outside.iterdir()] == ["old"]
    assert not (raw / PARTIAL_DIR).is_symlink()


def test_links_in_a_work_folder_are_not_written_through(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"x")
    cookies = tmp_path / "cookies"
    cookies.mkdir()
    (cookies / "tiktok.txt").write_text("# Netscape HTTP Cookie File\n")
    work_dir = tmp_path / "work" / "1"
    work_dir.mkdir(parents=True)
    post = simulator.url("tiktok", "ok").rpartition("/")[2]
    for name in ("cookies.txt", "outcome.json", ".outcome.json.new", f"1-{post}-h264_360p_800000-0.mp4.part"):
        (work_dir / name).symlink_to(precious)
    with fetch_context(FetchContext(settings=make_settings(cookies_dir=cookies).for_downloads(), work_dir=work_dir)):
        outcome = download_tiktok_video(simulator.url("tiktok", "ok"), str(tmp_path / "raw"))
    assert outcome[0]
    assert precious.read_bytes() == b"x"


def test_an_outcome_is_a_plain_tuple_to_those_who_want_one() -> None:
    assert Outcome(True, "/a.mp4") == (True, "/a.mp4", None)
    plain = Outcome.of((False, None, "No."))
    assert (plain.error_code, plain[2]) == ("internal", "No.")
    missing = Outcome.of((True, None, None))
    assert missing == (False, None, "Download completed but file not found")


def test_an_outcome_survives_the_way_between_processes() -> None:

    sent = Outcome(False, None, "Wait.", error_code="rate_limited", detail="429", retry_after_seconds=30.0, walled=True)
    got = pickle.loads(pickle.dumps(sent))
    assert got == sent
    assert (got.error_code, got.detail, got.retry_after_seconds) == ("rate_limited", "429", 30.0)
    assert got.walled


@pytest.fixture
def keeping(make_settings: Callable[..., Settings], tmp_path: Path) -> Iterator[FetchContext]:
    """Make downloads keep their unfinished files."""
    context = FetchContext(settings=make_settings().for_downloads(), work_dir=tmp_path / "work" / "1")
    with fetch_context(context):
        yield context


def test_a_failure_keeps_what_there_is_and_the_next_attempt_asks_for_the_rest(
    simulator: Simulator, keeping: FetchContext, tmp_path: Path
) -> None:
    url = simulator.url("tiktok", "cut_always")
    assert download_tiktok_video(url, str(tmp_path / "raw")).error_code == "network"
    assert keeping.work_dir is not None
    [part] = keeping.work_dir.glob("*.part")
    have = part.stat().st_size
    assert have > 60_000
    simulator.reset()
    download_tiktok_video(url, str(tmp_path / "raw"))
    ranges = [entry.range for entry in simulator.stats().log if entry.range]
    assert ranges[0] == f"bytes={have}-"


def test_a_crash_before_the_files_are_moved_costs_no_request(
    simulator: Simulator, keeping: FetchContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    url = simulator.url("youtube", "ok")
    with monkeypatch.context() as patch:
        patch.setattr("downloader.media.placement.move", crash)
        with pytest.raises(KeyboardInterrupt):
            download_youtube_video(url, str(tmp_path / "raw"))
    assert list((tmp_path / "raw").iterdir()) == []
    simulator.reset()
    outcome = download_youtube_video(url, str(tmp_path / "raw"))
    assert outcome[0]
    assert simulator.stats().hosts == {}
    assert outcome.media is not None
    assert Path(outcome.media.files[0]).stat().st_size == outcome.media.size_bytes > 0


def test_halves_of_two_files_are_noticed_and_downloaded_anew(
    simulator: Simulator, keeping: FetchContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    url = simulator.url("tiktok", "cut_always")
    download_tiktok_video(url, str(tmp_path / "raw"))
    assert keeping.work_dir is not None
    [part] = keeping.work_dir.glob("*.part")
    good = simulator.url("tiktok", "ok")
    name = part.name.replace(url.rpartition("/")[2], good.rpartition("/")[2])
    (keeping.work_dir / name).write_bytes(b"another film's beginning" * 4000)
    assert download_tiktok_video(good, str(tmp_path / "raw"))[0]
    assert "parts do not fit together" in caplog.text


def test_a_stream_that_was_put_together_twice_is_not(
    simulator: Simulator, keeping: FetchContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = download_twitter_video(simulator.url("twitter", "stream_alone", 1), str(tmp_path / "whole"))
    assert whole[1] is not None
    assert keeping.work_dir is not None
    remove_work_dir(keeping.work_dir)
    # Killed after a segment was appended and before that was noted.
    url = simulator.url("twitter", "stream_alone", 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("yt_dlp.downloader.fragment.FragmentFD._write_ytdl_file", killed)
        with pytest.raises(KeyboardInterrupt):
            download_twitter_video(url, str(tmp_path / "raw"))
    again = download_twitter_video(url, str(tmp_path / "raw"))
    assert again[1] is not None
    assert Path(again[1]).read_bytes() == Path(whole[1]).read_bytes()


def test_cookies_do_not_stay_in_a_folder_that_is_kept(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "tiktok.txt").write_text("# Netscape HTTP Cookie File\n")
    work_dir = tmp_path / "work"
    with fetch_context(FetchContext(settings=make_settings(cookies_dir=tmp_path).for_downloads(), work_dir=work_dir)):
        assert not download_tiktok_video(simulator.url("tiktok", "cut_always"), str(tmp_path / "raw"))[0]
    assert list(work_dir.glob("*.part"))
    assert not (work_dir / "cookies.txt").exists()


def test_an_operator_may_want_no_pauses(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path
) -> None:
    settings = make_settings(
        ytdlp_options={"compat_opts": ["no-certifi"], "retry_sleep_functions": None}
    ).for_downloads()
    with fetch_context(FetchContext(settings=settings)):
        assert download_tiktok_video(simulator.url("tiktok", "ok"), str(tmp_path / "raw"))[0]


def test_a_tweet_is_one_file_where_there_is_one_and_a_stream_where_there_is_not(
    simulator: Simulator, context: FetchContext, tmp_path: Path
) -> None:
    for scenario in ("ok", "stream_alone"):
        simulator.reset()
        assert download_twitter_video(simulator.url("twitter", scenario), str(tmp_path))[0]
        fetched = [
            entry.path for entry in simulator.stats().log if entry.path.partition("?")[0].endswith((".mp4", ".m4s"))
        ]
        assert (len(fetched) == 1) == (scenario == "ok")


@pytest.mark.parametrize("platform", WRAPPERS)
def test_a_page_that_was_read_long_before_its_media_may_come_is_read_again(
    platform: Any,
    make_settings: Callable[..., Settings],
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "_PAGE_LIFETIME_SECONDS", 0.1)
    monkeypatch.setattr(client, "_PERMIT_POLL_SECONDS", 0.2)
    permit, waiting = threading.Event(), list[Progress]()

    def report(progress: Progress) -> None:
        if progress.phase == "downloading":
            waiting.append(progress)
            if len(waiting) == 2:  # the first is its beginning
                permit.set()

    settings = make_settings().for_downloads()
    with fetch_context(FetchContext(settings=settings, permit=permit, work_dir=tmp_path / "work", report=report)):
        outcome = WRAPPERS[platform](simulator.url(platform, "ok"), str(tmp_path / "raw"))
    assert outcome[0], outcome
    [post] = simulator.stats().posts.values()
    assert post.page_requests == 2 * {"instagram": 2, "youtube": 3}.get(platform, 1)
