"""Many media files as one zip, made while it is sent: no copy on the disk, its size known beforehand."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from zipstream import ZipStream

from downloader.media.names import names_together


class ZipBroken(Exception):
    """A file is not as it was when the zip's size was told; str() says what happened to it, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    path: Path
    size_bytes: int
    room_bytes: int  #: what it adds to the zip, directory included


class MediaZip:
    """One zip of files, stored as they are: videos do not get smaller."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Look at *paths*, which go through no links; what is not there is left out. None is opened yet."""
        self._zip = ZipStream(sized=True)
        self._entries: list[_Entry] = []
        paths = tuple(paths)
        for path, name in zip(paths, names_together(path.name for path in paths), strict=True):
            before = self.size_bytes
            try:
                size_bytes = path.stat().st_size
                self._zip.add_path(path, name, recurse=False)
            except OSError:
                continue
            self._entries.append(_Entry(path=path, size_bytes=size_bytes, room_bytes=self.size_bytes - before))

    def __bool__(self) -> bool:
        """Whether there is any file in it."""
        return bool(self._entries)

    @property
    def size_bytes(self) -> int:
        """How long the whole zip will be."""
        return int(self._zip.__len__())  # len() ends at 2 GB where Python is a 32-bit one

    def chunks(self) -> Generator[bytes]:
        """Yield the zip, once; each file is opened when it is its turn, before anything of it is yielded.

        Never yields `size_bytes` or more of a zip that is not right, so whoever was told that number notices.

        Raises:
            ZipBroken: a file has vanished, or is another, longer or shorter than it was.
        """
        for entry in self._entries:
            try:
                yield from self._file(entry)
            except OSError as error:
                raise ZipBroken(f"{entry.path.name} cannot be read: {error.strerror}") from error
            except RuntimeError as error:  # the library's word for a file that ended early
                raise ZipBroken(f"{entry.path.name} has changed while it was read") from error
        yield from self._zip.footer()

    def _file(self, entry: _Entry) -> Iterator[bytes]:
        # It may be hours since the sizes were taken.
        if entry.path.resolve(strict=True) != entry.path or entry.path.stat().st_size != entry.size_bytes:
            raise ZipBroken(f"{entry.path.name} has changed since the zip was begun")
        left = entry.room_bytes
        with closing(self._zip.file()) as chunks:
            # The library opens the file for its second chunk; one that cannot be opened gets no header either.
            first = b"".join(itertools.islice(chunks, 2))
            for chunk in itertools.chain([first], chunks):
                left -= len(chunk)
                # A file that grows would fill the promised size with itself, and the zip would look whole.
                if left < 0:
                    raise ZipBroken(f"{entry.path.name} has grown while it was read")
                yield chunk
