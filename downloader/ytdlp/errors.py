"""The one place that reads other people's errors, yt-dlp's above all, to give each of them one of our codes.

Evidence, strongest first: an error of our own; a cancelled download; a disk that is full or fails; what yt-dlp or the
platform states (`_STATEMENTS`); the types, errnos and HTTP statuses along the chain of causes; what a message suggests
(`_SYMPTOMS`). The chain is read from the outside in, because the outermost error is yt-dlp's final judgement.

To teach it a message: add a line to `_STATEMENTS`, and the message itself to `tests/ytdlp/data/messages.toml`.

Types are known by their names, so that this module needs neither yt-dlp (a third of a second to import, and the server
listens before that) nor the libraries below it, of which some are optional.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType

from downloader.egress.http import FAILED_HEADER, REFUSED_HEADER
from downloader.errors import DownloaderError, DownloadFailed, ErrorCode

#: What `Classification.detail` holds at most.
MAX_DETAIL_CHARS = 500

# A message is read up to this length: its beginning, where yt-dlp speaks, and its end, where causes are.
_MAX_HEAD_CHARS = 900
_MAX_TAIL_CHARS = 300
# Longer chains than this come from loops in other people's code.
_MAX_LINKS = 32
# A wrong header must not put a platform off for a year.
_MAX_RETRY_AFTER_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Classification:
    """What went wrong, in one of our codes."""

    code: ErrorCode
    detail: str  #: yt-dlp's own words: no colours, no secrets, no boilerplate, at most `MAX_DETAIL_CHARS`
    retry_after_seconds: float | None  #: the wait that the platform asked for, where it named one
    walled: bool = False  #: `rate_limited` by a login page, which may as well be this post's own


def classify(error: BaseException, *, now: datetime | None = None, folders: Collection[Path] = ()) -> Classification:
    """Return our code for *error*, judged by the whole chain of what caused it. Never raises.

    *now* is what a Retry-After date is counted from (default: the clock). *folders* are those that the download uses:
    what the system refuses there is no fault of the link.
    """
    chain = _chain(error)
    for link in chain:
        if link.is_a("downloader.DownloaderError") and isinstance(link.error, DownloaderError):
            return _own(link.error, chain)
    code = _decide(chain, folders)
    wait = _retry_after(chain, now or datetime.now(UTC)) if code in ("rate_limited", "server_error") else None
    # What yt-dlp said is worth more than the words of whoever passed it on.
    spoken = next((link for link in chain if link.is_a("yt_dlp.YoutubeDLError")), chain[0])
    walled = code == "rate_limited" and any(_LOGIN_OR_LIMIT.match(link.words) for link in chain)
    return Classification(code, _detail(spoken.text) or type(spoken.error).__name__, wait, walled)


# --- The rules -------------------------------------------------------------------------------------------------------

_Rules = Sequence[tuple[ErrorCode, re.Pattern[str]]]


def _rules(*rules: tuple[ErrorCode, str]) -> _Rules:
    return tuple((code, re.compile(pattern)) for code, pattern in rules)


# "In your country", "from your current location", "in some territories", "where you are": every platform says it in
# its own way, and in another one tomorrow.
_PLACE = (
    r"\b(?:(?:your|this|that|these|some|certain|several|selected|most|many|other)(?: \w+){0,2}?"
    r" (?:countr(?:y|ies)|regions?|locations?|territor(?:y|ies)|areas?|jurisdictions?|markets?|part of the world)"
    r"|your(?: \w+)? (?:state|province|city|zone)|where you(?: are|'re| live))\b"
)
_REFUSED = r"(?:\bnot\b|n't\b|\bno longer\b|unavailable|cannot|block|restrict|prohibit|withheld|limited|\bonly\b)"

# Patterns are matched from the start of a message, and that is their protection: names, titles and links inside it are
# strangers' text. Only its own words are left by then (see `_plain`): one line in lower case, no "ERROR:", no
# "[youtube] id:", no "Video unavailable." before a better reason, nothing quoted, no URLs, straight apostrophes. The
# first match wins.
_STATEMENTS = _rules(
    # This server and its set-up.
    ("disk_full", r"\[(?:errno (?:28|122)|winerror 112)\]"),
    ("disk_full", r"(?:unable to|cannot) .*(?:\[errno (?:28|122)\]|\[winerror 112\])"),
    ("disk_full", r"(?:unable to|cannot|(?:post|pre)processing:) .*(?:no space left on device|quota exceeded)\W*$"),
    ("storage_unavailable", r"(?:unable to|cannot) .*\[errno (?:5|30|116)\]"),
    # Not "input/output error", which ffmpeg also says of a file that ends too early.
    ("storage_unavailable", r"(?:post|pre)processing: .*(?:read-only file system|stale file handle)\W*$"),
    ("too_large", r"file is larger than max-filesize"),
    # HTML in place of a video: ffmpeg does not get beyond opening it. Its "Conversion failed!" comes later (a full
    # disk, for one), so that is no verdict on the video.
    ("not_a_video", r"postprocessing: (?:.*: )?invalid data found when processing input\W*$"),
    # A playlist, or something else that may not be opened: see `ytdlp.options`.
    ("not_a_video", r"postprocessing: (?:file:.*|error opening input files): invalid argument\W*$"),
    ("not_a_video", r"the extracted extension .*is unusual"),
    ("internal", r"(?:post|pre)processing: "),
    ("internal", r"you have requested .{0,60}but ffmpeg is not installed"),
    ("internal", r"m3u8 download detected but ffmpeg could not be found"),
    ("internal", r"ffmpeg exited with code -"),  # killed by a signal
    ("network", r"\S+ exited with code \d"),  # ffmpeg as a downloader: it writes why to the log only
    ("internal", r"unable to (?:open for writing|write data|create directory|(?:open|rename|remove) file)"),
    ("internal", r"cannot write "),
    ("internal", r"(?:.* )?does not look like a netscape format cookies file"),
    ("internal", r"(?:cookies file must be|invalid) netscape format"),
    ("internal", r"failed to load cookies"),
    ("internal", r"could not (?:find|copy) .{0,20} cookies? database"),
    ("internal", r"the extract(?:or is attempting|or specified to use) impersonation"),
    ("internal", r"impersonate target\b.{0,60} is not available"),
    ("internal", r"unable to handle request"),
    ("internal", r"to use an https proxy for this request, one of the following dependencies"),
    ("internal", r"error in output template"),
    ("internal", r"(?:.{0,40} )?is not a valid api selection"),
    ("internal", r"no player clients have been requested"),
    ("cancelled", r"the download was cancelled"),
    ("cancelled", r"(?:encountered a video that|maximum number of downloads reached)"),
    # The link is not one to a single post.
    ("invalid_url", r"unsupported url\b"),
    ("invalid_url", r"no suitable extractor\b"),
    ("invalid_url", r"invalid url\b"),
    ("invalid_url", r"incomplete youtube id\b"),
    ("invalid_url", r"did you forget to quote the url"),
    ("invalid_url", r"a video url was given without video id"),
    ("invalid_url", r"this channel does not have a\b.{0,40}\btab"),
    ("invalid_url", r"input url is missing a highlight id"),
    # YouTube. A captcha or a limit is stated after, or in the clothes of, "Video unavailable": first of all.
    ("bot_check", r"(?:.{0,200}\. )?youtube is requiring a captcha challenge"),
    ("bot_check", r"sign in to confirm (?:that )?you(?:'re| are) not a bot"),
    # Without "try again later" too: it is what a session that YouTube has had enough of gets for every video.
    ("rate_limited", r"this content isn't available(?:, try again later|\W*$)"),
    ("age_restricted", r"sign in to confirm your age"),
    ("age_restricted", r"this video is age-restricted"),
    ("age_restricted", r"(?:this video|the following content) (?:may be|has been identified).{0,80} inappropriate"),
    # Whoever pays or belongs may see these, so "an account that may see it" is the right advice; any account is not.
    ("private", r"private video\b"),
    ("private", r"this video is private"),
    ("private", r"join this channel .{0,60}?to get access to members-only content"),
    ("private", r"this video is available to this channel's members"),
    ("private", r"this video is only available to music premium members"),
    ("private", r"this video requires payment to watch"),
    ("age_restricted", r"(?:.{0,60}: )?you must be \d\d years old"),  # before the place whose law says so
    ("geo_blocked", rf"(?=.{{0,400}}{_REFUSED}).{{0,340}}{_PLACE}"),
    ("geo_blocked", r".{0,200}\bgeo(?:graphic(?:al)?(?:ly)?)?[- ]?(?:restrict|block|fence)"),
    ("removed", r"this video contains content from .{1,300} ha(?:s|ve) blocked it on copyright grounds"),
    # YouTube's restricted mode, as a network's administrator sets it.
    ("ip_blocked", r"this video is restricted\. please check the google workspace"),
    ("ip_blocked", r"all player responses are invalid\. your ip is likely being blocked"),
    ("not_yet_available", r"premieres? (?:in\b|will begin)"),
    ("not_yet_available", r"this live event will begin"),
    ("not_yet_available", r"live stream offline"),
    ("not_yet_available", r"we're processing this video"),
    ("not_yet_available", r"the channel is not currently live"),
    ("removed", r"this live (?:event has ended|stream recording is not available)"),
    # "Not available" may mean "in your country": YouTube does not tell them apart, and to look into a browser, which
    # is our advice for a removed one, costs less than a proxy.
    ("removed", r"this video (?:has been removed|is no longer available|isn't available any ?more|is unavailable)"),
    ("removed", r"this video (?:is not available\W*$|does(?:n't| not) exist)"),
    ("removed", r"video unavailable\W*$"),
    ("removed", r"the playlist does not exist"),
    # yt-dlp asked as a player that YouTube does not serve (any more): a newer yt-dlp asks as another.
    ("platform_changed", r"playback on other websites has been disabled"),
    ("platform_changed", r"watch (?:this )?video on youtube"),
    ("platform_changed", r"the following content is not available on this app"),
    ("platform_changed", r"youtube is no longer supported in this application"),
    ("platform_changed", r"failed to extract any player response"),
    # Belongs to the session, and another try begins a new one. Where it never ends, YouTube has changed.
    ("server_error", r"the page needs to be reloaded"),
    ("server_error", r"(?:an error occurred\. )?please try again later"),
    ("login_required", r"(?:please )?sign in\b"),
    ("login_required", r"login details are needed to download this content"),
    # No code says it better: there is no video here that anybody could download.
    ("no_video", r"this (?:video|format) is drm protected"),
    # TikTok. The page before the page, for those that it takes for robots.
    ("bot_check", r"unable to (?:extract|solve) (?:js )?challenge\b"),
    # Of 10204 yt-dlp says this; TikTok sends it for posts that are gone as well, but not which of the two.
    ("ip_blocked", r"your ip address is blocked from accessing this post"),
    ("ip_blocked", r"video not available, status code 10204\b"),
    ("private", r"you do not have permission to view this post"),
    ("private", r"video not available, status code 102(?:16|22)\b"),
    ("private", r"this user's account is (?:private|likely either private)"),
    ("login_required", r"tiktok is requiring login for access"),
    ("age_restricted", r"this post may not be comfortable for some audiences"),  # themes for adults, TikTok means
    ("login_required", r"video not available, status code 10102\b"),
    ("geo_blocked", r"video not available, status code 10219\b"),
    ("bot_check", r"video not available, status code 10000\b"),
    ("platform_changed", r"video not available, status code (?:0|-1)\b"),  # no refusal, and yet no video in the page
    ("removed", r"video not available, status code \d"),
    ("removed", r"this livestream has ended"),
    ("no_video", r"this account does not have any videos posted"),
    # Instagram. Its login page is what a limit for anonymous visitors looks like, and yt-dlp says as much: to go on
    # asking would make it worse, so this must cool down.
    ("rate_limited", r"the webpage request was redirected to the login page\. you have exceeded the rate-limit"),
    ("rate_limited", r"requested content is not available, rate-limit reached or login required"),
    ("rate_limited", r"please wait a few minutes before you try again"),
    # The post is there, strangers get nothing of it: for friends, for adults, or not in this country.
    ("login_required", r"instagram sent an empty media response"),
    ("login_required", r"restricted video\b"),
    ("private", r"this content is only available for registered users who follow this account"),
    ("login_required", r"(?:this content is unreachable|you need to log in to access this content)"),
    ("no_video", r"there is no video in this post"),
    # Twitter/X.
    ("no_video", r"no video could be found in this tweet"),
    ("no_video", r"(?:video|media) #\d+ is (?:unavailable|not a video)"),
    ("age_restricted", r"nsfw"),  # the account must have stated an age, so a log-in alone is not the advice
    ("private", r"you are not authorized to view this protected tweet"),
    ("age_restricted", r"twitter api says: age-restricted"),
    ("private", r"twitter api says: you're unable to view this (?:post|tweet) because this account owner limits"),
    ("geo_blocked", r"(?:twitter api says|error\(s\) while querying api): .*\bwithheld\b"),
    ("server_error", r"twitter api says: unknown error"),
    ("removed", r"twitter api says: "),
    ("removed", r"(?:requested tweet is unavailable|suspended\W*$|unavailable\W*$|deactivated\W*$)"),
    ("removed", r"broadcast no longer exists"),
    ("removed", r"twitter space (?:not found|ended and replay is disabled)"),
    ("not_yet_available", r"this live broadcast has not yet started"),
    ("not_yet_available", r"twitter space (?:not started yet|ended but not downloadable yet)"),
    ("rate_limited", r"error\(s\) while querying api: .*\brate limit"),
    # Guest tokens are refused to addresses that have had too many of them.
    ("rate_limited", r"error\(s\) while querying api: .*\bbad guest token"),
    ("rate_limited", r"could not retrieve guest token"),
    ("rate_limited", r"syndication endpoint returned empty"),  # asked only after the API itself answered 429
    ("login_required", r"error\(s\) while querying api: .*(?:authenticat|authoriz|temporarily locked|expired token)"),
    ("login_required", r".{0,100}\bnot authorized\b"),
    ("platform_changed", r"error\(s\) while querying api: .*(?:query: unspecified|cannot be null)"),
    ("removed", r"error\(s\) while querying api: .*(?:no status found|not exist|not found|suspended|_missing)"),
    ("server_error", r"error\(s\) while querying api: .*(?:unspecified|internal error|capacity|timeout|unknown error)"),
    # Any platform.
    ("login_required", r"this video is only available for registered users"),
    ("geo_blocked", r"access to this webpage has been blocked by (?:indian censorship|decision of the russian)"),
    ("network", r"access to this webpage has been blocked by websense"),  # the filter of the server's own network
    ("network", r"a network error has occurred"),
    ("network", r"(?:did not get any data blocks|content too short|the downloaded file is empty)"),
)

# Looked for anywhere in a message, and last: where no type spoke, because only the text of the error survived.
_SYMPTOMS = _rules(
    ("disk_full", r"(?:no space left on device|quota exceeded|not enough space on the disk)\W*$"),
    ("storage_unavailable", r"(?:\[errno (?:5|30|116)\]|read-only file system\W*$)"),
    ("internal", r"(?:\[errno (?:1|2|12|13|17|20|21|23|24|36)\]|file name too long)"),
    ("geo_blocked", r"use a vpn or (?:a )?proxy server \(with --proxy\)"),
    # Our own proxy's answer to a CONNECT: no other proxy's is ever passed on.
    ("blocked_address", r"(?:tunnel connection failed: |connect tunnel failed, response )403"),
    ("timeout", r"(?:tunnel connection failed: |connect tunnel failed, response )504"),
    # Before "Giving up after 3 retries": what it gave up on is the better answer.
    ("timeout", r"(?:timed out\b|curl: \(28\))"),
    ("network", r"(?:curl: \(\d+\)|\[ssl: |certificate[ _]verify[ _]failed|_alert_handshake_failure|unsafe_legacy)"),
    ("network", r"(?:name or service not known|name resolution|getaddrinfo failed|no address associated with)"),
    ("network", r"(?:(?:failed to|could not) resolve|network is unreachable|no route to host)"),
    ("network", r"connection (?:refused|reset|aborted|broken)"),
    ("network", r"(?:remote end closed connection|tunnel connection failed|unexpected_eof|eof occurred)"),
    ("network", r"(?:\d bytes read\b|error reading response|giving up after \d+ retries|fragment \d+ not found)"),
    # Only requests are reported so. What was wrong may be a repr, of which nothing is left here.
    ("network", r"^(?:got error|unable to download video data):"),
    ("login_required", r"redirect loop detected"),  # to a log-in page and back
    ("login_required", r"--cookies(?:-from-browser)?\b.{0,60}for the authentication"),
    ("platform_changed", r"(?:unable to (?:extract|find|solve|recognize)|failed to (?:parse|extract|obtain))"),
    ("platform_changed", r"(?:requested format is not available|no video formats found)"),
    ("platform_changed", r"(?:an extractor error has occurred|unexpected response from webpage request)"),
    ("platform_changed", r"(?:no working app info is available|cannot identify player|missing field in extractor)"),
    ("platform_changed", r"please report this issue on\b"),
)

# By the name of the type, with the name of its library; the first that is in the error's ancestry.
_TYPES: Mapping[str, ErrorCode] = {
    "yt_dlp.GeoRestrictedError": "geo_blocked",
    "yt_dlp.UserNotLive": "not_yet_available",
    "yt_dlp.UnsupportedError": "invalid_url",
    "yt_dlp.EntryNotInPlaylist": "no_video",
    "yt_dlp.ContentTooShortError": "network",
    "yt_dlp.ReExtractInfo": "network",  # the download became too slow
    "yt_dlp.IncompleteRead": "network",
    "yt_dlp.SSLError": "network",  # certificates too: most often it is a proxy or a clock on this side
    "yt_dlp.NoSupportingHandlers": "internal",
    "yt_dlp.UnsupportedRequest": "internal",
    "yt_dlp.CookieLoadError": "internal",
    "yt_dlp.SameFileError": "internal",
    "yt_dlp._UnsafeExtensionError": "not_a_video",
    "builtins.ConnectionError": "network",
    "socket.gaierror": "network",
    "socket.herror": "network",
    "ssl.SSLError": "network",
    "http.HTTPException": "network",
    "builtins.MemoryError": "internal",
    "builtins.RecursionError": "internal",
    "builtins.ImportError": "internal",
    # Not wherever they are in the chain: asyncio's timeouts are made of cancellations.
    "asyncio.CancelledError": "cancelled",
    "concurrent.CancelledError": "cancelled",
    "builtins.KeyboardInterrupt": "interrupted",
    "builtins.SystemExit": "interrupted",
    "builtins.GeneratorExit": "interrupted",
    "concurrent.BrokenExecutor": "interrupted",  # a worker process died under this download
}

# What a bug in an extractor looks like, when its traceback leads through one.
_BUGS = (
    *("builtins.LookupError", "builtins.AttributeError", "builtins.TypeError", "builtins.ValueError"),
    *("builtins.AssertionError", "builtins.ArithmeticError", "builtins.StopIteration", "builtins.RuntimeError"),
)

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Nothing but a disk, or a share, says these.
_STORAGE = frozenset({errno.EROFS, errno.EIO, errno.ESTALE})
# These are about the storage where they name a file there; the last ones are what shares say that are gone.
_STORAGE_WITH_PATH = frozenset(
    {
        *(
            errno.EACCES,
            errno.EPERM,
            errno.ENOENT,
            errno.ENOTDIR,
            errno.EMFILE,
            errno.ENFILE,
            errno.ENODEV,
            errno.ENXIO,
        ),
        *(
            errno.ENOTCONN,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
            errno.ETIMEDOUT,
            errno.ENOLCK,
            errno.EBUSY,
            errno.EAGAIN,
        ),
    }
)
# A connection can fail for want of file handles or memory: that is no trouble of the network.
_LOCAL = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.ENOENT),
        *(errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EFBIG),
    }
)
_NETWORK = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})

_STATUSES: Mapping[int, ErrorCode] = {
    401: "login_required",
    402: "private",
    # Of a page or an API that is open to all, a 403 means the one who asks: where from, or as whom.
    403: "ip_blocked",
    404: "removed",
    407: "network",  # the proxy wants a password
    408: "timeout",
    410: "removed",
    416: "network",  # what is left of an earlier try does not fit: begin again
    420: "rate_limited",  # Twitter's own
    429: "rate_limited",
    451: "geo_blocked",
    511: "network",  # a captive portal
}

# The post was just seen to exist, so whatever its media's address says is about that address: expired, bound to
# another session, or (YouTube) without the token it wants. A new try asks for new addresses, and often that is all
# it takes; nothing that a user could set helps before that. Hence a code that is tried again.
_MEDIA_STATUSES: Mapping[int, ErrorCode] = {
    400: "server_error",
    401: "server_error",
    403: "server_error",
    404: "server_error",
    410: "server_error",
}

_TUNNEL_ANSWER = re.compile(r"(?:tunnel connection failed: |connect tunnel failed, response )([0-9]{3})", re.IGNORECASE)
_PROXY_STATUSES: Mapping[str, ErrorCode] = {"403": "blocked_address", "504": "timeout"}

# What yt-dlp says of Instagram's login page, which is all that it has seen.
_LOGIN_OR_LIMIT = re.compile(
    r"the webpage request was redirected to the login page\b"
    r"|requested content is not available, rate-limit reached or login required"
)
_LOGIN_PAGE = re.compile(r"[^?#]*://[^/?#]+/(?:accounts/login|login|i/flow/login)\b")
_GUEST_TOKEN = re.compile(r"[^?#]*/guest/activate\.json")
_STATUS_IN_WORDS = re.compile(r"\bhttp ?error ([1-5][0-9][0-9])\b")
_ABOUT_MEDIA = re.compile(r"(?:unable to download video data|got error):")
_TIMED_OUT = re.compile(r"timed out\b|curl: \(28\)")
_FROM_AN_EXTRACTOR = re.compile(r"(?:error: )?\[(?:tiktok|vm\.tiktok|instagram|twitter|youtube)\b", re.IGNORECASE)


# --- The chain of causes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Link:
    """One error of the chain."""

    error: BaseException
    kinds: frozenset[str]  #: "library.Name" of its type and of all that type's ancestors
    text: str  #: what it says, at bounded length
    words: str  #: the same, ready to be matched

    def is_a(self, *kinds: str) -> bool:
        return not self.kinds.isdisjoint(kinds)


def _chain(error: BaseException) -> list[_Link]:
    """Return *error* and all that led to it, outermost first."""
    links: list[_Link] = []
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(links) < _MAX_LINKS:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        text, kinds = _text_of(current), _kinds(type(current))
        # As YoutubeDL will report it: the rules tell ffmpeg's words by that.
        words = f"postprocessing: {_plain(text)}" if "yt_dlp.PostProcessingError" in kinds else _plain(text)
        links.append(_Link(current, kinds, text, words))
        waiting.extend(reversed(list(_behind(current))))
    return links


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Return the errors that *error* names as its causes, nearest first."""
    candidates = [_attribute(error, "cause"), _attribute(error, "__cause__")]
    if not _attribute(error, "__suppress_context__"):
        candidates.append(_attribute(error, "__context__"))
    # yt-dlp keeps the first cause here; what lies between is in the context, so this comes after it.
    exc_info = _attribute(error, "exc_info")
    if isinstance(exc_info, tuple):
        candidates.extend(exc_info)
    candidates.append(_attribute(error, "reason"))
    for name in ("exceptions", "unexpected_errors", "args"):
        several = _attribute(error, name)
        if isinstance(several, (list, tuple)):
            candidates.extend(several)
    return (candidate for candidate in candidates if isinstance(candidate, BaseException))


def _attribute(error: BaseException, name: str) -> object:
    # Other people's exceptions: a property of theirs may raise anything.
    try:
        return getattr(error, name, None)
    except Exception:
        return None


def _text_of(error: BaseException) -> str:
    # ExtractorError's own words, without the prefix and the boilerplate that its str() has.
    original = _attribute(error, "orig_msg")
    try:
        text = original if isinstance(original, str) else str(error)
    except Exception:
        return ""
    if len(text) > _MAX_HEAD_CHARS + _MAX_TAIL_CHARS:
        text = f"{text[:_MAX_HEAD_CHARS]} \u2026 {text[-_MAX_TAIL_CHARS:]}"
    # Names of files may hold halves of characters, which no database takes.
    return text.encode("utf-8", "replace").decode("utf-8")


def _kinds(kind: type) -> frozenset[str]:
    return frozenset(f"{str(base.__module__).partition('.')[0]}.{base.__name__}" for base in kind.__mro__)


# --- Judging ---------------------------------------------------------------------------------------------------------


def _own(error: DownloaderError, chain: Sequence[_Link]) -> Classification:
    """Return what our own *error* says already."""
    ours = error if isinstance(error, DownloadFailed) else DownloadFailed(error.code)
    others = (link.text for link in chain if not link.is_a("downloader.DownloaderError"))
    detail = _detail(ours.detail or next(filter(None, others), "") or str(error))
    return Classification(ours.code, detail, ours.retry_after_seconds, ours.walled)


def _decide(chain: Sequence[_Link], folders: Collection[Path]) -> ErrorCode:
    if any(link.is_a("yt_dlp.DownloadCancelled") for link in chain):
        return "cancelled"
    if any(_errno(link) in _DISK_FULL for link in chain):
        return "disk_full"
    if any(_is_of_storage(link, folders) for link in chain):
        return "storage_unavailable"
    for position, link in enumerate(chain):
        nearest = chain[position + 1 : position + 3]
        code = _stated(link.words) or _by_type(link, chain, nearest)
        if code is not None:
            return code
    for link in chain:
        code = _by_status_in_words(link) or _suggested(link.words)
        if code is not None:
            return code
    # Refused in words that we do not know: the platform has changed, or this table is out of date.
    if any(link.is_a("yt_dlp.ExtractorError") or _FROM_AN_EXTRACTOR.match(_one_line(link.text)) for link in chain):
        return "platform_changed"
    return "internal"


def _is_of_storage(link: _Link, folders: Collection[Path]) -> bool:
    """Tell whether *link* is about the disk, or about a file below one of *folders*."""
    number = _errno(link)
    if number in _STORAGE:
        return True
    if number not in _STORAGE_WITH_PATH:
        return False
    names = [_attribute(link.error, name) for name in ("filename", "filename2")]
    paths = [Path(os.fsdecode(name)) for name in names if isinstance(name, (str, bytes, os.PathLike))]
    return any(path.is_relative_to(folder) for path in paths for folder in folders)


def _stated(words: str) -> ErrorCode | None:
    return next((code for code, pattern in _STATEMENTS if pattern.match(words)), None)


def _suggested(words: str) -> ErrorCode | None:
    return next((code for code, pattern in _SYMPTOMS if pattern.search(words)), None)


def _by_type(link: _Link, chain: Sequence[_Link], nearest: Sequence[_Link]) -> ErrorCode | None:
    """Judge by what *link* is; *nearest* are its immediate causes."""
    if link.is_a("yt_dlp.HTTPError", "urllib.HTTPError"):
        return _by_status(link, chain)
    if link.is_a("yt_dlp.ProxyError"):
        return _by_proxy_status(link)
    number = _errno(link)
    if number in _LOCAL:
        return "internal"
    if number in _NETWORK:
        return "network"
    for kind, code in _TYPES.items():
        if kind in link.kinds:
            return code
    if link.is_a("yt_dlp.TransportError"):
        if any(_errno(cause) in _LOCAL for cause in nearest):
            return "internal"
        timed_out = _TIMED_OUT.search(link.words) or any(_is_timeout(cause) for cause in nearest)
        return "timeout" if timed_out else "network"
    if _is_timeout(link):
        return "timeout"
    if link.is_a(*_BUGS) and _leads_through_an_extractor(link.error):
        return "platform_changed"
    return None


def _is_timeout(link: _Link) -> bool:
    # For urllib3 a refused connection is a kind of timeout, for old times' sake.
    if link.is_a("urllib3.NewConnectionError"):
        return False
    return any(kind.endswith(("Timeout", "TimeoutError")) for kind in link.kinds)


def _by_proxy_status(link: _Link) -> ErrorCode:
    """Judge by what our own proxy answered to a CONNECT: whatever is beyond it, the answer is its own."""
    answers = _TUNNEL_ANSWER.findall(link.text)
    return _PROXY_STATUSES.get(answers[-1], "network") if answers else "network"


def _by_status(link: _Link, chain: Sequence[_Link]) -> ErrorCode | None:
    status = _status(link)
    # Of plain http the proxy answers in the host's place, and says so; it lets nobody else's answer say so.
    if _header(link, REFUSED_HEADER):
        return "blocked_address"
    if failure := _header(link, FAILED_HEADER):
        return "timeout" if failure == "timeout" else "network"
    if any(_status(other) == 429 for other in chain):
        # Whatever came of the way out that yt-dlp took after a 429 (Twitter's embeds know fewer posts, and answer
        # 404): it would not have taken it otherwise, and only waiting leads back to the front door.
        return "rate_limited"
    response = _attribute(link.error, "response")
    url = getattr(response, "url", None)
    url = url if isinstance(url, str) else ""
    if _LOGIN_PAGE.match(url) or _attribute(link.error, "redirect_loop") is True:
        return "login_required"
    if status == 404 and _GUEST_TOKEN.match(url):
        return "platform_changed"  # the API itself has moved; of the post this says nothing
    return _code_of_status(status, about_media=any(_ABOUT_MEDIA.match(other.words) for other in chain))


def _by_status_in_words(link: _Link) -> ErrorCode | None:
    """Judge by "HTTP Error 404", which is all that is left of a request in a retry message."""
    statuses = [int(number) for number in _STATUS_IN_WORDS.findall(link.words)]
    if not statuses:
        return None
    status = 429 if 429 in statuses else statuses[-1]
    return _code_of_status(status, about_media=_ABOUT_MEDIA.match(link.words) is not None)


def _code_of_status(status: int | None, *, about_media: bool) -> ErrorCode | None:
    if status is None:
        return None
    if about_media and status in _MEDIA_STATUSES:
        return _MEDIA_STATUSES[status]
    if status in _STATUSES:
        return _STATUSES[status]
    if 500 <= status <= 599:
        return "server_error"
    return "platform_changed" if 400 <= status <= 499 else None


def _header(link: _Link, name: str) -> str | None:
    try:
        value = link.error.response.headers.get(name)  # type: ignore[attr-defined]
        return None if value is None else str(value)
    except Exception:
        return None  # a response that came without headers, or is no response


def _status(link: _Link) -> int | None:
    if not link.is_a("yt_dlp.HTTPError", "urllib.HTTPError"):
        return None
    for name in ("status", "code"):
        status = _attribute(link.error, name)
        if isinstance(status, int):
            return status
    return None


def _errno(link: _Link) -> int | None:
    number = _attribute(link.error, "errno") if link.is_a("builtins.OSError") else None
    return number if isinstance(number, int) else None


def _leads_through_an_extractor(error: BaseException) -> bool:
    frame = _attribute(error, "__traceback__")
    while isinstance(frame, TracebackType):
        if str(frame.tb_frame.f_globals.get("__name__")).startswith("yt_dlp.extractor"):
            return True
        frame = frame.tb_next
    return False


# --- How long to wait ------------------------------------------------------------------------------------------------

_SECONDS: Mapping[str, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_WAIT_IN_WORDS = re.compile(
    r"\b(?:for up to|(?:try again|retry|wait)(?: after| for| in)?) (an?|one|[0-9]{1,5}) (second|minute|hour|day)s?\b",
)


def _retry_after(chain: Sequence[_Link], now: datetime) -> float | None:
    waits = [_retry_after_header(link, now) for link in chain if _status(link) in (429, 503)]
    waits += [_wait_in_words(link.words) for link in chain]
    wait = next((wait for wait in waits if wait is not None), None)
    return None if wait is None else min(max(wait, 0.0), _MAX_RETRY_AFTER_SECONDS)


def _retry_after_header(link: _Link, now: datetime) -> float | None:
    value = (_header(link, "Retry-After") or "").strip()
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,3})?", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    # A date without a zone counts as UTC, on either side.
    return (_aware(date) - _aware(now)).total_seconds()


def _wait_in_words(words: str) -> float | None:
    match = _WAIT_IN_WORDS.search(words)
    if match is None:
        return None
    count = int(match[1]) if match[1].isdigit() else 1
    return float(count * _SECONDS[match[2]])


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


# --- Words -----------------------------------------------------------------------------------------------------------

_COLOUR = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*\x07?)?")
# Control characters, and what turns the direction of text round.
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]+")
_STRAIGHT = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'"})
_LEAD_IN = re.compile(
    r"(?:error: ?|\[[\w.:+-]+\] (?:[^\s:]+: )?|youtube said: |[0-9]{5,}: |video unavailable\. (?=\w))+"
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://\S+")
_QUOTED = re.compile(r"(?<!\w)(?:'[^']*'(?!\w)|\"[^\"]*\"|\u201c[^\u201d]*\u201d)")
_ESCAPED_QUOTE = re.compile(r"\\['\"]")  # within a repr: no end of it


def _one_line(text: str) -> str:
    return " ".join(_NOT_TEXT.sub(" ", _COLOUR.sub("", " ".join(text.split()))).split())


def _plain(text: str) -> str:
    """Return *text* as the rules want it: one line of yt-dlp's or the platform's own words, in lower case."""
    words = _one_line(text).translate(_STRAIGHT).lower()
    if lead_in := _LEAD_IN.match(words):
        words = words[lead_in.end() :]
    if "://" in words:
        words = _URL.sub(" ", words)
    return " ".join(_QUOTED.sub(" ", _ESCAPED_QUOTE.sub("", words)).split())


# What a message ends with: advice for those who use yt-dlp by hand, and what it said just before.
_BOILERPLATE = re.compile(
    r"(?:if it is not, then )?\buse --(?:cookies|username|list-formats)|please report this issue on "
    r"|it is recommended to use `-t sleep`|you might want to use a vpn or |see https://curl\.se/"
    r"|\(caused by (?:<HTTPError |(?:Transport|SSL|CertificateVerify|Proxy)Error\()",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]{1,15})://([^\s'\"<>]+)", re.IGNORECASE)
# Python's cookie jar quotes the line that it cannot read.
_COOKIE_LINE = re.compile(r"(invalid Netscape format cookies file\b).*", re.IGNORECASE)
_COOKIE_HEADER = re.compile(
    r"\b((?:set-)?cookie ?[:=]|(?:proxy-)?authorization ?[:=] ?(?:basic|bearer|oauth)\b).*", re.IGNORECASE
)
_SECRET = re.compile(
    r"\b([\w-]{0,40}(?:token|session|signature|secret|passw|api_?key|csrf|auth)[\w-]{0,40}|l?sig|sid)"
    r"(=|['\"] ?: ?['\"])[^\s,;&)'\"]+",
    re.IGNORECASE,
)
_MAX_PATH_CHARS = 100
# Names and ids are shorter; TikTok's and YouTube's media have their signatures in the path.
_MAX_SEGMENT_CHARS = 40


def _detail(text: str) -> str:
    """Return *text* as it may be shown and logged."""
    # A cookie header ends with its line, so this comes before the lines are joined.
    shown = _one_line(_COOKIE_HEADER.sub("\\1 \u2026", text))
    shown = re.sub(r"\A(?:ERROR: ?)+", "", shown)
    if boilerplate := _BOILERPLATE.search(shown):
        shown = shown[: boilerplate.start()].rstrip(" ;,")
    shown = _COOKIE_LINE.sub(r"\1", shown)
    if "://" in shown:
        shown = _ADDRESS.sub(_harmless, shown)
    if "=" in shown or ":" in shown:
        shown = _SECRET.sub("\\1\\2\u2026", shown)
    return shown if len(shown) <= MAX_DETAIL_CHARS else shown[: MAX_DETAIL_CHARS - 1] + "\u2026"


def _harmless(address: re.Match[str]) -> str:
    """Return the address without what could open a door: account, query, fragment, signatures in its path."""
    beyond = re.split(r"[?#]", address[2], maxsplit=1)
    host, slash, path = beyond[0].partition("/")
    host = host.rpartition("@")[2]
    segments = ["\u2026" if len(segment) > _MAX_SEGMENT_CHARS else segment for segment in path.split("/")]
    path = "/".join(segments)
    if len(path) > _MAX_PATH_CHARS or "googlevideo" in host:
        path = "\u2026"
    return f"{address[1]}://{host}{slash}{path}"
