"""Shows a comparison: as text, as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.bars import Panel, picture
from benchmarks.comparison import COMPARED, OURS
from benchmarks.tables import Cell, table

_HEAD = ["", "wall s", "CPU s", "CPU ms/video", "peak PSS MB", "at once", "files", "wall", "CPU", "PSS"]
_KEYS = ("wall_s", "cpu_s", "cpu_ms_per_video", "peak_pss_mb", "peak_concurrency", "right_files")

_ONLY_OURS = {
    "files_s": "from POST until the last file is there, s",
    "cold_download_s": "first download after the start, s",
    "warm_download_s": "second download after the start, s",
    "healthz_p50_ms": "/healthz meanwhile, p50, ms",
    "healthz_p99_ms": "/healthz meanwhile, p99, ms",
    "healthz_max_ms": "/healthz meanwhile, slowest, ms",
    "healthz_answers": "/healthz meanwhile, answers",
    "server_cpu_s": "CPU s of the server process, guard included",
    "workers_cpu_s": "CPU s of the workers",
    "programs_cpu_s": "CPU s of the programs that workers run (ffmpeg)",
    "server_pss_mb": "memory (PSS) of the server process, at the end, MB",
    "following_cpu_s": "CPU s of telling the batch's events once, to who waits",
}


def report(found: Mapping[str, Any]) -> str:
    """Return *found* as text."""
    rows = found["contenders"]
    parts = [table(_HEAD, [_row(name, own) for name, own in rows.items()])]
    if ours := {name: own for name, own in rows.items() if "files_s" in own}:
        known = [key for key in _ONLY_OURS if all(key in own for own in ours.values())]
        figures = [[_ONLY_OURS[key], *(own[key] for own in ours.values())] for key in known]
        parts.append(table(["only ours", *(["figure"] if len(ours) == 1 else ours)], figures))
    versions = {own["contender"]: [own["commit"], own.get("runs_on")] for own in rows.values() if "commit" in own}
    if versions:
        parts.append(table(["version", "commit", "runs on"], [[name, *cells] for name, cells in versions.items()]))
    parts.append("\n".join(f"{key}: {value}" for key, value in found["machine"].items()))
    return "\n\n".join(parts)


def _row(name: str, own: Mapping[str, Any]) -> list[Cell]:
    if "cannot" in own:
        return [f"{name}: {own['cannot']}", *([None] * (len(_HEAD) - 1))]
    ratios = own.get("ratio_to_ours", {})
    return [name, *(own[key] for key in _KEYS), *(ratios.get(key) for key in COMPARED)]


def drawn(found: Mapping[str, Any]) -> str:
    """Return *found* as a picture: for each work, three panels."""
    return picture(
        list(_panels(found)),
        own=OURS,
        about="Our server compared with other ways to fetch the same videos; less is better",
    )


def _panels(found: Mapping[str, Any]) -> Iterator[Panel]:
    titles = (
        "Seconds for {videos} videos of {megabytes:g} MB",
        "Processor milliseconds a video",
        "Memory at its peak, MB",
    )
    done = [own for own in found["contenders"].values() if "cannot" not in own]
    works = list(dict.fromkeys((own["platform"], own["latency_ms"]) for own in done))
    amount = {"videos": found["work"]["videos"], "megabytes": found["work"]["media_bytes"] / 1e6}
    for platform, latency_ms in works:
        about = f" ({platform}, {latency_ms:g} ms)" if len(works) > 1 else ""
        here = [own for own in done if (own["platform"], own["latency_ms"]) == (platform, latency_ms)]
        for key, title in zip(COMPARED, titles, strict=True):
            bars = [(own["contender"], own[key]) for own in here]
            yield Panel(title=title.format(**amount) + about, bars=bars)
