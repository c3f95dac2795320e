"""Walks through a collection by yt-dlp's extractors, page by page and within bounds.

yt-dlp's entries are generators that request the next page when it is needed; what they yield describes a post, or a
further list, such as a channel's tab.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from downloader.errors import DownloadFailed, ErrorCode, sentence
from downloader.jobs import Entry
from downloader.media.details import bounded_text, uploaded_at_of
from downloader.platform_detector import LinkTarget, read_link
from downloader.platforms import Platform
from downloader.presets import MAX_ENTRIES
from downloader.ytdlp.errors import classify

_MAX_REDIRECTS = 5

#: More entries than that no list has; databases take no larger number.
MAX_DECLARED = 2**31

#: A profile may show a few old posts first.
_OLDER_IN_A_ROW = 10

#: Pages in a row on which nothing is new, or nothing at all. TikTok's are empty for each week without a post.
_STALE_PAGES, _EMPTY_PAGES = 2, 200

#: What comes first of a channel; its other tabs, such as its videos, have rank 0.
_TAB_RANKS = {"shorts": 1, "streams": 2}
_NEWEST_FIRST = ("/videos", "/shorts", "/streams")

#: Errors that say nothing about the other lists of a collection; `invalid_url`: a tab that is not there.
_OF_ONE_LIST: frozenset[ErrorCode] = frozenset({"private", "removed", "login_required", "no_video", "invalid_url"})

#: YouTube's mixes are named after a video, except for those that it made for all.
_MIX = re.compile(r"playlist\?list=(?P<id>RD(?!CL)[A-Z]{0,5}?(?P<video>[A-Za-z0-9_-]{11}))")

_BROKEN_TITLES: Mapping[str, ErrorCode] = {"[Private video]": "private", "[Deleted video]": "removed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far a collection is read at most."""

    entries: int = MAX_ENTRIES
    requests: int = 1_000
    seconds: float = 900.0


class _Enough(Exception):
    """A bound is reached; str() is a sentence."""


class _Repeats(Exception):
    """A list yields the same entries over and over."""


class _Offline(Exception):
    """A request would have been needed."""


class _Pages:
    """What one list has yielded, to notice that it has no end."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._came = self._new = self._stale = self._empty = 0

    def take(self, id: str) -> None:
        """Note an entry."""
        self._came += 1
        self._new += id not in self._known
        self._known.add(id)

    def turn(self) -> None:
        """Note that the next page is requested. Raises _Repeats if the last ones had nothing new."""
        self._empty = 0 if self._came else self._empty + 1
        if self._came:
            self._stale = 0 if self._new else self._stale + 1
        self._came = self._new = 0
        if self._stale >= _STALE_PAGES or self._empty >= _EMPTY_PAGES:
            raise _Repeats


class Walk:
    """A walk through one collection."""

    def __init__(
        self,
        ydl: Any,
        platform: Platform,
        bounds: Bounds,
        *,
        since: date | None = None,
        before_request: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the extractors and the `urlopen` of *ydl*; call *before_request* before each request."""
        self.notes: dict[str, None] = {}  #: sentences on what is missing, in order
        self.found: int | None = None  #: how many entries the platform says that there are
        self.title: str | None = None
        self.uploader: str | None = None
        self.seen = 0  #: entries, of any kind
        self.was_sent_to_login = False
        self.is_cut = False  #: a bound was reached, or it has no end
        self._ydl = ydl
        self._platform = platform
        self._bounds = bounds
        self._since = since
        self._before_request = before_request
        self._clock = clock
        self._ends_at = clock() + bounds.seconds
        self._requests = 0
        self._is_offline = False
        self._is_incomplete = False
        self._posts: set[str] = set()
        self._lists: set[str] = set()
        self._pages = _Pages()
        self._watch()

    @property
    def yielded(self) -> int:
        """How many entries there were."""
        return len(self._posts)

    def entries(self, target: LinkTarget) -> Iterator[Entry]:
        """Yield the posts of the collection *target*, each once, in the platform's order."""
        try:
            collection = self._resolve(_start(target))
            self.found = declared_count(collection.get("playlist_count"))
            self.title = bounded_text(collection.get("title"))
            self.uploader = bounded_text(collection.get("channel") or collection.get("uploader"))
            yield from self._list(collection)
        except _Enough as enough:
            self._cut(enough)

    def has_more(self, entries: Iterator[Entry]) -> bool:
        """Tell whether *entries*, which are of no use any more, would go on. Makes no request."""
        self._is_offline = True
        try:
            return next(entries, None) is not None
        except _Offline:
            if self.seen < self._bounds.entries:
                return True
            self._cut(self._enough_entries())
            return False

    def _watch(self) -> None:
        """Watch the requests of yt-dlp, and the messages that are all it says of a list that ends too soon."""
        send, warn = self._ydl.urlopen, self._ydl.report_warning

        def urlopen(request: Any) -> Any:
            self._turn()
            response = send(request)
            reached = read_link(response.url.partition("?")[0])
            self.was_sent_to_login = reached.destination == "login"
            return response

        def report_warning(message: str, *args: Any, **options: Any) -> None:
            if self.seen and "incomplete data received" in message.lower():
                self._is_incomplete = True
            warn(message, *args, **options)

        def write_debug(message: str, *args: Any, **options: Any) -> None:
            if "feed looping" in message:
                self._note_repetition()

        self._ydl.urlopen = urlopen
        self._ydl.report_warning = report_warning
        self._ydl.write_debug = write_debug

    def _turn(self) -> None:
        """Prepare for a request."""
        if self._is_offline:
            raise _Offline
        self._before_request()
        self._pages.turn()
        self._requests += 1
        if self._requests > self._bounds.requests:
            raise _Enough(f"This list is read no further than {self._bounds.requests:,} requests go.")
        if self._clock() > self._ends_at:
            raise _Enough(f"This list is read no longer than {self._bounds.seconds / 60:g} minutes.")

    def _resolve(self, url: str) -> Mapping[str, Any]:
        for _ in range(_MAX_REDIRECTS):
            found: Mapping[str, Any] = self._ydl.extract_info(url, download=False, process=False) or {}
            if found.get("_type") not in ("url", "url_transparent"):
                return found
            if read_link(found["url"]).kind == "post":  # a channel that is live, for example
                return {"entries": [found]}
            url = found["url"]
        raise DownloadFailed("platform_changed", detail=f"redirected more than {_MAX_REDIRECTS} times")

    def _list(self, found: Mapping[str, Any], *, is_nested: bool = False) -> Iterator[Entry]:
        outer, self._pages = self._pages, _Pages()
        try:
            yield from self._entries(found, is_nested=is_nested)
        except _Repeats:
            self._note_repetition()
        except Exception as error:
            # TikTok does so to visitors that it distrusts.
            if not self.seen or "keeps sending the same page" not in str(error):
                raise
            self._note_repetition()
        if self._is_incomplete:
            raise DownloadFailed("server_error", detail="the list ended with incomplete data")
        self._pages = outer

    def _entries(self, found: Mapping[str, Any], *, is_nested: bool) -> Iterator[Entry]:
        older, is_newest_first = 0, _is_newest_first(found)
        for info in _in_order(found.get("entries") or ()):
            target = read_link(str(info.get("url") or info.get("webpage_url")))
            if target.kind != "post" or target.platform != self._platform.name:
                yield from self._nested(info, target, is_nested=is_nested)
                continue
            assert target.post_id is not None
            self._count(target.post_id)
            posted = uploaded_at_of(info)
            if self._since is not None and posted is not None and posted.date() < self._since:
                older += 1
                if is_newest_first and older >= _OLDER_IN_A_ROW:
                    return
                continue
            older = 0
            if target.post_id in self._posts:
                continue
            self._posts.add(target.post_id)
            if self._since is not None and posted is None:
                self.notes[
                    f"{self._platform.label} doesn't say when some of these were posted; they are taken too."
                ] = None
            yield self._entry(info, target, posted)

    def _count(self, post_id: str) -> None:
        self.seen += 1
        self._pages.take(post_id)
        if self.seen > self._bounds.entries:
            raise self._enough_entries()

    def _enough_entries(self) -> _Enough:
        return _Enough(f"This list is read no further than its first {self._bounds.entries:,} entries.")

    def _cut(self, enough: _Enough) -> None:
        self.is_cut = True
        self.notes[str(enough)] = None

    def _nested(self, info: Mapping[str, Any], target: LinkTarget, *, is_nested: bool) -> Iterator[Entry]:
        """Yield the posts of a list in the collection; one that is in such a list is left out."""
        is_resolved = info.get("_type") == "playlist"
        if not is_resolved and (target.collection_id is None or target.platform != self._platform.name):
            return  # a link that leads elsewhere
        if is_nested:
            self.notes["Playlists within its playlists are left out."] = None
            return
        if target.collection_id is not None:
            if target.collection_id in self._lists:
                return
            self._lists.add(target.collection_id)
        try:
            found = info if is_resolved else self._resolve(info["url"])
        except Exception as error:
            if classify(error).code not in _OF_ONE_LIST:
                raise
            self.notes["Some of its lists can't be read."] = None
            return
        yield from self._list(found, is_nested=True)

    def _entry(self, info: Mapping[str, Any], target: LinkTarget, posted: datetime | None) -> Entry:
        code = _error_code(info)
        title = bounded_text(info.get("title"))
        duration = info.get("duration")
        assert target.canonical_url is not None
        return Entry(
            url=target.canonical_url,
            platform=self._platform.name,
            title=None if title in _BROKEN_TITLES else title,
            # YouTube's lists say "2 years ago".
            uploaded_at=None if self._platform.name == "youtube" else posted,
            duration_seconds=float(duration) if isinstance(duration, int | float) else None,
            error_code=code,
            error=None if code is None else sentence(code, self._platform.label),
        )

    def _note_repetition(self) -> None:
        self.is_cut = True
        self.notes[f"{self._platform.label} sends the same pages over and over here, so reading stopped there."] = None


def _start(target: LinkTarget) -> str:
    """Return where to start with *target*: a mix is listed only beside the video that it starts with."""
    mix = _MIX.fullmatch(target.collection_id or "")
    if mix is None:
        return str(target.canonical_url)
    return f"https://www.youtube.com/watch?v={mix['video']}&list={mix['id']}"


def _in_order(entries: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Return *entries*; those of a channel, its tabs, come as a list, and its videos are to be first."""
    if not isinstance(entries, list):
        return entries
    return sorted(entries, key=lambda tab: _TAB_RANKS.get(str(tab.get("url")).rpartition("/")[2], 0))


def _is_newest_first(found: Mapping[str, Any]) -> bool:
    target = read_link(str(found.get("webpage_url")))
    id = target.collection_id or ""
    return target.destination == "profile" or id.endswith(_NEWEST_FIRST) or id.startswith("playlist?list=UU")


def _error_code(info: Mapping[str, Any]) -> ErrorCode | None:
    if code := _BROKEN_TITLES.get(str(info.get("title"))):
        return code
    if info.get("availability") == "private":
        return "private"
    return "not_yet_available" if info.get("live_status") in ("is_upcoming", "is_live") else None


def declared_count(number: Any) -> int | None:
    """Return how many entries a platform says there are; None if it does not say a number that there can be."""
    return number if type(number) is int and 0 <= number < MAX_DECLARED else None
