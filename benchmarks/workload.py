"""What is to be fetched, with the proof that it was."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from downloader.media.check import NotPlayable, check_media
from downloader.ytdlp import tools
from tests.simulator.client import Simulator
from tests.simulator.media import MediaLibrary, load_media
from tests.simulator.model import Platform, post_id
from tests.simulator.scenarios import SCENARIOS, find_post

#: The ids of `ok` posts, as they stand in the names of files.
_POST_IDS: Mapping[Platform, re.Pattern[str]] = {
    "tiktok": re.compile(r"7\d{18}"),
    "twitter": re.compile(r"1\d{18}"),
    "youtube": re.compile(r"S\d{2}n\d{7}"),
}

#: The platforms whose posts can be measured.
PLATFORMS = tuple(_POST_IDS)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Posts of one simulated platform.

    TikTok: one mp4 each. Twitter: an mp4, and a stream (HLS) of video and audio apart. YouTube: video and audio apart.
    """

    simulator: Simulator
    platform: Platform = "tiktok"
    latency_ms: float | None = None  #: before each answer; None: as the simulator was started
    first: int = 0
    videos: int
    media_bytes: int
    at_once: int  #: how many may be fetched at the same time

    def prepare(self) -> None:
        """Make the simulator's network what this work wants, its counts zero."""
        self.simulator.configure(latency_ms=self.latency_ms)
        self.simulator.reset()

    @property
    def urls(self) -> list[str]:
        """Return the links, as a person would paste them."""
        return [self.simulator.url(self.platform, "ok", self.first + number) for number in range(self.videos)]

    @property
    def ids(self) -> list[str]:
        """Return the posts' ids, in the order of `urls`."""
        return [post_id(self.platform, SCENARIOS["ok"], self.first + number) for number in range(self.videos)]

    def spare(self, number: int) -> str:
        """Return a link that is none of `urls`, for warming up."""
        return self.simulator.url(self.platform, "ok", self.first + self.videos + number)

    def right_files(self, folder: Path) -> int:
        """Return how many of the posts have their file in *folder* or below: found by the id in its name, opened, read.

        Right is what has the very bytes that the simulator serves, or plays, with picture and sound, and carries the
        post's tag: a remux.
        """
        found: dict[str, Path] = {}
        for path in folder.rglob("*"):
            if (match := _POST_IDS[self.platform].search(path.name)) and path.is_file():
                found[match[0]] = path
        return sum(id in found and self._is_right(id, found[id]) for id in self.ids)

    def _is_right(self, id: str, path: Path) -> bool:
        post = find_post(self.platform, id)
        assert post
        wanted = hashlib.sha256()
        served = self._library.content(post, "muxed.mp4")
        for chunk in served.chunks():
            wanted.update(chunk)
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() == wanted.digest():
                return path.stat().st_size == served.size
        ffmpeg = tools.ffmpeg()
        assert ffmpeg
        try:
            check_media(path, ffmpeg.path)
        except NotPlayable:
            return False
        content = path.read_bytes()
        return all(part in content for part in (b"vide", b"soun", f"{self.platform} {id}".encode()))

    @cached_property
    def _library(self) -> MediaLibrary:
        return load_media(self.media_bytes)
