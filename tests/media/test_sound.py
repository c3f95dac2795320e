"""The sound of a file: taken out as it is, or as mp3."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from downloader.errors import DownloadFailed
from downloader.media import decoder as media_decoder
from downloader.media.check import check_sound
from downloader.media.downloads import Downloaded
from downloader.media.sound import take_sounds


@pytest.fixture(params=["library", "program"], autouse=True)
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every test run with PyAV, and as on a machine that has none."""
    if request.param == "program":
        monkeypatch.setattr(media_decoder, "library", lambda: None)


def downloaded(path: Path) -> Downloaded:
    return Downloaded(path=path, post_id="7", video_id="7", title="t", duration_seconds=1.0)


def made(ffmpeg: str, path: Path, *options: str, sound: bool = True, picture: bool = True) -> Downloaded:
    path.write_bytes(encoded(ffmpeg, path.suffix, options, sound, picture))
    return downloaded(path)


@cache
def encoded(ffmpeg: str, suffix: str, options: tuple[str, ...], sound: bool, picture: bool) -> bytes:
    """Return a file of one second; encoded once for both decoders."""
    sources = [
        *(("-f", "lavfi", "-i", "testsrc=s=64x48:r=5:d=1") if picture else ()),
        *(("-f", "lavfi", "-i", "sine=d=1") if sound else ()),
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        subprocess.run([ffmpeg, "-loglevel", "error", *sources, *options, str(path)], check=True, capture_output=True)
        return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("a.mp4", "aac", "a.sound.m4a"),
        ("a.mp4", "libmp3lame", "a.sound.mp3"),
        ("a.webm", "libopus", "a.sound.opus"),
        ("a.webm", "libvorbis", "a.sound.ogg"),
        ("a.mkv", "flac", "a.sound.mka"),
        ("a.mkv", "pcm_s16le", "a.sound.mka"),
        ("a.ts", "aac", "a.sound.m4a"),
        ("a.flv", "aac", "a.sound.m4a"),
    ],
)
def test_the_sound_of_a_video_stays_as_it_is(ffmpeg: str, tmp_path: Path, name: str, codec: str, expected: str) -> None:
    video = made(ffmpeg, tmp_path / name, "-c:a", codec)
    before = check_sound(video.path, ffmpeg)
    [sound] = take_sounds([video], ffmpeg, as_mp3=False)
    assert sound.path.name == expected
    after = check_sound(sound.path, ffmpeg)
    assert (after.codec, before.alone, after.alone) == (before.codec, False, True)


@pytest.mark.parametrize(("name", "as_mp3"), [("a.m4a", False), ("a.mp3", False), ("a.opus", False), ("a.mp3", True)])
def test_a_sound_that_is_what_was_asked_for_is_left_alone(ffmpeg: str, tmp_path: Path, name: str, as_mp3: bool) -> None:
    found = made(ffmpeg, tmp_path / name, picture=False)
    assert take_sounds([found], ffmpeg, as_mp3=as_mp3) == [found]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.aac", "a.sound.m4a"), ("a.webm", "a.sound.opus"), ("a.mp4", "a.sound.m4a")]
)
def test_a_sound_in_another_container_is_moved_to_its_own(
    ffmpeg: str, tmp_path: Path, name: str, expected: str
) -> None:
    [sound] = take_sounds([made(ffmpeg, tmp_path / name, picture=False)], ffmpeg, as_mp3=False)
    assert sound.path.name == expected


@pytest.mark.parametrize("name", ["a.mp4", "a.m4a", "a.webm", "a.opus"])
def test_mp3_is_encoded(ffmpeg: str, tmp_path: Path, name: str) -> None:
    found = made(ffmpeg, tmp_path / name, picture=name.endswith(("mp4", "webm")))
    [sound] = take_sounds([found], ffmpeg, as_mp3=True)
    assert sound.path.name == "a.sound.mp3"
    assert check_sound(sound.path, ffmpeg).codec == "mp3"


def test_a_cover_does_not_make_a_video(ffmpeg: str, tmp_path: Path) -> None:
    cover = made(ffmpeg, tmp_path / "cover.png", "-frames:v", "1", sound=False).path
    path = tmp_path / "a.m4a"
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=1", "-i", str(cover), "-c:a", "aac",
               "-c:v", "png", "-disposition:v", "attached_pic", str(path)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    assert take_sounds([downloaded(path)], ffmpeg, as_mp3=False)[0].path == path


def test_silent_videos_are_left_out_unless_all_are(ffmpeg: str, tmp_path: Path) -> None:
    silent = made(ffmpeg, tmp_path / "1.mp4", sound=False)
    [sound] = take_sounds([silent, made(ffmpeg, tmp_path / "2.mp4")], ffmpeg, as_mp3=False)
    assert sound.path.name == "2.sound.m4a"
    with pytest.raises(DownloadFailed) as failure:
        take_sounds([silent], ffmpeg, as_mp3=True)
    assert failure.value.code == "no_audio"


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>" + b"x" * 5000, b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"])
@pytest.mark.parametrize("start", [b"", b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)])
def test_what_is_no_sound_is_refused_and_removed(ffmpeg: str, tmp_path: Path, start: bytes, content: bytes) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(start + content)
    with pytest.raises(DownloadFailed) as failure:
        take_sounds([downloaded(path)], ffmpeg, as_mp3=False)
    assert failure.value.code == "not_a_video"
    assert not path.exists()


def test_a_sound_cut_short_is_refused(ffmpeg: str, tmp_path: Path) -> None:
    found = made(ffmpeg, tmp_path / "a.m4a", picture=False)
    found.path.write_bytes(found.path.read_bytes()[:-50])
    with pytest.raises(DownloadFailed) as failure:
        take_sounds([found], ffmpeg, as_mp3=False)
    assert failure.value.code == "not_a_video"


def test_no_file_is_said_to_be_missing(ffmpeg: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as failure:
        take_sounds([downloaded(tmp_path / "a.m4a")], ffmpeg, as_mp3=False)
    assert failure.value.code == "file_missing"


def test_without_ffmpeg_it_is_the_servers_fault(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as failure:
        take_sounds([downloaded(tmp_path / "a.m4a")], None, as_mp3=False)
    assert failure.value.code == "internal"


def test_an_mp3_ends_soon_after_its_limit(ffmpeg: str, tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    source = ["-f", "lavfi", "-i", "anoisesrc=d=20", "-b:a", "24k"]
    subprocess.run([ffmpeg, "-loglevel", "error", *source, str(path)], check=True, capture_output=True)
    [sound] = take_sounds([downloaded(path)], ffmpeg, as_mp3=True, max_bytes=20_000)
    assert 20_000 < sound.path.stat().st_size < 40_000


def test_it_stops_when_it_is_told_to(ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(ffmpeg, tmp_path / "a.mp4")
    asked: Iterator[int] = iter(range(2))

    def stop() -> None:
        if next(asked) == 1:
            raise DownloadFailed("interrupted")

    # Encoding that never ends.
    monkeypatch.setattr("downloader.media.sound._MP3", ("-c:a", "libmp3lame", "-af", "aloop=loop=-1:size=1e6"))
    with pytest.raises(DownloadFailed) as failure:
        take_sounds([found], ffmpeg, as_mp3=True, heartbeat=stop)
    assert failure.value.code == "interrupted"
