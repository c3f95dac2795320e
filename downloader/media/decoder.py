"""Decodes media with ffmpeg's libraries: in this process where PyAV is installed, else by running ffmpeg.

Starting the program takes 50 to 100 ms of CPU time, more than the rest of a small download.
"""

from __future__ import annotations

import contextlib
import logging
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 60

#: ffmpeg's arguments for an input that may reference others.
ONLY_THIS_FILE = ("-protocol_whitelist", "file")

_MICROSECONDS = 1_000_000

#: Twice the pixels of 8K. A decoder allocates memory for as many as a file claims.
MAX_PIXELS = 2**26

#: Containers that describe their streams at the beginning. Probing can be skipped for them, which saves 0.4 to 15 ms; a
#: file that fails without probing is probed.
_SELF_DESCRIBING = frozenset({"mov", "matroska"})
_NO_PROBING = {"probesize": "32", "analyzeduration": "0"}

#: Raised where a newer PyAV has another API.
_OTHER_API = (AttributeError, TypeError)


class NotPlayable(Exception):
    """The file is not a video that plays; str() is the reason, for the log."""


class _UnknownCodec(NotPlayable):
    """PyAV has no decoder for it; the ffmpeg program may be another version, and have one."""


class NoPicture(NotPlayable):
    """The file plays, but has only sound, such as the music of a slide show."""


@cache
def library() -> Any:
    """Return PyAV, or None if it is not available on this machine."""
    try:
        import av
    except (ImportError, OSError):  # OSError: its libraries do not match the system's
        return None
    av.logging.set_level(None)  # exceptions tell what is wrong with a file
    return av


class NoSound(NotPlayable):
    """The file plays, but is silent."""


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound of a file."""

    codec: str  #: ffmpeg's name
    alone: bool  #: without a picture, or only with a cover


def decode_first_picture(path: Path, demuxer: str, ffmpeg: str | None) -> tuple[int, int] | None:
    """Decode the first picture of the video at *path*, read by *demuxer* and no other; return its width and height.

    Blocking. Without PyAV it returns None; without *ffmpeg* too it does nothing.

    Raises:
        NoPicture: it has no picture, or only a cover.
        NotPlayable: it is broken.
    """
    if library() is not None:
        try:
            return _decode_here(path, demuxer)
        except _UnknownCodec:
            if ffmpeg is None:
                raise
        except _OTHER_API as error:
            _warn_other_api(error)
    if ffmpeg is not None:
        _decode_by_program(path, demuxer, ffmpeg, "0:V:0", NoPicture("sound without a picture"))
    return None


def decode_beginning(jpeg: bytes) -> bool:
    """Tell whether *jpeg*, the beginning of one, can be decoded as far as it goes; False if PyAV can't tell."""
    if (av := library()) is None:
        return False
    try:
        context = av.CodecContext.create("mjpeg", "r")
        # An eighth of its sides: all bits are read, but hardly a pixel is computed or needs memory.
        context.options = {"max_pixels": str(MAX_PIXELS), "lowres": "3"}
        context.thread_count = 1
        pictures = context.decode(av.Packet(jpeg)) or context.decode(None)
    except (av.FFmpegError, ValueError, EOFError, *_OTHER_API):
        return False
    return bool(pictures) and not pictures[0].is_corrupt


def picture_size(path: Path, demuxer: str, ffmpeg: str) -> tuple[int, int] | None:
    """Return the width and height of the video at *path*; None if ffmpeg doesn't know."""
    found = re.search(
        rb"^  Stream #0:\d.*?: Video: .*?, (\d+)x(\d+)", _description(path, demuxer, ffmpeg), re.MULTILINE
    )
    return None if found is None else (int(found[1]), int(found[2]))


def decode_first_sound(path: Path, demuxer: str, ffmpeg: str) -> Sound:
    """Decode the first sound of the file at *path*, read by *demuxer* and no other; return what it is. Blocking.

    Raises:
        NoSound: it is silent.
        NotPlayable: it is broken.
    """
    if library() is not None:
        try:
            return _sound_here(path, demuxer)
        except _UnknownCodec:
            pass
        except _OTHER_API as error:
            _warn_other_api(error)
    return _sound_by_program(path, demuxer, ffmpeg)


def measured_seconds(path: Path, demuxer: str, ffmpeg: str | None) -> float | None:
    """Return the duration of the video at *path*; None if its container does not have it, or without a decoder."""
    if (av := library()) is not None:
        try:
            with path.open("rb") as file, av.open(file, format=demuxer) as container:
                return None if container.duration is None else float(container.duration) / _MICROSECONDS
        except (av.FFmpegError, ValueError):
            return None
        except _OTHER_API as error:
            _warn_other_api(error)
    return None if ffmpeg is None else _seconds_by_program(path, demuxer, ffmpeg)


def _warn_other_api(error: Exception) -> None:
    log.warning("PyAV cannot be used, running ffmpeg instead: update this program", extra={"detail": str(error)})


# In this process


def _decode_here(path: Path, demuxer: str) -> tuple[int, int]:
    # PyAV gets an open file without a name, so there is nothing else that it could open.
    with path.open("rb") as file:
        if demuxer in _SELF_DESCRIBING:
            with contextlib.suppress(NotPlayable):
                return _decode_with(file, demuxer, _NO_PROBING)
            file.seek(0)
        return _decode_with(file, demuxer, {})


def _decode_with(file: BinaryIO, demuxer: str, options: Mapping[str, str]) -> tuple[int, int]:
    av = library()
    limits = {"max_pixels": str(MAX_PIXELS)}
    try:
        with av.open(file, format=demuxer, options={**options, **limits}) as container:
            stream = next((video for video in container.streams.video if not _is_cover(av, video)), None)
            if stream is None:
                raise NoPicture("sound without a picture")
            if stream.codec_context is None:
                raise _UnknownCodec("a codec without a decoder")
            stream.codec_context.options = limits
            stream.codec_context.thread_count = 1  # for one picture, threads only take memory
            picture = next(container.decode(stream), None)
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise NotPlayable(str(error)) from error
    if picture is None:
        raise NotPlayable("no picture in its video stream")
    if picture.is_corrupt:
        raise NotPlayable("the first picture is damaged")
    return picture.width, picture.height


def _sound_here(path: Path, demuxer: str) -> Sound:
    av = library()
    try:
        with path.open("rb") as file, av.open(file, format=demuxer) as container:
            stream = next(iter(container.streams.audio), None)
            if stream is None:
                raise NoSound("a picture without sound")
            if stream.codec_context is None:
                raise _UnknownCodec("a codec without a decoder")
            codec = stream.codec_context.codec.canonical_name
            alone = all(_is_cover(av, video) for video in container.streams.video)
            if next(container.decode(stream), None) is None:
                raise NotPlayable("nothing in its sound stream")
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise NotPlayable(str(error)) from error
    return Sound(codec, alone)


def _is_cover(av: Any, stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


# By the program


def _decode_by_program(
    path: Path, demuxer: str, ffmpeg: str, stream: str, missing: NotPlayable, *, level: str = "error"
) -> bytes:
    """Decode the beginning of *stream* and return what ffmpeg said; raise *missing* if there is no such stream."""
    command = [
        ffmpeg, "-nostdin", "-hide_banner", "-loglevel", level, "-xerror",
        "-max_pixels", str(MAX_PIXELS), *ONLY_THIS_FILE, "-f", demuxer, "-i", f"file:{path}",
        "-map", stream, "-frames:v" if ":V:" in stream else "-frames:a", "1", "-f", "null", "-",
    ]  # fmt: skip
    try:
        run = _run(command)
    except subprocess.TimeoutExpired as error:
        raise NotPlayable(f"ffmpeg could not decode its beginning within {_TIMEOUT_SECONDS} s") from error
    if b"matches no streams" in run.stderr:
        raise missing
    if run.returncode != 0:
        complaint = run.stderr.decode(errors="replace").strip().splitlines()
        raise NotPlayable(complaint[-1] if complaint else f"ffmpeg ended with {run.returncode}")
    return run.stderr


def _seconds_by_program(path: Path, demuxer: str, ffmpeg: str) -> float | None:
    # Exactly two spaces: a tag of the file is indented further.
    description = _description(path, demuxer, ffmpeg)
    found = re.search(rb"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", description, re.MULTILINE)
    return None if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])


def _sound_by_program(path: Path, demuxer: str, ffmpeg: str) -> Sound:
    said = _decode_by_program(path, demuxer, ffmpeg, "0:a:0", NoSound("a picture without sound"), level="info")
    streams = re.findall(
        rb"^  Stream #0:\d.*?: (Audio|Video): (\w+)(.*)", said.partition(b"\nOutput #0")[0], re.MULTILINE
    )
    codec = next((name.decode() for kind, name, _ in streams if kind == b"Audio"), "unknown")
    return Sound(codec, all(kind == b"Audio" or b"(attached pic)" in rest for kind, _, rest in streams))


def _description(path: Path, demuxer: str, ffmpeg: str) -> bytes:
    """Return what ffmpeg says of the file; nothing if that takes too long."""
    # Without an output, ffmpeg describes the file and exits with an error.
    command = [ffmpeg, "-nostdin", "-hide_banner", *ONLY_THIS_FILE, "-f", demuxer, "-i", f"file:{path}"]
    try:
        return _run(command).stderr
    except subprocess.TimeoutExpired:
        return b""


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False, stdin=subprocess.DEVNULL)
