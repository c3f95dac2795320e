"""Twitter/X: what yt-dlp must be told."""

from __future__ import annotations

from downloader.models import Outcome, Platform
from downloader.ytdlp.client import RAW_DIR, fetch

PLATFORM = Platform(
    name="twitter",
    label="Twitter/X",
    # The last three are what a post may lead to: an old card, a recorded broadcast, a t.co link.
    extractors=("Twitter", "TwitterCard", "TwitterBroadcast", "TwitterShortener"),
    cookie_domains=("x.com", "twitter.com"),
    login_host="api.x.com",
    session_cookies=(frozenset({"auth_token"}),),
)


def download_twitter_video(url: str, output_dir: str = RAW_DIR) -> Outcome:
    """Download the video, or every video, of one post; blocking. Returns (success, file_path, error)."""
    return fetch(PLATFORM, url, output_dir)
