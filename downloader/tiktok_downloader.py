"""TikTok: the links it owns, and what yt-dlp must be told."""

from __future__ import annotations

import re

from downloader.models import Outcome, Platform
from downloader.ytdlp_client import RAW_DIR, fetch

_SHORT_HOSTS = ("https://vm.tiktok.com/", "https://vt.tiktok.com/")
_OLD_MOBILE_LINK = re.compile(r"https://m\.tiktok\.com/v/(?P<id>\d+)(?:\.html)?")
_OTHER_HOST = re.compile(r"https://(?:m\.)?tiktok\.com/")


def canonical_url(url: str) -> str:
    """Return *url* with the host that yt-dlp's extractor insists on."""
    if url.startswith(_SHORT_HOSTS):
        return url
    if match := _OLD_MOBILE_LINK.match(url):
        return f"https://www.tiktok.com/@_/video/{match['id']}"
    return _OTHER_HOST.sub("https://www.tiktok.com/", url)


PLATFORM = Platform(
    name="tiktok",
    label="TikTok",
    extractors=("TikTok", "TikTokVM"),
    canonical_url=canonical_url,
    cookie_domains=("tiktok.com",),
    login_host="www.tiktok.com",
    session_cookies=(frozenset({"sessionid"}),),
    # h265 is what TikTok offers first and what many players and browsers cannot show.
    options={"format": "bv*[vcodec^=h264]+ba/b[vcodec^=h264]/bv*+ba/b"},
)


def download_tiktok_video(url: str, output_dir: str = RAW_DIR) -> Outcome:
    """Download one post; blocking. Returns (success, file_path, error)."""
    return fetch(PLATFORM, url, output_dir)
