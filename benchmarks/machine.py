"""Says what figures were measured on, so that nobody compares what cannot be compared."""

from __future__ import annotations

import os
import platform
from typing import Any

from benchmarks import versions
from downloader.ytdlp import tools


def facts() -> dict[str, Any]:
    """Return cores, versions, what else was going on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": versions.this_python(),
        "ytdlp": tools.ytdlp().version,
        #: Processes that ran or waited for a core, on average over a minute: well below one core is a quiet machine.
        "load_before": round(os.getloadavg()[0], 2),
    }
