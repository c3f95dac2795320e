"""Measures how cost grows with the number of jobs, with how many run at once, with the size of a file.

    python -m benchmarks.growth [jobs|at_once|size] ... [--most JOBS] [--largest BYTES] [--json FILE]

Nothing may grow faster than what is asked for: each table ends with the cost of one unit against that of the step
before, where 1.00 is linear, less is better.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from benchmarks import command_line, commands
from benchmarks.contender import Contender, Run, measured
from benchmarks.our_server import OurServer
from benchmarks.statistic import ratio
from benchmarks.tables import Cell, table
from benchmarks.workload import Workload
from tests.simulator.client import Simulator

_JOBS = (10, 100, 1_000, 10_000)
_AT_ONCE = (1, 8, 32)
_SIZES = (200_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)

#: What a job weighs where its number matters, not its size: as little as a video can.
_SMALL_BYTES = 20_000

#: Each size is fetched so often that there is something to measure, small ones not for ever.
_BYTES_A_SIZE, _VIDEOS_A_SIZE = 100_000_000, 40

#: Memory that is made ready for files, as a multiple of their size.
_SPARE = 2

#: Below this a download is over before the clock of the guard's thread says much.
_GUARD_FROM_BYTES = 10_000_000

Step = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it as the command line says."""
    curves: dict[str, Callable[[argparse.Namespace], list[Step]]] = {"jobs": jobs, "at_once": at_once, "size": size}
    parser = command_line.parser("growth", __doc__)
    parser.add_argument("names", nargs="*", choices=[[], *curves], metavar="|".join(curves))
    parser.add_argument("--most", type=int, default=_JOBS[-1], metavar="JOBS", help="no more jobs than this")
    parser.add_argument("--largest", type=int, default=_SIZES[-1], metavar="BYTES", help="no larger files than this")
    options = parser.parse_args(arguments)
    with command_line.measuring(options) as found:
        for name in options.names or curves:
            found[name] = curves[name](options)
            sys.stdout.write(report(found[name]) + "\n\n")
            sys.stdout.flush()


def jobs(options: argparse.Namespace) -> list[Step]:
    """Return what a job costs, by how many there are in the queue."""
    steps: list[Step] = []
    for number in (each for each in _JOBS if each <= options.most):
        run = fetched(OurServer(), number, _SMALL_BYTES, at_once=8, latency_ms=0)
        step = {"jobs": number, "wall_ms_a_job": run.wall_seconds * 1000 / number}
        steps.append(step | _of_the_server(run, number))
    return with_ratios(steps, "wall_ms_a_job", "cpu_ms_a_job")


def at_once(_: argparse.Namespace) -> list[Step]:
    """Return what 64 videos cost, by how many are fetched at once."""
    videos = 64
    steps: list[Step] = []
    for number in _AT_ONCE:
        run = fetched(OurServer(), videos, 200_000, at_once=number, latency_ms=50)
        step = {"at_once": number, "wall_s": run.wall_seconds, "peak_requests": run.peak_concurrency}
        steps.append(step | _of_the_server(run, videos))
    return with_ratios(steps, "wall_s", "cpu_ms_a_job")


def size(options: argparse.Namespace) -> list[Step]:
    """Return what a byte costs, one file after another, by the files' size: with our server, yt-dlp, curl."""
    steps: list[Step] = []
    for number in (each for each in _SIZES if each <= options.largest):
        videos = max(1, min(_VIDEOS_A_SIZE, _BYTES_A_SIZE // number))
        step: Step = {"bytes": number, "videos": videos}
        gigabytes = number * videos / 1e9
        find_memory = partial(fill_cache, _SPARE * number * videos)
        contenders: list[Contender] = [OurServer(before=find_memory), commands.one_by_one(), commands.curl()]
        for contender in contenders:
            find_memory()
            run = fetched(contender, videos, number, at_once=1, latency_ms=0)
            step[f"{contender.name}_mb_s"] = gigabytes * 1000 / run.wall_seconds
            step[f"{contender.name}_cpu_s_a_gb"] = run.cpu_seconds / gigabytes
            if contender.name == "ours":
                step["server_cpu_s_a_gb"] = run.more["server_cpu_s"] / gigabytes
        step["guard_cpu_s_a_gb"] = guard_cpu_s_a_gb(number) if number >= _GUARD_FROM_BYTES else None
        steps.append(step)
    return with_ratios(steps, "ours_cpu_s_a_gb")


def fill_cache(size_bytes: int) -> None:
    """Write a file of that size, and remove it: who is the first to use a page of memory on a virtual machine pays.

    Measured: 1.8 s of processor time for the first GB that is written, 0.3 s for the next. Right before each contender,
    because it does not help for long: what is free goes back to the host within seconds.
    """
    block = bytes(1_000_000)
    with tempfile.TemporaryFile() as file:
        for _ in range(size_bytes // len(block)):
            file.write(block)


def fetched(contender: Contender, videos: int, media_bytes: int, *, at_once: int, latency_ms: float) -> Run:
    """Return one run of *contender* against a simulator of its own."""
    sys.stderr.write(f"{contender.name}: {videos} videos of {media_bytes} bytes, {at_once} at once\n")
    with Simulator(latency_ms=latency_ms, media_bytes=media_bytes) as simulator:
        work = Workload(simulator=simulator, videos=videos, media_bytes=media_bytes, at_once=at_once)
        return measured(contender, work)


def guard_cpu_s_a_gb(media_bytes: int) -> float:
    """Return what the guard's thread alone needs, by the clock of that thread, which cannot be read from outside.

    So `benchmarks.egress` runs the engine, with the guard, in a process of its own.
    """
    command = [sys.executable, "-m", "benchmarks.egress", "download", "--megabytes", str(media_bytes // 1024**2)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figure: float = json.loads(answer)["guard_cpu_s_per_gb"]
    return figure


def with_ratios(steps: list[Step], *names: str) -> list[Step]:
    """Return *steps*, each but the first with the ratio of its figures *names* to those of the step before."""
    for before, step in pairwise(steps):
        for name in names:
            step[f"{name}_ratio"] = ratio(step[name], before[name])
    return steps


def report(steps: Sequence[Step]) -> str:
    """Return *steps* as a table, a column each, a line for each figure that any of them has."""
    first, *names = dict.fromkeys(name for step in steps for name in step)
    rows: list[list[Cell]] = [[name, *(step.get(name) for step in steps)] for name in names]
    return table([first, *(f"{step[first]:,}" for step in steps)], rows)


def _of_the_server(run: Run, number: int) -> Step:
    return {"cpu_ms_a_job": run.cpu_seconds * 1000 / number, "server_pss_mb": run.more["server_pss_mb"]}


if __name__ == "__main__":
    main()
