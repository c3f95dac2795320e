"""The four platforms on loopback, for real, unmodified yt-dlp: see README.md."""
