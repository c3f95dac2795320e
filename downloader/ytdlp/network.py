"""What yt-dlp may request: public addresses only, pages of limited size, nothing after a stop."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from downloader.egress.policy import is_private
from downloader.errors import DownloadFailed
from downloader.ytdlp.errors import classify
from downloader.ytdlp.progress import ProgressMeter
from downloader.ytdlp.transport import MAX_PAGE_BYTES

_CHUNK_BYTES = 64 * 1024


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
        url = request if isinstance(request, str) else request.url
        self._refuse_private(url, "a request")
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
        if response.url != url:
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
