"""Pictures by their own bytes: what real encoders write, and what only pretends."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from downloader.media.pictures import MAX_SIDE, NotAPicture, Picture, read_picture
from tests.simulator.thumbnails import png


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


def iso(brand: bytes, *sizes: tuple[int, int]) -> bytes:
    """Return a picture as phones write it: properties of tiles, and of the whole."""
    properties = b"".join(box(b"ispe", bytes(4) + struct.pack(">II", *size)) for size in sizes)
    meta = box(b"hdlr", bytes(24)) + box(b"iprp", box(b"ipco", box(b"colr", b"nclx") + properties))
    return box(b"ftyp", brand + bytes(4) + b"mif1") + box(b"meta", bytes(4) + meta) + box(b"mdat", b"pixels")


def webp(form: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + form + struct.pack("<I", len(body)) + body


JPG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2\x00\x0b\x08" + struct.pack(">HH", 180, 320) + b"\x01\x01\x11\x00\xff\xda"
WEBP = webp(b"VP8X", bytes(4) + (319).to_bytes(3, "little") + (179).to_bytes(3, "little"))
LOSSLESS = webp(b"VP8L", b"\x2f" + struct.pack("<I", 319 | 179 << 14) + bytes(5))
LOSSY = webp(b"VP8 ", b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 320, 180 | 1 << 14))
GIF = b"GIF89a" + struct.pack("<HH", 320, 180) + bytes(3)
PICTURES = {
    "jpg": JPG,
    "png": png(320, 180),
    "webp": WEBP,
    "gif": GIF,
    "avif": iso(b"avif", (320, 180)),
    "heic": iso(b"heic", (160, 90), (320, 180)),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_kind_and_size_are_read_from_the_header(kind: str) -> None:
    picture = read_picture(PICTURES[kind])
    assert (picture.kind, picture.width, picture.height) == (kind, 320, 180)


@pytest.mark.parametrize("data", [LOSSLESS, LOSSY])
def test_the_other_forms_of_webp_are_read_too(data: bytes) -> None:
    assert read_picture(data) == Picture("webp", 320, 180)


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "jpg"), ("a.png", "png"), ("a.gif", "gif")])
def test_what_an_encoder_writes_is_read(ffmpeg: str, tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc=s=320x180", "-frames:v", "1", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    picture = read_picture(path.read_bytes())
    assert (picture.kind, picture.width, picture.height) == (kind, 320, 180)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='320' height='180'/>",
        b"<!DOCTYPE html><html></html>",
        b"%PDF-1.7",
        b"II*\x00\x08\x00\x00\x00",
        b"P6 320 180 255\n",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\x00\x04ab" + JPG,
        b"RIFF\x00\x00\x00\x00WEBPJUNK",
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(NotAPicture):
        read_picture(data)


@pytest.mark.parametrize(
    "size", [(1, 1), (320, 1), (0, 180), (MAX_SIDE + 1, 2), (MAX_SIDE, MAX_SIDE), (2**31 - 1, 2**31 - 1)]
)
def test_a_picture_that_is_too_small_or_too_large_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(NotAPicture, match="pixels"):
        read_picture(png(*size))


@pytest.mark.parametrize("kind", PICTURES)
def test_a_header_that_is_cut_off_anywhere_is_refused(kind: str) -> None:
    data = PICTURES[kind]
    for length in range(len(data)):
        try:
            picture = read_picture(data[:length])
        except NotAPicture:
            continue
        assert (picture.kind, picture.width, picture.height) == (kind, 320, 180)  # what is missing is behind it


@given(st.sampled_from(sorted(PICTURES)), st.binary(max_size=200), st.integers(0, 80))
@example("jpg", b"", 2)
def test_no_bytes_are_more_than_refused(kind: str, noise: bytes, at: int) -> None:
    data = PICTURES[kind]
    for hostile in (noise, data[:at] + noise, data[:at] + noise + data[at + len(noise) :]):
        try:
            picture = read_picture(hostile)
        except NotAPicture:
            continue
        assert 2 <= min(picture.width, picture.height) <= max(picture.width, picture.height) <= MAX_SIDE
