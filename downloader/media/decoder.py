"""Looks into a video with ffmpeg's decoders: in this process where PyAV is installed, else by starting ffmpeg.

Both are the same code. To start a program takes 50 to 100 ms of processor time, more than the rest of a small download.
"""

from __future__ import annotations

import contextlib
import logging
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 60

#: Whatever the file says.
_ONLY_THIS_FILE = ("-protocol_whitelist", "file")

_MICROSECONDS = 1_000_000

#: Of one picture, twice what 8K has. A decoder takes memory for as many as a file says that it has.
MAX_PIXELS = 2**26

#: Containers that say at their beginning what is in them. Of these a glance suffices, where otherwise some of the film
#: would be decoded to find out: 0.4 to 15 ms. What fails at a glance is looked at properly.
_SAY_WHAT_THEY_HOLD = frozenset({"mov", "matroska"})
_AT_A_GLANCE = {"probesize": "32", "analyzeduration": "0"}

#: What PyAV raises where its newest version is built otherwise than the ones we know.
_BUILT_OTHERWISE = (AttributeError, TypeError)


class NotPlayable(Exception):
    """The file is no video that plays; str() says what was found, for the log."""


class _UnknownCodec(NotPlayable):
    """Nobody in this process can decode it; the program may be another version, and know it."""


class NoPicture(NotPlayable):
    """The file plays, but there is only sound: a slide show's music, for one."""


@cache
def library() -> Any:
    """Return PyAV, or None where there is none for this machine."""
    try:
        import av
    except (ImportError, OSError):  # OSError: its libraries do not fit the system's
        return None
    av.logging.set_level(None)  # what is wrong with a file is in the exception
    return av


def decode_first_picture(path: Path, demuxer: str, ffmpeg: str | None) -> None:
    """Return if the first picture of the video at *path* can be decoded, read by *demuxer* and no other.

    Does nothing where there is neither PyAV nor *ffmpeg*. Blocking; raises:
        NoPicture: there is no picture in it, or only a cover.
        NotPlayable: it is broken.
    """
    if library() is not None:
        try:
            return _decode_here(path, demuxer)
        except _UnknownCodec:
            if ffmpeg is None:
                raise
        except _BUILT_OTHERWISE as error:
            _complain(error)
    if ffmpeg is not None:
        _decode_by_program(path, demuxer, ffmpeg)


def measured_seconds(path: Path, demuxer: str, ffmpeg: str | None) -> float | None:
    """Return how long the video at *path* lasts; None where its container does not say, or nobody can be asked."""
    if (av := library()) is not None:
        try:
            with path.open("rb") as file, av.open(file, format=demuxer) as container:
                return None if container.duration is None else float(container.duration) / _MICROSECONDS
        except (av.FFmpegError, ValueError):
            return None
        except _BUILT_OTHERWISE as error:
            _complain(error)
    return None if ffmpeg is None else _seconds_by_program(path, demuxer, ffmpeg)


def _complain(error: Exception) -> None:
    log.warning("PyAV cannot be used, starting ffmpeg instead: update this program", extra={"detail": str(error)})


# In this process


def _decode_here(path: Path, demuxer: str) -> None:
    if demuxer in _SAY_WHAT_THEY_HOLD:
        with contextlib.suppress(NotPlayable):
            return _decode_as_told(path, demuxer, _AT_A_GLANCE)
    return _decode_as_told(path, demuxer, {})


def _decode_as_told(path: Path, demuxer: str, options: Mapping[str, str]) -> None:
    av = library()
    limits = {"max_pixels": str(MAX_PIXELS)}
    try:
        # It gets an open file and no name: there is nothing else that it could open.
        with path.open("rb") as file, av.open(file, format=demuxer, options={**options, **limits}) as container:
            stream = next((video for video in container.streams.video if not _is_cover(av, video)), None)
            if stream is None:
                raise NoPicture("sound without a picture")
            if stream.codec_context is None:
                raise _UnknownCodec("a codec that nobody here knows")
            stream.codec_context.options = limits
            stream.codec_context.thread_count = 1  # one picture; threads would only take memory
            picture = next(container.decode(stream), None)
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise NotPlayable(str(error)) from error
    if picture is None:
        raise NotPlayable("not one picture in its stream of pictures")
    if picture.is_corrupt:
        raise NotPlayable("the first picture is damaged")


def _is_cover(av: Any, stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


# By the program


def _decode_by_program(path: Path, demuxer: str, ffmpeg: str) -> None:
    command = [
        ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror",
        "-max_pixels", str(MAX_PIXELS), *_ONLY_THIS_FILE, "-f", demuxer, "-i", f"file:{path}",
        "-map", "0:V:0", "-frames:v", "1", "-f", "null", "-",
    ]  # fmt: skip
    try:
        run = subprocess.run(
            command, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise NotPlayable(f"ffmpeg could not decode a picture within {_TIMEOUT_SECONDS} s") from error
    if b"matches no streams" in run.stderr:
        raise NoPicture("sound without a picture")
    if run.returncode != 0:
        complaint = run.stderr.decode(errors="replace").strip().splitlines()
        raise NotPlayable(complaint[-1] if complaint else f"ffmpeg ended with {run.returncode}")


def _seconds_by_program(path: Path, demuxer: str, ffmpeg: str) -> float | None:
    # Without an output it tells what the file is, and ends with an error.
    command = [ffmpeg, "-nostdin", "-hide_banner", *_ONLY_THIS_FILE, "-f", demuxer, "-i", f"file:{path}"]
    try:
        run = subprocess.run(
            command, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return None
    # Two spaces: a tag of the file's own has its name padded to the colon.
    found = re.search(rb"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", run.stderr, re.MULTILINE)
    return None if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
