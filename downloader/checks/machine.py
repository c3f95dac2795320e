"""Checks of this machine: port, storage, database, notifications and tools."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from downloader.checks.findings import Finding, Grade
from downloader.download_settings import PREFIX
from downloader.errors import StartRefused
from downloader.media.move import try_move
from downloader.queue.notifications import check_receivers
from downloader.queue.storage import QuotaWatch, missing_target
from downloader.server.wsgi import listen
from downloader.settings import Settings
from downloader.store.inspection import is_migrated
from downloader.ytdlp import tools

_PROGRAM_TIMEOUT_SECONDS = 20
_SERVER_TIMEOUT_SECONDS = 3


def check_port(settings: Settings) -> Iterator[Finding]:
    """Check that the server can listen where it should."""
    try:
        listen(settings.host, settings.port).close()
    except StartRefused as refusal:
        if _server_runs(settings):
            yield Finding("OK", "port", f"A server is running on port {settings.port}.")
        else:
            yield Finding("FAULT", "port", str(refusal))
    else:
        yield Finding("OK", "port", f"Port {settings.port} of {settings.host} is free.")


def _server_runs(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
    with closing(http.client.HTTPConnection(host, settings.port, timeout=_SERVER_TIMEOUT_SECONDS)) as connection:
        try:
            connection.request("GET", "/healthz")
            return bool(json.loads(connection.getresponse().read(100)) == {"status": "ok"})
        except (OSError, http.client.HTTPException, ValueError):
            return False


def check_storage(settings: Settings) -> Iterator[Finding]:
    """Check that files can be stored, and that there is room for them."""
    folder = settings.storage_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    owner = existing.stat().st_uid
    if hasattr(os, "geteuid") and os.geteuid() == 0 != owner:
        yield Finding("WARNING", "user", f"This is root, but {existing} is not root's: check as the server's user.")
    folders = [settings.raw_dir, settings.work_dir]
    if missing := missing_target(folder, *folders):
        yield Finding("FAULT", "storage", missing)
        return
    if all(path.is_dir() for path in folders):
        try_move(settings.work_dir, settings.raw_dir)
    elif not os.access(existing, os.W_OK | os.X_OK):  # not by trying: what root makes, the server could not use
        yield Finding("FAULT", "storage", f"{existing} cannot be written: set {PREFIX}STORAGE_DIR, or its permissions.")
        return
    yield _room(settings, [path for path in folders if path.is_dir()] or [existing])


def _room(settings: Settings, folders: list[Path]) -> Finding:
    free_bytes = min(shutil.disk_usage(folder).free for folder in folders)
    free = f"{free_bytes / 1e9:.1f} GB are free"
    if free_bytes < settings.min_free_bytes:
        return Finding("FAULT", "storage", f"Only {free}: free some space, or lower {PREFIX}MIN_FREE_BYTES.")
    quota = QuotaWatch((settings.raw_dir, settings.work_dir), settings.max_storage_bytes)
    if quota.poll(datetime.now(UTC)):
        return Finding("FAULT", "storage", f"It is full: delete files, or raise {PREFIX}MAX_STORAGE_BYTES.")
    state = "can be written" if settings.raw_dir.is_dir() else "will be created by the first start"
    return Finding("OK", "storage", f"{settings.storage_dir} {state}; {free}.")


def check_database(settings: Settings) -> Iterator[Finding]:
    """Check that the database answers, and is of this version."""
    file = settings.store_file
    if file is not None and not file.exists() and (file.parent.is_dir() or file.parent == settings.storage_dir):
        yield Finding("OK", "database", f"{file} will be created by the first start.")
    elif is_migrated(settings.store_url):
        yield Finding("OK", "database", "It answers, and its schema is this version's.")
    else:
        yield Finding("OK", "database", "It answers; the next start migrates it to this version. Back it up before.")


def check_notifications(settings: Settings) -> Iterator[Finding]:
    """Check that there is what notifications need; none is sent."""
    check_receivers(settings)
    number = len(settings.notify or ()) + (settings.webhook_url is not None)
    yield Finding("OK", "notifications", f"Receivers that are set: {number}.")


def check_tools() -> Iterator[Finding]:
    """Check yt-dlp and the programs that downloads need."""
    release = tools.ytdlp_release()
    if release.installed is None:
        yield Finding("FAULT", "yt-dlp", "It is not installed.")
    else:
        grade: Grade = "WARNING" if release.advice else "OK"
        yield Finding(grade, "yt-dlp", " ".join(filter(None, (f"Version {release.installed}.", release.advice))))
    ffmpeg = tools.ffmpeg()
    if ffmpeg is None or ffmpeg.path is None:
        yield Finding("FAULT", "ffmpeg", "No ffmpeg was found: install it.")
    elif fault := _fault_of_program(ffmpeg.path):
        yield Finding("FAULT", "ffmpeg", f"{ffmpeg.path} does not run ({fault}): install another.")
    else:
        yield Finding("OK", "ffmpeg", f"{ffmpeg.path} runs.")
    if runtime := tools.js_runtime():
        yield Finding("OK", "JavaScript runtime", f"{runtime}.")
    else:
        yield Finding("WARNING", "JavaScript runtime", "None was found, and YouTube may fail: install deno.")


def _fault_of_program(path: str) -> str | None:
    try:
        ended = subprocess.run(
            [path, "-version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=_PROGRAM_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return "it does not end"
    except OSError as error:
        return error.strerror or str(error)
    return f"status {ended.returncode}" if ended.returncode else None
