"""Our errors in cobalt's words."""

from __future__ import annotations

from typing import Any

import pytest

from downloader.errors import ERROR_CODES, ErrorCode
from downloader.platforms import PlatformType
from downloader.web.compat.cobalt_errors import failed


def told(code: ErrorCode, platform: PlatformType = "youtube", **more: float) -> Any:
    times = {"seconds": None, "max_seconds": None, **more}
    body = failed(code, "It failed.", platform, **times).to_json()
    assert body.keys() == {"status", "error"}
    assert body["status"] == "error"
    return body["error"]


@pytest.mark.parametrize("code", ERROR_CODES)
@pytest.mark.parametrize("platform", ["youtube", "tiktok", "unknown"])
def test_every_code_has_theirs(code: ErrorCode, platform: PlatformType) -> None:
    error = told(code, platform)
    assert error["code"].startswith("error.api.")
    assert error["message"] == "It failed."


def test_a_table_of_codes() -> None:
    assert told("private")["code"] == "error.api.content.video.private"
    assert told("private", "tiktok") == {
        "code": "error.api.content.post.private",
        "message": "It failed.",
        "context": {"service": "TikTok"},
    }
    assert told("bot_check")["code"] == "error.api.youtube.login"
    assert told("bot_check", "twitter") == {
        "code": "error.api.fetch.fail",
        "message": "It failed.",
        "context": {"service": "Twitter/X"},
    }
    assert "context" not in told("unsupported_platform", "unknown")
    assert "context" not in told("internal")
    assert "context" not in told("network")


def test_only_a_length_is_too_long() -> None:
    long = told("too_large", seconds=7300.0, max_seconds=3600.0)
    assert long["code"] == "error.api.content.too_long"
    assert long["context"] == {"service": "YouTube", "limit": 60}
    assert told("too_large", seconds=60.0, max_seconds=3600.0)["code"] == "error.api.fetch.fail"
    assert told("too_large")["code"] == "error.api.fetch.fail"
