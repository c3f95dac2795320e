"""A way out of its own to the simulator, so that tests can tell by which way something was asked."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.simulator.client import Simulator


class Relay:
    """Passes on what comes to `url`, and notes when, by the monotonic clock, for the length of a `with` block."""

    def __init__(self, simulator: Simulator) -> None:
        at = urlsplit(simulator.proxy)
        self._to = (at.hostname or "", at.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked_at: list[float] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closing would not end an accept that waits
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._to)
                threading.Thread(target=self._pass_on, args=(client, server, self.asked_at), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, []), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, noted: list[float]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                noted.append(time.monotonic())
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
