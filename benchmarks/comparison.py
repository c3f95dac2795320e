"""Compares contenders at the same work: in turn, round after round, so that whatever else happens strikes all."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.contender import Contender, Run, measured
from benchmarks.our_server import OurServer
from benchmarks.statistic import median, ratio
from benchmarks.workload import Workload

OURS = "ours"

#: The figures that are compared with ours.
COMPARED = ("wall_s", "cpu_ms_per_video", "peak_pss_mb")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A contender at one work."""

    name: str  #: the contender's, with as much of the work as tells it from the others
    contender: Contender
    work: Workload

    @property
    def cannot(self) -> str:
        """Return why the contender cannot do the work; empty where it can."""
        return self.contender.cannot.get(self.work.platform, "")


def compare(contenders: Sequence[Contender], works: Sequence[Workload], *, rounds: int) -> dict[str, Any]:
    """Return the figures of each contender at each of *works* by the name of the row, with the ratios to ours.

    Raises:
        Failed: one could not do its work.
    """
    # First, so that one that is not there does not cost the others' time.
    versions = {each.name: each.version() for each in contenders}
    rows = list(_rows(contenders, works))
    runs: dict[str, list[Run]] = {row.name: [] for row in rows}
    able = [row for row in rows if not row.cannot]
    for number in range(rounds):
        # Another one begins each round, so that none always runs after the same.
        start = number % max(len(able), 1)
        for row in [*able[start:], *able[:start]]:
            runs[row.name].append(measured(row.contender, row.work))
            _say(f"round {number + 1} of {rounds}: {row.name} {runs[row.name][-1].wall_seconds:.2f} s")
    found = {row.name: versions[row.contender.name] | _figures(row, runs[row.name]) for row in rows}
    _compare_with_ours(rows, found)
    return {"work": _facts(works, rounds), "contenders": found}


def _rows(contenders: Sequence[Contender], works: Sequence[Workload]) -> Iterator[Row]:
    """Yield what one wants to see side by side one after the other."""
    platforms = list(dict.fromkeys(work.platform for work in works))
    latencies = {work.latency_ms for work in works}
    for platform in platforms:
        for contender in contenders:
            for work in (each for each in works if each.platform == platform):
                about: list[str] = [platform] if len(platforms) > 1 else []
                about += [f"{work.latency_ms:g} ms"] if len(latencies) > 1 else []
                yield Row(name=", ".join([contender.name, *about]), contender=contender, work=work)


def _figures(row: Row, runs: Sequence[Run]) -> dict[str, Any]:
    about = {"contender": row.contender.name, "platform": row.work.platform, "latency_ms": row.work.latency_ms}
    if row.cannot:
        return {**about, "cannot": row.cannot}
    peak = measured(row.contender, row.work, sample=True)
    more = {}
    if isinstance(row.contender, OurServer):
        more = measured(replace(row.contender, probe=True), row.work).more
    _say(f"memory: {row.name}")
    return {**about, **figures(runs, peak, more, row.work.videos)}


def figures(runs: Sequence[Run], peak: Run, more: Mapping[str, float], videos: int) -> dict[str, Any]:
    """Return the medians of *runs*, with what *peak* and *more*, of rounds of their own, add."""
    also = {key: median([run.more[key] for run in runs]) for key in runs[0].more}
    return {
        "wall_s": median([run.wall_seconds for run in runs]),
        "cpu_s": median([run.cpu_seconds for run in runs]),
        "cpu_ms_per_video": median([run.cpu_seconds for run in runs]) * 1000 / videos,
        "peak_pss_mb": peak.peak_pss_bytes / 1024**2,
        "peak_concurrency": max(run.peak_concurrency for run in runs),
        "right_files": min(run.right_files for run in (*runs, peak)),
        "rounds": [{"wall_s": run.wall_seconds, "cpu_s": run.cpu_seconds} for run in runs],
        **{key: value for key, value in more.items() if key not in also},
        **also,
    }


def _compare_with_ours(rows: Sequence[Row], found: Mapping[str, dict[str, Any]]) -> None:
    """Add the ratios to ours at the same work, where it took part."""
    ours = {row.work: found[row.name] for row in rows if row.contender.name == OURS}
    for row in rows:
        if row.work in ours and not row.cannot:
            own = found[row.name]
            own["ratio_to_ours"] = {key: ratio(own[key], ours[row.work][key]) for key in COMPARED}


def _facts(works: Sequence[Workload], rounds: int) -> dict[str, Any]:
    [(videos, media_bytes, at_once)] = {(work.videos, work.media_bytes, work.at_once) for work in works}
    return {"videos": videos, "media_bytes": media_bytes, "at_once": at_once, "rounds": rounds}


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
