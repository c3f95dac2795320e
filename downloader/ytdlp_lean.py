"""Takes out of a YoutubeDL object what costs processor time and does nothing here: figures in docs/benchmarks.md.

All of it is optional: where a newer yt-dlp is built otherwise, it works as before, only not as cheaply.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any

_CONTEXTS: dict[tuple[Any, ...], ssl.SSLContext] = {}
_LOCK = threading.Lock()


def make_lean(ydl: Any) -> None:
    """Have *ydl* do without what its options do not ask for, and share what is the same for every object."""
    if not _prints(getattr(ydl, "params", {})):
        # It draws tables of formats, thumbnails and subtitles seven times for each video, and throws them away.
        ydl._forceprint = lambda key, info: info
    director = getattr(ydl, "_request_director", None)
    for handler in () if director is None else director.handlers.values():
        if hasattr(handler, "_make_sslcontext"):
            handler._make_sslcontext = _shared(handler, handler._make_sslcontext)


def _prints(options: Mapping[str, Any]) -> bool:
    wishes = ("print_to_file", *(name for name in options if name.startswith("force")))
    return any(options.get(name) for name in wishes)


def _shared(handler: Any, make: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    """Return *make*, but with one context for all handlers that want the same: to load certificates takes 16 ms."""

    def make_once(**wishes: Any) -> ssl.SSLContext:
        own = sorted((getattr(handler, "_client_cert", None) or {}).items())
        means = (handler.verify, handler.prefer_system_certs, handler.legacy_ssl_support)
        key = (type(handler).__name__, *means, *own, *sorted(wishes.items()))
        with _LOCK:
            if key not in _CONTEXTS:
                _CONTEXTS[key] = make(**wishes)
            return _CONTEXTS[key]

    return make_once
