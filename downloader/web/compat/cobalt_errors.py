"""Our errors in cobalt's words."""

from __future__ import annotations

from collections.abc import Mapping

from downloader.errors import ErrorCode
from downloader.platforms import PLATFORMS, PlatformType

_PREFIX = "error.api."

_FAILED = "fetch.fail"

#: By our code: for YouTube, and for the other platforms. All others are `fetch.fail`.
_CODES: Mapping[ErrorCode, tuple[str, str]] = {
    "unsupported_platform": ("link.invalid", "link.invalid"),
    "invalid_url": ("link.unsupported", "link.unsupported"),
    "private": ("content.video.private", "content.post.private"),
    "removed": ("content.video.unavailable", "content.post.unavailable"),
    "age_restricted": ("content.video.age", "content.post.age"),
    "geo_blocked": ("content.video.region", "content.region"),
    "login_required": ("youtube.login", "content.post.private"),
    "bot_check": ("youtube.login", _FAILED),
    "no_video": ("fetch.empty", "fetch.empty"),
    "no_audio": ("fetch.empty", "fetch.empty"),
    "file_missing": ("fetch.empty", "fetch.empty"),
    "not_yet_available": ("content.video.live", "content.video.live"),
    "rate_limited": ("fetch.rate", "fetch.rate"),
    "timeout": ("timed_out", "timed_out"),
    "disk_full": ("capacity", "capacity"),
    "storage_unavailable": ("capacity", "capacity"),
    "too_large": (_FAILED, _FAILED),
    "internal": ("generic", "generic"),
}

_WITHOUT_SERVICE = frozenset({"link.invalid", "generic"})


class CobaltError(Exception):
    """An answer that says what is wrong; `str()` is our sentence."""

    def __init__(self, code: str, message: str, *, service: str | None = None, limit: int | None = None) -> None:
        super().__init__(message)
        context = {"service": service, "limit": limit}
        self._code = code
        self._context = {name: value for name, value in context.items() if value is not None}

    def to_json(self) -> dict[str, object]:
        """Return the body of the answer."""
        error: dict[str, object] = {"code": _PREFIX + self._code, "message": str(self)}
        return {"status": "error", "error": {**error, "context": self._context} if self._context else error}


def failed(
    code: ErrorCode, message: str, platform: PlatformType, *, seconds: float | None, max_seconds: float | None
) -> CobaltError:
    """Return what a download answers that failed with *code*: of a post on *platform*, this many *seconds* long."""
    owner = PLATFORMS.get(platform)
    label = None if owner is None else owner.label
    if code == "too_large" and seconds is not None and max_seconds is not None and seconds > max_seconds:
        return CobaltError("content.too_long", message, service=label, limit=round(max_seconds / 60))
    if code not in _CODES:
        return CobaltError(_FAILED, message)
    theirs = _CODES[code][0 if platform == "youtube" else 1]
    return CobaltError(theirs, message, service=None if theirs in _WITHOUT_SERVICE else label)
