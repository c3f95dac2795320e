"""yt-dlp: its options, its errors, and the downloads it runs. No other package imports it."""
