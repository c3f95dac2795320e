"""The warm-up before the first download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from downloader.platforms import PLATFORMS
from downloader.ytdlp.warm_up import warm_up


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_the_warm_up_sends_no_request_and_leaves_no_file(
    platform: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a request"))
    caplog.set_level("DEBUG", logger="downloader.ytdlp.warm_up")
    warm_up([PLATFORMS[platform]])
    assert list(tmp_path.iterdir()) == []
    assert [record.message for record in caplog.records] == []
