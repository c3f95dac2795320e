"""What yt-dlp asks for, or is answered, goes no further than it may; real yt-dlp against the simulator."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.networking import Request
from yt_dlp.networking import Response as YtdlpResponse
from yt_dlp.networking.exceptions import HTTPError

from downloader.errors import DownloadFailed
from downloader.platforms import PLATFORMS, PlatformType
from downloader.settings import Settings
from downloader.ytdlp.client import FetchContext, fetch, fetch_context
from downloader.ytdlp.network import GuardedRequests
from downloader.ytdlp.progress import ProgressMeter
from downloader.ytdlp.transport import MAX_PAGE_BYTES
from tests.simulator.client import Simulator


@pytest.mark.parametrize("platform", ["instagram", "youtube"])
def test_a_page_is_not_read_without_end(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path, platform: PlatformType
) -> None:
    url = simulator.url(platform, "swollen_page")  # type: ignore[arg-type]
    with fetch_context(FetchContext(settings=make_settings().for_downloads())):
        outcome = fetch(PLATFORMS[platform], url, str(tmp_path))
    assert outcome.error_code == "platform_changed"
    assert outcome.detail == f"a page of more than {MAX_PAGE_BYTES} bytes"


# Without yt-dlp: what it asks for is handed to a sender of ours.


class Answer:
    """What a sender answers with, as far as it is looked at."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.closed = False

    def read(self, amt: int) -> bytes:
        return b""

    def close(self) -> None:
        self.closed = True


class Refusal(HTTPError):  # type: ignore[misc]  # yt-dlp has no types
    """A refusal with that status."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(YtdlpResponse(io.BytesIO(), url, {}, status=status))


def standing_before(send: Callable[[Any], Any], *, allow_private: bool = False, stop: bool = False) -> GuardedRequests:
    stopping = threading.Event()
    if stop:
        stopping.set()
    return GuardedRequests(send, allow_private=allow_private, stop=stopping, meter=ProgressMeter(lambda progress: None))


PUBLIC = "https://www.tiktok.com/@ada"
PRIVATE = ["http://127.0.0.1/", "http://[::1]:8000/", "https://192.168.1.1/", "http://localhost/", "file:///etc/passwd"]


@pytest.mark.parametrize("url", PRIVATE)
def test_a_private_address_is_not_asked(url: str) -> None:
    asked: list[Any] = []
    requests = standing_before(lambda request: asked.append(request))
    for request in (url, Request(url)):
        with pytest.raises(DownloadFailed) as caught:
            requests(request)
        assert (caught.value.code, caught.value.detail) == (
            "blocked_address",
            "a request to a private address was refused",
        )
    assert asked == []


@pytest.mark.parametrize("url", PRIVATE)
def test_what_a_redirect_to_a_private_address_answers_is_not_read(url: str) -> None:
    answer = Answer(url)
    requests = standing_before(lambda request: answer)
    with pytest.raises(DownloadFailed) as caught:
        requests(PUBLIC)
    assert (caught.value.code, caught.value.detail) == (
        "blocked_address",
        "a redirect to a private address was refused",
    )
    requests.close()
    assert answer.closed


def test_whoever_may_reach_private_addresses_does() -> None:
    answer = Answer(PRIVATE[0])
    assert standing_before(lambda request: answer, allow_private=True)(PRIVATE[0]) is answer


def test_once_it_is_to_stop_nothing_more_is_asked() -> None:
    requests = standing_before(lambda request: pytest.fail("asked"), stop=True)
    with pytest.raises(DownloadFailed) as caught:
        requests(PUBLIC)
    assert caught.value.code == "interrupted"


def test_the_last_failure_is_remembered_until_something_is_answered() -> None:
    refused = HTTPError(YtdlpResponse(io.BytesIO(), PUBLIC, {}, status=429))
    refusal = refused.response
    replies: list[Any] = [refused, Answer(PUBLIC)]

    def send(request: Any) -> Any:
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    requests = standing_before(send)
    with pytest.raises(HTTPError):
        requests(PUBLIC)
    assert requests.last_failure is refused
    requests(PUBLIC)
    assert requests.last_failure is None
    requests.close()
    assert refusal.closed  # yt-dlp would have left it to the garbage collector


@pytest.mark.parametrize(("status", "asks_again"), [(416, None), (403, "bytes=7-")])
def test_who_asked_beyond_the_end_of_a_file_can_ask_for_all_of_it(status: int, asks_again: str | None) -> None:
    """yt-dlp makes its next request with the headers of this one."""

    def refuse(request: Any) -> Any:
        raise Refusal(request.url, status)

    request = Request("https://example.org/1.mp4", headers={"Range": "bytes=7-", "Accept": "*/*"})
    with pytest.raises(HTTPError):
        standing_before(refuse)(request)
    again = Request(request.url, headers=request.headers)
    assert (again.headers.get("Range"), again.headers.get("Accept")) == (asks_again, "*/*")
