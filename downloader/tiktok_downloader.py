"""Downloads from TikTok."""

from __future__ import annotations

from downloader.models import Outcome
from downloader.platforms import TIKTOK
from downloader.ytdlp.client import RAW_DIR, fetch


def download_tiktok_video(url: str, output_dir: str = RAW_DIR) -> Outcome:
    """Download one post; blocking. Returns (success, file_path, error)."""
    return fetch(TIKTOK, url, output_dir)
