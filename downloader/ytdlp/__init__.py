"""The only package that knows yt-dlp: what it is told, and what its errors mean."""
