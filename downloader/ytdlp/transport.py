"""What a download thread keeps from one attempt to the next: its access to the network, with the open connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from downloader.egress.connections import Connections
from downloader.ytdlp.reuse import ReusableYoutubeDL

# yt_dlp is imported where it is used, as in `ytdlp.client`.

#: The unpacked size of what yt-dlp reads in one go: a page, a playlist, a script. Large ones have a few megabytes.
MAX_PAGE_BYTES = 32 * 1024**2


class Transport:
    """Connections through one egress proxy, kept open between requests; to be used by one attempt at a time.

    It holds nothing of an attempt: no cookies, headers or settings. After an attempt that failed it is to be closed.
    """

    def __init__(self, proxy: str) -> None:
        """Send all requests by *proxy*, an http:// URL with a credential."""
        self.proxy = proxy
        self._connections = Connections(proxy)
        self._pages: Any = None
        self._reusable: ReusableYoutubeDL | None = None

    @contextmanager
    def youtube_dl(self, options: Mapping[str, Any]) -> Iterator[Any]:
        """Yield a YoutubeDL with *options*, whose every request goes by these connections.

        It is used again for the next download, unless an exception ends the `with` block.
        """
        import yt_dlp

        reusable, self._reusable = self._reusable, None
        if reusable is not None and not reusable.suits(options):
            reusable.close()
            reusable = None
        if reusable is None:
            # A copy, because yt-dlp adds to its options.
            reusable = ReusableYoutubeDL(yt_dlp.YoutubeDL(dict(options), auto_init=False), options)
            self.install(reusable.ydl)
        try:
            yield reusable.start(options)
        except BaseException:
            reusable.close()
            raise
        self._reusable = reusable

    def install(self, ydl: Any) -> None:
        """Have *ydl*, a new YoutubeDL, send every request on these connections, whatever its options say."""
        if not hasattr(ydl, "build_request_director"):  # a test's stand-in
            return
        from yt_dlp.networking.common import _RH_PREFERENCES

        from downloader.ytdlp.handlers import DataRH, GuardedRH

        handlers = [GuardedRH, DataRH]
        try:
            from downloader.ytdlp.curl import GuardedCurlRH

            handlers.append(GuardedCurlRH)
        except ImportError:
            pass  # yt-dlp then says that it cannot look like a browser
        director = ydl.build_request_director(handlers, _RH_PREFERENCES)
        director.handlers["Guarded"].connections = self._connections
        if (curl := director.handlers.get("GuardedCurl")) is not None:
            curl.proxy, curl.session = self.proxy, self._page_session()
        if "_request_director" in vars(ydl):  # built to check the option `impersonate`
            ydl._request_director.close()
        ydl._request_director = director

    def _page_session(self) -> Any:
        from downloader.ytdlp.curl import PageSession

        self._pages = self._pages or PageSession(MAX_PAGE_BYTES)
        return self._pages

    def close(self) -> None:
        """Close all connections."""
        if self._reusable is not None:
            self._reusable.close()
        self._connections.close()
        if self._pages is not None:
            self._pages.close()
