"""Takes out of a YoutubeDL object what costs processor time and does nothing here: figures in docs/benchmarks.md.

All of it is optional: where a newer yt-dlp is built otherwise, it works as before, only not as cheaply.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

#: A block is read and written at once, and lost if the process dies meanwhile: at most a tenth of a second's worth.
#: For each there is some bookkeeping, which for the smallest costs more than the reading; larger ones than these gain
#: nothing, and are pieces of memory that the process asks the system for each time.
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES = 16 * 1024, 256 * 1024
_BLOCK_SECONDS = 0.1

#: What has piled up in sockets comes quickly, and says nothing of what follows: blocks grow slowly beyond this size, so
#: that they are not large yet when it has all been read.
_BURST_BLOCK_BYTES, _GROWTH = 64 * 1024, 1.2

#: A template that consists of text and fields of their own, without arithmetic, dates or conditions.
_FIELD = r"%\((\w+)(?:\|\w*)?\)(?:\.\d+)?[sB]"
_PLAIN_FIELD = re.compile(_FIELD)
_PLAIN_TEMPLATE = re.compile(rf"(?:[^%]|%%|{_FIELD})+")

_CONTEXTS: dict[tuple[Any, ...], ssl.SSLContext] = {}
_LOCK = threading.Lock()


def make_lean(ydl: Any) -> None:
    """Have *ydl* do without what its options do not ask for, and share what is the same for every object."""
    _adapt_classes()
    ydl.is_lean = not getattr(ydl, "params", {}).get("progress_template")
    if not _prints(getattr(ydl, "params", {})):
        # It draws tables of formats, thumbnails and subtitles seven times for each video, and throws them away.
        ydl._forceprint = lambda key, info: info
    if fields := _named_fields(ydl):
        ydl.evaluate_outtmpl = _remembering(ydl.evaluate_outtmpl, ydl.params["outtmpl"]["default"], fields)
    director = getattr(ydl, "_request_director", None)
    for handler in () if director is None else director.handlers.values():
        if hasattr(handler, "_make_sslcontext"):
            handler._make_sslcontext = _shared(handler, handler._make_sslcontext)


def _named_fields(ydl: Any) -> tuple[str, ...]:
    """Return the fields that the names of *ydl*'s files are made of, where that is easy to tell; else none."""
    templates = getattr(ydl, "params", {}).get("outtmpl")
    template = templates.get("default") if isinstance(templates, Mapping) else None
    if not isinstance(template, str) or not _PLAIN_TEMPLATE.fullmatch(template):
        return ()
    # The width of a number in a playlist is that of the last one.
    return (*_PLAIN_FIELD.findall(template), "__last_playlist_index", "n_entries")


def _remembering(evaluate: Callable[..., str], template: str, fields: tuple[str, ...]) -> Callable[..., str]:
    """Return *evaluate*, which need not put a file's name together again that it was asked for before.

    For each video it is asked five times, and takes a quarter of a millisecond.
    """
    known: dict[tuple[Any, ...], str] = {}

    def evaluate_once(wanted: str, info: dict[str, Any], *args: Any, **more: Any) -> str:
        if wanted != template or more:
            return evaluate(wanted, info, *args, **more)
        key = (*args, *(repr(info.get(field)) for field in fields))
        if key not in known:
            known[key] = evaluate(wanted, info, *args)
        return known[key]

    return evaluate_once


def _prints(options: Mapping[str, Any]) -> bool:
    wishes = ("print_to_file", *(name for name in options if name.startswith("force")))
    return any(options.get(name) for name in wishes)


def block_size(elapsed_seconds: float, size: int) -> int:
    """Return how many bytes to read next, where *size* took *elapsed_seconds*."""
    worth = size / elapsed_seconds * _BLOCK_SECONDS if elapsed_seconds > 0 else MAX_BLOCK_BYTES
    grown = 2 * size if 2 * size <= _BURST_BLOCK_BYTES else max(_BURST_BLOCK_BYTES, size * _GROWTH)
    return int(max(MIN_BLOCK_BYTES, min(worth, grown, MAX_BLOCK_BYTES)))


@cache
def _adapt_classes() -> None:
    """Adapt what yt-dlp makes objects of by itself; those of a YoutubeDL that is not lean stay as they were."""
    from yt_dlp.downloader.common import FileDownloader
    from yt_dlp.postprocessor.common import PostProcessor

    def adapted(kind: Any, name: str, owner: str, ours: Callable[..., Any]) -> None:
        theirs = getattr(kind, name)

        def method(self: Any, *args: Any) -> Any:
            if getattr(getattr(self, owner, None), "is_lean", False):
                return ours(*args)
            return theirs(*args) if static else theirs(self, *args)

        static = isinstance(vars(kind).get(name), staticmethod)
        setattr(kind, name, method)

    # Lines of progress, which nobody sees, are made of templates: 10 for each video, a quarter of a millisecond each.
    adapted(FileDownloader, "report_progress", "ydl", lambda status: None)
    adapted(PostProcessor, "report_progress", "_downloader", lambda status: None)
    adapted(FileDownloader, "best_block_size", "ydl", block_size)


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
