"""Measures how fast, at what cost, a list of videos is fetched: by our server, by other ways to do it.

    python -m benchmarks.throughput [--rounds N] [--only NAME ...] [--json FILE] [--picture FILE] ...

Real yt-dlp against the platform simulator, on loopback. Wall and processor time come from rounds in which the
contenders take turns; memory from one more round, because looking at it costs time, and how our server answers
meanwhile from one more of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import command_line, commands, peers, versions
from benchmarks.comparison import OURS, compare
from benchmarks.contender import Contender
from benchmarks.our_server import OurServer
from benchmarks.report import drawn, report
from benchmarks.workload import PLATFORMS, Workload
from tests.simulator.client import Simulator


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it as the command line says."""
    options = _parse(arguments)
    contenders = _contenders(options)
    with command_line.measuring(options) as found, Simulator(media_bytes=options.bytes) as simulator:
        works = [
            Workload(
                simulator=simulator,
                platform=platform,
                latency_ms=latency_ms,
                videos=options.videos,
                media_bytes=options.bytes,
                at_once=options.at_once,
            )
            for platform in dict.fromkeys(options.platform)
            for latency_ms in dict.fromkeys(options.latency)
        ]
        found |= compare(contenders, works, rounds=options.rounds)
    sys.stdout.write(report(found) + "\n")
    if options.picture:
        options.picture.write_text(drawn(found))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line.parser("throughput", __doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--bytes", type=int, default=1_000_000, help="of each video")
    parser.add_argument(
        "--latency", type=float, nargs="+", default=[50], metavar="MS", help="milliseconds before each answer"
    )
    parser.add_argument("--platform", nargs="+", choices=PLATFORMS, default=["tiktok"])
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these contenders alone, each in all its variants")
    parser.add_argument(
        "--ours",
        type=Path,
        nargs="+",
        default=[],
        metavar="CHECKOUT",
        help="also our server as it is there, as `ours at <commit>`, run by this Python",
    )
    for peer in ("metube", "ytptube"):
        help_text = f"also {peer}, with a .venv of this Python in there"
        parser.add_argument(f"--{peer}", type=Path, metavar="CHECKOUT", help=help_text)
    parser.add_argument("--cobalt", type=Path, metavar="CHECKOUT", help="also cobalt's API, installed in there")
    parser.add_argument("--node", default="node", metavar="PROGRAM", help="what runs cobalt")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw bars there, as SVG")
    return parser.parse_args(arguments)


def _contenders(options: argparse.Namespace) -> list[Contender]:
    found: list[Contender] = [OurServer(), *(_ours_at(path.absolute()) for path in options.ours)]
    found += [commands.one_by_one(), commands.a_process_each(), commands.threads()]
    if options.metube:
        found.append(peers.metube(options.metube.absolute()))
    if options.ytptube:
        found += [peers.ytptube(options.ytptube.absolute(), keep_alive=kept) for kept in (False, True)]
    if options.cobalt:
        found.append(peers.cobalt(options.cobalt.absolute(), options.node))
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
    return OurServer(name=f"{OURS} at {versions.commit(checkout)}", checkout=checkout)


def _is_called(name: str, wanted: str) -> bool:
    """Return whether *name* is *wanted*, or a variant of it: `ours` and `ours at 1a2b3c4`."""
    return name == wanted or name.startswith(f"{wanted} ")


if __name__ == "__main__":
    main()
