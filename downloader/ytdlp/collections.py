"""Lists a collection, such as a playlist or a profile: its posts, page by page; downloads nothing."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

from downloader.errors import DownloadFailed
from downloader.jobs import Entry, Page
from downloader.models import Outcome
from downloader.platforms import DESTINATIONS, Platform
from downloader.presets import ListingOrder
from downloader.ytdlp.client import FetchContext, guarded
from downloader.ytdlp.errors import blame, classify
from downloader.ytdlp.extractors import add_collection_extractors
from downloader.ytdlp.failures import failed
from downloader.ytdlp.finder import collection_at
from downloader.ytdlp.hooks import interruptible_backoff
from downloader.ytdlp.lean import make_lean
from downloader.ytdlp.network import GuardedRequests
from downloader.ytdlp.options import ytdlp_options
from downloader.ytdlp.progress import ProgressMeter
from downloader.ytdlp.transport import Transport
from downloader.ytdlp.walk import Bounds, Walk

log = logging.getLogger(__name__)

MAX_PAGE_ENTRIES = 100

#: How the platforms refuse a continuation that has expired.
_EXPIRED = (400, 404, 410)


def list_collection(
    platform: Platform,
    url: str,
    context: FetchContext,
    *,
    limit: int,
    order: ListingOrder = "newest",
    since: date | None = None,
    skip: int = 0,
    report: Callable[[Page], None],
    bounds: Bounds = Bounds(),  # noqa: B008 -- immutable
) -> Outcome:
    """List at most *limit* posts of the collection at *url*, after the first *skip*; blocking.

    Calls *report* in this thread with each page as it comes; the last one has `is_last`. `newest` is the platform's own
    order, `oldest` the reverse: then all is listed, within *bounds*, before the first report. No platform can start in
    the middle, so skipped entries are listed too.

    Returns:
        A success without a file; or why listing ended early, after the reported entries. Never raises for a fault of
        the platform or the link.
    """
    listing = _Listing(platform, url, context, report, limit=limit, skip=skip, order=order)
    return guarded(platform, context, lambda transport: listing.outcome(transport, since, bounds))


class _Listing:
    """One listing of a collection: takes what is wanted of a walk through it, and reports it in pages."""

    def __init__(
        self,
        platform: Platform,
        url: str,
        context: FetchContext,
        report: Callable[[Page], None],
        *,
        limit: int,
        skip: int,
        order: ListingOrder,
    ) -> None:
        self._platform = platform
        self._url = url
        self._context = context
        self._report = report
        self._limit = limit
        self._skip = skip
        self._order = order
        self._noun = "post"
        self._position = skip
        self._pending: list[Entry] = []
        self._walk: Walk | None = None

    def outcome(self, transport: Transport, since: date | None, bounds: Bounds) -> Outcome:
        """Return what came of it. Never raises."""
        try:
            self._run(transport, since, bounds)
        except Exception as error:
            failure = classify(error)
            settings = self._context.settings
            return failed("listing failed", self._platform, self._url, settings, failure, error, noun=self._noun)
        facts = {"platform": self._platform.name, "url": self._url, "entries": self._position - self._skip}
        log.info("collection listed", extra=facts)
        return Outcome(True)

    def _run(self, transport: Transport, since: date | None, bounds: Bounds) -> None:
        meter = ProgressMeter(self._context.report, self._context.job_id)
        with transport.youtube_dl(self._options(transport, since)) as ydl:
            make_lean(ydl)
            ydl.urlopen = requests = GuardedRequests(
                ydl.urlopen,
                allow_private=self._context.settings.allow_private_addresses,
                stop=self._context.stop,
                meter=meter,
            )
            add_collection_extractors(ydl, self._platform)
            self._walk = Walk(ydl, self._platform, bounds, since=since, before_request=self._flush)
            try:
                target = collection_at(self._platform, self._url)
                self._noun = DESTINATIONS[target.destination or "page"].removeprefix("a ")
                self._take(self._walk, self._walk.entries(target))
            except Exception as error:
                self._flush()
                raise self._translate(error, requests.last_failure) from error
            finally:
                requests.close()

    def _options(self, transport: Transport, since: date | None) -> dict[str, Any]:
        options = ytdlp_options(self._platform, self._context.settings, Path(), proxy=transport.proxy)
        args = dict(options.get("extractor_args") or {})
        if since is not None:
            args["youtubetab"] = {**args.get("youtubetab", {}), "approximate_date": ["1"]}
        pauses = options.get("retry_sleep_functions") or {}
        return options | {
            "noplaylist": False,
            "playlist_items": "0",  # has yt-dlp return a channel's further tabs unread
            "extractor_args": args,
            "progress_hooks": [],
            "postprocessor_hooks": [],
            "retry_sleep_functions": interruptible_backoff(pauses, self._context.stop),
        }

    def _take(self, walk: Walk, entries: Iterator[Entry]) -> None:
        """Report the wanted *entries* of *walk*, and at last that there are no more."""
        first, end = self._skip, self._skip + self._limit
        if self._order == "newest":
            wanted: Iterator[Entry] = islice(entries, first, end)
        else:
            total, kept = 0, deque[Entry](maxlen=end)
            for entry in entries:
                self._check_stop()
                total += 1
                kept.append(entry)
            wanted = islice(reversed(kept), first, end)
        for entry in wanted:
            self._check_stop()
            if len(self._pending) == MAX_PAGE_ENTRIES:
                self._flush()
            self._pending.append(entry)
        taken_all = self._position + len(self._pending) == end
        has_more = total > end if self._order == "oldest" else taken_all and walk.has_more(entries)
        self._send(is_last=True, has_more=has_more)

    def _flush(self) -> None:
        """Report what has come: the next request may take long, or fail."""
        if self._pending:
            self._send()

    def _send(self, *, is_last: bool = False, has_more: bool = False) -> None:
        walk, entries = self._walk, tuple(self._pending)
        assert walk is not None
        self._pending.clear()
        self._position += len(entries)
        is_whole = is_last and not has_more and not walk.is_cut
        # Platforms count doubles too, and what was posted before *since*.
        found = max(walk.yielded, self._position) if is_whole else walk.found
        if found is not None and not is_whole and found < self._position + has_more:
            found = None  # a list that grows, or has no end
        page = Page(
            entries=entries,
            position=self._position,
            found=found,
            title=walk.title,
            uploader=walk.uploader,
            note=" ".join(walk.notes) or None,
            is_last=is_last,
            has_more=has_more,
        )
        self._report(page)

    def _check_stop(self) -> None:
        if self._context.stop.is_set():
            raise DownloadFailed("interrupted")

    def _translate(self, error: Exception, last_request: Exception | None) -> DownloadFailed:
        found = blame(classify(error), last_request)
        has_begun = self._walk is not None and self._walk.seen > 0
        if has_begun and getattr(last_request, "status", None) in _EXPIRED:
            # Another listing starts from the beginning.
            return DownloadFailed("server_error", detail=f"the continuation was refused: {found.detail}")
        if found.code == "platform_changed" and not has_begun:
            # TikTok's extractor continues without the profile's page, and then misses something in it.
            if self._walk is not None and self._walk.was_sent_to_login:
                return DownloadFailed("login_required", detail=found.detail)
            if last_request is not None:
                return classify(last_request)
        # yt-dlp was given a good link; but a channel need not have the tab.
        if found.code == "invalid_url" and not isinstance(error, DownloadFailed):
            return DownloadFailed("no_video", detail=found.detail)
        return found
