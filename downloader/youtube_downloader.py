"""Downloads from YouTube."""

from __future__ import annotations

from downloader.models import Outcome
from downloader.platforms import YOUTUBE
from downloader.ytdlp.client import RAW_DIR, fetch


def download_youtube_video(url: str, output_dir: str = RAW_DIR) -> Outcome:
    """Download one video or short; blocking. Returns (success, file_path, error)."""
    return fetch(YOUTUBE, url, output_dir)
