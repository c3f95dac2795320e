"""Checks the plain files of a post, its pictures and the sound of a slideshow, and gives them their true extensions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from downloader.errors import DownloadFailed
from downloader.media import decoder
from downloader.media.check import NotPlayable, check_sound
from downloader.media.downloads import Downloaded
from downloader.media.files import check_exists, reported
from downloader.media.pictures import NotAPicture, Picture, PictureKind, read_picture
from downloader.media.sound import EXTENSIONS

#: No platform serves larger ones, and a picture is read as a whole.
MAX_PICTURE_BYTES = 64 * 1024**2

#: ffmpeg's demuxers. If ffmpeg chose itself, it could be one that opens other files, as that for SVG.
_DEMUXERS: Mapping[PictureKind, str] = {
    "jpg": "jpeg_pipe",
    "png": "png_pipe",
    "webp": "webp_pipe",
    "gif": "gif",
    "avif": "mov",
    "heic": "mov",
}

#: A JPEG ends with this, perhaps before a few bytes of the camera's. Decoders fill in what is cut off.
_JPEG_END, _TRAILER_BYTES = b"\xff\xd9", 4096

#: Of a JPEG these many bytes are decoded, which is enough for the decoder to begin: all of it would take longer than
#: the rest of its download. Other types can only be decoded as a whole.
_GLANCE_BYTES, _PIXELS_A_BYTE, _JPEG_SCAN = 4 * 1024, 256, b"\xff\xda"

# Text and color profiles of a PNG may be compressed, a thousand times, and decoders inflate them without a bound.
_PNG_HEAD, _PNG_CHUNK = 8, 12
_COMPRESSED = frozenset({b"zTXt", b"iTXt", b"iCCP"})
_MAX_COMPRESSED_BYTES = 64 * 1024

#: A decoded picture takes up to eight bytes for each pixel, so there is one at a time.
_DECODING = threading.Lock()


def settle_plain_files(
    downloads: Sequence[Downloaded], ffmpeg: str | None, *, heartbeat: Callable[[], None] = lambda: None
) -> list[Downloaded]:
    """Return *downloads*, whose plain files are checked, and have the extensions of what they are; blocking.

    If there are plain files among several, all are named by their numbers.

    *heartbeat* is called for each; an exception from it ends the step.

    Raises:
        DownloadFailed: `file_missing` if yt-dlp left no file, `not_a_video` if one is not what it should be.
    """
    settled = [found if found.plain is None else _settled(found, ffmpeg, heartbeat) for found in downloads]
    if len(settled) == 1 or all(found.plain is None for found in settled):
        return settled
    # Their places in the post tell pictures apart, and the videos among them.
    width = len(str(settled[-1].number))
    return [replace(found, video_id=f"{found.number:0{width}}") for found in settled]


def _settled(found: Downloaded, ffmpeg: str | None, heartbeat: Callable[[], None]) -> Downloaded:
    heartbeat()
    check_exists(found)
    with reported(found):
        if found.plain == "sound":
            # Only ffmpeg tells the codecs of sound apart.
            suffix = EXTENSIONS.get(check_sound(found.path, ffmpeg).codec, found.path.suffix) if ffmpeg else ".m4a"
            return replace(found, path=_renamed(found.path, suffix))
        picture = check_picture(found.path, ffmpeg)
    return replace(found, path=_renamed(found.path, f".{picture.kind}"), size=(picture.width, picture.height))


def _renamed(path: Path, suffix: str) -> Path:
    # yt-dlp looks for the file under its first name; should another attempt follow, it is fetched again.
    return path if path.suffix == suffix else path.rename(path.with_suffix(suffix))


def check_picture(path: Path, ffmpeg: str | None) -> Picture:
    """Decode the picture at *path*; return what it is. Blocking for some milliseconds a megapixel.

    Raises:
        NotPlayable: it is no picture that we take, see `media.pictures`, or it is damaged.
        DownloadFailed: `too_large`.
    """
    check_picture_size(path.stat().st_size)
    data = path.read_bytes()
    try:
        picture = read_picture(data)
    except NotAPicture as error:
        raise NotPlayable(str(error)) from error
    if picture.kind == "jpg" and _JPEG_END not in data[-_TRAILER_BYTES:]:
        raise NotPlayable("a jpg that is cut off")
    if picture.kind == "png":
        _check_chunks(data)
    if picture.kind == "heic" and decoder.library() is None:
        return picture  # ffmpeg reads them since version 7, which few systems have
    demuxer = _DEMUXERS[picture.kind]
    # What comes before the pixels may be long: profiles, a preview.
    glance = data.find(_JPEG_SCAN) + _GLANCE_BYTES + picture.width * picture.height // _PIXELS_A_BYTE
    with _DECODING:
        if picture.kind != "jpg" or not decoder.decode_beginning(data[:glance]):
            decoder.decode_first_picture(path, demuxer, ffmpeg)
    return picture


def _check_chunks(png: bytes) -> None:
    """Raise NotPlayable unless *png* is complete, and little of it would be inflated into text."""
    position, compressed = _PNG_HEAD, 0
    while position + _PNG_CHUNK <= len(png):
        length, kind = int.from_bytes(png[position : position + 4]), png[position + 4 : position + 8]
        if kind == b"IEND":
            return
        compressed += length if kind in _COMPRESSED else 0
        if compressed > _MAX_COMPRESSED_BYTES:
            raise NotPlayable(f"a png with {compressed} bytes of compressed text")
        position += _PNG_CHUNK + length
    raise NotPlayable("a png that is cut off")


def check_picture_size(size_bytes: int) -> None:
    """Raise DownloadFailed `too_large` for more bytes than a picture may have."""
    if size_bytes > MAX_PICTURE_BYTES:
        raise DownloadFailed("too_large", detail=f"a picture of {size_bytes} bytes; at most {MAX_PICTURE_BYTES}")
