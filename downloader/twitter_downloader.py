"""Downloads from Twitter/X."""

from __future__ import annotations

from downloader.models import Outcome
from downloader.platforms import TWITTER
from downloader.ytdlp.client import RAW_DIR, fetch


def download_twitter_video(url: str, output_dir: str = RAW_DIR) -> Outcome:
    """Download the video, or every video, of one post; blocking. Returns (success, file_path, error)."""
    return fetch(TWITTER, url, output_dir)
