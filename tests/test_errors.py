"""Errors are sentences, whether the platform is known or not."""

from __future__ import annotations

import pytest

from downloader.errors import ERROR_CODES, DownloadFailed, ErrorCode, sentence

#: Other people's code compares these, to the letter.
CONTRACT = {"Unsupported platform", "Download completed but file not found"}


@pytest.mark.parametrize("code", ERROR_CODES)
@pytest.mark.parametrize("label", [None, "TikTok"])
def test_each_code_has_a_sentence(code: ErrorCode, label: str | None) -> None:
    said = sentence(code, label)
    assert str(DownloadFailed(code, platform_label=label)) == said
    assert said[0].isupper()
    assert said.endswith(".") or said in CONTRACT
    assert "{" not in said
    assert "this the" not in said.lower()
    assert "single the" not in said


def test_who_is_not_named_is_left_out_or_is_the_platform() -> None:
    assert sentence("internal").startswith("Something went wrong inside this server with this link:")
    assert sentence("timeout") == "The platform did not answer in time: retry in a while."
    assert sentence("timeout", "TikTok") == "TikTok did not answer in time: retry in a while."
