"""Fetches with yt-dlp's Python API in a pool of threads, a fresh `YoutubeDL` for each video: a contender.

python -m benchmarks.thread_pool LIST FOLDER PROXY THREADS
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from yt_dlp import YoutubeDL


def main(listed: str, folder: str, proxy: str, threads: str) -> int:
    """Fetch every link of the file *listed*; return how many failed."""
    options = {
        "paths": {"home": folder},
        "proxy": proxy,
        "compat_opts": {"no-certifi"},
        "cachedir": False,
        "quiet": True,
        "noprogress": True,
        # As on the command line; the API's own default is none.
        "retries": 10,
    }

    def fetch(url: str) -> int:
        with YoutubeDL(options) as ydl:
            status: int = ydl.download([url])
        return status

    with ThreadPoolExecutor(int(threads)) as pool:
        return sum(pool.map(fetch, Path(listed).read_text().split()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
