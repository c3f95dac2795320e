"""What a contender is, and how one run of it is measured."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.memory_sampler import Peak, sampled
from benchmarks.workload import Workload


class Failed(Exception):
    """A contender did not do its work, so that its figures would mean nothing; str() says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, without what was spent on starting a server."""

    wall_seconds: float
    cpu_seconds: float  #: of all its processes
    peak_pss_bytes: int = 0  #: 0: not sampled
    peak_concurrency: int = 0  #: requests that the simulator had in hand at once
    right_files: int = 0
    more: dict[str, float] = field(default_factory=dict)  #: what only this contender tells


class Contender(Protocol):
    """A way to fetch a list of videos."""

    @property
    def name(self) -> str:
        """Return what it is called in tables, on the command line too."""

    @property
    def cannot(self) -> Mapping[str, str]:
        """Return, in two or three words, why it cannot fetch from a platform, by the platform's name."""

    def version(self) -> dict[str, str]:
        """Return what is measured: the commit of its checkout, what it runs on; nothing where the machine's facts do.

        Raises:
            Failed: it is not there, or cannot run.
        """

    def run(self, work: Workload, folder: Path, *, sample: bool) -> Run:
        """Fetch *work* into *folder*, which is empty; *sample* its memory meanwhile, which costs it some time.

        Raises:
            Failed: not all of it could be fetched.
        """


def measured(contender: Contender, work: Workload, *, sample: bool = False) -> Run:
    """Return one run of *contender*, in a folder that is gone afterwards, its files looked at.

    Raises:
        Failed: it could not fetch all, or a file is wrong.
    """
    work.prepare()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        run = contender.run(work, Path(folder), sample=sample)
        right = work.right_files(Path(folder))
    if right < work.videos:
        raise Failed(f"{contender.name}: only {right} of {work.videos} files are right")
    peak = work.simulator.stats().platforms[work.platform].peak_concurrency
    return Run(
        wall_seconds=run.wall_seconds,
        cpu_seconds=run.cpu_seconds,
        peak_pss_bytes=run.peak_pss_bytes,
        peak_concurrency=peak,
        right_files=right,
        more=run.more,
    )


def sampling(pid: int, wanted: bool) -> AbstractContextManager[Peak]:
    """Return what samples the memory below *pid*, or does nothing where that is not *wanted*."""
    return sampled(pid) if wanted else nullcontext(Peak())
