"""What is shown and logged of a message."""

from __future__ import annotations

import pytest

from downloader.ytdlp.redaction import redact


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[0;31mERROR:\x1b[0m [youtube] abc: Video unavailable", "[youtube] abc: Video unavailable"),
        ("ERROR: two\n  lines\t\x00and \u202econtrols", "two lines and controls"),
        (
            "ERROR: [TikTok] 7: Unable to solve JS challenge; please report this issue on  "
            "https://github.com/yt-dlp/yt-dlp/issues?q= , filling out the appropriate issue template. "
            "Confirm you are on the latest version using  yt-dlp -U",
            "[TikTok] 7: Unable to solve JS challenge",
        ),
        (
            "ERROR: [TikTok] 7: Unable to download webpage: Failed to perform, curl: (6) Could not resolve host: a.b. "
            "See https://curl.se/libcurl/c/libcurl-errors.html first for more details. (caused by TransportError('x'))",
            "[TikTok] 7: Unable to download webpage: Failed to perform, curl: (6) Could not resolve host: a.b.",
        ),
        (
            "Unable to download XML: HTTP Error 500: No (caused by <HTTPError 500: No>)",
            "Unable to download XML: HTTP Error 500: No",
        ),
        ("An extractor error (caused by KeyError('x'))", "An extractor error (caused by KeyError('x'))"),
        (
            "Unable to download https://ada:pw@rr1.example.test/videoplayback?sig=TOPSECRET&ip=10.0.0.1#TOPSECRET!",
            "Unable to download https://rr1.example.test/videoplayback",
        ),
        (
            "https://manifest.googlevideo.com/api/manifest/hls/sig/TOPSECRET/index.m3u8 gone",
            "https://manifest.googlevideo.com/\u2026 gone",
        ),
        (
            f"https://v16.example.test/{'TOPSECRET' * 5}/6900/video.mp4",
            "https://v16.example.test/\u2026/6900/video.mp4",
        ),
        (f"https://example.test/{'TOPSECRET/' * 20}", "https://example.test/\u2026"),
        ('Proxy "socks5://ada:TOPSECRET@proxy.test:1080" refused', 'Proxy "socks5://proxy.test:1080" refused'),
        ("sent Cookie: sessionid=TOPSECRET; a=TOPSECRET", "sent Cookie: \u2026"),
        ("Set-Cookie: a=TOPSECRET\nthen nothing", "Set-Cookie: \u2026 then nothing"),
        ("Authorization: Bearer TOPSECRET", "Authorization: Bearer \u2026"),
        ("Error(s): Authorization: Denied by access control", "Error(s): Authorization: Denied by access control"),
        ("body: csrf_token=TOPSECRET&x=1", "body: csrf_token=\u2026&x=1"),
        ('body: {"guest_token": "TOPSECRET", "x": 1}', 'body: {"guest_token": "\u2026", "x": 1}'),
        ("Unsupported URL: https://www.tiktok.com/@ada", "Unsupported URL: https://www.tiktok.com/@ada"),
        ("x" * 600, "x" * 499 + "\u2026"),
        ("x" * 500, "x" * 500),
    ],
)
def test_a_message_is_shown_clean_and_without_secrets(said: str, shown: str) -> None:
    detail = redact(said)
    assert detail == shown
    assert "TOPSECRET" not in detail
