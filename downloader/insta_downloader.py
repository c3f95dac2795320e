"""Downloads from Instagram."""

from __future__ import annotations

from downloader.models import Outcome
from downloader.platforms import INSTAGRAM
from downloader.ytdlp.client import RAW_DIR, fetch


def download_instagram_video(url: str, output_dir: str = RAW_DIR) -> Outcome:
    """Download the video, or every video, of one post or reel; blocking. Returns (success, file_path, error)."""
    return fetch(INSTAGRAM, url, output_dir)
