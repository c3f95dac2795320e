"""Tells which version a checkout is."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path


def commit(checkout: Path) -> str:
    """Return the short hash of the commit of *checkout*, with "-dirty" where files differ; "unknown" without git."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return "unknown"
