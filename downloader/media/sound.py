"""Takes the sound out of media files, as it is or encoded as mp3."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from downloader.errors import DownloadFailed
from downloader.media.check import NoSound, NotPlayable, check_sound, demuxer_of
from downloader.media.decoder import ONLY_THIS_FILE
from downloader.media.downloads import Downloaded
from downloader.media.files import check_exists, reported

#: The extension of a file with nothing but sound of a codec, by ffmpeg's names. Matroska takes all others.
EXTENSIONS = {"aac": ".m4a", "alac": ".m4a", "mp3": ".mp3", "opus": ".opus", "vorbis": ".ogg"}
_ANY_CODEC = ".mka"

#: 190 kbit/s on average, beyond which hardly anyone hears a difference.
_MP3 = ("-c:a", "libmp3lame", "-q:a", "2")

_POLL_SECONDS = 0.25


def take_sounds(
    downloads: Sequence[Downloaded],
    ffmpeg: str | None,
    *,
    as_mp3: bool,
    max_bytes: int | None = None,
    heartbeat: Callable[[], None] = lambda: None,
) -> list[Downloaded]:
    """Return files with the sound alone of *downloads*, checked to play; silent ones are left out.

    Blocking; calls *heartbeat* meanwhile, and an exception from it ends the step. New files are cut off soon after
    *max_bytes*.

    Raises:
        DownloadFailed: `file_missing` if yt-dlp left no file, `not_a_video` if one does not play, `no_audio` if all are
            silent.
    """
    if ffmpeg is None:
        raise DownloadFailed("internal", detail="there is no ffmpeg to take the sound out of a file")
    sounds = []
    for found in downloads:
        check_exists(found)
        with reported(found), suppress(NoSound):
            sounds.append(replace(found, path=_sound_of(found.path, ffmpeg, as_mp3, max_bytes, heartbeat)))
    if not sounds:
        raise DownloadFailed("no_audio", detail="a picture without sound")
    return sounds


def _sound_of(path: Path, ffmpeg: str, as_mp3: bool, max_bytes: int | None, heartbeat: Callable[[], None]) -> Path:
    """Return a file with the sound of *path* alone: *path* itself if it is one, else a new one."""
    sound = check_sound(path, ffmpeg)
    extension = ".mp3" if as_mp3 else EXTENSIONS.get(sound.codec, _ANY_CODEC)
    is_encoded = not as_mp3 or sound.codec == "mp3"
    if is_encoded and sound.alone and path.suffix == extension:
        return path
    target = path.with_name(f"{path.stem}.sound{extension}")
    limit = () if max_bytes is None else ("-fs", str(max_bytes + 1))
    demuxer = demuxer_of(path)
    assert demuxer is not None  # it was just checked
    command = [
        ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *ONLY_THIS_FILE, "-f", demuxer,
        "-i", f"file:{path}", "-map", "0:a:0", *(("-c:a", "copy") if is_encoded else _MP3), *limit, f"file:{target}",
    ]  # fmt: skip
    _run(command, heartbeat)
    check_sound(target, ffmpeg)
    return target


def _run(command: list[str], heartbeat: Callable[[], None]) -> None:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            while True:
                try:
                    _, complaint = process.communicate(timeout=_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    heartbeat()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise NotPlayable(lines[-1] if lines else f"ffmpeg ended with {process.returncode}")
