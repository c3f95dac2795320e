"""The simulator itself, asked by real, unmodified yt-dlp."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from yt_dlp import YoutubeDL
from yt_dlp.extractor.tiktok import TikTokIE, TikTokVMIE
from yt_dlp.extractor.twitter import TwitterIE, TwitterShortenerIE
from yt_dlp.networking import Request
from yt_dlp.networking.common import _REQUEST_HANDLERS
from yt_dlp.networking.exceptions import CertificateVerifyError, HTTPError, IncompleteRead
from yt_dlp.networking.impersonate import ImpersonateTarget
from yt_dlp.utils import DownloadError

from tests.simulator.client import Simulator
from tests.simulator.media import DURATION_SECONDS, find_ffmpeg
from tests.simulator.model import Platform
from tests.simulator.scenarios import SCENARIOS, Form, find_post, post_url, title_of

#: yt-dlp leaves the connection of a request that was refused to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

EXTRACTORS = (TikTokIE, TikTokVMIE, TwitterIE, TwitterShortenerIE)
ROOT = Path(__file__).resolve().parents[2]
MEDIA_BYTES = 200_000
#: Served without cookies or tokens: whatever the media faults do, they do it here first.
TWEET_MEDIA = "https://video.twimg.com/ext_tw_video/{id}1/pu/vid/avc1/320x240/high.mp4"


class Silent:
    """Takes what yt-dlp would print."""

    def debug(self, message: str) -> None:
        """Drop it."""

    info = warning = error = debug


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(media_bytes=MEDIA_BYTES) as simulator, simulator.trusted():
        yield simulator
    gc.collect()  # here, where the warning is ignored, and not in another test


@pytest.fixture
def simulator(running: Simulator) -> Iterator[Simulator]:
    """The simulator with clean counts; whatever a test provoked, the simulator's own code must have coped with."""
    running.reset()
    running.configure(latency_ms=0, media_bytes_per_second=0)
    yield running
    assert running.stats().errors == ()


@contextlib.contextmanager
def ytdlp(simulator: Simulator, **params: Any) -> Iterator[YoutubeDL]:
    options = {"socket_timeout": 5, "retries": 3, "fragment_retries": 3, "cachedir": False, "logger": Silent()}
    options |= {"ffmpeg_location": find_ffmpeg(), **simulator.ytdlp_options(), **params}
    with YoutubeDL(options, auto_init=False) as ydl:
        for extractor in EXTRACTORS:
            ydl.add_info_extractor(extractor())
        yield ydl


def fetch(simulator: Simulator, folder: Path, url: str, **params: Any) -> list[Path]:
    """Download *url* into *folder*; return the files that came of it."""
    with ytdlp(simulator, paths={"home": str(folder)}, **params) as ydl:
        ydl.extract_info(url)
    return sorted(folder.iterdir())


def ffmpeg(*arguments: str) -> str:
    """Run ffmpeg, which must be content; return what it wrote."""
    done = subprocess.run([find_ffmpeg(), "-v", "error", *arguments], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def seconds_that_play(file: Path, stream: str) -> float:
    """Decode a stream of *file* (`v` or `a`) to its end and return how long it lasts."""
    report = ffmpeg("-i", str(file), "-map", f"0:{stream}", "-f", "null", "-progress", "-", "-")
    return max(int(microseconds) for microseconds in re.findall(r"out_time_us=(\d+)", report)) / 1e6


def comment_tag(file: Path) -> str:
    found = re.search(r"^comment=(.*?)\s*$", ffmpeg("-i", str(file), "-f", "ffmetadata", "-"), re.MULTILINE)
    assert found
    return found[1]


def id_of(platform: Platform, scenario: str, serial: int = 0) -> str:
    return re.split(r"[/=]", post_url(platform, scenario, serial).rstrip("/"))[-1]


def tweet_media(scenario: str, serial: int = 0) -> str:
    return TWEET_MEDIA.format(id=id_of("twitter", scenario, serial))


# Posts that work


@pytest.mark.parametrize("form", ["plain", "short"])
@pytest.mark.parametrize("platform", ["tiktok", "twitter"])
def test_ok_gives_a_file_that_plays(simulator: Simulator, tmp_path: Path, platform: Platform, form: Form) -> None:
    [file] = fetch(simulator, tmp_path, simulator.url(platform, "ok", 7, form=form))
    assert seconds_that_play(file, "v") == pytest.approx(DURATION_SECONDS, abs=0.1)
    assert seconds_that_play(file, "a") == pytest.approx(DURATION_SECONDS, abs=0.1)
    assert comment_tag(file) == f"{platform} {id_of(platform, 'ok', 7)}"
    assert simulator.stats().unknown_hosts == {}


@pytest.mark.parametrize("link", ["https://vt.tiktok.com/ZS{}/", "https://www.tiktok.com/t/ZT{}/"])
def test_the_other_short_links_of_tiktok_work_as_well(simulator: Simulator, tmp_path: Path, link: str) -> None:
    code = simulator.url("tiktok", "ok", 7, form="short").rstrip("/").partition("/ZM")[2]
    [file] = fetch(simulator, tmp_path, link.format(code))
    assert comment_tag(file) == f"tiktok {id_of('tiktok', 'ok', 7)}"


def test_tiktok_works_without_impersonation(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(_REQUEST_HANDLERS, "CurlCFFI", raising=False)  # as where curl_cffi is not installed
    [file] = fetch(simulator, tmp_path, simulator.url("tiktok", "ok"))
    assert file.stat().st_size == MEDIA_BYTES


def test_tiktok_media_need_the_cookie_of_the_page(simulator: Simulator) -> None:
    with ytdlp(simulator) as ydl:
        media = ydl.extract_info(simulator.url("tiktok", "ok"), download=False)["url"]
        assert len(ydl.urlopen(media).read()) == MEDIA_BYTES
    with ytdlp(simulator) as stranger, pytest.raises(HTTPError, match="403"):
        stranger.urlopen(media)


def test_tiktok_challenge_is_asked_once_and_solved(simulator: Simulator, tmp_path: Path) -> None:
    [file] = fetch(simulator, tmp_path, simulator.url("tiktok", "challenge"))
    assert file.stat().st_size == MEDIA_BYTES
    assert simulator.stats().posts[id_of("tiktok", "challenge")].page_requests == 2


def test_a_tweet_streams_video_and_audio_apart(simulator: Simulator, tmp_path: Path) -> None:
    [file] = fetch(simulator, tmp_path, simulator.url("twitter", "ok", 3), format="bv+ba")
    assert seconds_that_play(file, "v") == pytest.approx(DURATION_SECONDS, abs=0.1)
    assert seconds_that_play(file, "a") == pytest.approx(DURATION_SECONDS, abs=0.1)
    assert comment_tag(file) == f"twitter {id_of('twitter', 'ok', 3)}"
    asked = [entry.path.rpartition("/")[2] for entry in simulator.stats().log if entry.post_id and ".m" in entry.path]
    assert asked == [
        *("init-video.mp4", "video-0.m4s", "video-1.m4s"),
        *("init-audio.mp4", "audio-0.m4s", "audio-1.m4s"),
    ]


def test_a_thread_holds_its_tweet(simulator: Simulator) -> None:
    id = id_of("twitter", "ok")
    with ytdlp(simulator) as ydl:
        bearer = {"Authorization": "Bearer x"}
        activate = Request("https://api.x.com/1.1/guest/activate.json", method="POST", headers=bearer)
        token = json.load(ydl.urlopen(activate))["guest_token"]
        query = urllib.parse.urlencode({"variables": json.dumps({"focalTweetId": id})})
        url = f"https://api.x.com/graphql/x/TweetDetail?{query}"
        thread = json.load(ydl.urlopen(Request(url, headers={"x-guest-token": token})))
        with pytest.raises(HTTPError, match="403"):
            ydl.urlopen(url)
    [instruction] = thread["data"]["threaded_conversation_with_injections_v2"]["instructions"]
    [entry] = instruction["entries"]
    assert entry["entryId"] == f"tweet-{id}"
    tweet = entry["content"]["itemContent"]["tweet_results"]["result"]
    assert tweet["legacy"]["extended_entities"]["media"][0]["id_str"] == f"{id}1"


def test_a_tweet_with_several_videos_gives_each(simulator: Simulator, tmp_path: Path) -> None:
    files = fetch(simulator, tmp_path, simulator.url("twitter", "several_videos"))
    assert len(files) == 3
    assert all(seconds_that_play(file, "v") > 1 for file in files)


def test_a_slide_show_of_tiktok_gives_its_music_alone(simulator: Simulator, tmp_path: Path) -> None:
    [file] = fetch(simulator, tmp_path, simulator.url("tiktok", "pictures"))
    assert file.suffix == ".m4a"
    assert seconds_that_play(file, "a") > 1


@pytest.mark.parametrize("platform", ["tiktok", "twitter"])
def test_a_hostile_title_arrives_whole(simulator: Simulator, tmp_path: Path, platform: Platform) -> None:
    post = find_post(platform, id_of(platform, "hostile_title"))
    assert post
    with ytdlp(simulator, paths={"home": str(tmp_path)}) as ydl:
        info = ydl.extract_info(simulator.url(platform, "hostile_title"))
    title = title_of(post)
    assert len(title) == 600
    assert all(part in title for part in ("/", "..", "\x00", "\u202e", '"', "'", "<script>", "\U0001f469"))
    # Twitter's extractor makes line ends into blanks.
    assert info["description"].startswith(title if platform == "tiktok" else title.replace("\n", " "))
    assert len(list(tmp_path.iterdir())) == 1


# Posts that do not


@pytest.mark.parametrize(
    ("platform", "scenario", "message"),
    [
        ("tiktok", "removed", "Your IP address is blocked from accessing this post"),
        ("tiktok", "private", "You do not have permission to view this post"),
        ("tiktok", "login_wall", "TikTok is requiring login for access to this content"),
        ("tiktok", "geo_blocked", "Your IP address is blocked from accessing this post"),
        ("tiktok", "age_restricted", "This post may not be comfortable for some audiences"),
        ("tiktok", "unavailable", "HTTP Error 503"),
        ("twitter", "removed", "Twitter API says: This Post was deleted by the Post author"),
        ("twitter", "vanished", "No video could be found in this tweet"),
        ("twitter", "private", "You are not authorized to view this protected tweet"),
        ("twitter", "login_wall", "Sorry, you are not authorized to see this status"),
        ("twitter", "geo_blocked", "Twitter API says: This Post from @ada has been withheld in Atlantis"),
        ("twitter", "age_restricted", "NSFW tweet requires authentication"),
        ("twitter", "no_video", "No video could be found in this tweet"),
        ("twitter", "unavailable", "HTTP Error 503"),
    ],
)
def test_a_refusal_reads_as_the_platform_s_own(
    simulator: Simulator, tmp_path: Path, platform: Platform, scenario: str, message: str
) -> None:
    with pytest.raises(DownloadError, match=re.escape(message)):
        fetch(simulator, tmp_path, simulator.url(platform, scenario))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("platform", ["tiktok", "twitter"])
def test_a_rate_limit_says_when_to_come_back(simulator: Simulator, tmp_path: Path, platform: Platform) -> None:
    with pytest.raises(DownloadError, match="HTTP Error 429") as caught:
        fetch(simulator, tmp_path, simulator.url(platform, "rate_limited"))
    cause = caught.value.exc_info[1]
    assert isinstance(cause, HTTPError)
    assert cause.response.headers["Retry-After"] == "30"


def test_a_limited_tweet_is_tried_by_syndication(simulator: Simulator, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="429"):
        fetch(simulator, tmp_path, simulator.url("twitter", "rate_limited"))
    assert simulator.stats().hosts["cdn.syndication.twimg.com"].requests == 1
    [file] = fetch(simulator, tmp_path, simulator.url("twitter", "rate_limited_once"))
    assert seconds_that_play(file, "v") > 1


def test_a_fault_that_strikes_once_strikes_each_post_once(simulator: Simulator, tmp_path: Path) -> None:
    for serial in (1, 2):
        url = simulator.url("tiktok", "unavailable_once", serial)
        with pytest.raises(DownloadError, match="503"):
            fetch(simulator, tmp_path, url)
        assert len(fetch(simulator, tmp_path, url)) == serial
    simulator.reset()
    with pytest.raises(DownloadError, match="503"):
        fetch(simulator, tmp_path, url)


@pytest.mark.parametrize("platform", ["tiktok", "twitter"])
def test_a_cut_download_resumes_where_it_was_cut(simulator: Simulator, tmp_path: Path, platform: Platform) -> None:
    [file] = fetch(simulator, tmp_path, simulator.url(platform, "cut"), format="b")
    assert file.stat().st_size == MEDIA_BYTES
    assert seconds_that_play(file, "v") == pytest.approx(DURATION_SECONDS, abs=0.1)
    whole, rest = (entry for entry in simulator.stats().log if entry.path.endswith(".mp4"))
    assert (whole.range, whole.status) == (None, 200)
    assert re.fullmatch(r"bytes=[1-9]\d*-", rest.range or "")
    assert rest.status == 206


def test_a_download_cut_each_time_fails(simulator: Simulator, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"more expected\. Giving up after 3 retries"):
        fetch(simulator, tmp_path, simulator.url("tiktok", "cut_always"))
    assert simulator.stats().posts[id_of("tiktok", "cut_always")].media_requests == 4


def test_a_missing_segment_goes_unnoticed_unless_yt_dlp_is_told(simulator: Simulator, tmp_path: Path) -> None:
    url = simulator.url("twitter", "segment_missing")
    with pytest.raises(DownloadError, match="404"):
        fetch(simulator, tmp_path / "strict", url, skip_unavailable_fragments=False)
    [file] = fetch(simulator, tmp_path / "default", url)
    assert seconds_that_play(file, "v") == pytest.approx(DURATION_SECONDS / 2, abs=0.1)


@pytest.mark.parametrize(
    ("scenario", "saved"),
    [
        ("html", b"<!DOCTYPE html>"),
        ("stray_bytes", b"\x00\xff"),
        ("redirect_to_loopback", b"<html><body>internal page"),
    ],
)
def test_yt_dlp_saves_whatever_comes(simulator: Simulator, tmp_path: Path, scenario: str, saved: bytes) -> None:
    [file] = fetch(simulator, tmp_path, simulator.url("tiktok", scenario))
    assert file.suffix == ".mp4"
    assert file.read_bytes().startswith(saved)
    assert simulator.stats().canary_hits == (scenario == "redirect_to_loopback")


# Hanging


def test_hanging_requests_are_counted_and_released(simulator: Simulator) -> None:
    def extract(serial: int) -> None:
        with ytdlp(simulator, socket_timeout=30) as ydl:
            ydl.extract_info(simulator.url("twitter", "hang", serial))

    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(extract, serial) for serial in range(3)]
        simulator.wait_until_hanging(3)
        load = simulator.stats().hosts["x.com"]
        assert (load.requests, load.in_flight, load.peak_concurrency) == (3, 3, 3)
        assert simulator.release() == 3
        for extraction in waiting:
            with pytest.raises(DownloadError):
                extraction.result(timeout=10)
    assert simulator.stats().platforms["twitter"].peak_concurrency == 3


def test_a_client_that_leaves_hangs_no_more(simulator: Simulator) -> None:
    with ytdlp(simulator, socket_timeout=0.2) as ydl, pytest.raises(DownloadError, match="timed out"):
        ydl.extract_info(simulator.url("twitter", "hang"))
    simulator.wait_until_hanging(0)
    assert simulator.stats().hosts["x.com"].requests == 1


def test_waiting_for_what_never_hangs_ends(simulator: Simulator) -> None:
    with pytest.raises(TimeoutError):
        simulator.wait_until_hanging(1, timeout_seconds=0.05)


def test_media_can_stop_in_the_middle(simulator: Simulator) -> None:
    with ytdlp(simulator) as ydl:
        answer = ydl.urlopen(tweet_media("hang_in_body"))
        assert len(answer.read(MEDIA_BYTES // 4)) == MEDIA_BYTES // 4
        simulator.wait_until_hanging()
        assert simulator.stats().media_bytes_sent["twitter"] == MEDIA_BYTES // 2
        simulator.release()
        with pytest.raises(IncompleteRead):
            answer.read()


# TLS


@pytest.mark.parametrize("handler", ["requests", "urllib", "curl_cffi"])
def test_each_handler_of_yt_dlp_verifies_the_certificate(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, handler: str
) -> None:
    compat = {"no-certifi", "prefer-legacy-http-handler"} if handler == "urllib" else {"no-certifi"}
    extensions = {"impersonate": ImpersonateTarget()} if handler == "curl_cffi" else {}

    def ask() -> int:
        with ytdlp(simulator, compat_opts=compat) as ydl:
            answer = ydl.urlopen(Request(tweet_media("ok"), extensions=extensions))
            assert ("impersonate" in answer.extensions) == (handler == "curl_cffi")
            status: int = answer.status
            answer.close()
            return status

    assert ask() == 200
    with Simulator() as other, other.trusted(), pytest.raises(CertificateVerifyError):
        ask()
    for name in simulator.environment():
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CertificateVerifyError):
        ask()


def test_a_server_process_gets_by_with_the_environment(simulator: Simulator) -> None:
    script = f"""
import json, os
from yt_dlp import YoutubeDL
from yt_dlp.networking import Request
from yt_dlp.networking.impersonate import ImpersonateTarget
with YoutubeDL(json.loads(os.environ["DOWNLOADER_YTDLP_OPTIONS"]), auto_init=False) as ydl:
    for extensions in ({{}}, {{"impersonate": ImpersonateTarget()}}):
        assert len(ydl.urlopen(Request({tweet_media("ok")!r}, extensions=extensions)).read()) == {MEDIA_BYTES}
    assert ydl.params["retries"] == 2
"""
    environment = {**os.environ, **simulator.environment(ytdlp_options={"retries": 2})}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=20)
    assert simulator.stats().media_bytes_sent["twitter"] == 2 * MEDIA_BYTES


def test_a_request_that_comes_with_the_end_of_the_handshake_is_not_the_last(simulator: Simulator) -> None:
    target = urllib.parse.urlsplit(tweet_media("ok"))
    request = f"GET {target.path} HTTP/1.1\r\nHost: {target.hostname}\r\nRange: bytes=0-9\r\n\r\n".encode()
    with tunnel(simulator, "video.twimg.com") as raw:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ssl.create_default_context(cafile=simulator.ca).wrap_bio(
            incoming, outgoing, server_hostname="video.twimg.com"
        )

        def receive() -> None:
            incoming.write(raw.recv(65536))

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                receive()
        for _ in range(2):
            tls.write(request)
            raw.sendall(outgoing.read())  # the first time, the end of the handshake is in it as well
            answer = b""
            while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < 10:
                try:
                    answer += tls.read(65536)
                except ssl.SSLWantReadError:
                    receive()
            assert answer.startswith(b"HTTP/1.1 206")


@contextlib.contextmanager
def tunnel(simulator: Simulator, host: str) -> Iterator[socket.socket]:
    at = urllib.parse.urlsplit(simulator.proxy)
    with socket.create_connection((at.hostname, at.port), timeout=5) as raw:
        raw.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 200")
        yield raw


# Ranges


@pytest.mark.parametrize(
    ("asked", "status", "said", "size"),
    [
        (None, 200, None, MEDIA_BYTES),
        ("bytes=0-", 206, f"bytes 0-199999/{MEDIA_BYTES}", MEDIA_BYTES),
        ("bytes=100-299", 206, f"bytes 100-299/{MEDIA_BYTES}", 200),
        ("bytes=199990-999999", 206, f"bytes 199990-199999/{MEDIA_BYTES}", 10),
        ("bytes=-5", 206, f"bytes 199995-199999/{MEDIA_BYTES}", 5),
        ("lines=1-2", 200, None, MEDIA_BYTES),
    ],
)
def test_media_honour_range(simulator: Simulator, asked: str | None, status: int, said: str | None, size: int) -> None:
    with ytdlp(simulator) as ydl:
        whole = ydl.urlopen(tweet_media("ok")).read()
        answer = ydl.urlopen(Request(tweet_media("ok"), headers={"Range": asked} if asked else {}))
        body = answer.read()
    assert (answer.status, answer.headers.get("Content-Range"), len(body)) == (status, said, size)
    first = int(re.findall(r"\d+", said)[0]) if said else 0
    assert body == whole[first : first + size]


def test_a_range_past_the_end_is_refused(simulator: Simulator) -> None:
    with ytdlp(simulator) as ydl, pytest.raises(HTTPError, match="416") as caught:
        ydl.urlopen(Request(tweet_media("ok"), headers={"Range": f"bytes={MEDIA_BYTES}-"}))
    assert caught.value.response.headers["Content-Range"] == f"bytes */{MEDIA_BYTES}"


def test_head_is_answered_without_trouble_or_count(simulator: Simulator) -> None:
    with ytdlp(simulator) as ydl:
        answer = ydl.urlopen(Request(tweet_media("hang_in_body"), method="HEAD"))
        assert (answer.headers["Content-Length"], answer.read()) == (str(MEDIA_BYTES), b"")
    assert simulator.stats().posts == {}


def test_each_post_has_media_of_its_own_in_the_size_asked_for() -> None:
    with Simulator(media_bytes=1_000_000) as large, large.trusted(), ytdlp(large) as ydl:
        bodies = [ydl.urlopen(tweet_media("ok", serial)).read() for serial in (0, 0, 1)]
    assert [len(body) for body in bodies] == [1_000_000] * 3
    assert bodies[0] == bodies[1] != bodies[2]


# What the simulator tells


def test_requests_are_counted_by_host_platform_and_post(simulator: Simulator, tmp_path: Path) -> None:
    for serial in (0, 1):
        fetch(simulator, tmp_path, simulator.url("tiktok", "ok", serial))
    stats = simulator.stats()
    assert stats.hosts["www.tiktok.com"].requests == 2
    assert (stats.platforms["tiktok"].requests, stats.platforms["tiktok"].peak_concurrency) == (4, 1)
    assert stats.media_bytes_sent == {"tiktok": 2 * MEDIA_BYTES, "instagram": 0, "twitter": 0, "youtube": 0}
    assert {(count.page_requests, count.media_requests) for count in stats.posts.values()} == {(1, 1)}
    assert [entry.post_id for entry in stats.log] == [id_of("tiktok", "ok", serial) for serial in (0, 0, 1, 1)]
    assert [entry.seconds for entry in stats.log] == sorted(entry.seconds for entry in stats.log)
    assert all("?" not in entry.path for entry in stats.log)
    simulator.reset()
    assert simulator.stats().log == ()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_nobody_plays_is_refused_and_counted(simulator: Simulator, scheme: str) -> None:
    with ytdlp(simulator) as ydl, pytest.raises(Exception, match="502"):
        ydl.urlopen(f"{scheme}://example.com/a")
    assert simulator.stats().unknown_hosts == {"example.com": 1}
    assert simulator.stats().canary_hits == 0


def test_the_canary_tells_of_requests_to_this_machine(simulator: Simulator) -> None:
    with ytdlp(simulator) as ydl:
        assert b"internal page" in ydl.urlopen("http://localhost:9/").read()
        assert b"internal page" in ydl.urlopen("http://10.0.0.1/").read()
    at = urllib.parse.urlsplit(simulator.canary)
    with contextlib.closing(http.client.HTTPConnection(at.hostname or "", at.port, timeout=5)) as direct:
        direct.request("GET", "/secret")
        assert b"internal page" in direct.getresponse().read()
    stats = simulator.stats()
    assert stats.canary_hits == 3
    assert stats.unknown_hosts == {}


def test_the_network_can_be_made_slow(simulator: Simulator) -> None:
    simulator.configure(latency_ms=150, media_bytes_per_second=200_000)
    with ytdlp(simulator) as ydl:
        before = time.monotonic()
        answer = ydl.urlopen(tweet_media("ok"))
        assert time.monotonic() - before >= 0.15
        assert answer.read(1000)
        assert 0 < simulator.stats().media_bytes_sent["twitter"] < MEDIA_BYTES / 2
        simulator.configure(media_bytes_per_second=0)
        answer.close()


@pytest.mark.parametrize("value", [-1, "fast", None, True])
def test_a_setting_that_makes_no_sense_is_refused(simulator: Simulator, value: object) -> None:
    with pytest.raises(ValueError, match="latency_ms"):
        simulator._ask("POST", "configure", {"latency_ms": value})


def test_a_body_without_end_is_refused(simulator: Simulator) -> None:
    at = urllib.parse.urlsplit(simulator.proxy)
    with contextlib.closing(http.client.HTTPConnection(at.hostname or "", at.port, timeout=5)) as direct:
        direct.putrequest("POST", "/_simulator/configure")
        direct.putheader("Content-Length", str(2**40))
        direct.endheaders()
        with contextlib.suppress(OSError):  # it need not read on to the end to say no
            for _ in range(40):
                direct.send(bytes(65536))
        assert direct.getresponse().status == 413


def test_the_simulator_ends_with_its_block() -> None:
    with Simulator() as simulator:
        assert "BEGIN CERTIFICATE" in Path(simulator.ca).read_text()
        assert "PRIVATE KEY" not in Path(simulator.ca).read_text()
    assert not Path(simulator.ca).exists()
    with pytest.raises(OSError):  # noqa: PT011  # refused, or whatever the system calls it
        simulator.stats()


def test_the_simulator_does_not_outlive_whoever_started_it() -> None:
    script = "import os; from tests.simulator.client import Simulator; Simulator().__enter__(); os._exit(7)"
    # It shares its parent's stderr: reading that to the end takes until both have ended.
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, timeout=10, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (7, b"")


# The table


@pytest.mark.parametrize("platform", ["tiktok", "instagram", "twitter", "youtube"])
def test_every_link_leads_back_to_its_post(platform: Platform) -> None:
    for scenario in SCENARIOS.values():
        if platform in scenario.platforms:
            post = find_post(platform, id_of(platform, scenario.name, 12))
            assert post is not None
            assert (post.scenario, post.serial) == (scenario, 12)
        else:
            with pytest.raises(ValueError, match="does not play"):
                post_url(platform, scenario.name)
