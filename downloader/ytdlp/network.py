"""yt-dlp's network: every request goes by the egress proxy, to public addresses only, and pages are of limited size."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from downloader.egress.http import basic
from downloader.egress.policy import is_private
from downloader.errors import DownloadFailed
from downloader.ytdlp.errors import classify
from downloader.ytdlp.progress import ProgressMeter

#: The unpacked size of what yt-dlp reads in one go: a page, a playlist, a script. Large ones have a few megabytes.
MAX_PAGE_BYTES = 32 * 1024**2

_CHUNK_BYTES = 64 * 1024


# The proxy: yt-dlp passes its `proxy` option to urllib, requests and libcurl. Two of them then look in the environment
# for hosts to reach without it; workers have no NO_PROXY, but a program that uses us as a library may.


def force_proxy(ydl: Any, proxy: str) -> None:
    """Have every handler of *ydl* send every request by *proxy*, an http:// URL with a credential."""
    director = getattr(ydl, "_request_director", None)
    if director is None:  # a test's stand-in for YoutubeDL
        return
    for handler in director.handlers.values():
        # Overrides an option, or even a header, that names another.
        handler.proxies = {"all": proxy}
    if (curl := director.handlers.get("CurlCFFI")) is not None:
        # An empty "no" means no exceptions; without it libcurl reads NO_PROXY itself.
        curl.proxies = {"all": proxy, "no": ""}
    if (plain := director.handlers.get("Urllib")) is not None:
        plain._create_instance = _with_proxy(plain._create_instance, proxy)


def forget_other_proxies(request: Any) -> None:
    """Remove from *request*, yt-dlp's own or urllib's, any proxy of its own."""
    if hasattr(request, "proxies"):
        request.proxies = {}
    if hasattr(request, "headers"):
        request.headers.pop("Ytdl-request-proxy", None)


def _with_proxy(create: Callable[..., Any], proxy: str) -> Callable[..., Any]:
    def create_with_proxy(*args: Any, **kwargs: Any) -> Any:
        opener = create(*args, **kwargs)
        for handler in opener.handlers:
            if type(handler).__name__ == "ProxyHandler":
                # urllib looks these names up for each request.
                handler.http_open = handler.https_open = handler.ftp_open = _opener(handler, proxy)
        return opener

    return create_with_proxy


def _opener(handler: Any, proxy: str) -> Callable[[Any], Any]:
    """Return what urllib's own ProxyHandler does, without its check for excepted hosts."""
    parts = urlsplit(proxy)
    credential = basic(parts.username or "", parts.password or "")

    def open_by_proxy(request: Any) -> Any:
        scheme = request.type
        request.add_header("Proxy-authorization", credential)
        request.set_proxy(f"{parts.hostname}:{parts.port}", "http")
        # None: the scheme's handler continues. A scheme that the proxy does not speak starts over as http.
        return None if scheme in ("http", "https") else handler.parent.open(request, timeout=request.timeout)

    return open_by_proxy


class GuardedRequests:
    """Replaces yt-dlp's `urlopen`: refuses private addresses, bounds pages, and remembers the last failure.

    It sees only URLs, so the egress proxy checks again; but it can tell what was wrong. Some extractors swallow a
    refused request and then report that they cannot read the page.
    """

    def __init__(
        self, send: Callable[[Any], Any], *, allow_private: bool, stop: threading.Event, meter: ProgressMeter
    ) -> None:
        """Send requests by *send*, yt-dlp's own `urlopen`; refuse them all once *stop* is set."""
        self._send = send
        self._allow_private = allow_private
        self._stop = stop
        self._meter = meter
        self.last_failure: Exception | None = None  #: None if the last request was answered
        # yt-dlp leaves unwanted responses, with their sockets, to the garbage collector.
        self._responses: weakref.WeakSet[Any] = weakref.WeakSet()

    def __call__(self, request: Any) -> Any:
        if self._stop.is_set():
            raise DownloadFailed("interrupted")
        self._refuse_private(request if isinstance(request, str) else request.url, "a request")
        forget_other_proxies(request)
        try:
            response = self._send(request)
        except Exception as error:
            self.last_failure = error
            if refusal := getattr(error, "response", None):
                self._responses.add(refusal)
                _limit_size(refusal)
                self._meter.sign_of_life()
            if getattr(error, "status", None) == 416 and not isinstance(request, str):
                # The part is complete, but was not renamed. yt-dlp then requests the whole file to compare its length;
                # but all its requests for one file share their headers.
                request.headers.pop("Range", None)
            if (found := classify(error)).code == "blocked_address":
                # As an error that no extractor swallows.
                raise DownloadFailed("blocked_address", detail=found.detail) from error
            raise
        self._responses.add(response)
        _limit_size(response)
        self._meter.sign_of_life()
        self.last_failure = None
        self._refuse_private(response.url, "a redirect")
        return response

    def close(self) -> None:
        """Close every response that is still open."""
        for response in tuple(self._responses):
            response.close()

    def _refuse_private(self, url: str, what: str) -> None:
        if not self._allow_private and is_private(url):
            raise DownloadFailed("blocked_address", detail=f"{what} to a private address was refused")


def _limit_size(response: Any) -> None:
    """Have *response*, where it is read in one go, end with DownloadFailed beyond MAX_PAGE_BYTES."""
    read = type(response).read
    # A weak reference: one in a cycle would be closed late.
    weak = weakref.ref(response)

    def read_limited(amt: int | None = None) -> bytes:
        if amt is not None:
            return read(weak(), amt)  # type: ignore[no-any-return]  # yt-dlp comes without types
        chunks: list[bytes] = []
        size = 0
        while chunk := read(weak(), _CHUNK_BYTES):
            size += len(chunk)
            if size > MAX_PAGE_BYTES:
                raise DownloadFailed("platform_changed", detail=f"a page of more than {MAX_PAGE_BYTES} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    response.read = read_limited
