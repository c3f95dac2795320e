"""Error sentences, with and without a platform."""

from __future__ import annotations

import pytest

from downloader.errors import ERROR_CODES, DownloadFailed, ErrorCode, sentence

#: Fixed by contract.
CONTRACT = {"Unsupported platform", "Download completed but file not found"}


@pytest.mark.parametrize("code", ERROR_CODES)
@pytest.mark.parametrize("label", [None, "TikTok"])
def test_each_code_has_a_sentence(code: ErrorCode, label: str | None) -> None:
    said = sentence(code, label)
    assert label is not None or str(DownloadFailed(code)) == said
    assert said[0].isupper()
    assert said.endswith(".") or said in CONTRACT
    assert "{" not in said
    assert "this the" not in said.lower()
    assert "single the" not in said


def test_without_a_label_the_platform_is_left_out_or_called_the_platform() -> None:
    assert sentence("internal").startswith("Something went wrong on the server with this link.")
    assert sentence("timeout") == "The platform didn't respond in time. Try again later."
    assert sentence("timeout", "TikTok") == "TikTok didn't respond in time. Try again later."
