"""Measures how fast, at what cost, a list of videos is fetched: by our server, by other ways to do it.

    python -m benchmarks.throughput [--rounds N] [--only NAME ...] [--json FILE] [--picture FILE] ...

Real yt-dlp against the platform simulator, on loopback. Wall and processor time come from rounds in which the
contenders take turns; memory from one more round, because looking at it costs time, and how our server answers
meanwhile from one more of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import command_line, commands, peers, versions
from benchmarks.bars import Panel, picture
from benchmarks.contender import Contender, Run, measured
from benchmarks.our_server import OurServer
from benchmarks.statistic import median, ratio
from benchmarks.tables import table
from benchmarks.workload import Workload
from tests.simulator.client import Simulator

_OURS = "ours"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it as the command line says."""
    options = _parse(arguments)
    contenders = _contenders(options)
    with (
        command_line.measuring(options) as found,
        Simulator(latency_ms=options.latency, media_bytes=options.bytes) as simulator,
    ):
        work = Workload(simulator=simulator, videos=options.videos, media_bytes=options.bytes, at_once=options.at_once)
        found |= compare(contenders, work, rounds=options.rounds)
    sys.stdout.write(report(found) + "\n")
    if options.picture:
        options.picture.write_text(drawn(found))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line.parser("throughput", __doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--bytes", type=int, default=1_000_000, help="of each video")
    parser.add_argument("--latency", type=float, default=50, help="milliseconds before each answer")
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="these contenders alone; `ours` is also `ours at ...`"
    )
    parser.add_argument(
        "--ours",
        type=Path,
        nargs="+",
        default=[],
        metavar="CHECKOUT",
        help="also our server as it is there, as `ours at <commit>`, run by this Python",
    )
    for peer in ("metube", "ytptube"):
        parser.add_argument(
            f"--{peer}", type=Path, metavar="CHECKOUT", help=f"also {peer}, with its own .venv in there"
        )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw bars there, as SVG")
    return parser.parse_args(arguments)


def _contenders(options: argparse.Namespace) -> list[Contender]:
    found: list[Contender] = [OurServer(), *(_ours_at(path.absolute()) for path in options.ours)]
    found += [commands.one_by_one(), commands.a_process_each(), commands.threads()]
    if options.metube:
        found.append(peers.metube(options.metube.absolute()))
    if options.ytptube:
        found.append(peers.ytptube(options.ytptube.absolute()))
    found.append(commands.curl())
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise SystemExit(f"Two contenders have the same name: {', '.join(names)}.")
    wanted = options.only or names
    if unknown := [name for name in wanted if not any(_is_called(each, name) for each in names)]:
        raise SystemExit(f"No contender here is called {', '.join(unknown)}: there are {', '.join(names)}.")
    return [each for each in found if any(_is_called(each.name, name) for name in wanted)]


def _ours_at(checkout: Path) -> OurServer:
    if not (checkout / "downloader_main.py").exists():
        raise SystemExit(f"ours: {checkout} must hold downloader_main.py")
    return OurServer(name=f"{_OURS} at {versions.commit(checkout)}", checkout=checkout)


def _is_called(name: str, wanted: str) -> bool:
    """Return whether *name* is *wanted*, or a variant of it: `ours` and `ours at 1a2b3c4`."""
    return name == wanted or name.startswith(f"{wanted} ")


def compare(contenders: Sequence[Contender], work: Workload, *, rounds: int) -> dict[str, Any]:
    """Return the figures of each contender by its name, with the ratios to ours.

    Raises:
        Failed: one could not do its work.
    """
    runs: dict[str, list[Run]] = {each.name: [] for each in contenders}
    for number in range(rounds):
        # Another one begins each round, so that none always runs after the same.
        for contender in [*contenders[number % len(contenders) :], *contenders[: number % len(contenders)]]:
            runs[contender.name].append(measured(contender, work))
            _say(f"round {number + 1} of {rounds}: {contender.name} {runs[contender.name][-1].wall_seconds:.2f} s")
    found = {}
    for contender in contenders:
        peak = measured(contender, work, sample=True)
        more = measured(replace(contender, probe=True), work).more if isinstance(contender, OurServer) else {}
        found[contender.name] = figures(runs[contender.name], peak, more, work.videos)
        _say(f"memory: {contender.name}")
    if _OURS in found:
        for own in found.values():
            own["ratio_to_ours"] = {key: ratio(own[key], found[_OURS][key]) for key in _COMPARED}
    return {"work": _facts(work, rounds), "contenders": found}


_COMPARED = ("wall_s", "cpu_ms_per_video", "peak_pss_mb")


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


def report(found: Mapping[str, Any]) -> str:
    """Return *found* as text."""
    head = ["", "wall s", "CPU s", "CPU ms/video", "peak PSS MB", "at once", "files", "wall", "CPU", "PSS"]
    rows = []
    for name, own in found["contenders"].items():
        ratios = own.get("ratio_to_ours", {})
        rows.append(
            [
                name,
                *(own[key] for key in ("wall_s", "cpu_s", "cpu_ms_per_video", "peak_pss_mb")),
                *(own[key] for key in ("peak_concurrency", "right_files")),
                *(ratios.get(key) for key in _COMPARED),
            ]
        )
    lines = [table(head, rows)]
    if ours := {name: own for name, own in found["contenders"].items() if _is_called(name, _OURS)}:
        known = [key for key in _ONLY_OURS if all(key in own for own in ours.values())]
        rows = [[_ONLY_OURS[key], *(own[key] for own in ours.values())] for key in known]
        lines += ["", table(["only ours", *(["figure"] if len(ours) == 1 else ours)], rows)]
    return "\n".join(lines)


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


def drawn(found: Mapping[str, Any]) -> str:
    """Return *found* as a picture."""
    titles = (
        "Seconds for {videos} videos of {megabytes:g} MB",
        "Processor milliseconds a video",
        "Memory at its peak, MB",
    )
    work = found["work"]
    panels = [
        Panel(
            title=title.format(videos=work["videos"], megabytes=work["media_bytes"] / 1e6),
            bars=[(name, own[key]) for name, own in found["contenders"].items()],
        )
        for key, title in zip(_COMPARED, titles, strict=True)
    ]
    return picture(
        panels, own=_OURS, about="Our server compared with other ways to fetch the same videos; less is better"
    )


def _facts(work: Workload, rounds: int) -> dict[str, Any]:
    return {"videos": work.videos, "media_bytes": work.media_bytes, "at_once": work.at_once, "rounds": rounds}


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
