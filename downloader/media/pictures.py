"""What a picture is, by its own bytes: kind, width and height. Nothing is decoded.

Ours and not a library's: those also read formats that are active or that a browser leaves alone (SVG, TIFF), and say
what a file seems to be rather than refuse what is not whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

PictureKind = Literal["jpg", "png", "webp", "gif", "avif", "heic"]

CONTENT_TYPES: Mapping[PictureKind, str] = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "heic": "image/heic",
}

#: What every browser of today shows.
SHOWN: frozenset[PictureKind] = frozenset({"jpg", "png", "webp", "gif", "avif"})

#: A viewer allocates memory for as many pixels as a file claims; one of a single pixel is a placeholder.
MIN_SIDE, MAX_SIDE, MAX_PIXELS = 2, 8192, 40_000_000

_Size = tuple[int, int]
_PNG = b"\x89PNG\r\n\x1a\n"

#: Markers of JPEG that begin a frame, which has the size: SOF0 to SOF15 without DHT, JPG and DAC.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
#: Those that have no length.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})

# An ISO file consists of boxes: four bytes of size, four of type; some have four bytes of version and flags.
_BOX_HEAD, _FULL_BOX = 8, 4
_BRANDS: Mapping[bytes, PictureKind] = {
    **dict.fromkeys((b"avif", b"avis"), "avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis"), "heic"),
}


class NotAPicture(Exception):
    """The bytes are no picture that we take; str() is the reason, for the log."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, as its header describes it."""

    kind: PictureKind
    width: int  #: in pixels, before any rotation
    height: int

    @property
    def content_type(self) -> str:
        """Its media type."""
        return CONTENT_TYPES[self.kind]


def read_picture(data: bytes) -> Picture:
    """Return what picture *data*, the whole of a file, is.

    Raises:
        NotAPicture: it is of another kind, is cut off in its header, or is too small or too large.
    """
    for kind, size_of in _READERS.items():
        try:
            size = size_of(data)
        except (IndexError, ValueError) as error:
            raise NotAPicture(f"a {kind} that is cut off") from error
        if size is not None:
            return Picture(*_checked(kind, *size))
    raise NotAPicture(f"{len(data)} bytes that begin like no picture")


def _checked(kind: PictureKind, width: int, height: int) -> tuple[PictureKind, int, int]:
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise NotAPicture(f"a {kind} of {width}x{height} pixels")
    return kind, width, height


# Each returns the size, or None if the file is of another kind; an IndexError or ValueError means that it is cut off.


def _png(data: bytes) -> _Size | None:
    if not data.startswith(_PNG):
        return None
    if _part(data, 12, 4) != b"IHDR":
        raise ValueError
    return _number(data, 16, 4), _number(data, 20, 4)


def _gif(data: bytes) -> _Size | None:
    if not data.startswith((b"GIF87a", b"GIF89a")):
        return None
    return _number(data, 6, 2, "little"), _number(data, 8, 2, "little")


def _webp(data: bytes) -> _Size | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    form = _part(data, 12, 4)
    if form == b"VP8X":
        return _number(data, 24, 3, "little") + 1, _number(data, 27, 3, "little") + 1
    if form == b"VP8L" and data[20] == 0x2F:
        bits = _number(data, 21, 4, "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if form == b"VP8 " and _part(data, 23, 3) == b"\x9d\x01\x2a":
        return _number(data, 26, 2, "little") & 0x3FFF, _number(data, 28, 2, "little") & 0x3FFF
    raise ValueError


def _jpg(data: bytes) -> _Size | None:
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    position = 2
    while True:
        if data[position] != 0xFF:
            raise ValueError
        while data[position] == 0xFF:  # any number of these may come before a marker
            position += 1
        marker = data[position]
        position += 1
        if marker in _BARE_MARKERS:
            continue
        if marker in _FRAMES:
            return _number(data, position + 5, 2), _number(data, position + 3, 2)
        length = _number(data, position, 2)
        if marker in (0xD9, 0xDA) or length < 2:  # the end, or the pixels, before any frame
            raise ValueError
        position += length


def _iso(kind: PictureKind) -> Callable[[bytes], _Size | None]:
    def size_of(data: bytes) -> _Size | None:
        if data[4:8] != b"ftyp" or _BRANDS.get(data[8:12]) != kind:
            return None
        [meta, *_] = [content for name, content in _boxes(data) if name == b"meta"]
        # A file may hold its tiles and a preview too: the whole picture is the largest.
        sizes = [
            (_number(content, _FULL_BOX, 4), _number(content, _FULL_BOX + 4, 4))
            for name, properties in _boxes(meta[_FULL_BOX:])
            if name == b"iprp"
            for name, container in _boxes(properties)
            if name == b"ipco"
            for name, content in _boxes(container)
            if name == b"ispe"
        ]
        return max(sizes, key=lambda size: size[0] * size[1])  # ValueError where there is none

    return size_of


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + _BOX_HEAD <= len(data):
        length, name = _number(data, position, 4), data[position + 4 : position + 8]
        if length == 0:
            length = len(data) - position
        if length < _BOX_HEAD or position + length > len(data):  # also a size of 8 bytes, which none of these needs
            raise ValueError
        yield name, data[position + _BOX_HEAD : position + length]
        position += length


def _number(data: bytes, start: int, size: int, order: Literal["big", "little"] = "big") -> int:
    return int.from_bytes(_part(data, start, size), order)


def _part(data: bytes, start: int, size: int) -> bytes:
    part = data[start : start + size]
    if len(part) < size:
        raise IndexError
    return part


_READERS: Mapping[PictureKind, Callable[[bytes], _Size | None]] = {
    "jpg": _jpg,
    "png": _png,
    "webp": _webp,
    "gif": _gif,
    "avif": _iso("avif"),
    "heic": _iso("heic"),
}
