"""The contenders that are one command: yt-dlp in three ways, curl as the floor."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import supervisor
from benchmarks.contender import Failed, Run, sampling
from benchmarks.workload import Workload
from tests.simulator.client import Simulator

#: Who has this cookie may fetch what a page shown to its owner names.
_COOKIE = "tt_chain_token=benchmark"
_DATA = re.compile(r'<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__"[^>]*>(.*?)</script>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """A contender that is one command; *words* gets the work, the folder and a folder for its own notes."""

    name: str
    words: Callable[[Workload, Path, Path], Sequence[str]]
    cannot: Mapping[str, str] = field(default_factory=dict)

    def version(self) -> dict[str, str]:
        """See `Contender.version`."""
        return {}

    def run(self, work: Workload, folder: Path, *, sample: bool) -> Run:
        """See `Contender.run`."""
        with tempfile.TemporaryDirectory(prefix="benchmark-") as notes:
            report, errors = Path(notes, "report.json"), Path(notes, "stderr")
            words = list(self.words(work, folder, Path(notes)))
            if sample:  # what takes a moment only must not be over before anybody looks
                words = ["sh", "-c", 'read -r _; exec "$@"', "sh", *words]
            with (
                errors.open("wb") as stderr,
                subprocess.Popen(
                    supervisor.command(report, words),
                    cwd=supervisor.HOME,
                    env={**os.environ, **work.simulator.environment()},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                ) as process,
                sampling(process.pid, sample) as peak,
            ):
                process.communicate(b"\n" if sample else None)
            if process.returncode:
                raise Failed(f"{self.name} ended with {process.returncode}: {errors.read_text()[-500:].strip()}")
            facts = json.loads(report.read_text())
        return Run(wall_seconds=facts["wall_seconds"], cpu_seconds=facts["cpu_seconds"], peak_pss_bytes=peak.pss_bytes)


def one_by_one() -> Command:
    """Return yt-dlp as a person would use it: one command for a list."""
    return Command("yt-dlp", lambda work, folder, notes: [*_ytdlp(work, folder), "-a", _list(work, notes)])


def a_process_each() -> Command:
    """Return xargs with a yt-dlp for each link, as many at once as the work allows."""
    return Command(
        "xargs",
        lambda work, folder, notes: [
            "xargs",
            f"--arg-file={_list(work, notes)}",
            f"--max-procs={work.at_once}",
            "--max-args=1",
            *_ytdlp(work, folder),
        ],
    )


def threads() -> Command:
    """Return a pool of threads with a fresh `YoutubeDL` for each link."""
    return Command(
        "threads",
        lambda work, folder, notes: [
            sys.executable,
            "-m",
            "benchmarks.thread_pool",
            _list(work, notes),
            str(folder),
            work.simulator.proxy,
            str(work.at_once),
        ],
    )


def curl() -> Command:
    """Return curl, told where the media are: the floor, for it reads no page."""

    def words(work: Workload, folder: Path, notes: Path) -> list[str]:
        lines = ["silent", "show-error", "fail", 'noproxy = ""', f'proxy = "{work.simulator.proxy}"']
        with ThreadPoolExecutor(work.at_once) as pool:
            media = pool.map(lambda url: media_url(work.simulator, url), work.urls)
            for id, url in zip(work.ids, media, strict=True):
                lines += [f'url = "{url}"', f'output = "{folder / id}.mp4"']
        config = notes / "curl"
        config.write_text("\n".join([*lines, f'cookie = "{_COOKIE}"', ""]))
        work.simulator.reset()  # what the pages cost is none of curl's business
        return ["curl", "--parallel", "--parallel-max", str(work.at_once), "--config", str(config)]

    # `media_url` reads no other pages.
    return Command("curl", words, dict.fromkeys(("twitter", "youtube"), "TikTok only"))


def media_url(simulator: Simulator, url: str) -> str:
    """Return where the media of the post at *url* are, for who sends `_COOKIE`."""
    trusting = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=simulator.ca))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"https": simulator.proxy}), trusting)
    with opener.open(urllib.request.Request(url, headers={"Cookie": _COOKIE})) as page:
        found = _DATA.search(page.read().decode())
    assert found
    detail = json.loads(found[1])["__DEFAULT_SCOPE__"]["webapp.video-detail"]
    address: str = detail["itemInfo"]["itemStruct"]["video"]["playAddr"]
    return address


def _ytdlp(work: Workload, folder: Path) -> list[str]:
    """Return the command line of yt-dlp, as quick as its own switches make it, without the links."""
    switches = ["--ignore-config", "--no-cache-dir", "--quiet", "--no-progress"]
    trust = ["--compat-options", "no-certifi", "--proxy", work.simulator.proxy]
    return [sys.executable, "-m", "yt_dlp", *switches, *trust, "--paths", str(folder)]


def _list(work: Workload, notes: Path) -> str:
    path = notes / "list.txt"
    path.write_text("\n".join(work.urls) + "\n")
    return str(path)
