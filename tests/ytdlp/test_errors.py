"""What went wrong gets the right code: yt-dlp's own messages, its real exceptions, and text of all kinds."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import http.client
import http.server
import io
import logging
import os
import socket
import ssl
import threading
import urllib.error
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yt_dlp
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from yt_dlp.cookies import CookieLoadError
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    IncompleteRead,
    NoSupportingHandlers,
    ProxyError,
    SSLError,
    TransportError,
    UnsupportedRequest,
)
from yt_dlp.postprocessor.common import PostProcessor
from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessorError
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadCancelled,
    DownloadError,
    ExtractorError,
    GeoRestrictedError,
    MaxDownloadsReached,
    SameFileError,
    ThrottledDownload,
    UnavailableVideoError,
    UnsupportedError,
    UserNotLive,
)

from downloader.errors import ERROR_CODES, DownloadFailed, ErrorCode, RequestRefused
from downloader.ytdlp.errors import classify
from downloader.ytdlp.redaction import MAX_DETAIL_CHARS
from tests.ytdlp.test_messages import EVERY_MESSAGE

log = logging.getLogger(__name__)


def facts(error: DownloadFailed) -> tuple[ErrorCode, str, float | None]:
    """Return what *error* says; none of these is a login page."""
    assert not error.walled
    return error.code, error.detail, error.retry_after_seconds


NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


# --- Real yt-dlp, with an extractor of ours ---------------------------------------------------------------------------


class Post(InfoExtractor):  # type: ignore[misc]  # yt-dlp has no types
    """An extractor that does what the test says, within yt-dlp's own machinery."""

    IE_NAME = "youtube"
    _VALID_URL = r"post:(?P<id>\w+)"

    def __init__(self, extract: Callable[[InfoExtractor, str], Any]) -> None:
        super().__init__()
        self._extract_with = extract

    def _real_extract(self, url: str) -> Any:
        return self._extract_with(self, self._match_id(url))


class Silence:
    """Where yt-dlp's messages go."""

    def debug(self, message: str) -> None:
        log.debug("%s", message)

    info = warning = error = debug


def fails_with(
    extract: Callable[[InfoExtractor, str], Any], folder: Path, *, processor: Any = None, **params: Any
) -> BaseException:
    """Return what YoutubeDL raises for a post that *extract* is asked for."""
    options = {
        "quiet": True,
        "noprogress": True,
        "color": "never",
        "cachedir": False,
        "logger": Silence(),
        "proxy": "",  # whatever this machine has set
        "retries": 1,
        "retry_sleep_functions": {"http": lambda n: 0},
        "socket_timeout": 10,
        "outtmpl": str(folder / "%(id)s.%(ext)s"),
        **params,
    }
    try:
        with yt_dlp.YoutubeDL(options, auto_init=False) as ydl:
            ydl.add_info_extractor(Post(extract))
            if processor is not None:
                ydl.add_post_processor(processor)
            ydl.extract_info("post:abc")
    except BaseException as error:
        return error
    pytest.fail("yt-dlp raised nothing")


def raising(error: BaseException) -> Callable[[InfoExtractor, str], NoReturn]:
    def extract(extractor: InfoExtractor, video_id: str) -> NoReturn:
        raise error

    return extract


def page(url: str) -> Callable[[InfoExtractor, str], Any]:
    return lambda extractor, video_id: extractor._download_webpage(url, video_id)


def media(url: str) -> Callable[[InfoExtractor, str], Any]:
    return lambda extractor, video_id: {"id": video_id, "title": "a title", "url": url, "ext": "mp4"}


def reported(message: str) -> BaseException:
    """Return what YoutubeDL raises when a part of it that is no extractor reports *message*."""
    with yt_dlp.YoutubeDL({"quiet": True, "color": "never", "logger": Silence()}, auto_init=False) as ydl:
        try:
            ydl.report_error(message)
        except DownloadError as error:
            raised: BaseException = error
            return raised
    pytest.fail("yt-dlp raised nothing")


def http_error(status: int, headers: dict[str, str] | None = None, *, url: str = "https://example.test/") -> HTTPError:
    return HTTPError(Response(io.BytesIO(), url, headers or {}, status))


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """A server that fails in every way: the first part of the path says how."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, argument = self.path.strip("/").partition("/")
            if kind == "hang":
                over.wait(30)
            elif kind == "status":
                self.send_response(int(argument))
                self.send_header("Content-Length", "0")
                if argument in ("429", "503"):
                    self.send_header("Retry-After", "7")
                self.end_headers()
            elif kind == "loop":
                self.send_response(302)
                self.send_header("Location", self.path)
                self.end_headers()
            else:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp4")
                self.send_header("Content-Length", {"ok": "1000", "empty": "0"}.get(kind, "5000"))
                self.end_headers()
                if kind != "empty":
                    self.wfile.write(b"x" * 1000)
                if kind == "hang_in_body":
                    over.wait(30)

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    over.set()
    server.shutdown()
    thread.join()
    server.server_close()


# --- Every message we know --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", EVERY_MESSAGE, ids=lambda entry: entry["message"][:60])
def test_message_is_known_in_the_exceptions_that_yt_dlp_makes_of_it(entry: dict[str, str], tmp_path: Path) -> None:
    if entry.get("raised") == "report":
        error = reported(entry["message"])
    else:
        error = fails_with(raising(ExtractorError(entry["message"], expected=True)), tmp_path)
    assert isinstance(error, DownloadError)
    found = classify(error)
    assert found.code == entry["code"]
    assert found.detail
    for boilerplate in ("please report", "--cookies", "how to manually pass", "--list-formats", "ERROR:"):
        assert boilerplate not in found.detail


# --- Real requests, real failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "of_the_page", "of_the_media"),
    [
        ("status/400", "platform_changed", "server_error"),
        ("status/401", "login_required", "server_error"),
        ("status/402", "private", "private"),
        ("status/403", "ip_blocked", "server_error"),
        ("status/404", "removed", "server_error"),
        ("status/405", "platform_changed", "platform_changed"),
        ("status/408", "timeout", "timeout"),
        ("status/410", "removed", "server_error"),
        ("status/429", "rate_limited", "rate_limited"),
        ("status/451", "geo_blocked", "geo_blocked"),
        ("status/500", "server_error", "server_error"),
        ("status/503", "server_error", "server_error"),
        ("loop", "login_required", "login_required"),
        ("cut", "network", "network"),
    ],
)
def test_real_answer_gets_the_code_of_what_it_answers(
    path: str, of_the_page: ErrorCode, of_the_media: ErrorCode, origin: str, tmp_path: Path
) -> None:
    assert classify(fails_with(page(f"{origin}/{path}"), tmp_path)).code == of_the_page
    assert classify(fails_with(media(f"{origin}/{path}"), tmp_path)).code == of_the_media


@pytest.mark.parametrize("handler", ["urllib", "requests", "curl_cffi"])
def test_silence_is_a_timeout_whichever_library_asks(handler: str, origin: str, tmp_path: Path) -> None:
    pytest.importorskip(handler)

    def ask(extractor: InfoExtractor, video_id: str) -> Any:
        director = extractor._downloader._request_director
        director.handlers = {key: value for key, value in director.handlers.items() if key.lower() == _key(handler)}
        return extractor._download_webpage(f"{origin}/hang", video_id)

    found = classify(fails_with(ask, tmp_path, socket_timeout=0.2))
    assert found.code == "timeout", found.detail


def _key(handler: str) -> str:
    return {"curl_cffi": "curlcffi"}.get(handler, handler)


@pytest.mark.parametrize("path", ["hang", "hang_in_body"])
def test_media_that_falls_silent_is_a_timeout(path: str, origin: str, tmp_path: Path) -> None:
    found = classify(fails_with(media(f"{origin}/{path}"), tmp_path, socket_timeout=0.2))
    assert found.code == "timeout"
    assert "Giving up after 1 retries" in found.detail


def test_page_that_stops_in_the_middle_is_a_timeout(origin: str, tmp_path: Path) -> None:
    assert classify(fails_with(page(f"{origin}/hang_in_body"), tmp_path, socket_timeout=0.2)).code == "timeout"


def test_refused_connection_is_the_network(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        assert classify(fails_with(page(url), tmp_path)).code == "network"
        assert classify(fails_with(media(url), tmp_path)).code == "network"


def test_media_without_a_byte_is_the_network(origin: str, tmp_path: Path) -> None:
    found = classify(fails_with(media(f"{origin}/empty"), tmp_path))
    assert facts(found) == ("network", "Did not get any data blocks", None)


def test_real_retry_after_reaches_the_caller(origin: str, tmp_path: Path) -> None:
    for request in (page, media):
        found = classify(fails_with(request(f"{origin}/status/429"), tmp_path))
        assert (found.code, found.retry_after_seconds) == ("rate_limited", 7.0)
    assert classify(fails_with(page(f"{origin}/status/503"), tmp_path)).retry_after_seconds == 7.0
    assert classify(fails_with(page(f"{origin}/status/404"), tmp_path)).retry_after_seconds is None


def test_way_out_after_a_429_does_not_hide_it(origin: str, tmp_path: Path) -> None:
    # As yt-dlp's Twitter extractor does it: its second source knows fewer posts.
    def extract(extractor: InfoExtractor, video_id: str) -> Any:
        try:
            return extractor._download_webpage(f"{origin}/status/429", video_id)
        except ExtractorError:
            return extractor._download_webpage(f"{origin}/status/404", video_id)

    found = classify(fails_with(extract, tmp_path))
    assert (found.code, found.retry_after_seconds) == ("rate_limited", 7.0)


def test_statement_outweighs_the_request_it_followed(origin: str, tmp_path: Path) -> None:
    def extract(extractor: InfoExtractor, video_id: str) -> Any:
        try:
            return extractor._download_webpage(f"{origin}/status/404", video_id)
        except ExtractorError:
            extractor.raise_login_required("TikTok is requiring login for access to this content")

    assert classify(fails_with(extract, tmp_path)).code == "login_required"


# --- Real exceptions of other kinds -----------------------------------------------------------------------------------


def test_bug_in_an_extractor_means_that_the_platform_changed(tmp_path: Path) -> None:
    nothing: Any = None
    bugs: list[Callable[[InfoExtractor, str], Any]] = [
        lambda extractor, video_id: dict[str, int]()["private"],
        lambda extractor, video_id: nothing["timed out"],
        lambda extractor, video_id: [][0],
        lambda extractor, video_id: nothing.get("url"),
        lambda extractor, video_id: int("HTTP Error 429"),
        lambda extractor, video_id: extractor._parse_json("<html>", video_id),
        lambda extractor, video_id: extractor._search_regex("a", "b", "title of a private video"),
    ]
    for bug in bugs:
        assert classify(fails_with(bug, tmp_path)).code == "platform_changed"


def test_bug_anywhere_else_is_internal() -> None:
    assert classify(KeyError("formats")).code == "internal"
    assert classify(TypeError("'NoneType' object is not subscriptable")).code == "internal"


def test_unknown_words_of_an_extractor_mean_that_the_platform_changed(tmp_path: Path) -> None:
    for expected in (True, False):
        error = ExtractorError("The moon is in the seventh house", expected=expected)
        found = classify(fails_with(raising(error), tmp_path))
        assert facts(found) == ("platform_changed", "[youtube] abc: The moon is in the seventh house", None)
    assert classify(DownloadError("ERROR: [TikTok] 7: The moon is in the seventh house")).code == "platform_changed"
    assert classify(DownloadError("ERROR: The moon is in the seventh house")).code == "internal"


def test_country_is_named_by_type_whatever_the_words(tmp_path: Path) -> None:
    error = GeoRestrictedError("Not for you", countries=["DE", "FR"])
    found = classify(fails_with(raising(error), tmp_path, geo_bypass=False))
    assert found.code == "geo_blocked"
    assert "VPN" not in found.detail


def test_full_disk_is_seen_through_yt_dlps_wrapping(
    origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "private.mp4")

    monkeypatch.setattr("yt_dlp.downloader.http.HttpFD.real_download", full)
    error = fails_with(media(f"{origin}/ok"), tmp_path)
    assert "Unable to download video" in str(error)
    assert classify(error).code == "disk_full"


def test_name_that_the_file_system_refuses_is_internal(origin: str, tmp_path: Path) -> None:
    name = "HTTP Error 429 timed out private video " * 20
    error = fails_with(media(f"{origin}/ok"), tmp_path, outtmpl=str(tmp_path / f"{name}.mp4"))
    assert classify(error).code == "internal"


def test_failed_merge_tells_a_bad_video_from_a_bad_set_up(origin: str, tmp_path: Path) -> None:
    class Merger(PostProcessor):  # type: ignore[misc]  # yt-dlp has no types
        def __init__(self, last_line: str) -> None:
            super().__init__()
            self._last_line = last_line

        def run(self, information: Any) -> NoReturn:
            raise FFmpegPostProcessorError(self._last_line)

    lines: list[tuple[str, ErrorCode]] = [
        ("Error opening input files: Invalid data found when processing input", "not_a_video"),
        ("HTTP Error 429.mp4: Invalid data found when processing input", "not_a_video"),
        ("Conversion failed!", "internal"),
        ("Error opening output file private video timed out.mp4.", "internal"),
        ("av_interleaved_write_frame(): No space left on device", "disk_full"),
        ("ffmpeg not found. Please install or provide the path using --ffmpeg-location", "internal"),
    ]
    for number, (line, code) in enumerate(lines):
        error = fails_with(media(f"{origin}/ok"), tmp_path / str(number), processor=Merger(line))
        assert "Postprocessing" in str(error)
        assert classify(error).code == code
        assert classify(FFmpegPostProcessorError(line)).code == code


def test_unreadable_cookies_are_internal_and_stay_secret(origin: str, tmp_path: Path) -> None:
    cookies = tmp_path / "cookies.txt"
    line = ".tiktok.com\tMAYBE\t/\tTRUE\tsoon\tsessionid\tTOPSECRET\n"
    contents = ["# Netscape HTTP Cookie File\n" + line, '[{"name": "sessionid", "value": "TOPSECRET"}]', "no cookies"]
    for content in contents:
        cookies.write_text(content, encoding="utf-8")
        found = classify(fails_with(page(f"{origin}/status/404"), tmp_path, cookiefile=str(cookies)))
        assert "TOPSECRET" not in found.detail
        if content.startswith("#"):
            continue  # yt-dlp skips single bad lines
        assert found.code == "internal"
        assert "etscape" in found.detail
    jar_error = http.client.HTTPException("invalid Netscape format cookies file 'a.txt': 'x\\tsessionid\\tTOPSECRET'")
    assert facts(classify(DownloadError(f"ERROR: {jar_error}"))) == (
        "internal",
        "invalid Netscape format cookies file",
        None,
    )


def test_cancelling_is_no_failure_of_the_download(origin: str, tmp_path: Path) -> None:
    def hook(progress: object) -> NoReturn:
        raise DownloadCancelled

    assert classify(fails_with(media(f"{origin}/ok"), tmp_path, progress_hooks=[hook])).code == "cancelled"


@pytest.mark.parametrize("nesting", ["hook", "request", "extractor", "context", "handler"])
def test_error_of_our_own_keeps_its_code_however_deep_it_is(nesting: str, origin: str, tmp_path: Path) -> None:
    ours = DownloadFailed("blocked_address", detail="a request to a private address", retry_after_seconds=5)

    def refuse(*args: object) -> NoReturn:
        raise ours

    def guarded(extractor: InfoExtractor, video_id: str) -> Any:
        extractor._downloader.urlopen = refuse
        return extractor._download_webpage(f"{origin}/ok", video_id)

    def in_context(extractor: InfoExtractor, video_id: str) -> None:
        try:
            raise ours
        except DownloadFailed:
            extractor.raise_no_formats("Video unavailable", expected=True)

    errors: dict[str, Callable[[], BaseException]] = {
        "hook": lambda: fails_with(media(f"{origin}/ok"), tmp_path, progress_hooks=[refuse]),
        "request": lambda: fails_with(guarded, tmp_path),
        "extractor": lambda: fails_with(raising(ours), tmp_path),
        "context": lambda: fails_with(in_context, tmp_path),
        "handler": lambda: DownloadError("ERROR: x", exc_info=(None, NoSupportingHandlers([], [ours]), None)),
    }
    assert facts(classify(errors[nesting]())) == ("blocked_address", "a request to a private address", 5)


def test_error_of_our_own_without_detail_borrows_its_causes_words() -> None:
    ours = DownloadFailed("removed")
    ours.__cause__ = ExtractorError("Video unavailable")
    assert classify(ours).detail == "Video unavailable"
    assert classify(DownloadFailed("removed")).detail == str(DownloadFailed("removed"))
    assert facts(classify(RequestRefused("no url"))) == ("invalid_url", "no url", None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserNotLive(video_id="ada"), "not_yet_available"),
        (UserNotLive("Gone fishing"), "not_yet_available"),
        (UnsupportedError("https://www.tiktok.com/@ada/HTTP-Error-429"), "invalid_url"),
        (ContentTooShortError(100, 200), "network"),
        (MaxDownloadsReached(), "cancelled"),
        (DownloadCancelled("enough"), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
        (concurrent.futures.CancelledError(), "cancelled"),
        (SameFileError("a.mp4"), "internal"),
        (ThrottledDownload(), "network"),
        (UnavailableVideoError(), "internal"),
        (CookieLoadError("no such thing"), "internal"),
        (IncompleteRead(100, 200), "network"),
        (CertificateVerifyError(cause=ssl.SSLCertVerificationError("certificate has expired")), "network"),
        (SSLError("handshake"), "network"),
        # Our own proxy's answers to a CONNECT, as urllib and requests, and then libcurl, report them.
        (ProxyError("Tunnel connection failed: 403 Forbidden"), "blocked_address"),
        (ProxyError("Failed to perform, curl: (56) CONNECT tunnel failed, response 403."), "blocked_address"),
        (ProxyError("Tunnel connection failed: 502 Bad Gateway"), "network"),
        (ProxyError("Failed to perform, curl: (7) CONNECT tunnel failed, response 502."), "network"),
        (ProxyError("Tunnel connection failed: 504 Gateway Timeout"), "timeout"),
        (ProxyError("Failed to perform, curl: (56) CONNECT tunnel failed, response 504."), "timeout"),
        (ProxyError("Tunnel connection failed: 407 Proxy Authentication Required"), "network"),
        (ProxyError("[Errno 111] Connection refused"), "network"),
        (NoSupportingHandlers([], []), "internal"),
        (UnsupportedRequest("Unsupported proxy type"), "internal"),
        (TransportError("Failed to perform, curl: (28) Operation timed out after 20002 milliseconds"), "timeout"),
        (TransportError("Failed to perform, curl: (6) Could not resolve host: timeout.test"), "network"),
        (TransportError(cause=TimeoutError()), "timeout"),
        (TransportError(cause=urllib.error.URLError(TimeoutError("timed out"))), "timeout"),
        (TransportError(cause=urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "no"))), "network"),
        (TransportError(cause=socket.gaierror(-2, "Name or service not known")), "network"),
        (TransportError(cause=OSError(errno.EMFILE, "Too many open files")), "internal"),
        (TimeoutError(), "timeout"),
        (concurrent.futures.TimeoutError(), "timeout"),
        (ConnectionResetError(), "network"),
        (BrokenPipeError(), "network"),
        (http.client.RemoteDisconnected("Remote end closed connection without response"), "network"),
        (http.client.BadStatusLine("x"), "network"),
        (socket.gaierror(-3, "Temporary failure in name resolution"), "network"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "no space left on device"), "internal"),
        (PermissionError(errno.EACCES, "Permission denied", "timed out"), "internal"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "internal"),
        (OSError(errno.EROFS, "Read-only file system", "/elsewhere/a.mp4"), "storage_unavailable"),
        (OSError(errno.EIO, "Input/output error"), "storage_unavailable"),
        (OSError(errno.ESTALE, "Stale file handle"), "storage_unavailable"),
        (MemoryError(), "internal"),
        (RecursionError("maximum recursion depth exceeded"), "internal"),
        (ImportError("no module named timed out"), "internal"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(1), "interrupted"),
        (BrokenProcessPool("a child process terminated abruptly"), "interrupted"),
        (http_error(404), "removed"),
        (http_error(420), "rate_limited"),
        (http_error(302, url="https://www.instagram.com/accounts/login/?next=/p/1/"), "login_required"),
        (http_error(404, url="https://x.com/i/flow/login"), "login_required"),
        (http_error(404, url="https://example.test/?next=https://example.test/login"), "removed"),
        (http_error(404, url="https://api.x.com/1.1/guest/activate.json"), "platform_changed"),
        (http_error(404, url="https://example.test/v?x=/guest/activate.json"), "removed"),
        (ExceptionGroup("several", [ValueError("x"), http_error(429)]), "rate_limited"),
    ],
    ids=lambda value: f"{type(value).__name__}-{value}"[:70] if isinstance(value, BaseException) else value,
)
def test_type_says_enough(error: BaseException, code: ErrorCode) -> None:
    assert classify(error).code == code
    wrapper = DownloadError("ERROR: it did not work", exc_info=(type(error), error, None))
    assert classify(wrapper).code == code
    caused = RuntimeError("it did not work")
    caused.__cause__ = error
    assert classify(caused).code == code


@pytest.mark.parametrize(
    "number",
    [
        *(errno.EROFS, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ENOTCONN),
        *(errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ENOLCK),
    ],
    ids=errno.errorcode.__getitem__,
)
def test_what_the_system_refuses_below_the_storage_folder_is_about_that(number: int, tmp_path: Path) -> None:
    work, raw, elsewhere = tmp_path / "work" / "1", tmp_path / "raw", tmp_path / "elsewhere"
    words = os.strerror(number)
    below: list[tuple[Any, ...]] = [(work / "a.part",), (os.fsencode(raw / "a"),), (elsewhere / "a", None, raw / "a")]
    for names in below:
        error = OSError(number, words, *names)
        assert classify(error, folders=[work, raw]).code == "storage_unavailable"
        told = DownloadError(f"ERROR: unable to open for writing: {error}", exc_info=(type(error), error, None))
        assert classify(told, folders=[work, raw]).code == "storage_unavailable"
    if number in {errno.EROFS, errno.EIO, errno.ESTALE}:
        return
    # A program that is missing, a connection that broke off, a folder that only begins alike: none of it is.
    for names in ((), (elsewhere / "ffmpeg",), (f"{raw}2/a",), (7,)):
        assert classify(OSError(number, words, *names), folders=[work, raw]).code != "storage_unavailable"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *((errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EISDIR, "internal")),
        *((errno.ENAMETOOLONG, "internal"), (errno.EFBIG, "internal")),
    ],
)
def test_what_is_wrong_with_one_file_or_its_size_is_something_else(
    number: int, code: ErrorCode, tmp_path: Path
) -> None:
    error = OSError(number, os.strerror(number), tmp_path / "a.mp4")
    assert classify(error, folders=[tmp_path]).code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[Errno 28] No space left on device", "disk_full"),
        ("[Errno 28] No space left on device: 'a.mp4'", "disk_full"),
        ("[Errno 122] Disk quota exceeded", "disk_full"),
        ("[WinError 112] There is not enough space on the disk", "disk_full"),
        ("Error writing trailer of file: No space left on device", "disk_full"),
        ("[Errno 30] Read-only file system", "storage_unavailable"),
        ("unable to open for writing: [Errno 30] Read-only file system: '/s/work/1.mp4.part'", "storage_unavailable"),
        ("unable to write data: [Errno 5] Input/output error", "storage_unavailable"),
        ("Unable to rename file: [Errno 116] Stale file handle: '/s/a' -> '/s/b'", "storage_unavailable"),
        ("Postprocessing: Error opening output files: Read-only file system", "storage_unavailable"),
        ("[Errno 36] File name too long: 'No space left on device.mp4'", "internal"),
        ("[Errno 24] Too many open files", "internal"),
        ("unable to download video data: HTTP Error 403: Forbidden", "server_error"),
        ("unable to download video data: HTTP Error 503: Backend fetch timed out", "server_error"),
        ("Got error: <urlopen error timed out>. Giving up after 10 retries", "timeout"),
        ("Got error: ('Connection aborted.', RemoteDisconnected('x')). Giving up after 10 retries", "network"),
        ("<urlopen error [Errno 111] Connection refused>", "network"),
        ("<urlopen error [Errno -3] Temporary failure in name resolution>", "network"),
        ("<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1006)>", "network"),
        ("HTTPSConnection(host='timed-out.test', port=443): Failed to resolve 'timed-out.test'", "network"),
        ("<urlopen error Tunnel connection failed: 407 Proxy Authentication Required>", "network"),
        ("Got error: ('Connection aborted.', RemoteDisconnected('Remote end closed connection'))", "network"),
        ("unable to download video data: ('Unable to connect to proxy', OSError('Tunnel failed'))", "network"),
        ("curl: (28) Operation too slow. Less than 1 bytes/sec transferred the last 4 seconds", "timeout"),
        ("Unable to download webpage: HTTP Error 504: Gateway Time-out", "server_error"),
        ("Unable to download webpage: HTTP Error 599: Who knows", "server_error"),
        ("ffmpeg exited with code -9", "internal"),
        # The words are unknown, but yt-dlp's advice is telling.
        ("Not here. You might want to use a VPN or a proxy server (with --proxy) to workaround.", "geo_blocked"),
        ("Only for friends. Use --cookies-from-browser or --cookies for the authentication.", "login_required"),
        ("Strange; please report this issue on  https://github.com/yt-dlp/yt-dlp/issues?q= ,", "platform_changed"),
        # The last cause counts, and a 429 above all.
        (
            "Got error: HTTP Error 503: Service Unavailable. Retrying (1/3)... "
            "Got error: HTTP Error 429: Too Many Requests. Giving up after 3 retries",
            "rate_limited",
        ),
        (
            "Got error: The read operation timed out. Retrying (1/3)... "
            "Got error: HTTP Error 500: Internal Server Error. Giving up after 3 retries",
            "server_error",
        ),
        # Without a statement that anything is wrong.
        ("", "internal"),
        ("HTTP Error 999", "internal"),
        ("429", "internal"),
        ("private", "internal"),
    ],
)
def test_text_without_a_type_says_enough(text: str, code: ErrorCode) -> None:
    assert classify(DownloadError(text)).code == code
    assert classify(RuntimeError(f"ERROR: {text}")).code == code


# --- Strangers' text --------------------------------------------------------------------------------------------------

TRAPS = [
    "private video",
    "This video is private",
    "HTTP Error 429: Too Many Requests",
    "Sign in to confirm your age",
    "timed out",
    "[Errno 28] No space left on device",
    "rate-limited by YouTube for up to an hour",
    "Your IP address is blocked from accessing this post",
]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("Unsupported URL: https://www.tiktok.com/{slug}", "invalid_url"),
        ("No suitable extractor (Youtube) found for URL https://www.youtube.com/@{slug}", "invalid_url"),
        ("[youtube] {slug}: Video unavailable", "removed"),
        ("[tiktok:user] {slug}: Unable to extract title", "platform_changed"),
        ("Unable to create directory: [Errno 13] Permission denied: {quoted}", "internal"),
        ("unable to open for writing: [Errno 36] File name too long: {quoted}", "internal"),
        ('Skipping the remaining entries in playlist "{text}" since 3 items failed extraction', "internal"),
        ("An extractor error has occurred. (caused by KeyError({quoted}))", "platform_changed"),
        ("Failed to parse JSON (caused by JSONDecodeError({quoted}))", "platform_changed"),
        ("Postprocessing: {text}.mp4: Invalid data found when processing input", "not_a_video"),
        ("Video unavailable. This video is no longer available due to a copyright claim by {text}", "removed"),
        ("This video contains content from {text}, who has blocked it in your country", "geo_blocked"),
        ("This video is available to this channel's members on level: {text} (or any higher level).", "private"),
        ("There is no video in this post {text}", "no_video"),
    ],
)
def test_titles_names_and_links_decide_nothing(template: str, code: ErrorCode, trap: str) -> None:
    for text in (trap, f"{trap}'s", f'{trap}" {trap}' if '"' not in template else trap):
        message = template.format(text=text, quoted=repr(text), slug=text.replace(" ", "_").replace(":", ""))
        found = classify(DownloadError(f"ERROR: {message}"))
        assert found.code == code
        assert found.retry_after_seconds is None


def test_words_of_the_platform_are_known_in_any_typography() -> None:
    for apostrophe in ("'", "\u2019", "\u2018", "\u02bc"):
        bot = f"[youtube] abc: Sign in to confirm you{apostrophe}re not a bot. This helps protect our community"
        assert classify(DownloadError(bot)).code == "bot_check"
        limit = f"Video unavailable. This content isn{apostrophe}t available, try again later."
        assert classify(DownloadError(limit)).code == "rate_limited"
    assert classify(DownloadError("Private\u00a0video.\nSign in if you've been granted access")).code == "private"


# --- How long to wait -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("99999999", 86_400.0),
        (format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300.0),
        (format_datetime((NOW + timedelta(minutes=5)).replace(tzinfo=None)), 300.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("soon", None),
        ("-5", None),
        ("\u0661\u0662\u0660", None),
        ("1" * 5000, None),
        ("", None),
        ("nan", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, seconds: float | None, status: int) -> None:
    error = ExtractorError("Unable to download webpage", cause=http_error(status, {"retry-after": header}))
    assert classify(error, now=NOW).retry_after_seconds == seconds
    assert classify(error, now=NOW.replace(tzinfo=None)).retry_after_seconds == seconds


def test_retry_after_is_for_what_can_be_retried() -> None:
    assert classify(http_error(404, {"Retry-After": "120"})).retry_after_seconds is None
    assert classify(http_error(429)).retry_after_seconds is None
    later = ExtractorError("Premieres in 3 hours; try again in 3 hours", cause=http_error(503, {"Retry-After": "9"}))
    assert facts(classify(later)) == ("not_yet_available", "Premieres in 3 hours; try again in 3 hours", None)


def test_retry_after_is_counted_from_the_clock_where_none_is_handed_in() -> None:
    error = http_error(429, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)})
    wait = classify(error).retry_after_seconds
    assert wait is not None
    assert 3000 < wait <= 3600


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("The current session has been rate-limited by YouTube for up to an hour.", 3600.0),
        ("Your account has been rate-limited by YouTube for up to 2 hours.", 7200.0),
        ("Please try again in 15 minutes.", 900.0),
        ("Wait 30 seconds.", 30.0),
        ("Retry after one day", 86_400.0),
        ("try again in 99999 days", 86_400.0),
        ("Please wait a few minutes before you try again.", None),
        ("try again later", None),
    ],
)
def test_wait_is_read_from_the_words_that_name_one(words: str, seconds: float | None) -> None:
    found = classify(DownloadError(f"ERROR: [youtube] abc: This content isn't available, try again later. {words}"))
    assert (found.code, found.retry_after_seconds) == ("rate_limited", seconds)


def test_header_outweighs_the_words() -> None:
    error = ExtractorError("Bad: try again in 5 minutes", cause=http_error(429, {"Retry-After": "9"}))
    assert classify(error).retry_after_seconds == 9.0


# --- What is shown ----------------------------------------------------------------------------------------------------


def test_detail_has_only_characters_that_a_database_accepts() -> None:
    found = classify(DownloadError("[Errno 13] Permission denied: 'a\udce4.mp4'"))
    assert found.detail == "[Errno 13] Permission denied: 'a?.mp4'"


def test_detail_is_what_yt_dlp_said_not_what_its_caller_made_of_it() -> None:
    outer = RuntimeError("worker 3 failed")
    outer.__cause__ = ExtractorError("Video unavailable", video_id="abc", ie="youtube")
    assert classify(outer).detail == "Video unavailable"
    assert classify(TimeoutError()).detail == "TimeoutError"


# --- Anything at all --------------------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="'\"\\ :/[]()<>.\x1b\u2019\ud800a0"),
    st.lists(st.sampled_from([*TRAPS, "'", '"', "\\", "https://", "[youtube] ", "ERROR: ", "\x1b["])).map("".join),
)
TYPES: list[Callable[[str], BaseException]] = [
    RuntimeError,
    KeyError,
    OSError,
    DownloadError,
    lambda text: ExtractorError(text, expected=False, video_id=text, ie=text, cause=ValueError(text)),
    lambda text: DownloadError(text, exc_info=(HTTPError, http_error(429, {"Retry-After": text or "0"}), None)),
    lambda text: TransportError(cause=OSError(text)),
    lambda text: OSError(errno.ENOENT, text, text),
    UnsupportedError,
    UnavailableVideoError,
    KeyboardInterrupt,
]


@settings(deadline=None)  # a loaded machine is slow
@given(text=TEXTS, make=st.sampled_from(TYPES), times=st.sampled_from([1, 1000, 100_000]))
@example(text="'\\", make=DownloadError, times=50_000)
@example(text=" '", make=DownloadError, times=50_000)
@example(text='"', make=DownloadError, times=100_001)
@example(text="[a] b: ", make=DownloadError, times=20_000)
@example(text="https://", make=DownloadError, times=20_000)
@example(text="use --cookies", make=DownloadError, times=10_000)
def test_classify_takes_anything_and_answers_briefly(
    text: str, make: Callable[[str], BaseException], times: int
) -> None:
    try:
        error = make((text * times)[:100_000])
    except ValueError:
        reject()  # some constructors refuse some texts
    found = classify(error, now=NOW)
    assert found.code in ERROR_CODES
    assert 0 < len(found.detail) <= MAX_DETAIL_CHARS
    assert found.detail == found.detail.encode().decode()
    assert found.retry_after_seconds is None or 0 <= found.retry_after_seconds <= 86_400


async def test_timeout_of_asyncio_is_no_cancellation() -> None:
    with pytest.raises(TimeoutError) as caught:
        await asyncio.wait_for(asyncio.Event().wait(), 0)
    assert classify(caught.value).code == "timeout"
