"""Everything that can go wrong, in words for people.

    DownloaderError                 has a `code` and, as str(), a sentence for the user
    ├── RequestRefused              a bad request: the API answers 4xx
    │   ├── NotFound                no such batch or job
    │   ├── BadCursor               a page cursor that is not ours
    │   ├── IdempotencyConflict     an Idempotency-Key that belongs to another submission
    │   ├── CookiesRefused          cookies that cannot be used
    │   ├── CookiesNotWritable      the cookies folder cannot be written
    │   ├── NotExpandable           more entries of a job that gives none, at least not now
    │   └── IllegalTransition       a change that the job's state does not allow
    ├── StoreUnavailable            the database cannot be read or written now: 503
    ├── DownloadFailed              a download failed; its code says why
    │   ├── NotAPost                its link leads to something else, or has an impossible post id
    │   │   └── IsCollection        it leads to a collection that can be taken apart
    │   └── PresetGone              the operator removed its preset
    └── StartRefused                the service cannot start with these settings

An error's sentence and whether a retry can help follow from its code (`SENTENCES`, `RETRYABLE`); `NotAPost` and
`PresetGone` have sentences of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
    "no_audio",
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

#: Codes after which the same link may work later.
RETRYABLE: frozenset[ErrorCode] = frozenset(
    {"rate_limited", "network", "timeout", "server_error", "disk_full", "storage_unavailable", "interrupted"}
)

#: Codes after which the same link fails again, whatever anyone does; the page has a copy.
HOPELESS: frozenset[ErrorCode] = frozenset(
    {"invalid_url", "unsupported_platform", "removed", "no_video", "no_audio", "blocked_address"}
)

#: Codes for problems with the server's disk, not with a link.
STORAGE_CODES: frozenset[ErrorCode] = frozenset({"disk_full", "storage_unavailable"})

#: What happened and what to do, by code. `{platform}` is the platform's label.
SENTENCES: Mapping[ErrorCode, str] = {
    "invalid_url": "This isn't a link to a single {platform} post. Open the video and copy its link.",
    # Two sentences are fixed by contract; scripts compare them.
    "unsupported_platform": "Unsupported platform",
    "file_missing": "Download completed but file not found",
    "login_required": "{platform} shows this only to logged-in users. Add cookies for {platform} and retry.",
    "private": "This {platform} post is private. Add cookies from an account that can see it, then retry.",
    "removed": "This {platform} post no longer exists, or there's a typo in the link. Check it in your browser.",
    "geo_blocked": (
        "{platform} doesn't show this in the server's country. Use a proxy in a country where it's available."
    ),
    "ip_blocked": (
        "{platform} doesn't show this to the server's IP address, if it still exists. Check it in your browser, then"
        " use a proxy or add cookies for {platform}."
    ),
    "age_restricted": (
        "{platform} requires age verification. Add cookies for {platform} from an account that can see this, then"
        " retry."
    ),
    "rate_limited": (
        "{platform} is limiting requests from this server. Wait a while, then retry; fewer at once helps."
    ),
    "bot_check": "{platform} wants proof that you're not a bot. Add cookies for {platform} and retry later.",
    "network": "The connection to {platform} was lost. Check the server's internet connection and retry.",
    "timeout": "{platform} didn't respond in time. Try again later.",
    "server_error": "{platform} is having problems right now. Try again later.",
    "no_video": "There's no video in this {platform} post. Check that it's the right link.",
    "no_audio": "This {platform} post has no sound. Download the video instead.",
    "not_yet_available": "This isn't available on {platform} yet. Retry after the broadcast.",
    "platform_changed": "{platform} changed something that yt-dlp can't read yet. Update yt-dlp and retry.",
    "blocked_address": (
        "This {platform} link leads to a private network or an unusual port, which this server never connects to."
    ),
    "not_a_video": (
        "{platform} sent a file that doesn't play as video, so it was deleted. Open the link in your browser."
    ),
    "too_large": "This {platform} video exceeds the server's size or length limit. Raise the limit or skip it.",
    "disk_full": "The server's disk is full. Free some space and retry.",
    "storage_unavailable": "The server can't use its storage folder. Check its disk, mount and permissions.",
    "cancelled": "Download cancelled.",
    "interrupted": "The server stopped during this download. It will continue automatically.",
    "internal": "Something went wrong on the server with this {platform} link. Check the log and report it.",
}


def sentence(code: ErrorCode, platform_label: str | None = None) -> str:
    """Return the sentence for *code*; without a label it says "the platform"."""
    text = SENTENCES[code]
    if platform_label is None:  # "this {platform} link" becomes "this link"
        text, platform_label = re.sub(r"\b([Tt]his|single) \{platform\}", r"\1", text), "the platform"
    text = text.replace("{platform}", platform_label)
    return text[0].upper() + text[1:]


class DownloaderError(Exception):
    """Base class of our errors; str() is written for the user."""

    code: ErrorCode = "internal"


class RequestRefused(DownloaderError):
    """A bad request; the API answers 4xx with str() of this."""

    code: ErrorCode = "invalid_url"


class NotFound(RequestRefused):
    """No such batch or job, or no longer."""

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}. It may have been deleted.")


class BadCursor(RequestRefused):
    """A cursor that did not come from an earlier page."""

    def __init__(self) -> None:
        super().__init__("This cursor isn't valid. Use the one from the previous page, or none.")


class IdempotencyConflict(RequestRefused):
    """An Idempotency-Key that was used before for other links, or to get something else of them."""

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used before with other links, or to get something else of them. Send this with a"
            " new one."
        )


class IllegalTransition(RequestRefused):
    """A transition that is not in `jobs.TRANSITIONS`."""

    def __init__(self, before: str, after: str) -> None:
        super().__init__(f"A job that is {before} cannot become {after}.")


class NotExpandable(RequestRefused):
    """More entries were asked for of a job that gives none, at least not now."""


class CookiesRefused(RequestRefused):
    """Cookies that cannot be used; str() says why by line number, and never quotes them."""


class CookiesNotWritable(RequestRefused):
    """The cookies folder cannot be written."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The cookies folder can't be written ({reason}). Check its permissions, or put the file there by hand."
        )


class StoreUnavailable(DownloaderError):
    """The database cannot be read or written; the cause is in the log."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message or "The server's database can't be read or written right now. Try again, and check the log."
        )


class StartRefused(DownloaderError):
    """The service cannot start with these settings; str() says which one to change."""


class DownloadFailed(DownloaderError):
    """A download failed; its code says why."""

    def __init__(
        self,
        code: ErrorCode,
        *,
        detail: str = "",
        retry_after_seconds: float | None = None,
        walled: bool = False,
    ) -> None:
        super().__init__(sentence(code))
        self.code = code
        self.detail = detail  #: the cause in its own words, for the log; may be empty
        self.retry_after_seconds = retry_after_seconds  #: how long the platform asked us to wait, if it did
        self.walled = walled  #: `rate_limited` was concluded from a login page, which may be this post's own


class NotAPost(DownloadFailed):
    """A link that is not a post: str() says what it leads to, or what is wrong with it."""

    def __init__(self, sentence: str, *, detail: str) -> None:
        super().__init__("invalid_url", detail=detail)
        self.args = (sentence,)


class IsCollection(NotAPost):
    """A link to a collection that can be taken apart: str() says how to ask for that."""

    def __init__(self, sentence: str, *, link: str, detail: str) -> None:
        super().__init__(sentence, detail=detail)
        self.link = link  #: canonical


class PresetGone(DownloadFailed):
    """A preset that the operator removed since it was chosen."""

    def __init__(self, name: str, presets: Iterable[str]) -> None:
        super().__init__("internal", detail=f"there is no preset {name!r} any more")
        self.args = (
            f"This server no longer has the preset {name!r}. Send the link again with one of {', '.join(presets)}.",
        )
