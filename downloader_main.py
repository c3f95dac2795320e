"""The program: `python downloader_main.py [word]`, or `batch-video-downloader` where it is installed."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

# What only `serve` needs is imported by it: the other words start in a fifth of the time.
from downloader import __version__, create_downloader_app
from downloader.cli.arguments import parse
from downloader.download_settings import NEEDS_FLEET, OPEN_TO_ALL, PREFIX
from downloader.errors import StartRefused
from downloader.util.printable import visible
from downloader.ytdlp import tools as toolchain
from downloader.ytdlp.tools import ytdlp_release

if TYPE_CHECKING:
    from downloader.engines.fleet.machine import MachineSettings
    from downloader.queue.services import Services
    from downloader.server.wsgi import WsgiServer
    from downloader.settings import Settings

log = logging.getLogger("downloader")

#: How long requests in progress may take after a stop signal.
SHUTDOWN_SECONDS = 5.0

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
        return "\n".join([head + words, *(f"  {visible(line)}" for line in trace)])

    def formatMessage(self, record: logging.LogRecord) -> str:
        # Libraries put text from outside into their messages: waitress the requested path.
        return visible(super().formatMessage(record))


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what *arguments*, by default those of the process, say; return the exit status."""
    options = parse(arguments, version=f"{__version__} ({toolchain.ytdlp()})")
    if options.word == "serve":
        return serve(host=options.host, port=options.port)
    if options.word == "worker":
        return work()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # titles and paths have characters that not every terminal has
            stream.reconfigure(errors="backslashreplace")
    if options.word == "check":
        from downloader.checks.report import check

        return check(host=options.host, port=options.port)
    from downloader.cli.commands import run

    return run(options)


def serve(**options: str | None) -> int:
    """Serve until SIGTERM or Ctrl-C, with *options* in place of the environment's; return the exit status."""
    from downloader.engines.malloc import tune_malloc
    from downloader.engines.worker_process import prestart
    from downloader.server.wsgi import WsgiServer, listen
    from downloader.settings import load_settings

    _set_up_logging()
    try:
        settings = _settle(load_settings(**{name: value for name, value in options.items() if value}))
        tune_malloc()
        # Before anything slow: loading the rest takes a second, and connections wait in the backlog until then.
        listener = listen(settings.host, settings.port)
        if settings.broker_url is None:
            prestart()
        app = create_downloader_app(settings, engine="processes")
        server = WsgiServer(
            app, listener, max_request_bytes=settings.max_request_bytes, behind_proxy=settings.trusted_proxies > 0
        )
        return _serve(server, app.extensions["downloader"], settings)
    except StartRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2


def work() -> int:
    """Run downloads for a server on another machine, until SIGTERM or Ctrl-C; return the exit status."""
    from downloader.engines.malloc import tune_malloc
    from downloader.engines.worker_process import prestart
    from downloader.settings import load_settings

    _set_up_logging()
    try:
        settings = _settle(load_settings())
        if settings.broker_url is None:
            raise StartRefused(f"Set {PREFIX}BROKER_URL to the server's, such as amqp://user:password@host:5672/name.")
        tune_malloc()
        prestart()
        try:
            from downloader.engines.fleet.worker import run_worker
        except ImportError as error:
            raise StartRefused(NEEDS_FLEET) from error
        return run_worker(_machine_settings(settings), settings.broker_url)
    except StartRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2


def _machine_settings(settings: Settings) -> MachineSettings:
    from downloader.engines.fleet.machine import MachineSettings
    from downloader.engines.pool import PoolLimits, default_processes

    return MachineSettings(
        downloads=settings.for_downloads(),
        limits=PoolLimits(
            attempts=settings.workers,
            attempts_per_process=settings.downloads_per_worker,
            processes=settings.worker_processes or default_processes(),
        ),
        raw_dir=settings.raw_dir,
        work_dir=settings.work_dir,
        places=settings.workers,
        name=settings.machine or socket.gethostname(),
        egress=settings.egress,
        version=__version__,
    )


def _settle(settings: Settings) -> Settings:
    """Have this process do what *settings* say of it; return them."""
    logging.getLogger().setLevel(settings.log_level)
    # Programs that we start inherit the environment, and must not see the passwords in it.
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        del os.environ[name]
    os.umask(settings.umask_bits)
    return settings


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
    sys.stdout.write(_start_line(settings, server.port) + "\n")
    if settings.is_open_to_all:
        log.warning("open to all", extra={"host": settings.host})
        sys.stdout.write(OPEN_TO_ALL + "\n")
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


def _start_line(settings: Settings, port: int) -> str:
    host = settings.host
    shown = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
    tools = [
        str(toolchain.ytdlp()),
        str(toolchain.ffmpeg() or "NO ffmpeg: merging will fail, install ffmpeg"),
        str(toolchain.js_runtime() or "NO JavaScript runtime: YouTube may fail, install deno"),
    ]
    dashboard = f"http://{shown}:{port}{settings.url_prefix}/dashboard"
    return f"Dashboard: {dashboard} (listening on {host}, port {port}); using {', '.join(tools)}"


def warn_if_ytdlp_is_old() -> None:
    release = ytdlp_release()
    if release.old:
        facts = {"version": release.version, "age_days": release.age_days, "detail": release.advice}
        log.warning("yt-dlp is old", extra=facts)


def run_script() -> NoReturn:
    """Run the program as a process of its own."""
    try:
        status = main()
    except KeyboardInterrupt:  # where there is nothing to say of it
        status = 130
    logging.shutdown()
    with contextlib.suppress(BrokenPipeError):  # as by `list | head`
        sys.stdout.flush()
    # Not sys.exit, which waits for threads that libraries started for downloads that hang.
    os._exit(status)


if __name__ == "__main__":
    run_script()
