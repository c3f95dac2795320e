"""Gives other people's errors, above all yt-dlp's, one of our codes.

Evidence, strongest first: an error of our own; a cancelled download; a full or failing disk; what yt-dlp or the
platform states; the types, errnos and HTTP statuses along the chain of causes; what a message suggests. The chain is
read from the outside in, because the outermost error is yt-dlp's final judgement. `messages.toml` has the tables.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from downloader.egress.http import FAILED_HEADER, REFUSED_HEADER
from downloader.errors import RETRYABLE, DownloaderError, DownloadFailed, ErrorCode, NotAPost, PresetGone
from downloader.ytdlp.causes import Cause, attribute, causes_of
from downloader.ytdlp.messages import MEDIA_STATUSES, STATUSES, TYPES, is_from_an_extractor, stated, suggested
from downloader.ytdlp.redaction import redact

# A wrong header must not stop a platform for a year.
_MAX_RETRY_AFTER_SECONDS = 86_400.0

# The types of a bug in an extractor, if the traceback leads through one.
_BUGS = (
    *("builtins.LookupError", "builtins.AttributeError", "builtins.TypeError", "builtins.ValueError"),
    *("builtins.AssertionError", "builtins.ArithmeticError", "builtins.StopIteration", "builtins.RuntimeError"),
)


def _errnos(names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names.split())


_DISK_FULL = _errnos("ENOSPC EDQUOT")
# Only from a disk or a share.
_STORAGE = _errnos("EROFS EIO ESTALE")
# From the storage if they name a file there; the second line comes from shares that are gone.
_STORAGE_WITH_PATH = _errnos(
    "EACCES EPERM ENOENT ENOTDIR EMFILE ENFILE ENODEV ENXIO"
    " ENOTCONN EHOSTDOWN EHOSTUNREACH ETIMEDOUT ENOLCK EBUSY EAGAIN"
)
# A connection may fail for lack of file handles or memory, which is not the network's fault.
_LOCAL = _errnos("EMFILE ENFILE ENOMEM EACCES EPERM ENOENT ENAMETOOLONG EEXIST EISDIR ENOTDIR EFBIG")
_NETWORK = _errnos("ENETUNREACH ENETDOWN ENETRESET EHOSTUNREACH EADDRNOTAVAIL")

_TUNNEL_ANSWER = re.compile(r"(?:tunnel connection failed: |connect tunnel failed, response )([0-9]{3})", re.IGNORECASE)
_PROXY_STATUSES: Mapping[str, ErrorCode] = {"403": "blocked_address", "504": "timeout"}

# What yt-dlp says about Instagram's login page.
_LOGIN_OR_LIMIT = re.compile(
    r"the webpage request was redirected to the login page\b"
    r"|requested content is not available, rate-limit reached or login required"
)
_LOGIN_PAGE = re.compile(r"[^?#]*://[^/?#]+/(?:accounts/login|login|i/flow/login)\b")
_GUEST_TOKEN = re.compile(r"[^?#]*/guest/activate\.json")
_STATUS_IN_WORDS = re.compile(r"\bhttp ?error ([1-5][0-9][0-9])\b")
_ABOUT_MEDIA = re.compile(r"(?:unable to download video data|got error):")
_TIMED_OUT = re.compile(r"timed out\b|curl: \(28\)")


def classify(error: BaseException, *, now: datetime | None = None, folders: Collection[Path] = ()) -> DownloadFailed:
    """Return *error* as one of ours, judged by the whole chain of its causes; its detail is redacted. Never raises.

    *now* is what a Retry-After date counts from (default: the clock). *folders* are where the download writes: what the
    system refuses there is not the link's fault.
    """
    chain = causes_of(error)
    for cause in chain:
        if cause.is_a("downloader.DownloaderError") and isinstance(cause.error, DownloaderError):
            return _own(cause.error, chain)
    code = _decide(chain, folders)
    wait = _retry_after(chain, now or datetime.now(UTC)) if code in ("rate_limited", "server_error") else None
    # yt-dlp's words are better than those of what passed them on.
    spoken = next((cause for cause in chain if cause.is_a("yt_dlp.YoutubeDLError")), chain[0])
    walled = code == "rate_limited" and any(_LOGIN_OR_LIMIT.match(cause.words) for cause in chain)
    detail = redact(spoken.text) or type(spoken.error).__name__
    return DownloadFailed(code, detail=detail, retry_after_seconds=wait, walled=walled)


def blame(found: DownloadFailed, last_request: Exception | None) -> DownloadFailed:
    """Return *found*, or the failure of yt-dlp's *last_request* if that is the reason for it.

    yt-dlp may blame the platform's page although it did not get it: YouTube's extractor, for one, continues after a 429
    and then finds nothing to read.
    """
    if found.code != "platform_changed" or last_request is None:
        return found
    cause = classify(last_request)
    return cause if cause.code in RETRYABLE else found


def _own(error: DownloaderError, chain: Sequence[Cause]) -> DownloadFailed:
    """Return a copy of our own *error*, in its causes' words if it has none."""
    ours = error if isinstance(error, DownloadFailed) else DownloadFailed(error.code)
    others = (cause.text for cause in chain if not cause.is_a("downloader.DownloaderError"))
    detail = redact(ours.detail or next(filter(None, others), "") or str(error))
    if isinstance(error, NotAPost):
        return NotAPost(str(error), detail=detail)
    if isinstance(error, PresetGone):
        return error
    return DownloadFailed(ours.code, detail=detail, retry_after_seconds=ours.retry_after_seconds, walled=ours.walled)


def _decide(chain: Sequence[Cause], folders: Collection[Path]) -> ErrorCode:
    if any(cause.is_a("yt_dlp.DownloadCancelled") for cause in chain):
        return "cancelled"
    if any(cause.errno in _DISK_FULL for cause in chain):
        return "disk_full"
    if any(_is_of_storage(cause, folders) for cause in chain):
        return "storage_unavailable"
    for position, cause in enumerate(chain):
        nearest = chain[position + 1 : position + 3]
        if code := stated(cause.words) or _by_type(cause, chain, nearest):
            return code
    for cause in chain:
        if code := _by_status_in_words(cause) or suggested(cause.words):
            return code
    # Refused in unknown words: the platform has changed, or our table is out of date.
    if any(cause.is_a("yt_dlp.ExtractorError") or is_from_an_extractor(cause.text) for cause in chain):
        return "platform_changed"
    return "internal"


def _is_of_storage(cause: Cause, folders: Collection[Path]) -> bool:
    """Whether *cause* is about the disk, or about a file below one of *folders*."""
    if cause.errno in _STORAGE:
        return True
    if cause.errno not in _STORAGE_WITH_PATH:
        return False
    names = [attribute(cause.error, name) for name in ("filename", "filename2")]
    paths = [Path(os.fsdecode(name)) for name in names if isinstance(name, (str, bytes, os.PathLike))]
    return any(path.is_relative_to(folder) for path in paths for folder in folders)


def _by_type(cause: Cause, chain: Sequence[Cause], nearest: Sequence[Cause]) -> ErrorCode | None:
    """Judge by the type of *cause*; *nearest* are its immediate causes."""
    if cause.is_a("yt_dlp.HTTPError", "urllib.HTTPError"):
        return _by_status(cause, chain)
    if cause.is_a("yt_dlp.ProxyError"):
        return _by_proxy_status(cause)
    if cause.errno in _LOCAL:
        return "internal"
    if cause.errno in _NETWORK:
        return "network"
    for kind, code in TYPES.items():
        if kind in cause.kinds:
            return code
    if cause.is_a("yt_dlp.TransportError"):
        if any(each.errno in _LOCAL for each in nearest):
            return "internal"
        timed_out = _TIMED_OUT.search(cause.words) or any(each.is_timeout for each in nearest)
        return "timeout" if timed_out else "network"
    if cause.is_timeout:
        return "timeout"
    if cause.is_a(*_BUGS) and cause.leads_through_an_extractor:
        return "platform_changed"
    return None


def _by_proxy_status(cause: Cause) -> ErrorCode:
    """Judge by our own proxy's answer to a CONNECT; whatever lies beyond it, the answer is its own."""
    answers = _TUNNEL_ANSWER.findall(cause.text)
    return _PROXY_STATUSES.get(answers[-1], "network") if answers else "network"


def _by_status(cause: Cause, chain: Sequence[Cause]) -> ErrorCode | None:
    # Our proxy answers plain http in the host's place. It marks its answers, and lets no host's answer be marked.
    if cause.header(REFUSED_HEADER):
        return "blocked_address"
    if failure := cause.header(FAILED_HEADER):
        return "timeout" if failure == "timeout" else "network"
    if any(other.status == 429 for other in chain):
        # After a 429 yt-dlp tries another way, such as Twitter's embeds, which know fewer posts and answer 404. What
        # happens there says nothing; only waiting helps.
        return "rate_limited"
    if _LOGIN_PAGE.match(cause.url) or attribute(cause.error, "redirect_loop") is True:
        return "login_required"
    if cause.status == 404 and _GUEST_TOKEN.match(cause.url):
        return "platform_changed"  # the API itself has moved, which says nothing about the post
    return _code_of_status(cause.status, about_media=any(_ABOUT_MEDIA.match(other.words) for other in chain))


def _by_status_in_words(cause: Cause) -> ErrorCode | None:
    """Judge by "HTTP Error 404", which is all that a retry message keeps of a request."""
    statuses = [int(number) for number in _STATUS_IN_WORDS.findall(cause.words)]
    if not statuses:
        return None
    status = 429 if 429 in statuses else statuses[-1]
    return _code_of_status(status, about_media=_ABOUT_MEDIA.match(cause.words) is not None)


def _code_of_status(status: int | None, *, about_media: bool) -> ErrorCode | None:
    if status is None:
        return None
    if about_media and status in MEDIA_STATUSES:
        return MEDIA_STATUSES[status]
    if status in STATUSES:
        return STATUSES[status]
    if 500 <= status <= 599:
        return "server_error"
    return "platform_changed" if 400 <= status <= 499 else None


_SECONDS: Mapping[str, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_WAIT_IN_WORDS = re.compile(
    r"\b(?:for up to|(?:try again|retry|wait)(?: after| for| in)?) (an?|one|[0-9]{1,5}) (second|minute|hour|day)s?\b",
)


def _retry_after(chain: Sequence[Cause], now: datetime) -> float | None:
    waits = [_retry_after_header(cause, now) for cause in chain if cause.status in (429, 503)]
    waits += [_wait_in_words(cause.words) for cause in chain]
    wait = next((wait for wait in waits if wait is not None), None)
    return None if wait is None else min(max(wait, 0.0), _MAX_RETRY_AFTER_SECONDS)


def _retry_after_header(cause: Cause, now: datetime) -> float | None:
    value = (cause.header("Retry-After") or "").strip()
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
