"""A small file through the guard: bounded, and without anything that identifies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from downloader.egress import fetch as fetching
from downloader.egress.fetch import FetchFailed, fetch, plain_url
from downloader.settings import Settings
from tests.simulator.client import Simulator
from tests.simulator.scenarios import find_post
from tests.simulator.thumbnails import thumbnail_of

COVER = "https://p16-sign-va.tiktokcdn.com/obj/{}/cover.jpeg"
KILOBYTE = 1024


def cover(simulator: Simulator, scenario: str) -> str:
    return COVER.format(simulator.url("tiktok", scenario).rpartition("/")[2])


class Host(BaseHTTPRequestHandler):
    """A host of pictures on this machine, which notes what it is sent."""

    requests: list[BaseHTTPRequestHandler]
    released: threading.Event

    def do_GET(self) -> None:
        self.requests.append(self)
        self.send_response(200 if "hop" not in self.path else 302)
        if "hop" in self.path:
            left = int(self.path.removeprefix("/hop"))
            self.send_header("Location", f"hop{left - 1}" if left else "/a.jpg")
            self.send_header("Set-Cookie", "who=ada")
        self.end_headers()
        self.wfile.write(b"picture")
        if self.path == "/endless":  # without a length, the end of the connection is the end of the body
            self.wfile.flush()
            self.released.wait(30)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def host() -> Iterator[tuple[str, list[BaseHTTPRequestHandler]]]:
    Host.requests, Host.released = [], threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", Host.requests
    Host.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def get(url: str, settings: Settings, *, max_bytes: int = 2 * KILOBYTE, timeout_seconds: float = 5) -> bytes:
    return fetch(url, settings.for_downloads(), max_bytes=max_bytes, timeout_seconds=timeout_seconds)


def test_a_file_is_fetched_through_the_operators_proxy(
    simulator: Simulator, make_settings: Callable[..., Settings]
) -> None:
    url = cover(simulator, "ok")
    post = find_post("tiktok", url.split("/")[-2])
    assert post is not None
    assert get(url, make_settings()) == thumbnail_of(post)


@pytest.mark.parametrize("scenario", ["thumbnail_large", "thumbnail_endless", "thumbnail_missing"])
def test_too_large_a_file_or_none_is_refused(
    simulator: Simulator, make_settings: Callable[..., Settings], scenario: str
) -> None:
    with pytest.raises(FetchFailed):
        get(cover(simulator, scenario), make_settings(), max_bytes=2 * KILOBYTE**2)
    assert simulator.stats().errors == ()


def test_one_that_takes_too_long_is_given_up(simulator: Simulator, make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(FetchFailed):
        get(cover(simulator, "thumbnail_slow"), make_settings(), timeout_seconds=0.3)
    simulator.wait_until_hanging(0)


def test_a_body_without_a_length_that_was_cut_off_in_time_is_no_file(
    host: tuple[str, Any], make_settings: Callable[..., Settings]
) -> None:
    url, _ = host
    settings = make_settings(proxy=None, allow_private_addresses=True)
    assert get(f"{url}/a.jpg", settings) == b"picture"
    with pytest.raises(FetchFailed):
        get(f"{url}/endless", settings, timeout_seconds=0.3)


def test_nothing_is_sent_that_identifies(host: tuple[str, Any], make_settings: Callable[..., Settings]) -> None:
    url, requests = host
    settings = make_settings(proxy=None, allow_private_addresses=True)
    assert get(f"{url.replace('//', '//ada:secret@')}/hop2#part", settings) == b"picture"
    assert [request.path for request in requests] == ["/hop2", "/hop1", "/hop0", "/a.jpg"]
    for request in requests:
        assert {name.lower() for name in request.headers} == {
            "host",
            "user-agent",
            "accept",
            "accept-encoding",
            "connection",
        }
        assert request.headers["User-Agent"].startswith("Mozilla/5.0")
    with pytest.raises(FetchFailed, match="redirects"):
        get(f"{url}/hop{fetching.MAX_REDIRECTS}", settings)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname",
        "ftp://{at}/a.jpg",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "http://",
        "https:///a.jpg",
        "http://{at}/a.jpg",
        "https://{at}/a.jpg",
        "http://ada@{at}/a.jpg",
        "http://[::ffff:127.0.0.1]/a.jpg",
        "http://[::1/a.jpg",
        "http://2130706433/a.jpg",
        "http://localhost/a.jpg",
        "http://a b/a.jpg",
        "http://a\r\nHost: x/a.jpg",
        "http://a\x00/a.jpg",
        "http://\udc80/a.jpg",
        "http://" + "a" * 70 + ".example/a.jpg",
        "http://cdn.example:99999/a.jpg",
        "https://cdn.example/" + "a" * 3000,
        "",
    ],
)
def test_an_address_that_is_none_of_the_internets_is_refused(
    simulator: Simulator, make_settings: Callable[..., Settings], url: str
) -> None:
    with pytest.raises(FetchFailed):
        get(url.format(at=simulator.canary.removeprefix("http://")), make_settings(proxy=None))
    assert simulator.stats().canary_hits == 0


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://ada:pass@ex\u00e4mple.org:8080/\u00e9?q=\u00e9#x", "http://xn--exmple-cua.org:8080/%C3%A9?q=%C3%A9"),
        (f"http://{'a' * 63}:8080/", f"http://{'a' * 63}:8080/"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("https://[::1]", "https://[::1]/"),
    ],
)
def test_a_url_becomes_plain(url: str, plain: str) -> None:
    assert plain_url(url) == plain
