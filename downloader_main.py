"""The server's command line: `python downloader_main.py`."""

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
from downloader.engines.malloc import tune_malloc
from downloader.engines.worker_process import prestart
from downloader.errors import StartRefused
from downloader.server.wsgi import WsgiServer, listen
from downloader.settings import Settings, load_settings
from downloader.ytdlp import tools as toolchain
from downloader.ytdlp.tools import ytdlp_release

if TYPE_CHECKING:
    from downloader.queue.services import Services

log = logging.getLogger("downloader")

#: How long requests in progress may take after a stop signal.
SHUTDOWN_SECONDS = 5.0

_OPEN_LINE = (
    "OPEN TO ALL: anyone who can reach this machine over the network can use this server and see its files. Set"
    " DOWNLOADER_API_KEY to require a key, or start it with --host 127.0.0.1 to allow this machine only."
)

_PLAIN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: Created once: `json.dumps` with options creates an encoder for each call.
_to_json = json.JSONEncoder(default=str).encode


class LogFormatter(logging.Formatter):
    """Formats an event as one line: time, level and message, then its facts as name=value, in JSON.

    A traceback follows in indented lines. Text from outside can neither start a line nor control a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        facts = {name: value for name, value in vars(record).items() if name not in _PLAIN_FIELDS}
        head, *trace = super().format(record).split("\n")
        words = "".join(f" {name}={_to_json(value)}" for name, value in facts.items())
        return "\n".join([head + words, *(f"  {_visible(line)}" for line in trace)])

    def formatMessage(self, record: logging.LogRecord) -> str:
        # Libraries put text from outside into their messages: waitress the requested path.
        return _visible(super().formatMessage(record))


def _visible(text: str) -> str:
    """Return *text* with everything that is not printable, line ends included, escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit status."""
    options = _parse(arguments)
    _set_up_logging()
    try:
        settings = load_settings(**{name: value for name, value in vars(options).items() if value})
        logging.getLogger().setLevel(settings.log_level)
        # Programs that we start inherit the environment, and must not see the passwords in it.
        for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
            del os.environ[name]
        tune_malloc()
        os.umask(settings.umask_bits)
        # Before anything slow: loading the rest takes a second, and connections wait in the backlog until then.
        listener = listen(settings.host, settings.port)
        prestart()
        app = create_downloader_app(settings, engine="processes")
        server = WsgiServer(
            app, listener, max_request_bytes=settings.max_request_bytes, behind_proxy=settings.trusted_proxies > 0
        )
        return _serve(server, app.extensions["downloader"], settings)
    except StartRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="downloader_main.py",
        description="Run the batch video downloader. Other settings are environment variables: see the README.",
    )
    parser.add_argument("--host", help="address to listen on (default: 0.0.0.0, every interface)")
    parser.add_argument("--port", help="TCP port to listen on (default: 8000; 0 picks a free one)")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__} ({toolchain.ytdlp()})")
    return parser.parse_args(arguments)


def _set_up_logging() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Alembic logs every plugin it loads.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It warns of files that changed; that aborts a zip, which `web.zip` logs.
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
    warn_if_ytdlp_is_old()
    # With a timeout, as Windows delivers no Ctrl-C to a thread that waits without one.
    while not stop.wait(timeout=1.0):
        if not server.alive:
            log.error("the HTTP server stopped unexpectedly")
            return 1
    log.info("stopping")
    services.close()
    server.close(SHUTDOWN_SECONDS)
    return 0


def _start_line(host: str, port: int) -> str:
    shown = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
    tools = [
        str(toolchain.ytdlp()),
        str(toolchain.ffmpeg() or "NO ffmpeg: merging will fail, install ffmpeg"),
        str(toolchain.js_runtime() or "NO JavaScript runtime: YouTube may fail, install deno"),
    ]
    return f"Dashboard: http://{shown}:{port}/dashboard (listening on {host}, port {port}); using {', '.join(tools)}"


def warn_if_ytdlp_is_old() -> None:
    release = ytdlp_release()
    if release.old:
        facts = {"version": release.version, "age_days": release.age_days, "detail": release.advice}
        log.warning("yt-dlp is old", extra=facts)


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit, which waits for threads that libraries started for downloads that hang.
    os._exit(status)
