"""The detector: every link that it lets through is, to every other parser, one to the platform that it names."""

from __future__ import annotations

import re
from contextlib import nullcontext

from yt_dlp.utils.networking import normalize_url

from downloader.platform_detector import Link, detect_platform, parse_link
from fuzz.readings import PARSERS, readings
from fuzz.runner import Finding, Target

_SCHEME = re.compile(r"https?://", re.IGNORECASE)

#: Written out once more, and whole: a pattern that says too much would say it here too.
HOSTS = {
    "tiktok": {
        *("tiktok.com", "www.tiktok.com", "m.tiktok.com", "vm.tiktok.com", "vt.tiktok.com"),
        *("lite.tiktok.com", "www.tiktokv.com"),
    },
    "instagram": {"instagram.com", "www.instagram.com", "m.instagram.com", "instagr.am", "www.instagr.am"},
    "twitter": {
        *("twitter.com", "www.twitter.com", "m.twitter.com", "mobile.twitter.com"),
        *("x.com", "www.x.com", "m.x.com", "mobile.x.com"),
    },
    "youtube": {
        *("youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com"),
        *("youtube-nocookie.com", "www.youtube-nocookie.com", "youtu.be", "www.youtu.be"),
    },
}


def check(text: str) -> bool:
    """Tell whether *text* is taken for a platform's link; see whether that is right."""
    link = parse_link(text)
    platform = detect_platform(text)
    if platform != ("unknown" if link is None else link.platform):
        raise Finding(f"taken for {platform}, and for {link}")
    if link is None:
        return False
    if parse_link(link.url) != link:
        raise Finding(f"{link.url!r} is read otherwise than it was written")
    _goes_to_its_platform(link.url, link)
    # What is fetched in the end: yt-dlp writes addresses anew.
    _goes_to_its_platform(normalize_url(link.url), link)
    # What was sent was no link to somewhere else, either, to anyone who reads it as it stands.
    sent = text.strip()
    _goes_to_its_platform(sent if _SCHEME.match(sent) else f"https://{sent}", link, as_sent=True)
    return True


def _goes_to_its_platform(url: str, link: Link, *, as_sent: bool = False) -> None:
    found = list(readings(url))
    if len(found) < PARSERS:
        raise Finding(f"{url!r}: only {len(found)} parsers take it")
    for reading in found:
        if reading.host not in HOSTS[link.platform]:
            raise Finding(f"{url!r} goes to {reading.host!r}, says {reading.by}")
        if reading.user is not None:
            raise Finding(f"{url!r} has a user, says {reading.by}")
        if not as_sent and (reading.scheme != "https" or reading.port is not None):
            raise Finding(f"{url!r} has another scheme or a port, says {reading.by}")


_ALL = sorted({host for hosts in HOSTS.values() for host in hosts})

DETECTOR = Target(
    name="detector",
    open=lambda: nullcontext(check),
    share=40,
    pieces=(
        *_ALL,
        *("https://", "http://", "HTTPS://", "https:", "//", "/", "\\", "///", "://", ":", ":443", ":80", ":0443"),
        *("@", "user@", "u:p@", "evil.example", ".evil.example", "127.0.0.1", "[::1]", "localhost", "%2f", "%40"),
        *("%5c", "%00", "%2e", "%23", "#", "?", "&", "=", ";", ".", "..", "/../", "/@ada/video/7", "/watch?v=x"),
        *(
            "#__youtubedl_smuggle=%7B%7D",
            "#!/",
            "javascript:",
            "data:",
            "file://",
            "ftp://",
            "ytsearch:",
            "xn--",
            "\r\n",
        ),
        *("Host: evil.example", " ", "\t", "\n", "a" * 2000, "\u3000", "\uff0f", "\u2044", "\u212a", "\u017f"),
    ),
    corpus=(
        "https://www.tiktok.com/@ada/video/7123456789012345678",
        "https://x.com/ada/status/1?s=20#x",
        "youtube.com:443/watch?v=dQw4w9WgXcQ",
        "http://youtu.be:80/dQw4w9WgXcQ?t=3",
        "  https://www.instagram.com/reel/Cabc123/?igsh=x\n",
        "https://m.youtube.com?v=dQw4w9WgXcQ",
        "https://youtube.com@evil.example/",
        "https://youtube.com\\@evil.example/",
        "https://evil.example/?u=https://x.com/ada/status/1",
        *(f"https://{host}/x" for host in _ALL),
    ),
)
