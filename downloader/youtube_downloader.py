"""YouTube: what yt-dlp must be told."""

from __future__ import annotations

from downloader.models import Outcome, Platform
from downloader.ytdlp.client import RAW_DIR, fetch

PLATFORM = Platform(
    name="youtube",
    label="YouTube",
    extractors=("Youtube",),
    # Not google.com: those would be good for the whole Google account, and are not needed.
    cookie_domains=("youtube.com",),
    login_host="www.youtube.com",
    session_cookies=(
        frozenset({"LOGIN_INFO"}),
        frozenset({"SAPISID", "__Secure-1PAPISID", "__Secure-3PAPISID"}),
    ),
)


def download_youtube_video(url: str, output_dir: str = RAW_DIR) -> Outcome:
    """Download one video or short; blocking. Returns (success, file_path, error)."""
    return fetch(PLATFORM, url, output_dir)
