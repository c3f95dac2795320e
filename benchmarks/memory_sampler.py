"""Samples the memory of a process tree, from a process of its own, so that sampling costs the tree little.

    python -m benchmarks.memory_sampler PID

prints a line when it has begun, samples until its stdin closes, then prints {"peak_pss_bytes", "samples"}.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import process_tree

INTERVAL_SECONDS = 0.05


@dataclass(slots=True)
class Peak:
    """What was found, once the `with` block has ended."""

    pss_bytes: int = 0
    samples: int = 0


@contextlib.contextmanager
def sampled(root: int) -> Iterator[Peak]:
    """Sample everything below *root* for the length of a `with` block, which begins when the sampler is at work."""
    peak = Peak()
    command = [sys.executable, "-m", "benchmarks.memory_sampler", str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield peak
        finally:
            out, _ = process.communicate()
    facts = json.loads(out)
    peak.pss_bytes, peak.samples = facts["peak_pss_bytes"], facts["samples"]


def main(root: int) -> None:
    """Sample until stdin closes."""
    peak = samples = 0
    going_on = True
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while going_on:
        going_on = not select.select([sys.stdin], [], [], INTERVAL_SECONDS if samples else 0)[0]
        peak = max(peak, sum(process_tree.pss_bytes(root).values()))
        samples += 1
    sys.stdout.write(json.dumps({"peak_pss_bytes": peak, "samples": samples}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
