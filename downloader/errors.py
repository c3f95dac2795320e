"""Everything that can go wrong, in words for people.

    DownloaderError                 has a `code` and, as str(), a sentence for the user
    ├── RequestRefused              what was sent to us is no use: the API answers 4xx
    │   ├── NotFound                it speaks of a batch or a job that is not there
    │   ├── BadCursor               it asks for a page by a cursor that is none of ours
    │   ├── IdempotencyConflict     its Idempotency-Key belongs to another submission
    │   ├── CookiesRefused          it brings cookies that are no good
    │   ├── CookiesNotWritable      it brings cookies, and their folder cannot be written
    │   └── IllegalTransition       it asks a job for a move that its state does not allow
    ├── StoreUnavailable            the database cannot be read or written now: 503
    ├── DownloadFailed              one download came to nothing; its code says why
    │   └── NotAPost                its link is to something else, or has no id that a post could have
    └── StartRefused                the service cannot start as it is set up

An error's sentence and whether a retry can help follow from its code (`SENTENCES`, `RETRYABLE`), but for `NotAPost`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

ErrorCode = Literal[
    "invalid_url",
    "unsupported_platform",
    "login_required",
    "private",
    "removed",
    "geo_blocked",
    "ip_blocked",
    "age_restricted",
    "rate_limited",
    "bot_check",
    "network",
    "timeout",
    "server_error",
    "no_video",
    "not_yet_available",
    "platform_changed",
    "blocked_address",
    "not_a_video",
    "file_missing",
    "too_large",
    "disk_full",
    "storage_unavailable",
    "cancelled",
    "interrupted",
    "internal",
]

ERROR_CODES: tuple[ErrorCode, ...] = get_args(ErrorCode)

#: Codes after which the same link may well work a little later.
RETRYABLE: frozenset[ErrorCode] = frozenset(
    {"rate_limited", "network", "timeout", "server_error", "disk_full", "storage_unavailable", "interrupted"}
)

#: Codes of what is wrong with this server's disk, and with no link.
STORAGE_CODES: frozenset[ErrorCode] = frozenset({"disk_full", "storage_unavailable"})

#: One sentence a code: what happened and what to do. `{platform}` is the platform's label.
SENTENCES: Mapping[ErrorCode, str] = {
    "invalid_url": "This is not a link to a single {platform} post: open the video itself and copy its link.",
    # Two sentences are fixed by contract; scripts compare them.
    "unsupported_platform": "Unsupported platform",
    "file_missing": "Download completed but file not found",
    "login_required": (
        "{platform} shows this only to people who are logged in: add cookies of your account for {platform} and retry."
    ),
    "private": (
        "This {platform} post is private: ask its owner, or add cookies of an account that may see it and retry."
    ),
    "removed": "This {platform} post does not exist any more, or the link has a typing error: check it in a browser.",
    "geo_blocked": (
        "{platform} does not show this in the country of this server: set a proxy in a country where it can be seen."
    ),
    "ip_blocked": (
        "{platform} does not show this to the address of this server, if it still exists: check it in a browser, then"
        " set a proxy or add cookies of your account for {platform}."
    ),
    "age_restricted": (
        "{platform} asks for proof of age here: add cookies of an account that may see it, for {platform}, and retry."
    ),
    "rate_limited": "{platform} says that this server asks too often: wait a while, then retry; fewer at once helps.",
    "bot_check": (
        "{platform} wants to know that you are not a robot: add cookies of your account for {platform} and retry later."
    ),
    "network": "The connection to {platform} broke off: check this server's internet connection and retry.",
    "timeout": "{platform} did not answer in time: retry in a while.",
    "server_error": "{platform} has a problem of its own at the moment: retry in a while.",
    "no_video": "There is no video in this {platform} post: check that the link is the one you mean.",
    "not_yet_available": "This has not begun yet on {platform}: retry when it has been broadcast.",
    "platform_changed": "{platform} has changed its pages and yt-dlp cannot read them: update yt-dlp and retry.",
    "blocked_address": (
        "This {platform} link leads out of the public web, to an address inside a private network or at an unusual"
        " port: such are never fetched."
    ),
    "not_a_video": "What {platform} sent is not a video that plays: it was deleted; open the link in a browser.",
    "too_large": "This {platform} video is larger or longer than this server allows: raise its limit, or leave it out.",
    "disk_full": "The disk of this server is full: free some space and retry.",
    "storage_unavailable": (
        "This server cannot use its storage folder at the moment: check its disk, its mount and its permissions."
    ),
    "cancelled": "This download was cancelled.",
    "interrupted": (
        "The server was interrupted in this download: it resumes by itself, unless it has failed; then retry it."
    ),
    "internal": "Something went wrong inside this server with this {platform} link: see its log, and report it.",
}


def sentence(code: ErrorCode, platform_label: str | None = None) -> str:
    """Return the sentence for people that goes with *code*; without a label it speaks of "the platform"."""
    text = SENTENCES[code]
    if platform_label is None:  # "this {platform} link" is "this link" then
        text, platform_label = re.sub(r"\b([Tt]his|single) \{platform\}", r"\1", text), "the platform"
    text = text.replace("{platform}", platform_label)
    return text[0].upper() + text[1:]


def is_retryable(code: ErrorCode) -> bool:
    """Tell whether trying the same link again later may work."""
    return code in RETRYABLE


class DownloaderError(Exception):
    """Root of our errors; str() of each is written for the user."""

    code: ErrorCode = "internal"


class RequestRefused(DownloaderError):
    """A request that is no use as it was sent; the API answers 4xx with str() of this."""

    code: ErrorCode = "invalid_url"


class NotFound(RequestRefused):
    """There is no such batch or job, or not any more."""

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}: it may have been deleted.")


class BadCursor(RequestRefused):
    """A cursor that did not come from an earlier page."""

    def __init__(self) -> None:
        super().__init__("This cursor is not valid: use the one that came with the page before, or none.")


class IdempotencyConflict(RequestRefused):
    """An Idempotency-Key that was used before, for other links."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used before with other links: send these with a new one.")


class IllegalTransition(RequestRefused):
    """A move that `jobs.TRANSITIONS` does not have."""

    def __init__(self, before: str, after: str) -> None:
        super().__init__(f"A job that is {before} cannot become {after}.")


class CookiesRefused(RequestRefused):
    """Cookies that are no good; str() says why by line numbers, and never repeats any of them."""


class CookiesNotWritable(RequestRefused):
    """The folder of cookies is not ours to write to."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The folder of cookies cannot be written ({reason}): check its permissions, or put the file there by hand."
        )


class StoreUnavailable(DownloaderError):
    """The database cannot be read or written; the cause is in the log."""

    def __init__(self, told: str | None = None) -> None:
        """Say *told*, a sentence, where more is known."""
        super().__init__(
            told or "The server's database cannot be read or written at the moment: try again, and see its log."
        )


class StartRefused(DownloaderError):
    """The service cannot start as it is set up; str() says which setting to change."""


class DownloadFailed(DownloaderError):
    """One download came to nothing.

    Attributes:
        code: why, as one of `ERROR_CODES`.
        detail: the cause in its own words, for the log and for those who dig.
        retry_after_seconds: what the platform asked us to wait, where it said so.
        walled: it is `rate_limited` by a login page, which may as well be this post's own.
    """

    def __init__(
        self,
        code: ErrorCode,
        *,
        platform_label: str | None = None,
        detail: str | None = None,
        retry_after_seconds: float | None = None,
        walled: bool = False,
    ) -> None:
        super().__init__(sentence(code, platform_label))
        self.code = code
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.walled = walled


class NotAPost(DownloadFailed):
    """A link that is no use: str() says what it leads to, or what is wrong with it."""

    def __init__(self, sentence: str, *, detail: str) -> None:
        super().__init__("invalid_url", detail=detail)
        self.args = (sentence,)
