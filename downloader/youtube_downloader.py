"""YouTube: the links it owns, and what yt-dlp must be told."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from downloader.models import Outcome, Platform
from downloader.ytdlp_client import RAW_DIR, fetch

#: What a player adds when a video was opened from a playlist; with it yt-dlp takes the link for the playlist's.
_PLAYLIST_PARAMETERS = frozenset({"list", "index", "start_radio", "playnext", "pp", "si"})


def canonical_url(url: str) -> str:
    """Return the link of the video alone, without the playlist that it was opened from."""
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query) if pair[0] not in _PLAYLIST_PARAMETERS]
    if len(query) == len(parse_qsl(parts.query)) or parts.path.startswith("/playlist"):
        return url
    return urlunsplit(parts._replace(query=urlencode(query)))


PLATFORM = Platform(
    name="youtube",
    label="YouTube",
    extractors=("Youtube",),
    canonical_url=canonical_url,
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
