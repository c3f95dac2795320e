"""Removes from yt-dlp what costs processor time and does nothing here; measured in docs/benchmarks.md.

All of it is optional: a newer yt-dlp that is built differently works as before, only more slowly.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

#: A block is lost if the process dies before it is written, so it holds at most a tenth of a second's worth. Below the
#: minimum, bookkeeping costs more than reading; above the maximum there is no gain, and memory is allocated each time.
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES = 16 * 1024, 256 * 1024
BLOCK_SECONDS = 0.1

#: Bytes already buffered in sockets arrive fast, and say nothing about those that follow: beyond this size blocks grow
#: slowly, so that they are still small when the buffers are empty.
_BURST_BLOCK_BYTES, _GROWTH = 64 * 1024, 1.2

#: The names of unfinished files. They contain the format, so that an attempt never resumes a file of another format.
NAME_TEMPLATE = "%(playlist_index|1)s-%(id).60B-%(format_id).40B.%(ext)s"
#: What they depend on: yt-dlp pads the index to the width of the last one.
_NAME_FIELDS = ("playlist_index", "id", "format_id", "ext", "__last_playlist_index", "n_entries")

_CONTEXTS: dict[tuple[Any, ...], ssl.SSLContext] = {}
_LOCK = threading.Lock()


def make_lean(ydl: Any) -> None:
    """Have *ydl* skip output that its options do not ask for, render a name once, and share TLS contexts."""
    _adapt_classes()
    options = getattr(ydl, "params", {})
    ydl.is_lean = not options.get("progress_template")
    if not _prints(options):
        # yt-dlp renders tables of formats, thumbnails and subtitles seven times per video, and drops them.
        ydl._forceprint = lambda key, info: info
    if hasattr(ydl, "evaluate_outtmpl"):
        ydl.evaluate_outtmpl = _remembering_names(ydl.evaluate_outtmpl)
    director = getattr(ydl, "_request_director", None)
    for handler in () if director is None else director.handlers.values():
        if hasattr(handler, "_make_sslcontext"):
            handler._make_sslcontext = _shared(handler, handler._make_sslcontext)


def _prints(options: Mapping[str, Any]) -> bool:
    names = ("print_to_file", *(name for name in options if name.startswith("force")))
    return any(options.get(name) for name in names)


def _remembering_names(evaluate: Callable[..., str]) -> Callable[..., str]:
    """Return *evaluate*, but rendering a file's name once, instead of five times at a quarter of a millisecond each."""
    known: dict[tuple[Any, ...], str] = {}

    def evaluate_once(template: str, info: Mapping[str, Any], *args: Any, **options: Any) -> str:
        if options or not template.endswith(NAME_TEMPLATE):
            return evaluate(template, info, *args, **options)
        key = (template, *args, *(repr(info.get(field)) for field in _NAME_FIELDS))
        if key not in known:
            known[key] = evaluate(template, info, *args)
        return known[key]

    return evaluate_once


def block_size(elapsed_seconds: float, size: int) -> int:
    """Return how many bytes to read next, after *size* bytes took *elapsed_seconds*."""
    worth = size / elapsed_seconds * BLOCK_SECONDS if elapsed_seconds > 0 else MAX_BLOCK_BYTES
    grown = 2 * size if 2 * size <= _BURST_BLOCK_BYTES else max(_BURST_BLOCK_BYTES, size * _GROWTH)
    return int(max(MIN_BLOCK_BYTES, min(worth, grown, MAX_BLOCK_BYTES)))


@cache
def _adapt_classes() -> None:
    """Patch yt-dlp's classes once; objects of a YoutubeDL that is not lean behave as before."""
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

    # Progress lines, which are not shown, are rendered from templates: 10 per video, a quarter of a millisecond each.
    adapted(FileDownloader, "report_progress", "ydl", lambda status: None)
    adapted(PostProcessor, "report_progress", "_downloader", lambda status: None)
    adapted(FileDownloader, "best_block_size", "ydl", block_size)


def _shared(handler: Any, make: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    """Return *make*, but with one context for all handlers with the same options: loading certificates takes 16 ms."""

    def make_once(**arguments: Any) -> ssl.SSLContext:
        own = sorted((getattr(handler, "_client_cert", None) or {}).items())
        options = (handler.verify, handler.prefer_system_certs, handler.legacy_ssl_support)
        key = (type(handler).__name__, *options, *own, *sorted(arguments.items()))
        with _LOCK:
            if key not in _CONTEXTS:
                _CONTEXTS[key] = make(**arguments)
            return _CONTEXTS[key]

    return make_once
