"""yt-dlp's request handler for requests that must look like a browser's, by libcurl. Loads yt-dlp.

Importing it raises ImportError where curl_cffi is missing, or of a version that yt-dlp does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import curl_cffi.requests
from curl_cffi.const import CurlOpt
from curl_cffi.curl import CURL_WRITEFUNC_ERROR
from yt_dlp.networking._curlcffi import CurlCFFIRH

from downloader.egress.connections import MAX_AGE_SECONDS, MAX_IDLE_SECONDS

_PIECE_BYTES = 64 * 1024


class GuardedCurlRH(CurlCFFIRH):  # type: ignore[misc]  # yt-dlp comes without types
    """Sends requests in a kept `session`, by `proxy` only."""

    proxy: str
    session: PageSession

    def _get_proxies(self, request: Any) -> dict[str, str]:
        # An empty "no" means no exceptions; without it libcurl reads NO_PROXY itself.
        return {"all": self.proxy, "no": ""}

    def _check_proxies(self, proxies: Any) -> None:
        """Accept whatever a request names; it is not used."""

    def _get_instance(self, *, cookiejar: Any) -> PageSession:
        self.session.cookies = cookiejar
        return self.session


class PageSession(curl_cffi.requests.Session):  # type: ignore[type-arg]
    """A session whose connections stay open from one page to the next.

    yt-dlp asks for streams. For each of them curl_cffi copies the libcurl handle, starts a thread, and closes the
    copy with its connection at the end. A page is read in one go anyway, so it is not streamed; media still are.
    """

    def __init__(self, max_page_bytes: int) -> None:
        """Read little more than *max_page_bytes* of a page, unpacked."""
        super().__init__()
        self._max_page_bytes = max_page_bytes

    def request(self, method: Any, url: str, **options: Any) -> Any:  # type: ignore[override]  # it names all options
        """Send a request; see curl_cffi. The response can be read as if it were streamed."""
        if not options.get("stream") or _is_for_media(options.get("headers") or {}):
            return super().request(method, url, **options)
        page = bytearray()

        def receive(data: bytes) -> int:
            page.extend(data)
            return len(data) if len(page) <= self._max_page_bytes else CURL_WRITEFUNC_ERROR

        # As an option it would limit the whole transfer; what limits silence has been set by yt-dlp.
        connect_seconds, _ = options["timeout"]
        self.curl.setopt(CurlOpt.CONNECTTIMEOUT_MS, int(connect_seconds * 1000))
        self.curl.setopt(CurlOpt.MAXAGE_CONN, int(MAX_IDLE_SECONDS))
        self.curl.setopt(CurlOpt.MAXLIFETIME_CONN, int(MAX_AGE_SECONDS))
        options |= {"stream": False, "timeout": None, "content_callback": receive}
        failure: Exception | None = None
        try:
            response = super().request(method, url, **options)
        except curl_cffi.requests.errors.RequestsError as error:
            response = error.response
            failure = error if len(page) <= self._max_page_bytes else None  # GuardedRequests says that it is too long
            if not page:  # else reading it raises the error, as with a stream
                if response is not None:
                    response.iter_content = partial(_pieces, page, None)
                raise
        except BaseException:
            self.curl.reset()  # or options of this request would stay for the next one
            raise
        response.iter_content = partial(_pieces, page, failure)
        return response


def _pieces(page: bytearray, failure: Exception | None) -> Iterator[bytes]:
    # yt-dlp's reader copies what it has not handed on yet with each block that it reads.
    for start in range(0, len(page), _PIECE_BYTES):
        yield bytes(page[start : start + _PIECE_BYTES])
    if failure is not None:
        raise failure


def _is_for_media(headers: Mapping[str, str]) -> bool:
    """Tell whether the request is for media, which are not compressed any further."""
    return any(name.lower() == "accept-encoding" and value == "identity" for name, value in headers.items())
