"""Runs the batch video downloader: `python downloader_main.py`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from downloader import __version__, create_downloader_app
from downloader.download_settings import PREFIX
from downloader.engines.malloc import share_one_heap
from downloader.engines.worker_process import begin_fork_server
from downloader.errors import StartRefused
from downloader.server.wsgi import WsgiServer, listen
from downloader.settings import Settings, load_settings
from downloader.ytdlp import tools as toolchain
from downloader.ytdlp.tools import ytdlp_release

if TYPE_CHECKING:
    from downloader.queue.services import Services

log = logging.getLogger("downloader")

#: How long answers under way may take after a stop was asked for.
SHUTDOWN_SECONDS = 5.0

_OPEN_LINE = (
    "OPEN TO ALL: whoever reaches this machine over the network can use this server and see its files. Set"
    " DOWNLOADER_API_KEY to ask for a key, or start it with --host 127.0.0.1 to keep it to this machine."
)

_PLAIN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: Made once: `json.dumps` with an option of its own makes an encoder for each value.
_to_json = json.JSONEncoder(default=str).encode


class _Formatter(logging.Formatter):
    """One line an event: time, level, sentence, then the facts as name=value; strangers' text is quoted.

    What comes of an error are further lines, set in. No other text begins a line, or speaks to a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        facts = {name: value for name, value in vars(record).items() if name not in _PLAIN_FIELDS}
        head, *trace = super().format(record).split("\n")
        words = "".join(f" {name}={_to_json(value)}" for name, value in facts.items())
        return "\n".join([head + words, *(f"  {_visible(line)}" for line in trace)])

    def formatMessage(self, record: logging.LogRecord) -> str:
        # Libraries put strangers' text into their sentences: waitress a path that somebody asked for.
        return _visible(super().formatMessage(record))


def _visible(text: str) -> str:
    """Return *text* with all that is no sign of its own, ends of lines among it, as an escape."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit status."""
    options = _parse(arguments)
    _set_up_logging()
    try:
        settings = load_settings(**{name: value for name, value in vars(options).items() if value})
        logging.getLogger().setLevel(settings.log_level)
        # They have been read. What we start gets our environment, and has no business with the passwords among them.
        for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
            del os.environ[name]
        share_one_heap()
        os.umask(settings.umask_bits)
        # First of all, because loading the rest takes a second: whoever connects until then is answered after it.
        listener = listen(settings.host, settings.port)
        begin_fork_server()
        app = create_downloader_app(settings, engine="processes")
        server = WsgiServer(
            app, listener, max_request_bytes=settings.max_request_bytes, behind_proxy=settings.trusted_proxies > 0
        )
    except StartRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    services: Services = app.extensions["downloader"]
    try:
        return _serve(server, services, settings)
    except StartRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="downloader_main.py",
        description="Serve the batch video downloader. Further settings: DOWNLOADER_* in the environment, see README.",
    )
    parser.add_argument("--host", help="address to listen on (default: 0.0.0.0, all of this machine's)")
    parser.add_argument("--port", help="TCP port (default: 8000; 0 takes a free one)")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__} ({toolchain.ytdlp()})")
    return parser.parse_args(arguments)


def _set_up_logging() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Alembic tells of every plugin it loads.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # What it warns of, files that changed, breaks a zip off, and `web.zip` tells of that.
    logging.getLogger("zipstream").setLevel(logging.ERROR)


def _serve(server: WsgiServer, services: Services, settings: Settings) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    services.start()
    server.start()
    sys.stdout.write(_start_line(settings.host, server.port) + "\n")
    if settings.is_open_to_all:
        log.warning("open to all", extra={"host": settings.host})
        sys.stdout.write(_OPEN_LINE + "\n")
    sys.stdout.flush()
    _warn_of_age()
    # With a timeout, because Windows delivers no Ctrl-C to a thread that waits without one.
    while not stop.wait(timeout=1.0):
        if not server.alive:
            log.error("the HTTP server ended by itself")
            return 1
    log.info("stopping")
    services.close()
    server.close(SHUTDOWN_SECONDS)
    return 0


def _start_line(host: str, port: int) -> str:
    shown = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
    tools = [
        str(toolchain.ytdlp()),
        str(toolchain.ffmpeg() or "NO ffmpeg: merging will fail, install it"),
        str(toolchain.js_runtime() or "NO JavaScript runtime: YouTube may fail, install deno"),
    ]
    return f"Dashboard: http://{shown}:{port}/dashboard (listening on {host}, port {port}); using {', '.join(tools)}"


def _warn_of_age() -> None:
    release = ytdlp_release()
    if release.old:
        facts = {"version": release.version, "age_days": release.age_days, "detail": release.advice}
        log.warning("yt-dlp is old", extra=facts)


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: the interpreter would first wait for threads that libraries started for downloads that hang.
    os._exit(status)
