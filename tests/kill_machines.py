"""Kills a random machine of a fleet every few seconds while it downloads: `python -m tests.kill_machines`.

A real server with RabbitMQ and three machines. In the end every link must have ended for its own reason, after one
attempt that counts, with its file, and nothing else may be left: if not, it fails. Prints the logs and what happened.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.end_to_end.batches import all_final, check_files, check_mixed, jobs_of, let_run, mixed_urls, submit
from tests.rabbitmq import RabbitMQ
from tests.real_machine import RunningMachine
from tests.real_server import Server
from tests.simulator.client import Simulator

MACHINES = ("one", "two", "three")


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.kill_machines", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--every", type=float, default=5.0, help="seconds from one kill to the next")
    parser.add_argument("--pace", type=int, default=120_000, help="bytes of media a second, for each download")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    choose = random.Random(options.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(RabbitMQ()) as broker,
        Simulator() as simulator,
        contextlib.ExitStack() as running,
    ):
        simulator.configure(media_bytes_per_second=options.pace)
        storage = Path(folder, "storage")
        server = Server(simulator, storage, DOWNLOADER_BROKER_URL=broker.url, DOWNLOADER_PLATFORM_CONCURRENCY="6")
        running.callback(server.close)

        def start(name: str) -> RunningMachine:
            machine = RunningMachine(simulator, storage, broker, name, DOWNLOADER_WORKERS="4")
            running.callback(machine.close)
            return machine

        machines = {name: start(name) for name in MACHINES}
        batch_id, began, kills = submit(server, mixed_urls(simulator, options.jobs)), time.monotonic(), 0
        while not all_final(jobs := jobs_of(server, batch_id)):
            let_run(server, options.every)
            name = choose.choice(MACHINES)
            machines[name].signal(signal.SIGKILL)
            machines[name] = start(name)
            kills += 1
        seconds = time.monotonic() - began
        results = Counter[str]()
        for job in jobs:
            _, answer = server.ask("GET", f"/api/v1/jobs/{job['job_id']}")
            own = Counter(attempt["result"] for attempt in answer["attempts"])
            assert own["succeeded"] + own["failed"] == 1, answer
            results += own
        ffmpeg = shutil.which("ffmpeg")
        assert ffmpeg
        check_mixed(jobs, ffmpeg)
        check_files(storage, jobs)
    sys.stdout.write(f"{len(jobs)} jobs in {seconds:.0f} s, {kills} kills; attempts: {dict(results)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
