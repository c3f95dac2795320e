"""Ties yt-dlp's network to one proxy, whatever the environment, the operator's options or an extractor would prefer.

yt-dlp hands the proxy that it is told to urllib, requests and libcurl. Two of them then ask the environment once more
whether a host is better reached without: in a worker there is no NO_PROXY, but in a program that uses us as a library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from downloader.egress.http import basic


def tie_to_proxy(ydl: Any, proxy: str) -> None:
    """Have every handler of *ydl* send every request by *proxy*, an http:// URL with a credential."""
    director = getattr(ydl, "_request_director", None)
    if director is None:  # a test's stand-in for YoutubeDL
        return
    for handler in director.handlers.values():
        # Also where an option, a header even, named another.
        handler.proxies = {"all": proxy}
    if (curl := director.handlers.get("CurlCFFI")) is not None:
        # "No exceptions": without this word libcurl looks for NO_PROXY itself.
        curl.proxies = {"all": proxy, "no": ""}
    if (plain := director.handlers.get("Urllib")) is not None:
        plain._create_instance = _tied(plain._create_instance, proxy)


def tie_request(request: Any) -> None:
    """Take from *request*, yt-dlp's own or urllib's, the wish to go another way."""
    if hasattr(request, "proxies"):
        request.proxies = {}
    if hasattr(request, "headers"):
        request.headers.pop("Ytdl-request-proxy", None)


def _tied(create: Callable[..., Any], proxy: str) -> Callable[..., Any]:
    def create_tied(*args: Any, **kwargs: Any) -> Any:
        opener = create(*args, **kwargs)
        for handler in opener.handlers:
            if type(handler).__name__ == "ProxyHandler":
                # Looked up by these names for each request.
                handler.http_open = handler.https_open = handler.ftp_open = _opener(handler, proxy)
        return opener

    return create_tied


def _opener(handler: Any, proxy: str) -> Callable[[Any], Any]:
    """Return what urllib's own ProxyHandler does, less its question whether a host is an exception."""
    parts = urlsplit(proxy)
    credential = basic(parts.username or "", parts.password or "")

    def open_by_proxy(request: Any) -> Any:
        scheme = request.type
        request.add_header("Proxy-authorization", credential)
        request.set_proxy(f"{parts.hostname}:{parts.port}", "http")
        # None: the handler of the scheme goes on with it. A scheme that the proxy does not speak begins anew as http.
        return None if scheme in ("http", "https") else handler.parent.open(request, timeout=request.timeout)

    return open_by_proxy
