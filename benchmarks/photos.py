"""Measures what a slideshow of ten pictures costs our server, compared with a video of as many bytes.

    python -m benchmarks.photos [--rounds N] [--posts N] [--bytes N] [--json FILE]

The two take turns, each with a fresh server; see `benchmarks.throughput`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import command_line
from benchmarks.contender import Run, measured
from benchmarks.our_server import OurServer
from benchmarks.statistic import median, ratio
from benchmarks.tables import table
from benchmarks.workload import Workload
from tests.simulator.client import Simulator
from tests.simulator.media import load_media
from tests.simulator.model import post_id
from tests.simulator.pictures import MANY, PHOTOS, picture_name
from tests.simulator.scenarios import SCENARIOS, find_post


class Slideshows(Workload):
    """TikTok posts of ten photos, without sound."""

    @property
    def urls(self) -> list[str]:
        """Return the links, as a person would paste them."""
        return [self.simulator.url("tiktok", "pictures", serial) for serial in self._serials]

    @property
    def ids(self) -> list[str]:
        """Return the posts' ids, in the order of `urls`."""
        return [post_id("tiktok", SCENARIOS["pictures"], serial) for serial in self._serials]

    def spare(self, number: int) -> str:
        """Return a link that is none of `urls`, for warming up."""
        return self.simulator.url("tiktok", "pictures", MANY + 2 * (self.first + self.videos + number) + 1)

    def right_files(self, folder: Path) -> int:
        """Return how many of the posts have all their pictures, byte by byte, in *folder* or below."""
        found = {path.name.rpartition("_")[0]: path for path in folder.rglob("*.jpg")}
        return sum(all(self._is_there(found, id, number) for number in range(1, PHOTOS + 1)) for id in self.ids)

    @property
    def _serials(self) -> list[int]:
        return [MANY + 2 * (self.first + number) + 1 for number in range(self.videos)]

    def _is_there(self, found: dict[str, Path], id: str, number: int) -> bool:
        post = find_post("tiktok", id)
        assert post
        served = load_media(self.media_bytes).content(post, picture_name(post, number))
        path = found.get(f"tiktok_{id}_{number:02}")
        return path is not None and path.read_bytes() == b"".join(map(bytes, served.chunks()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it as the command line says."""
    parser = command_line.parser("photos", __doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--posts", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=0, help="of each post, if more than 1.5 MB")
    parser.add_argument("--at-once", type=int, default=8)
    options = parser.parse_args(arguments)
    media_bytes = max(_slideshow_bytes(), options.bytes)
    with command_line.measuring(options) as found, Simulator(media_bytes=media_bytes) as simulator:
        found["media_bytes"] = media_bytes
        works = {
            name: kind(simulator=simulator, videos=options.posts, media_bytes=media_bytes, at_once=options.at_once)
            for name, kind in (("videos", Workload), ("slideshows", Slideshows))
        }
        runs: dict[str, list[Run]] = {name: [] for name in works}
        for number in range(options.rounds):
            for name in sorted(works, reverse=number % 2 == 0):
                runs[name].append(measured(OurServer(), works[name]))
        found |= {name: _figures(of, options.posts) for name, of in runs.items()}
        ratios = {key: ratio(found["slideshows"][key], found["videos"][key]) for key in found["videos"]}
        found["ratio"] = ratios
    rows = [[name, *found[name].values()] for name in ("videos", "slideshows", "ratio")]
    sys.stdout.write(table(["", *found["videos"]], rows) + "\n")


def _slideshow_bytes() -> int:
    post = find_post("tiktok", post_id("tiktok", SCENARIOS["pictures"], MANY))
    assert post
    return PHOTOS * load_media(0).content(post, picture_name(post, 1)).size


def _figures(runs: Sequence[Run], posts: int) -> dict[str, Any]:
    return {
        "wall_s": median([run.wall_seconds for run in runs]),
        "cpu_ms_per_post": median([run.cpu_seconds for run in runs]) * 1000 / posts,
        "worker_cpu_s": median([run.more["workers_cpu_s"] for run in runs]),
        "server_cpu_s": median([run.more["server_cpu_s"] for run in runs]),
    }


if __name__ == "__main__":
    main()
