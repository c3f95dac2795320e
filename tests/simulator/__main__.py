"""`python -m tests.simulator`: plays the platforms until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from .ledger import Ledger
from .media import load_media
from .proxy import Proxy
from .world import Simulation


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of the proxy; 0: any free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="waited before each answer")
    parser.add_argument("--media-bytes", type=int, default=200_000, help="size of each post's video file")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="stop when stdin does, so as never to outlive a test run"
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows ends the process by itself
            loop.add_signal_handler(number, stop.set)
    if options.until_stdin_closes:
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
    simulation = Simulation(media=load_media(options.media_bytes), ledger=Ledger())
    proxy = Proxy(simulation, latency_ms=options.latency_ms)
    proxy_port, canary_port = await proxy.start(options.port)
    with tempfile.TemporaryDirectory(prefix="simulator-ca-") as folder:
        ca = Path(folder, "ca.pem")
        ca.write_bytes(proxy.ca_pem)
        ready = {
            "proxy": f"http://127.0.0.1:{proxy_port}",
            "ca": str(ca),
            "canary": f"http://127.0.0.1:{canary_port}",
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()
    await proxy.close()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Read unbuffered: a thread that sits in a buffered read would hold its lock when the interpreter ends.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing left to stop
        loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    main()
