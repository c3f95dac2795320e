"""`get`: saves the files of a job or a batch here."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import os
import re
import stat
import sys
from argparse import Namespace
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path, PurePath
from typing import Any

from downloader.cli.api import Server, ServerError, UsageError
from downloader.cli.progress import Progress
from downloader.media.move import move_new
from downloader.media.names import numbered, readable
from downloader.util.printable import visible

_CHUNK_BYTES = 256 * 1024

#: Never follow a link that another user may have put into the folder.
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


#: File systems round times.
_SAME_TIME_SECONDS = 2.0

_MAX_NAME_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remote:
    """A file of the server."""

    path: str
    index: int
    name: str  #: safe, and not hidden
    size_bytes: int
    modified_at: float
    etag: str | None

    @property
    def part_name(self) -> str:
        """The name of its unfinished copy; another version of the file has another."""
        return f".{hashlib.sha256(f'{self.path} {self.index} {self.etag}'.encode()).hexdigest()[:24]}.part"


def get(server: Server, options: Namespace) -> int:
    """Save the files of the job or batch of *options*; return 0, or 1 if some cannot be had or saved."""
    folder = Path(options.output)
    jobs = _jobs(server, options.id)
    complete = True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            if not job["files"]:
                _complain(job["url"], f"{job['error'] or 'no files'} ({job['state']})")
                complete = False
            for index in range(len(job["files"])):
                complete &= _save(server, job, index, folder)
    except OSError as error:
        sys.stderr.write(f"Cannot write to {options.output} ({error.strerror}).\n")
        return 1
    return 0 if complete else 1


def _jobs(server: Server, job_or_batch: str) -> list[dict[str, Any]]:
    if not re.fullmatch("[A-Za-z0-9]{1,64}", job_or_batch):
        raise UsageError(f"{job_or_batch!r} is not the id of a job or a batch.")
    try:
        job: dict[str, Any] = server.ask(f"/api/v1/jobs/{job_or_batch}")["job"]
    except ServerError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        jobs = list(server.jobs(batch=job_or_batch, sort="oldest"))
    else:
        jobs = [job] if job["kind"] != "collection" else list(server.jobs(parent=job_or_batch, sort="oldest"))
    if not jobs:
        raise ServerError(f"There is no job and no batch {job_or_batch} on {server.url}.", status=HTTPStatus.NOT_FOUND)
    # The files of a collection are those of its entries.
    return [job for job in jobs if job["kind"] != "collection" or job["state"] == "failed"]


def _save(server: Server, job: dict[str, Any], index: int, folder: Path) -> bool:
    """Save a file of *job* in *folder*; return whether it is there."""
    path = f"/api/v1/files/{job['job_id']}"
    name = _safe_name(job["files"][index], job["job_id"])
    try:
        response = server.open(path, {"index": index})
    except ServerError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        _complain(name, str(error))
        return False
    with contextlib.ExitStack() as open_responses:
        open_responses.enter_context(response)
        remote = _describe(response, path, index, name)
        if _free_place(folder, remote) is None:
            sys.stderr.write(f"{folder / name} is there already.\n")
            return True
        part = folder / remote.part_name
        start = _size(part) if remote.etag else 0
        if 0 < start < remote.size_bytes:
            response.close()
            headers = {"Range": f"bytes={start}-", "If-Range": str(remote.etag)}
            response = open_responses.enter_context(server.open(path, {"index": index}, headers=headers))
            if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                start = 0
        _copy(response, part, start, remote)
    os.utime(part, (remote.modified_at, remote.modified_at))
    sys.stdout.write(f"{_move(part, folder, remote)}\n")
    sys.stdout.flush()
    return True


def _safe_name(path: str, otherwise: str) -> str:
    """Return the name of the server's *path* as every file system takes it."""
    theirs = re.split(r"[/\\]", path)[-1]
    name = readable(theirs)
    if not name or len(theirs.encode(errors="replace")) > _MAX_NAME_BYTES:
        return readable(otherwise + PurePath(theirs).suffix[:8]) or "file"
    return name


def _describe(response: http.client.HTTPResponse, path: str, index: int, name: str) -> _Remote:
    size, modified = response.headers.get("Content-Length", ""), response.headers.get("Last-Modified", "")
    if not size.isdecimal():
        raise ServerError(f"The server does not say how large {name} is.")
    return _Remote(
        path=path,
        index=index,
        name=name,
        size_bytes=int(size),
        modified_at=parsedate_to_datetime(modified).timestamp() if modified else 0.0,
        etag=response.headers.get("ETag"),
    )


def _free_place(folder: Path, remote: _Remote) -> Path | None:
    """Return where *remote* is saved: a name that is not taken; None if it was saved before."""
    place = folder / remote.name
    for number in itertools.count(2):
        try:
            found = place.lstat()
        except FileNotFoundError:
            break
        is_same_time = abs(found.st_mtime - remote.modified_at) < _SAME_TIME_SECONDS
        if stat.S_ISREG(found.st_mode) and found.st_size == remote.size_bytes and is_same_time:
            return None
        place = Path(numbered(folder / remote.name, number))
    return place


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except FileNotFoundError:
        return 0


def _copy(response: http.client.HTTPResponse, part: Path, start: int, remote: _Remote) -> None:
    """Copy *response*, the bytes of *remote* from *start* on, to *part*. Raises ServerError if they are not all."""
    # By their place and not at the end: a second command that saves the same writes the same.
    with os.fdopen(os.open(part, _FLAGS, 0o666), "r+b") as file:
        file.truncate(max(start, min(_size(part), remote.size_bytes)))
        file.seek(start)
        done = start
        with Progress(visible(remote.name), unit="B", total=remote.size_bytes, in_bytes=True) as progress:
            while done < remote.size_bytes and (chunk := _read(response, remote.size_bytes - done)):
                file.write(chunk)
                done += len(chunk)
                progress.show(done, remote.size_bytes)
    if done < remote.size_bytes:
        raise ServerError("The connection to the server was lost. The same command continues from here.")


def _read(response: http.client.HTTPResponse, most: int) -> bytes:
    try:
        return response.read(min(most, _CHUNK_BYTES))
    except (OSError, http.client.HTTPException):
        return b""


def _move(part: Path, folder: Path, remote: _Remote) -> Path:
    """Move the finished *part* to its place; return that."""
    while True:
        place = _free_place(folder, remote)
        if place is None:  # another command was quicker
            part.unlink(missing_ok=True)
            return folder / remote.name
        with contextlib.suppress(FileExistsError):
            move_new(part, [place])
            return place


def _complain(what: str, sentence: str) -> None:
    sys.stderr.write(f"{visible(what)}: {visible(sentence)}\n")
