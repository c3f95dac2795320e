"""Helpers of tests that let real yt-dlp loose on the simulator."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.simulator.media import find_ffmpeg


class Warnings:
    """A yt-dlp logger that keeps the warnings and drops the rest."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def debug(self, text: str) -> None:
        pass

    def warning(self, text: str) -> None:
        self.texts.append(text)

    def error(self, text: str) -> None:
        pass


def assert_plays(file: Path, owner: str) -> None:
    """Decode picture and sound to the end, and find the name of the post they belong to."""
    command = [find_ffmpeg(), "-v", "error", "-xerror", "-i", str(file)]
    streams = ["-map", "0:v", "-map", "0:a", "-f", "null", "-"]
    done = subprocess.run([*command, *streams], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert owner.encode() in file.read_bytes()
