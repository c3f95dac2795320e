"""Instagram: what yt-dlp must be told."""

from __future__ import annotations

from downloader.models import Outcome, Platform
from downloader.ytdlp.client import RAW_DIR, fetch

PLATFORM = Platform(
    name="instagram",
    label="Instagram",
    extractors=("Instagram",),
    cookie_domains=("instagram.com",),
    login_host="www.instagram.com",
    session_cookies=(frozenset({"sessionid"}),),
    # Instagram is slow to answer those it does not know, and quick to break off: more time, more tries.
    patience=1.5,
    extra_retries=2,
    options={
        # What a browser sends when it opens a link; bare requests meet the login page sooner.
        "http_headers": {
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language": "en-US,en;q=0.9",
            "Referer": "https://www.instagram.com/",
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": "same-origin",
        },
    },
)


def download_instagram_video(url: str, output_dir: str = RAW_DIR) -> Outcome:
    """Download the video, or every video, of one post or reel; blocking. Returns (success, file_path, error)."""
    return fetch(PLATFORM, url, output_dir)
