"""Makes the media that the posts consist of: real, small, playable, and different for every post."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shlex
import shutil
import stat
import struct
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .model import Content, Post
from .pictures import CONTENT_TYPES, PHOTOS, photo, picture

SEGMENT_COUNT = 2
SEGMENT_SECONDS = 1.0
DURATION_SECONDS = SEGMENT_COUNT * SEGMENT_SECONDS
WIDTH, HEIGHT = 320, 240

#: Room in every file for the name of the post it belongs to. It is the file's comment tag, which survives a merge.
_LABEL_ROOM = b"belongs-to-post:" + b"_" * 32

_BOX_HEADER_SIZE = 8
_BOX_SIZE_LIMIT = 2**32 - 1

_VIDEO = "-c:v libx264 -preset ultrafast -crf 40 -pix_fmt yuv420p -g 24 -sc_threshold 0 -threads 1"
_AUDIO = "-c:a aac -b:a 64k"
_TAGS = f"-map_metadata -1 -metadata comment={_LABEL_ROOM.decode()}"
_FILE = f"{_TAGS} -movflags +faststart"
_HLS = f"{_TAGS} -f hls -hls_playlist_type vod -hls_segment_type fmp4 -hls_time {SEGMENT_SECONDS}"

#: A photo as large as those that phones upload, which become the `photo-1.jpg` and so on of posts.
_PHOTO = "photo.jpg"

#: Everything is made in one run, because starting ffmpeg takes longer than encoding two seconds does.
_RECIPE = f"""
-v error -nostdin -y
-f lavfi -i testsrc2=size={WIDTH}x{HEIGHT}:rate=24:duration={DURATION_SECONDS}
-f lavfi -i sine=frequency=440:sample_rate=44100:duration={DURATION_SECONDS}
-f lavfi -i testsrc2=size=1080x1440:duration=1
-map 0:v -map 1:a {_VIDEO} {_AUDIO} {_FILE} muxed.mp4
-map 0:v {_VIDEO} {_FILE} video.mp4
-map 1:a {_AUDIO} {_FILE} audio.m4a
-map 0:v {_VIDEO} {_HLS} -hls_fmp4_init_filename init-video.mp4 -hls_segment_filename video-%d.m4s video.m3u8
-map 1:a {_AUDIO} {_HLS} -hls_fmp4_init_filename init-audio.mp4 -hls_segment_filename audio-%d.m4s audio.m3u8
-map 2:v -vf noise=alls=10:all_seed=7 -frames:v 1 -q:v 6 -pix_fmt yuvj420p {_PHOTO}
"""

#: The shorter sides of what `several_heights` and `upright` have; 8 frames each, as size is all that matters of them.
_SIDES = (1080, 720, 480, 240)
_LADDERS = (_SIDES, (1080, 480), (1080,))  #: by serial number
_SHAPES = {"several_heights": "wide", "upright": "tall", "understated_height": "wide"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One size of a post's video, and its files."""

    width: int
    height: int
    muxed: str
    silent: str  #: without the sound

    @property
    def side(self) -> int:
        """The shorter side."""
        return min(self.width, self.height)


def pictures_of(post: Post) -> tuple[Picture, ...]:
    """Return the sizes in which *post* is to be had, as its platform declares them, the best first."""
    if (shape := _SHAPES.get(post.scenario.name)) is None:
        muxed = "video.mp4" if post.scenario.name == "silent" else "muxed.mp4"
        return (Picture(width=WIDTH, height=HEIGHT, muxed=muxed, silent="video.mp4"),)
    if post.scenario.name == "understated_height":
        width, height = _sized(shape, 480)
        return (Picture(width=width, height=height, muxed="wide-1080.mp4", silent="wide-1080-silent.mp4"),)
    return tuple(
        Picture(width=width, height=height, muxed=f"{shape}-{side}.mp4", silent=f"{shape}-{side}-silent.mp4")
        for side in _LADDERS[post.serial % len(_LADDERS)]
        for width, height in [_sized(shape, side)]
    )


def _sized(shape: str, side: int) -> tuple[int, int]:
    longer = side * 16 // 18 * 2
    return (longer, side) if shape == "wide" else (side, longer)


def _sized_recipe() -> str:
    sizes = [(shape, side, *_sized(shape, side)) for shape in ("wide", "tall") for side in _SIDES]
    source = f"-f lavfi -i testsrc2=size={{2}}x{{3}}:rate=4:duration={DURATION_SECONDS} "
    inputs = "".join(source.format(*size) for size in sizes)
    sound = f"-f lavfi -i sine=frequency=440:sample_rate=44100:duration={DURATION_SECONDS} "
    output = f"-map {{0}}:v {_VIDEO} {_FILE} {{1}}-{{2}}-silent.mp4 "
    output += f"-map {{0}}:v -map {len(sizes)}:a {_VIDEO} {_AUDIO} {_FILE} {{1}}-{{2}}.mp4 "
    return f"-v error -nostdin -y {inputs}{sound}" + "".join(
        output.format(number, *size) for number, size in enumerate(sizes)
    )


_NAMES = (
    _PHOTO,
    "muxed.mp4",
    "video.mp4",
    "audio.m4a",
    "init-video.mp4",
    "init-audio.mp4",
    *(f"{kind}-{number}.m4s" for kind in ("video", "audio") for number in range(SEGMENT_COUNT)),
    *(f"{shape}-{side}{end}.mp4" for shape in ("wide", "tall") for side in _SIDES for end in ("", "-silent")),
)


#: A grey picture of 16 by 16 pixels, as JPEG.
_PICTURE = (
    "eNr7f+P/AwYBLzdPNwZGJgYGRiBk+H+bwZmBw87O084zFAxSYlMyMjJSgABIFRQUNDc3A0kQs6amubl/cn97e3P75MmzZ8/etWvTpps3H/wH"
    "giOMi4DmsTKCAQMUMDIxs7CysXNwcnEzMjAzwgCGpAADEyMzMxMLMysrCwtQphYox8AiyCqkaOjIJhyYyK5UKGLUOHEhh7LTxoOiQRc/qBgn"
    "FTVxcomJS0hKqaqpa2hqmZiamVtYWjm7uLq5e3h6BYeEhoVHREYlp6SmpWdkZhWXlJaVV1RWNbe0trV3dHZNmjxl6rTpM2bOWrR4ydJly1es"
    "XLVp85at27bv2Lnr0OEjR48dP3Hy1KXLV65eu37j5q2Hjx4/efrs+YuXrz5++vzl67fvP37+EgQ6mYmFhZmFHeRkRqZykH8EWVgVDdmEHAPZ"
    "EwuFlYwaOUScJi7ceJBT2Tjog2hS0UUuMRWTh6ofQa4GO5o4NzeR5Wi4m+FO/n+AQZCDQYBBgJlRiYFJkIFZkOH/LQYeZkYgB8i2Z9BY1MXw"
    "/yYASNbRZQ=="
)


class MediaLibrary:
    """Holds one file of each kind and shows it as the file of any post."""

    def __init__(self, files: Mapping[str, bytes], *, size_bytes: int) -> None:
        """Keep *files*; what a post's video weighs is *size_bytes*, or as little as it can where that is too little.

        Raises:
            ValueError: *size_bytes* is more than an mp4 box can hold, or a file lacks room for the post's name.
        """
        if not 0 <= size_bytes <= _BOX_SIZE_LIMIT:
            raise ValueError(f"media can have up to {_BOX_SIZE_LIMIT} bytes")
        self._parts = {name: _split_at_label(name, data) for name, data in files.items() if name != _PHOTO}
        self._photo, self._photo_bytes = files.get(_PHOTO, b""), size_bytes // PHOTOS
        self._sizes = {
            # A stream of segments weighs as much as the file of the same video would.
            name: size_bytes // SEGMENT_COUNT if name.startswith("video-") else size_bytes
            for name in files
            if not name.startswith(("init-", "audio-", "photo"))
        }

    def content(self, post: Post, name: str) -> Content:
        """Return the media file *name* as *post* has it.

        Raises:
            KeyError: there is no such file.
        """
        label = f"{post.platform} {post.id}".encode()
        if name.startswith("photo-"):
            return photo(post, name, self._photo, self._photo_bytes)
        if name.rpartition(".")[2] in CONTENT_TYPES:
            return picture(post, name)
        before, room, after = self._parts[name]
        pieces = (before, memoryview(label.ljust(len(room))), after) if room else (after,)
        natural_size = sum(map(len, pieces)) + _BOX_HEADER_SIZE + len(label)
        size = max(natural_size, self._sizes.get(name, 0))
        box_size = size - natural_size + _BOX_HEADER_SIZE + len(label)
        # A `free` box may hold anything; players skip it.
        box = memoryview(box_size.to_bytes(4, "big") + b"free" + label)
        return Content(pieces=(*pieces, box), size=size)


def load_media(size_bytes: int) -> MediaLibrary:
    """Return the library, made by ffmpeg on the first start and read from the user's cache after that.

    Raises:
        RuntimeError: there is no ffmpeg, or it failed.
    """
    cache = _cache_file()
    files = _read_cache(cache) if cache else None
    if files is None:
        files = _make_files()
        if cache:
            _write_cache(cache, files)
    return MediaLibrary(files, size_bytes=size_bytes)


def swollen_mp4(*, frames: int = 1000, frame_bytes: int = 20_000) -> bytes:
    """Return a film of *frames* frames that are all the same *frame_bytes* of the file."""

    def box(kind: bytes, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return struct.pack(">I4s", 8 + len(content), kind) + content

    def table(kind: bytes, *numbers: int) -> bytes:
        return box(kind, struct.pack(f">{1 + len(numbers)}I", 0, *numbers))

    def index(at: int) -> bytes:
        matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
        size = struct.pack(">2H", 16, 16)
        entry = box(b"jpeg", bytes(7), b"\1", bytes(16), size, bytes(14), b"\1", bytes(32), b"\0\x18\xff\xff")
        samples = box(
            b"stbl",
            box(b"stsd", struct.pack(">2I", 0, 1), entry),
            table(b"stts", 1, frames, 40),
            table(b"stsc", 1, 1, 1, 1),
            table(b"stsz", frame_bytes, frames),
            table(b"stco", frames, *[at] * frames),
        )
        here = box(b"dinf", box(b"dref", struct.pack(">2I", 0, 1), box(b"url ", b"\0\0\0\1")))
        kind = box(b"hdlr", bytes(8), b"vide", bytes(13))
        media = box(b"mdia", table(b"mdhd", 0, 0, 1000, frames * 40, 0), kind, box(b"minf", here, samples))
        track = box(b"tkhd", struct.pack(">6I", 3, 0, 0, 1, 0, frames * 40), bytes(16), matrix, bytes(8))
        return box(b"moov", table(b"mvhd", 0, 0, 1000, frames * 40, *[0] * 19, 2), box(b"trak", track, media))

    start = box(b"ftyp", b"isom", bytes(4), b"isom")
    picture = zlib.decompress(base64.b64decode(_PICTURE))
    at = len(start) + len(index(0)) + _BOX_HEADER_SIZE
    return start + index(at) + box(b"mdat", picture.ljust(frame_bytes, b"\0"))


@cache
def swollen_page() -> bytes:
    """Return a page of 100 MB, gzipped to a thousandth of that."""
    packer = zlib.compressobj(wbits=31)
    blanks = b" " * 1024**2
    return b"".join([*(packer.compress(blanks) for _ in range(100)), packer.flush()])


def find_ffmpeg() -> str:
    """Return the path of the system's ffmpeg, or of the one that pip installed.

    Raises:
        RuntimeError: there is neither.
    """
    if found := shutil.which("ffmpeg"):
        return found
    import imageio_ffmpeg  # only where it is needed: a system's own ffmpeg does as well

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _split_at_label(name: str, data: bytes) -> tuple[memoryview, memoryview, memoryview]:
    """Return what comes before the room for the label, the room, and what follows; segments have no room."""
    view = memoryview(data)
    start = data.find(_LABEL_ROOM)
    if start < 0:
        if not name.endswith(".m4s"):
            raise ValueError(f"{name} has no room for the name of a post")
        return view[:0], view[:0], view
    return view[:start], view[start : start + len(_LABEL_ROOM)], view[start + len(_LABEL_ROOM) :]


def _make_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="simulator-media-") as folder:
        for recipe in (_RECIPE, _sized_recipe()):
            command = [find_ffmpeg(), *shlex.split(recipe)]
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"ffmpeg could not make the media: {done.stderr.decode(errors='replace')[-2000:]}")
        return {name: Path(folder, name).read_bytes() for name in _NAMES}


def _cache_file() -> Path | None:
    """Return where the media are kept between starts, or None where that place is not ours alone."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir(), f"simulator-media-{user}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and (
        not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)
    )
    recipe = hashlib.sha256((_RECIPE + _sized_recipe()).encode()).hexdigest()[:16]
    return folder / f"{recipe}.zip" if ours else None


def _read_cache(cache: Path) -> dict[str, bytes] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(cache.read_bytes())) as archive:
            return {name: archive.read(name) for name in _NAMES}
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def _write_cache(cache: Path, files: Mapping[str, bytes]) -> None:
    handle, unfinished = tempfile.mkstemp(dir=cache.parent)
    with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    # Another start may be writing the same file: the last rename wins, and both wrote the same.
    Path(unfinished).replace(cache)
