"""Streams media files as one zip: no copy on disk, and its size is known beforehand."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from zipstream import ZipStream

from downloader.media.names import paths_together


class ZipBroken(Exception):
    """A file changed after the zip's size was computed; str() is the reason, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    path: Path
    size_bytes: int
    room_bytes: int  #: its share of the zip, directory entry included


class MediaZip:
    """One zip of files, stored without compression, because videos do not get smaller."""

    def __init__(self, paths: Iterable[Path], root: Path) -> None:
        """Measure the files at *paths*, which contain no links; missing ones are skipped. None is opened yet.

        Folders below *root* are in the zip too.
        """
        self._zip = ZipStream(sized=True)
        self._entries: list[_Entry] = []
        paths = tuple(paths)
        names = paths_together(path.relative_to(root).parts for path in paths)
        for path, name in zip(paths, names, strict=True):
            before = self.size_bytes
            try:
                size_bytes = path.stat().st_size
                self._zip.add_path(path, name, recurse=False)
            except OSError:
                continue
            self._entries.append(_Entry(path=path, size_bytes=size_bytes, room_bytes=self.size_bytes - before))

    def __bool__(self) -> bool:
        """Whether it contains any file."""
        return bool(self._entries)

    @property
    def size_bytes(self) -> int:
        """The size of the whole zip."""
        return int(self._zip.__len__())  # len() is limited to 2 GB in 32-bit Python

    def chunks(self) -> Generator[bytes]:
        """Yield the zip, once; each file is opened in turn, before any of its bytes are yielded.

        If a file changed, fewer than `size_bytes` bytes are yielded, so that the client notices.

        Raises:
            ZipBroken: a file was removed, replaced or resized.
        """
        for entry in self._entries:
            try:
                yield from self._file(entry)
            except OSError as error:
                raise ZipBroken(f"{entry.path.name} cannot be read: {error.strerror}") from error
            except RuntimeError as error:  # raised by the library for a file that ended early
                raise ZipBroken(f"{entry.path.name} has changed while it was read") from error
        yield from self._zip.footer()

    def _file(self, entry: _Entry) -> Iterator[bytes]:
        # It may be hours since the sizes were measured.
        if entry.path.resolve(strict=True) != entry.path or entry.path.stat().st_size != entry.size_bytes:
            raise ZipBroken(f"{entry.path.name} has changed since the zip was started")
        left = entry.room_bytes
        with closing(self._zip.file()) as chunks:
            # The library opens the file for its second chunk; this way an unreadable file gets no header either.
            first = b"".join(itertools.islice(chunks, 2))
            for chunk in itertools.chain([first], chunks):
                left -= len(chunk)
                # A growing file would fill the announced size, and the zip would look complete.
                if left < 0:
                    raise ZipBroken(f"{entry.path.name} has grown while it was read")
                yield chunk
