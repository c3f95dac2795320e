"""Pictures are decoded, within bounds, and get the extension of what they are."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from downloader.errors import DownloadFailed
from downloader.media.check import NotPlayable
from downloader.media.downloads import Downloaded
from downloader.media.photos import check_picture, check_picture_size, settle_plain_files
from tests.simulator import pictures
from tests.simulator.model import Post
from tests.simulator.scenarios import SCENARIOS

POST = Post(platform="tiktok", id="7", scenario=SCENARIOS["pictures"], serial=0)


def sample(type: str) -> bytes:
    return b"".join(map(bytes, pictures.picture(POST, f"picture-1.{type}").chunks()))


def plain(path: Path, number: int = 1) -> Downloaded:
    return Downloaded(
        path=path,
        post_id="7",
        video_id=f"7_{number}",
        title=None,
        duration_seconds=None,
        plain="picture",
        number=number,
    )


@pytest.mark.parametrize("type", pictures.TYPES)
@pytest.mark.parametrize("with_pyav", [True, False])
def test_every_type_is_decoded(
    ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: str, with_pyav: bool
) -> None:
    if not with_pyav:
        monkeypatch.setattr("downloader.media.decoder.library", lambda: None)
    path = tmp_path / "1-7-picture.jpg"
    path.write_bytes(sample(type))
    found = check_picture(path, ffmpeg)
    assert (found.kind, (found.width, found.height)) == (type, pictures.PICTURE_SIZE)


@pytest.mark.parametrize("type", pictures.TYPES)
def test_a_picture_that_was_cut_off_is_refused(ffmpeg: str, tmp_path: Path, type: str) -> None:
    content = sample(type)
    for share in (0.5, 0.9):
        path = tmp_path / "picture"
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(NotPlayable):
            check_picture(path, ffmpeg)


def test_a_picture_is_opened_by_what_it_is_and_not_by_its_name(ffmpeg: str, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(sample("jpg"))
    path = tmp_path / "picture.jpg"
    for content in (b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"ffconcat version 1.0\nfile secret.jpg\n", b""):
        path.write_bytes(content)
        with pytest.raises(NotPlayable):
            check_picture(path, ffmpeg)


def test_text_and_profiles_of_usual_size_are_taken(ffmpeg: str, tmp_path: Path) -> None:
    profile = b"icc\0\0" + zlib.compress(bytes(range(256)) * 200)
    chunk = struct.pack(">I", len(profile)) + b"iCCP" + profile + struct.pack(">I", zlib.crc32(b"iCCP" + profile))
    content = sample("png")
    path = tmp_path / "picture"
    path.write_bytes(content[:33] + chunk + content[33:])
    assert check_picture(path, ffmpeg).kind == "png"


def test_a_picture_of_too_many_bytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    with path.open("wb") as file:
        file.write(sample("jpg"))
        file.truncate(100 * 1024**2)
    with pytest.raises(DownloadFailed) as caught:
        check_picture(path, None)
    assert caught.value.code == "too_large"
    check_picture_size(64 * 1024**2)


def test_pictures_get_their_extensions_and_numbers(ffmpeg: str, tmp_path: Path) -> None:
    downloads = []
    for number, type in ((1, "webp"), (3, "jpg"), (10, "avif")):
        path = tmp_path / f"{number}-7-picture.jpg"
        path.write_bytes(sample(type))
        downloads.append(plain(path, number))
    settled = settle_plain_files(downloads, ffmpeg)
    assert [found.path.suffix for found in settled] == [".webp", ".jpg", ".avif"]
    assert [found.video_id for found in settled] == ["01", "03", "10"]
    assert {found.size for found in settled} == {pictures.PICTURE_SIZE}
    assert all(found.path.is_file() for found in settled)


def test_a_picture_that_is_none_is_removed(ffmpeg: str, tmp_path: Path) -> None:
    path = tmp_path / "1-7-picture.jpg"
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(DownloadFailed) as caught:
        settle_plain_files([plain(path)], ffmpeg)
    assert caught.value.code == "not_a_video"
    assert not path.exists()
