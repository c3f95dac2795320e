"""What is to be fetched, with the proof that it was."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from downloader.media.check import NotPlayable, check_media
from downloader.ytdlp import tools
from tests.simulator.client import Simulator
from tests.simulator.media import MediaLibrary, load_media
from tests.simulator.scenarios import find_post

_POST_ID = re.compile(r"7\d{18}")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Posts of the simulated TikTok: one mp4 each, that needs no merging."""

    simulator: Simulator
    first: int = 0
    videos: int
    media_bytes: int
    at_once: int  #: how many may be fetched at the same time

    @property
    def urls(self) -> list[str]:
        """Return the links, as a person would paste them."""
        return [self.simulator.url("tiktok", "ok", self.first + number) for number in range(self.videos)]

    @property
    def ids(self) -> list[str]:
        """Return the posts' ids, in the order of `urls`."""
        return [url.rpartition("/")[2] for url in self.urls]

    def spare(self, number: int) -> str:
        """Return a link that is none of `urls`, for warming up."""
        return self.simulator.url("tiktok", "ok", self.first + self.videos + number)

    def right_files(self, folder: Path) -> int:
        """Return how many of the posts have their file in *folder* or below: found by the id in its name, opened, read.

        Right is what has the very bytes that the simulator serves, or plays and carries the post's tag: a remux.
        """
        found: dict[str, Path] = {}
        for path in folder.rglob("*"):
            if (match := _POST_ID.search(path.name)) and path.is_file():
                found[match[0]] = path
        return sum(id in found and self._is_right(id, found[id]) for id in self.ids)

    def _is_right(self, id: str, path: Path) -> bool:
        post = find_post("tiktok", id)
        assert post
        wanted = hashlib.sha256()
        content = self._library.content(post, "muxed.mp4")
        for chunk in content.chunks():
            wanted.update(chunk)
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() == wanted.digest():
                return path.stat().st_size == content.size
        ffmpeg = tools.ffmpeg()
        assert ffmpeg
        try:
            check_media(path, ffmpeg.path)
        except NotPlayable:
            return False
        return f"tiktok {id}".encode() in path.read_bytes()

    @cached_property
    def _library(self) -> MediaLibrary:
        return load_media(self.media_bytes)
