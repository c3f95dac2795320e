"""A machine of a fleet in a process of its own, for tests that use it as a person would."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from tests.forked import ForkedProcess
from tests.rabbitmq import RabbitMQ
from tests.simulator.client import Simulator


class RunningMachine:
    """A machine, with what a start takes loaded already."""

    def __init__(self, simulator: Simulator, storage: Path, broker: RabbitMQ, name: str, /, **settings: str) -> None:
        environment = {
            **os.environ,
            **simulator.environment(),
            "DOWNLOADER_STORAGE_DIR": str(storage),
            "DOWNLOADER_SOCKET_TIMEOUT_SECONDS": "2",
            "DOWNLOADER_RETRIES": "1",
            "DOWNLOADER_BROKER_URL": broker.url,
            "DOWNLOADER_MACHINE": name,
            **settings,
        }
        self.process = ForkedProcess(["worker"], environment)
        self.log: list[str] = []
        self._reader = threading.Thread(target=self.log.extend, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        sys.stdout.writelines(self.log)
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
