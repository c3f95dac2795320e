"""What yt-dlp asks for, or is answered, goes no further than it may; real yt-dlp against the simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from downloader.batch_downloader import PLATFORMS
from downloader.models import PlatformType
from downloader.settings import Settings
from downloader.ytdlp_client import FetchContext, fetch, fetch_context
from downloader.ytdlp_requests import MAX_PAGE_BYTES
from tests.simulator.client import Simulator


@pytest.mark.parametrize("platform", ["instagram", "youtube"])
def test_a_page_is_not_read_without_end(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path, platform: PlatformType
) -> None:
    url = simulator.url(platform, "swollen_page")  # type: ignore[arg-type]
    with fetch_context(FetchContext(settings=make_settings())):
        outcome = fetch(PLATFORMS[platform], url, str(tmp_path))
    assert outcome.error_code == "platform_changed"
    assert outcome.detail == f"a page of more than {MAX_PAGE_BYTES} bytes"
