"""What every request of yt-dlp passes through: none to a private address, no page without end."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from downloader.egress.policy import is_private
from downloader.errors import DownloadFailed
from downloader.ytdlp.errors import classify
from downloader.ytdlp.progress import ProgressMeter
from downloader.ytdlp.proxying import tie_request

#: What yt-dlp reads at once may have, unpacked: a page, a playlist, a script. Those of a few megabytes are large.
MAX_PAGE_BYTES = 32 * 1024**2

_PIECE_BYTES = 64 * 1024


class Requests:
    """Stands between yt-dlp and its network: refuses private addresses, notes answers and what went wrong last.

    It sees URLs only, which is why the proxy looks again; but it can say what is wrong. Some extractors swallow a
    refused request and then say that they cannot read the page.
    """

    def __init__(
        self, send: Callable[[Any], Any], *, allow_private: bool, stop: threading.Event, meter: ProgressMeter
    ) -> None:
        """Take the place of *send*, yt-dlp's own `urlopen`; refuse every request once *stop* is set."""
        self._send = send
        self._allow_private = allow_private
        self._stop = stop
        self._meter = meter
        self.last_failure: Exception | None = None  #: None where the last request was answered
        # yt-dlp leaves answers it does not like to the garbage collector, and their sockets with them.
        self._responses: weakref.WeakSet[Any] = weakref.WeakSet()

    def __call__(self, request: Any) -> Any:
        if self._stop.is_set():
            raise DownloadFailed("interrupted")
        self._refuse_private(request if isinstance(request, str) else request.url, "a request")
        tie_request(request)
        try:
            response = self._send(request)
        except Exception as error:
            self.last_failure = error
            if refusal := getattr(error, "response", None):
                self._responses.add(refusal)
                _bound(refusal)
                self._meter.sign_of_life()
            if getattr(error, "status", None) == 416 and not isinstance(request, str):
                # The part is complete, and was not renamed. yt-dlp then wants to ask for the whole file, to compare its
                # length; but its requests for one file share their headers.
                request.headers.pop("Range", None)
            if (found := classify(error)).code == "blocked_address":
                # Not for the extractor to swallow.
                raise DownloadFailed("blocked_address", detail=found.detail) from error
            raise
        self._responses.add(response)
        _bound(response)
        self._meter.sign_of_life()
        self.last_failure = None
        self._refuse_private(response.url, "a redirect")
        return response

    def close(self) -> None:
        """Close every answer that is still open."""
        for response in tuple(self._responses):
            response.close()

    def _refuse_private(self, url: str, what: str) -> None:
        if not self._allow_private and is_private(url):
            raise DownloadFailed("blocked_address", detail=f"{what} to a private address was refused")


def _bound(response: Any) -> None:
    """Have *response*, where it is read at once, be read no further than MAX_PAGE_BYTES."""
    read = type(response).read
    # Not itself: who is in a circle is closed late.
    weak = weakref.ref(response)

    def read_bounded(amt: int | None = None) -> bytes:
        if amt is not None:
            return read(weak(), amt)  # type: ignore[no-any-return]  # yt-dlp comes without types
        pieces: list[bytes] = []
        size = 0
        while piece := read(weak(), _PIECE_BYTES):
            size += len(piece)
            if size > MAX_PAGE_BYTES:
                raise DownloadFailed("platform_changed", detail=f"a page of more than {MAX_PAGE_BYTES} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    response.read = read_bounded
