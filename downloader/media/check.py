"""Checks that a file is a video that plays.

yt-dlp accepts whatever the server sent, even a login page saved as .mp4. We look at the container's signature, then
decode the first picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from downloader.media import decoder
from downloader.media.decoder import NoPicture, NotPlayable

__all__ = ["NoPicture", "NotPlayable", "check_media", "check_part", "measured_seconds"]

_HEAD_BYTES = 16

#: Signatures of files. Each allows one ffmpeg demuxer to read the file; if ffmpeg chose itself, it could be the one of
#: a playlist, which opens other files and hosts.
_SIGNATURES = {b"\x1aE\xdf\xa3": "matroska", b"FLV\x01": "flv", b"OggS": "ogg"}
_TS_PACKET, _TS_SYNC = 188, b"\x47"

# An ID3 tag has a header of ten bytes. Some programs write several tags, and some leave padding after the last.
_TAG_HEAD, _MAX_TAGS, _PADDING_BYTES = 10, 8, 4096

# An ISO file consists of boxes: four bytes of size, four of type. Size 1: 8 bytes of size follow; 0: to the end.
_BOX_HEAD, _LARGE_BOX_HEAD = 8, 16
_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid"})


def check_media(path: Path, ffmpeg: str | None) -> None:
    """Check that *path* is a video and, as far as its container tells, complete; decode its first picture.

    Blocking for a few milliseconds, or 50 to 100 where *ffmpeg* has to be started (see `media.decoder`).

    Raises:
        NoPicture: it has only sound (detected only where a decoder is available).
        NotPlayable: it is not a video, or an mp4 that was cut off.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        demuxer = _demuxer(file)
        if demuxer is None:
            raise NotPlayable(f"{size_bytes} bytes that begin like no video container")
        if demuxer == "mov":
            _check_boxes(file, size_bytes)
    decoder.decode_first_picture(path, demuxer, ffmpeg)


def check_part(path: Path) -> None:
    """Raise NotPlayable if *path*, a part for ffmpeg to merge, begins like neither audio nor video.

    ffmpeg guesses what a part is, and a playlist among them would make it read the files that it names.
    """
    with path.open("rb") as file:
        if _demuxer(file) is None and not _begins_like_sound(file):
            raise NotPlayable("a part that begins like neither audio nor video")


def _demuxer(file: BinaryIO) -> str | None:
    """Return the ffmpeg demuxer for the signature of *file*, or None if it is not a video's."""
    head = file.read(_HEAD_BYTES)
    if head[4:8] in _FIRST_BOXES:
        return "mov"
    if head[:1] == _TS_SYNC:
        file.seek(_TS_PACKET)
        return "mpegts" if file.read(1) == _TS_SYNC else None
    return next((demuxer for start, demuxer in _SIGNATURES.items() if head.startswith(start)), None)


def _begins_like_sound(file: BinaryIO) -> bool:
    """Tell whether *file* begins with the sync word of MPEG audio or ADTS, possibly after ID3 tags.

    ffmpeg skips such tags before it guesses, so anything may follow them.
    """
    position = 0
    for _ in range(_MAX_TAGS):
        file.seek(position)
        head = file.read(_TAG_HEAD)
        if len(head) < _TAG_HEAD or not head.startswith(b"ID3"):
            break
        # Four bytes of seven bits each; a footer, if any, is as long as the header.
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        position += _TAG_HEAD + size + (_TAG_HEAD if head[5] & 0x10 else 0)
    file.seek(position)
    sync = file.read(_PADDING_BYTES).lstrip(b"\0")[:2]
    return len(sync) == 2 and sync[0] == 0xFF and sync[1] & 0xE0 == 0xE0


def _check_boxes(file: BinaryIO, size_bytes: int) -> None:
    """Walk the top-level boxes: a truncated file ends within one, which a decoder may not notice."""
    kinds: set[bytes] = set()
    position = 0
    while position < size_bytes:
        if size_bytes - position < _BOX_HEAD and b"moov" in kinds:
            break  # players ignore a few stray bytes after the last box
        file.seek(position)
        head = file.read(_LARGE_BOX_HEAD)
        length, kind = int.from_bytes(head[:4]), head[4:_BOX_HEAD]
        if length == 0:
            length = size_bytes - position
        elif length == 1:
            length = int.from_bytes(head[_BOX_HEAD:])
        if len(head) < _BOX_HEAD or length < _BOX_HEAD or position + length > size_bytes:
            raise NotPlayable(f"cut off: the box at byte {position} ends behind the file's {size_bytes} bytes")
        kinds.add(kind)
        position += length
    if b"moov" not in kinds:
        raise NotPlayable("an mp4 without its index (moov)")


def measured_seconds(path: Path, ffmpeg: str | None) -> float | None:
    """Return the duration of the video at *path*, checked by `check_media`; None if its container does not have it.

    Blocking. Measured because the duration that a platform declares may be wrong.
    """
    with path.open("rb") as file:
        demuxer = _demuxer(file)
    return None if demuxer is None else decoder.measured_seconds(path, demuxer, ffmpeg)
