"""The hooks that yt-dlp calls; those that need a download are tested in test_client."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from downloader.errors import DownloadFailed
from downloader.ytdlp.hooks import interruptible_backoff


@pytest.mark.parametrize("pause", [lambda n: 30.0, 30])
def test_a_pause_before_a_repetition_ends_with_the_download(pause: Any) -> None:
    stop = threading.Event()
    [wait] = interruptible_backoff({"http": pause}, stop).values()
    threading.Timer(0.05, stop.set).start()
    started = time.monotonic()
    with pytest.raises(DownloadFailed) as failure:
        wait(n=0)
    assert failure.value.code == "interrupted"
    assert time.monotonic() - started < 5


def test_a_pause_before_a_repetition_is_as_long_as_it_should_be() -> None:
    [wait] = interruptible_backoff({"http": lambda n: n / 100}, threading.Event()).values()
    started = time.monotonic()
    assert wait(n=5) == 0  # yt-dlp itself need not wait any more
    assert time.monotonic() - started >= 0.05
