"""The benchmarks: faults in them that would go unnoticed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import (
    bars,
    commands,
    comparison,
    growth,
    page,
    photos,
    process_tree,
    server_tree,
    statistic,
    supervisor,
    tables,
    throughput,
    versions,
)
from benchmarks.contender import Failed, Run, measured
from benchmarks.memory_sampler import sampled
from benchmarks.our_server import OurServer
from benchmarks.workload import Workload
from tests.real_server import REPOSITORY
from tests.simulator.client import Simulator
from tests.simulator.media import load_media
from tests.simulator.model import Platform
from tests.simulator.scenarios import find_post

# They start servers and measure them, which is of use to those alone who change the benchmarks.
pytestmark = pytest.mark.slow

# Figures, tables, pictures


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), ("a", "a"), (7, "7"), (0.1234, "0.123"), (1.2345, "1.23"), (12.345, "12.3"), (99.96, "100")],
)
def test_a_cell_shows_what_says_something(value: tables.Cell, text: str) -> None:
    assert tables.shown(value) == text


def test_a_table_is_flush() -> None:
    assert tables.table(["", "wall s"], [["ours", 1.5], ["x", None]]) == (
        "      wall s\n----  ------\nours    1.50\nx          -"
    )


def test_a_row_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="as many cells"):
        tables.table(["a", "b"], [["only one"]])


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [statistic.percentile(values, share) for share in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]


def test_a_ratio_to_nothing_is_none() -> None:
    assert statistic.ratio(3, 2) == 1.5
    assert statistic.ratio(3, 0) is None


def test_figures_are_medians_of_the_rounds_and_the_worst_count() -> None:
    runs = [
        Run(wall_seconds=wall, cpu_seconds=cpu, peak_concurrency=peak, right_files=4, more={"files_s": wall})
        for wall, cpu, peak in ((1, 0.5, 3), (9, 0.1, 8), (2, 0.2, 7))
    ]
    peak = Run(wall_seconds=99, cpu_seconds=99, peak_pss_bytes=3 * 1024**2, right_files=3, more={"files_s": 99})
    found = comparison.figures(runs, peak, {"files_s": 77, "healthz_p99_ms": 5}, 4)
    assert found["wall_s"] == 2
    assert found["cpu_ms_per_video"] == 50
    assert found["peak_pss_mb"] == 3
    assert found["peak_concurrency"] == 8
    assert found["right_files"] == 3
    assert found["files_s"] == 2
    assert found["healthz_p99_ms"] == 5


def test_an_interaction_that_takes_too_long_is_named() -> None:
    took = {each.__name__: {"cpu_ms": [20.0, 30.0, 990.0], "painted_ms": [40.0]} for each in page.INTERACTIONS}
    slow = took | {"select_all": {"cpu_ms": [20.0, 130.0, 140.0], "painted_ms": [40.0]}}
    found = {
        "opened": {"first_paint_ms": 100.0, "page_bytes": page.WEIGHT_BYTES + 1},
        "interactions": {"list": took, "tiles": slow},
    }
    assert page.missed(found) == ["page_bytes", "select_all (tiles)"]
    [row] = [line for line in page.report(found).splitlines() if line.startswith("select all")]
    assert row.split() == ["select", "all", "30.0", "40.0", "130", "40.0"]


def test_growth_is_told_from_one_step_to_the_next() -> None:
    steps = growth.with_ratios([{"jobs": 10, "cpu": 4.0}, {"jobs": 100, "cpu": 2.0}, {"jobs": 1000, "cpu": 3.0}], "cpu")
    assert [step.get("cpu_ratio") for step in steps] == [None, 0.5, 1.5]
    assert growth.report(steps).splitlines()[0].split() == ["jobs", "10", "100", "1,000"]


SVG = "{http://www.w3.org/2000/svg}"


def test_a_picture_escapes_what_it_is_told() -> None:
    panel = bars.Panel(title="<b> & co", bars=[("ours", 2.0), ('"&<x>', 1.0), ("none", 0.0)])
    drawn = ElementTree.fromstring(bars.picture([panel], own="ours", about="a < b"))
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert texts == ["<b> & co", "ours", "2.00", '"&<x>', "1.00", "none", "0.000"]
    assert [title.text for title in drawn.iter(f"{SVG}title")] == ["a < b"]
    widths = [float(bar.attrib["width"]) for bar in drawn.iter(f"{SVG}rect")]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    assert [bar.attrib["class"] for bar in drawn.iter(f"{SVG}rect")] == ["bar own", "bar", "bar"]


def test_a_picture_of_nothing_is_drawn() -> None:
    ElementTree.fromstring(bars.picture([bars.Panel(title="t", bars=[("a", 0.0)])], own="a", about=""))


# Process trees

#: Burns processor time in itself, in a child that it waits for, in a grandchild whose parent ends at once; each writes
#: what it used by its own account, and how.
BURNING = """
import os, resource, sys, time

def burn(name, seconds):
    while time.process_time() < seconds:
        sum(range(10_000))
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open(os.path.join(sys.argv[1], name + ".tmp"), "w") as file:
        file.write(f"{os.getpid()} {used.ru_utime + used.ru_stime}")
    os.rename(file.name, os.path.join(sys.argv[1], name))

if (child := os.fork()) == 0:
    burn("child", 0.2)
    os._exit(0)
os.waitpid(child, 0)
if (parent := os.fork()) == 0:
    if os.fork() == 0:
        burn("orphan", 0.3)
        os._exit(0)
    os._exit(0)
os.waitpid(parent, 0)
burn("self", 0.1)
sys.stdin.read()
"""

#: What ends costs a little after its last word, and /proc counts the dead in hundredths of a second.
TOLERANCE_SECONDS = 0.08


def wait_until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        pause.wait(0.01)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return what runs Python code, with arguments, supervised; the report goes to `report.json`."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: str) -> subprocess.Popen[str]:
        words = supervisor.command(tmp_path / "report.json", [sys.executable, "-c", code, *arguments])
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(words, cwd=supervisor.HOME, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_the_processor_time_of_a_tree_is_what_its_processes_say(
    supervised: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = supervised(BURNING, str(tmp_path))
    names = ("child", "orphan", "self")
    wait_until(lambda: all((tmp_path / name).exists() for name in names))
    reports = [(tmp_path / name).read_text().split() for name in names]
    orphan = int(reports[1][0])
    wait_until(lambda: orphan not in process_tree.descendants(process.pid))
    said = sum(float(seconds) for _, seconds in reports)
    assert process_tree.cpu_seconds(process.pid) == pytest.approx(said, abs=TOLERANCE_SECONDS)
    assert process_tree.descendants(process.pid) == [int(reports[2][0])]

    process.communicate()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["status"] == 0
    assert report["cpu_seconds"] == pytest.approx(said, abs=TOLERANCE_SECONDS)


def test_the_peak_of_a_tree_is_seen(supervised: Callable[..., subprocess.Popen[str]]) -> None:
    process = supervised("import sys; kept = bytearray(b'x') * 60_000_000; print(flush=True); sys.stdin.read()")
    assert process.stdout
    with sampled(process.pid) as peak:
        process.stdout.readline()
    assert peak.pss_bytes > 60_000_000
    assert peak.samples


def test_a_command_that_is_ended_or_fails_says_so(
    supervised: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = supervised("import sys; print(flush=True); sys.stdin.read()")
    assert process.stdout
    process.stdout.readline()
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    assert supervised("raise SystemExit(3)").wait() == 3
    assert json.loads((tmp_path / "report.json").read_text())["status"] == 3


def test_nothing_outlives_its_supervisor(supervised: Callable[..., subprocess.Popen[str]]) -> None:
    leaving = "import os\nif os.fork() == 0:\n  import time\n  print(os.getpid(), flush=True)\n  time.sleep(60)"
    process = supervised(leaving)
    process.wait()
    assert process.stdout
    line = process.stdout.readline()
    assert not line or process_tree.command_line(int(line)) == ""


def test_no_supervisor_outlives_what_started_it(tmp_path: Path) -> None:
    printing = "import os, sys; print(os.getppid(), os.getpid(), flush=True); sys.stdin.read()"
    words = supervisor.command(tmp_path / "report.json", [sys.executable, "-c", printing])
    starting = f"import subprocess; subprocess.run({words!r})"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", starting], cwd=supervisor.HOME, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        started = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
        wait_until(lambda: not any(process_tree.command_line(pid) for pid in started))


# Whole runs, as small as they can be


@pytest.fixture
def work(simulator: Simulator) -> Workload:
    return Workload(simulator=simulator, videos=2, media_bytes=200_000, at_once=2)


def test_our_server_is_measured(work: Workload) -> None:
    run = measured(OurServer(probe=True), work, sample=True)
    assert run.right_files == 2
    assert run.peak_concurrency in (1, 2)
    server, workers, programs = parts = [run.more[f"{kind}_cpu_s"] for kind in ("server", "workers", "programs")]
    assert min(server, workers) > 0
    assert programs == 0  # a video that needs no merging starts none
    assert sum(parts) <= run.cpu_seconds + TOLERANCE_SECONDS
    assert run.peak_pss_bytes > 50_000_000
    assert 0 < run.more["files_s"] < run.wall_seconds + 1
    assert run.more["healthz_answers"]
    assert run.more["following_cpu_s"] >= 0


def test_slideshows_are_measured_when_all_their_pictures_are_there(simulator: Simulator) -> None:
    work = photos.Slideshows(simulator=simulator, videos=2, media_bytes=200_000, at_once=2)
    run = measured(OurServer(), work)
    assert run.right_files == 2
    assert run.more["workers_cpu_s"] > 0


@pytest.fixture
def other_version(tmp_path: Path) -> Path:
    """Return a copy of our code, in which no TikTok video can be had."""
    (other := tmp_path / "other").mkdir()
    for name in ("downloader", "portal"):
        shutil.copytree(REPOSITORY / name, other / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "downloader_main.py", other)
    with (other / "downloader" / "tiktok_downloader.py").open("a") as module:
        module.write("\n\ndef download_tiktok_video(*_):\n    return False, None, 'This is another version.'\n")
    return other


def test_another_version_of_ours_runs_its_own_code(other_version: Path, work: Workload) -> None:
    with pytest.raises(Failed, match="This is another version"):
        measured(OurServer(checkout=other_version), work)


def test_a_version_is_named_by_its_commit(tmp_path: Path) -> None:
    assert versions.commit(tmp_path) == "unknown"
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@localhost")
    (file := tmp_path / "file").write_text("one")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=one"]):
        subprocess.run([*git, *words], check=True)
    assert re.fullmatch(r"[0-9a-f]{7}", commit := versions.commit(tmp_path))
    file.write_text("two")
    assert versions.commit(tmp_path) == f"{commit}-dirty"


@pytest.mark.parametrize("platform", ["twitter", "youtube"])  # that of our server does TikTok
def test_a_command_is_measured(work: Workload, platform: Platform) -> None:
    run = measured(commands.threads(), replace(work, platform=platform))
    assert run.right_files == 2
    assert run.peak_concurrency
    assert run.cpu_seconds > 0


def test_each_work_has_its_own_network(work: Workload) -> None:
    slow = measured(commands.curl(), replace(work, latency_ms=1000))
    fast = measured(commands.curl(), replace(work, latency_ms=0))
    assert fast.wall_seconds < 1 < slow.wall_seconds


def test_the_guard_is_measured() -> None:
    once = "from benchmarks import egress; egress.ROUNDS, egress.CONNECTS = 1, 50; egress.main()"
    done = subprocess.run(
        [sys.executable, "-c", once, "--megabytes", "1"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    names = [json.loads(line)["measurement"] for line in done.stdout.splitlines()]
    assert names == ["bulk", "ytdlp", "download", "connects"]


def test_the_command_writes_figures_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, drawing = tmp_path / "figures.json", tmp_path / "bars.svg"
    sizes = ["--rounds", "2", "--videos", "2", "--bytes", "100000", "--latency", "0"]
    throughput.main([*sizes, "--only", "curl", "--json", str(figures), "--picture", str(drawing)])
    assert capsys.readouterr().out.splitlines()[2].startswith("curl ")
    found = json.loads(figures.read_text())
    assert found["contenders"]["curl"]["right_files"] == 2
    assert len(found["contenders"]["curl"]["rounds"]) == 2
    ElementTree.parse(drawing)


def test_works_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, drawing = tmp_path / "figures.json", tmp_path / "bars.svg"
    sizes = ["--rounds", "1", "--videos", "2", "--bytes", "100000", "--latency", "0", "1"]
    platforms = ["--platform", "tiktok", "youtube"]
    throughput.main([*sizes, *platforms, "--only", "curl", "--json", str(figures), "--picture", str(drawing)])
    rows = json.loads(figures.read_text())["contenders"]
    assert list(rows) == [f"curl, {platform}, {ms} ms" for platform in ("tiktok", "youtube") for ms in (0, 1)]
    assert [row.get("right_files") for row in rows.values()] == [2, 2, None, None]
    assert "curl, youtube, 1 ms: TikTok only" in capsys.readouterr().out
    assert drawing.read_text().count("Memory at its peak, MB (tiktok, ") == 2


def test_ratios_are_to_ours_at_the_same_work(work: Workload) -> None:
    class Steady:
        cannot: Mapping[str, str] = {}

        def __init__(self, name: str, seconds: float) -> None:
            self.name, self.seconds = name, seconds

        def version(self) -> dict[str, str]:
            return {}

        def run(self, work: Workload, folder: Path, *, sample: bool) -> Run:
            for id in work.ids:
                (folder / f"{id}.mp4").write_bytes(media_of(id))
            seconds = self.seconds * (1 + (work.latency_ms or 0))
            return Run(wall_seconds=seconds, cpu_seconds=seconds, peak_pss_bytes=1)

    def media_of(id: str) -> bytes:
        post = find_post("tiktok", id)
        assert post
        return b"".join(load_media(work.media_bytes).content(post, "muxed.mp4").chunks())

    works = [replace(work, latency_ms=latency_ms) for latency_ms in (0, 9)]
    found = comparison.compare([Steady("other", 6), Steady("ours", 2)], works, rounds=1)["contenders"]
    assert [found[f"other, {ms} ms"]["wall_s"] for ms in (0, 9)] == [6, 60]
    assert [found[f"other, {ms} ms"]["ratio_to_ours"]["wall_s"] for ms in (0, 9)] == [3, 3]


def test_a_wrong_file_is_not_counted(work: Workload, tmp_path: Path) -> None:
    (tmp_path / f"{work.ids[0]}.mp4").write_bytes(b"<html>Log in</html>")
    assert work.right_files(tmp_path) == 0


def test_a_video_that_lost_its_sound_is_not_counted(work: Workload, tmp_path: Path) -> None:
    youtube = replace(work, platform="youtube")
    library = load_media(work.media_bytes)
    for id, name in zip(youtube.ids, ("video.mp4", "muxed.mp4"), strict=True):
        post = find_post("youtube", id)
        assert post
        (tmp_path / f"{id}.mp4").write_bytes(b"".join(library.content(post, name).chunks()) + bytes(8))
    assert youtube.right_files(tmp_path) == 1


def test_a_command_that_fails_stops_the_comparison(work: Workload) -> None:
    with pytest.raises(Failed, match="broken ended with 7: no such luck"):
        measured(commands.Command("broken", lambda *_: ["sh", "-c", "echo no such luck >&2; exit 7"]), work)


def test_a_command_that_is_not_installed_is_told(work: Workload) -> None:
    with pytest.raises(Failed, match=r"new ended with 127: not-there: No such file"):
        measured(commands.Command("new", lambda *_: ["not-there"]), work)


def test_a_contender_without_files_stops_the_comparison(work: Workload) -> None:
    with pytest.raises(Failed, match="lazy: only 0 of 2 files are right"):
        measured(commands.Command("lazy", lambda *_: ["true"]), work)


# What is not there


def test_a_version_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^ours: .* must hold downloader_main.py"):
        throughput.main(["--ours", str(tmp_path), "--only", "ours"])


def test_an_unknown_name_is_one_sentence() -> None:
    with pytest.raises(SystemExit, match="No contender here is called nobody"):
        throughput.main(["--only", "nobody"])


def test_kinds_of_processes_are_told_by_their_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        2: "python downloader_main.py --port 0",
        3: "python -c import sys; from downloader.engines.worker import main; main() /app",
        4: "ffmpeg -i x",
    }
    monkeypatch.setattr(process_tree, "parents", lambda root: {2: 1, 3: 2, 4: 3})
    monkeypatch.setattr(process_tree, "command_line", lambda pid: lines[pid])
    assert list(server_tree.kinds(1).values()) == ["server", "workers", "others"]
    assert server_tree.server_pid(1) == 2
