"""File systems of the tests' own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def tmpfs(folder: Path, *, size: str = "512m") -> Iterator[Path]:
    """Mount an empty file system on *folder*; skip the test where this machine does not allow that."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root may mount a file system, and only Linux has this one")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"this machine mounts nothing: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: what a failed test left open must not keep it.
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, option: str) -> None:
    """Change an option of what is mounted on *folder*: `ro`, `rw`, `size=…`."""
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)
