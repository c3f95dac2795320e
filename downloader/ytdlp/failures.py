"""Turns failures of downloads and listings into outcomes, with sentences for people."""

from __future__ import annotations

import logging

from downloader.download_settings import DownloadSettings
from downloader.errors import DownloadFailed, ErrorCode, NotAPost, PresetGone, sentence
from downloader.models import Outcome
from downloader.platforms import Platform
from downloader.ytdlp.options import cookie_fault

log = logging.getLogger(__name__)

#: Errors that the cookies of a logged-in user may help against.
_HELPED_BY_COOKIES: frozenset[ErrorCode] = frozenset({"login_required", "private", "age_restricted", "bot_check"})


def failed(
    event: str,
    platform: Platform,
    url: str,
    settings: DownloadSettings,
    failure: DownloadFailed,
    error: Exception,
    *,
    noun: str = "post",
) -> Outcome:
    """Log *event*: *error*, which means *failure*, ended it. Return the outcome; its sentence is about a *noun*."""
    facts = {"platform": platform.name, "url": url, "error_code": failure.code, "detail": failure.detail}
    has_own_words = isinstance(failure, NotAPost | PresetGone)
    is_internal = failure.code == "internal" and not has_own_words
    level = logging.ERROR if is_internal else logging.WARNING
    log.log(level, event, extra=facts, exc_info=error if is_internal else None)
    message = sentence(failure.code, platform.label).replace(f"{platform.label} post", f"{platform.label} {noun}")
    if has_own_words:
        message = str(failure)
    if failure.code in _HELPED_BY_COOKIES and (fault := cookie_fault(settings, platform)):
        message += f" {fault}"
    return Outcome(
        False,
        None,
        message,
        error_code=failure.code,
        detail=failure.detail,
        retry_after_seconds=failure.retry_after_seconds,
        walled=failure.walled,
    )
