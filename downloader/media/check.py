"""Is this file a video that plays?

yt-dlp is content with whatever the server sent: a login page saved as .mp4 is a success to it. We look at the
container's own marks and then have ffmpeg decode the first picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from downloader.media import decoder as media_decoder
from downloader.media.decoder import NoPicture, NotPlayable

__all__ = ["NoPicture", "NotPlayable", "check_media", "check_part", "measured_seconds"]

_HEAD_BYTES = 16

#: How a file may begin, and the one ffmpeg demuxer that is then allowed to read it. A demuxer that is not named could
#: be a playlist's, which opens other files and hosts.
_MATROSKA, _FLV, _OGG = b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS"
_TS_PACKET, _TS_SYNC = 188, 0x47

# An ID3 tag has a head of ten bytes. Some programs write several, and some leave a gap behind the last.
_TAG_HEAD, _MAX_TAGS, _PADDING_BYTES = 10, 8, 4096

# An ISO file consists of boxes: four bytes of size, four of type. 1 means that 8 bytes of size follow, 0 "to the end".
_BOX_HEAD, _LARGE_BOX_HEAD = 8, 16
_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid"})


def check_media(path: Path, ffmpeg: str | None) -> None:
    """Return if *path* is a video, and whole as far as its container tells; decode a picture.

    Blocking, a few milliseconds; 50 to 100 where *ffmpeg* has to be started for it (see `media.decoder`). Raises:
        NoPicture: it is sound alone (noticed only where something can decode).
        NotPlayable: it is no video, or an mp4 that was cut off.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        demuxer = _demuxer(file)
        if demuxer is None:
            raise NotPlayable(f"{size_bytes} bytes that begin like no video container")
        if demuxer == "mov":
            _check_boxes(file, size_bytes)
    media_decoder.decode_first_picture(path, demuxer, ffmpeg)


def check_part(path: Path) -> None:
    """Return if *path* begins like audio or video: a part that ffmpeg may be given to merge.

    ffmpeg guesses what a part is, and a playlist among them would make it read whatever files that names. Raises:
        NotPlayable: it begins like neither.
    """
    with path.open("rb") as file:
        if _demuxer(file) is not None:
            return
        is_sound = _begins_like_sound(file)
    if not is_sound:
        raise NotPlayable("a part that begins like neither audio nor video")


def _demuxer(file: BinaryIO) -> str | None:
    """Return the name of the ffmpeg demuxer for what *file* begins with, or None where that is no video."""
    head = file.read(_HEAD_BYTES)
    if head[4:8] in _FIRST_BOXES:
        return "mov"
    if head.startswith(_MATROSKA):
        return "matroska"
    if head.startswith(_FLV):
        return "flv"
    if head.startswith(_OGG):
        return "ogg"
    if head[:1] == bytes([_TS_SYNC]):
        file.seek(_TS_PACKET)
        return "mpegts" if file.read(1) == bytes([_TS_SYNC]) else None
    return None


def _begins_like_sound(file: BinaryIO) -> bool:
    """Tell whether *file* begins with the sync word of MPEG audio and ADTS, behind ID3 tags or not.

    ffmpeg passes over such tags before it guesses: behind them may be anything.
    """
    position = 0
    for _ in range(_MAX_TAGS):
        file.seek(position)
        head = file.read(_TAG_HEAD)
        if len(head) < _TAG_HEAD or not head.startswith(b"ID3"):
            break
        # Four bytes of seven bits each; a footer, where there is one, is as long as the head.
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        position += _TAG_HEAD + size + (_TAG_HEAD if head[5] & 0x10 else 0)
    file.seek(position)
    sync = file.read(_PADDING_BYTES).lstrip(b"\0")[:2]
    return len(sync) == 2 and sync[0] == 0xFF and sync[1] & 0xE0 == 0xE0


def _check_boxes(file: BinaryIO, size_bytes: int) -> None:
    """Walk the top-level boxes: a file cut short ends in the middle of one, which a decoder may not notice."""
    kinds: set[bytes] = set()
    position = 0
    while position < size_bytes:
        if size_bytes - position < _BOX_HEAD and b"moov" in kinds:
            break  # a few stray bytes behind the last box disturb no player
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
    """Return how long the video at *path*, which `check_media` let pass, lasts; None where its container does not say.

    Blocking. It is asked anew: what a platform says of a video is only its word.
    """
    with path.open("rb") as file:
        demuxer = _demuxer(file)
    return None if demuxer is None else media_decoder.measured_seconds(path, demuxer, ffmpeg)
