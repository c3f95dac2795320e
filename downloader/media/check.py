"""Checks that a file is a video, or a sound, that plays.

yt-dlp accepts whatever the server sent, even a login page saved as .mp4. We look at the container's signature, then
decode the first picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from downloader.media import decoder
from downloader.media.decoder import NoPicture, NoSound, NotPlayable, Sound

__all__ = [
    "NoPicture",
    "NoSound",
    "NotPlayable",
    "Sound",
    "check_media",
    "check_part",
    "check_sound",
    "demuxer_of",
    "measured_seconds",
    "shorter_side",
]

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


def check_media(path: Path, ffmpeg: str | None) -> tuple[int, int] | None:
    """Check that *path* is a video and, as far as its container tells, complete; decode its first picture.

    Returns its width and height, where PyAV is there to tell.

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
    return decoder.decode_first_picture(path, demuxer, ffmpeg)


def check_sound(path: Path, ffmpeg: str) -> Sound:
    """Check that *path* has sound and, as far as its container tells, is complete; decode the beginning of it.

    Raises:
        NoSound: it is a silent video.
        NotPlayable: it is neither video nor sound, or an mp4 that was cut off.
    """
    demuxer = demuxer_of(path)
    if demuxer is None:
        raise NotPlayable(f"{path.stat().st_size} bytes that begin like neither audio nor video")
    if demuxer == "mov":
        with path.open("rb") as file:
            _check_boxes(file, path.stat().st_size)
    return decoder.decode_first_sound(path, demuxer, ffmpeg)


def demuxer_of(path: Path) -> str | None:
    """Return the ffmpeg demuxer for the signature of *path*, a video or a sound, or None if it is neither."""
    with path.open("rb") as file:
        return _demuxer(file) or _sound_demuxer(file)


def shorter_side(path: Path, size: tuple[int, int] | None, ffmpeg: str | None) -> int | None:
    """Return the shorter side of the video at *path*, checked by `check_media`, which returned *size*."""
    if size is None and ffmpeg is not None and (demuxer := demuxer_of(path)) is not None:
        size = decoder.picture_size(path, demuxer, ffmpeg)
    return None if size is None else min(size)


def check_part(path: Path) -> None:
    """Raise NotPlayable if *path*, a part for ffmpeg to merge, begins like neither audio nor video.

    ffmpeg guesses what a part is, and a playlist among them would make it read the files that it names.
    """
    with path.open("rb") as file:
        if _demuxer(file) is None and _sound_demuxer(file) is None:
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


def _sound_demuxer(file: BinaryIO) -> str | None:
    """Return the demuxer for *file* if it begins with the sync word of MPEG audio or ADTS, possibly after ID3 tags.

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
    if len(sync) != 2 or sync[0] != 0xFF or sync[1] & 0xE0 != 0xE0:
        return None
    return "mp3" if sync[1] & 0x06 else "aac"  # the layer, which ADTS doesn't have


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
    """Return the duration of the file at *path*, which was checked to play; None if its container does not have it.

    Blocking. Measured because the duration that a platform declares may be wrong.
    """
    demuxer = demuxer_of(path)
    return None if demuxer is None else decoder.measured_seconds(path, demuxer, ffmpeg)
