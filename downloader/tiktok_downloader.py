"""TikTok: what yt-dlp must be told."""

from __future__ import annotations

from downloader.models import Outcome, Platform
from downloader.ytdlp.client import RAW_DIR, fetch

PLATFORM = Platform(
    name="tiktok",
    label="TikTok",
    extractors=("TikTok",),
    cookie_domains=("tiktok.com",),
    login_host="www.tiktok.com",
    session_cookies=(frozenset({"sessionid"}),),
    # h265 is what TikTok offers first and what many players and browsers cannot show.
    options={"format": "bv*[vcodec^=h264]+ba/b[vcodec^=h264]/bv*+ba/b"},
)


def download_tiktok_video(url: str, output_dir: str = RAW_DIR) -> Outcome:
    """Download one post; blocking. Returns (success, file_path, error)."""
    return fetch(PLATFORM, url, output_dir)
