"""`list`: a server's jobs, one a line."""

from __future__ import annotations

import json
import shutil
import sys
from argparse import Namespace
from itertools import islice
from typing import Any

from downloader.cli.api import PAGE, Server
from downloader.util.printable import visible


def list_jobs(server: Server, options: Namespace) -> int:
    """Print the jobs that *options* ask for, newest first."""
    found = server.jobs(
        state=",".join(options.state) if options.state else None,
        batch=options.batch,
        limit=min(options.limit, PAGE) if options.limit > 0 else PAGE,
    )
    for job in islice(found, options.limit if options.limit > 0 else None):
        # JSON escapes what a terminal would obey.
        sys.stdout.write(f"{json.dumps(job) if options.json else _line(job)}\n")
    return 0


def _line(job: dict[str, Any]) -> str:
    words = (job["job_id"], job["batch_id"], f"{job['state']:9}", job["title"] or job["url"])
    line = visible("  ".join(map(str, words)))
    if job["state"] == "failed":
        line += f"  ({visible(str(job['error']))})"
    if sys.stdout.isatty():
        line = line[: shutil.get_terminal_size().columns - 1]
    return line
