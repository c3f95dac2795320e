"""One digest for each version of the page."""

from __future__ import annotations

from collections.abc import Callable

from downloader import create_downloader_app
from downloader.settings import Settings


def test_a_digest_stands_for_one_version(make_settings: Callable[..., Settings]) -> None:
    pages = [
        create_downloader_app(make_settings(max_batch_urls=most)).test_client().get("/dashboard") for most in (5, 5, 6)
    ]
    digests = [page.headers["X-Shell-Digest"] for page in pages]
    assert digests[0] == digests[1] != digests[2]
