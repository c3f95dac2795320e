"""Corrections of yt-dlp's extractors, where they mistake what a post holds or pass over its pictures."""
