"""What counts as a video that plays: real files made by ffmpeg, and what pretends to be one."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from downloader.media import decoder as media_decoder
from downloader.media.check import NoPicture, NotPlayable, check_media, check_part, measured_seconds


@pytest.fixture(params=["library", "program"], autouse=True)
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have every test run with PyAV, and as on a machine that has none."""
    if request.param == "library":
        assert media_decoder.library() is not None
    else:
        monkeypatch.setattr(media_decoder, "library", lambda: None)
    return str(request.param)


def made(ffmpeg: str, path: Path, *options: str) -> Path:
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=64x48:r=5:d=1", *options, str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", ("-c:v", "libx264", "-pix_fmt", "yuv420p")),
        ("fragmented.mp4", ("-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov")),
        ("a.mov", ("-c:v", "mpeg4")),
        ("a.mkv", ("-c:v", "libx264")),
        ("a.webm", ("-c:v", "libvpx")),
        ("a.flv", ("-c:v", "flv")),
        ("a.ts", ("-c:v", "libx264", "-f", "mpegts")),
    ],
)
def test_a_real_video_passes(ffmpeg: str, tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    check_media(made(ffmpeg, tmp_path / name, *options), ffmpeg)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx")])
def test_of_most_videos_a_glance_suffices(
    decoder: str, ffmpeg: str, tmp_path: Path, suffix: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(ffmpeg, tmp_path / f"a.{suffix}", "-c:v", codec)
    looks: list[Mapping[str, str]] = []
    decode = media_decoder._decode_with
    monkeypatch.setattr(
        media_decoder,
        "_decode_with",
        lambda *told: (looks.append(told[2]), decode(*told)),  # type: ignore[func-returns-value]
    )
    check_media(path, ffmpeg)
    assert looks == ([media_decoder._NO_PROBING] if decoder == "library" else [])


@pytest.mark.parametrize("glance", [{"probesize": "rubbish"}, {"max_streams": "0"}])
def test_what_fails_at_a_glance_is_looked_at_properly(
    ffmpeg: str, sample_mp4: Path, glance: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_decoder, "_NO_PROBING", glance)
    check_media(sample_mp4, ffmpeg)


HTML = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>" + b"x" * 5000
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"x" * 40, HTML, PLAYLIST, b'{"error": "nope"}', b"\0" * 5000, b"ftyp" * 100, b"G" * 400,
     b"\x00\x00\x00\x18ftypmp42", b"\x00\x00\x00\x10ftypmp42\0\0\0\0\0\0\0\x08moov", b"\x00\x00\x00\x01ftyp",
     b"\xff\xff\xff\xffftypisom" + b"x" * 100],
)  # fmt: skip
def test_what_is_no_video_is_refused(ffmpeg: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(NotPlayable):
        check_media(path, ffmpeg)


def test_a_video_cut_short_is_refused_even_where_its_beginning_plays(
    ffmpeg: str, sample_mp4: Path, tmp_path: Path
) -> None:
    whole = sample_mp4.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises(NotPlayable, match="cut off"):
        check_media(path, ffmpeg)


def test_sound_without_picture_is_refused(ffmpeg: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(NoPicture):
        check_media(path, ffmpeg)


def test_a_damaged_picture_is_refused(ffmpeg: str, sample_mp4: Path, tmp_path: Path) -> None:
    whole = bytearray(sample_mp4.read_bytes())
    start = whole.index(b"mdat") + 4
    whole[start:] = b"\xff" * (len(whole) - start)
    path = tmp_path / "a.mp4"
    path.write_bytes(whole)
    with pytest.raises(NotPlayable):
        check_media(path, ffmpeg)


def test_without_any_decoder_the_container_is_still_looked_at(
    sample_mp4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_decoder, "library", lambda: None)
    check_media(sample_mp4, None)
    assert measured_seconds(sample_mp4, None) is None
    path = tmp_path / "a.mp4"
    path.write_bytes(HTML)
    with pytest.raises(NotPlayable):
        check_media(path, None)


def test_a_name_that_looks_like_an_option_or_a_protocol_is_only_a_name(
    ffmpeg: str, sample_mp4: Path, tmp_path: Path
) -> None:
    for name in ("-y.mp4", "http:x.mp4", "concat:a|b.mp4", "%d.mp4"):
        path = tmp_path / name
        path.write_bytes(sample_mp4.read_bytes())
        check_media(path, ffmpeg)


@pytest.mark.parametrize("box", [b"free", b"skip", b"wide"])
def test_an_mp4_may_begin_with_filler_and_end_in_a_few_stray_bytes(
    ffmpeg: str, sample_mp4: Path, tmp_path: Path, box: bytes
) -> None:
    path = tmp_path / "a.mp4"
    # A faststart file keeps its offsets only if what comes first is no longer than before: so the filler goes last too.
    path.write_bytes(sample_mp4.read_bytes() + b"\x00\x00\x00\x08" + box + b"\x00\x00\x00")
    check_media(path, ffmpeg)
    # Its offsets do not count from the beginning of the file.
    fragmented = made(ffmpeg, tmp_path / "b.mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof")
    path.write_bytes(b"\x00\x00\x00\x08" + box + fragmented.read_bytes())
    check_media(path, ffmpeg)


def test_how_long_a_video_lasts_is_measured(ffmpeg: str, tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a.flv"):
        assert measured_seconds(made(ffmpeg, tmp_path / name), ffmpeg) == pytest.approx(1.0, abs=0.25)
    fragmented = made(ffmpeg, tmp_path / "b.mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof")
    assert measured_seconds(fragmented, ffmpeg) == pytest.approx(1.0, abs=0.25)


def test_a_damaged_file_is_told_of_in_the_exception_alone(
    ffmpeg: str, sample_mp4: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = bytearray(sample_mp4.read_bytes())
    start = whole.index(b"mdat") + 4
    whole[start : start + 2000] = b"\xff" * 2000
    path = tmp_path / "a.mp4"
    path.write_bytes(whole)
    with pytest.raises(NotPlayable):
        check_media(path, ffmpeg)
    assert capfd.readouterr() == ("", "")


def test_a_picture_beyond_all_measure_is_not_decoded(
    ffmpeg: str, sample_mp4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_decoder, "MAX_PIXELS", 64 * 48)
    with pytest.raises(NotPlayable):
        check_media(sample_mp4, ffmpeg)


def test_a_library_that_is_built_otherwise_is_done_without(
    ffmpeg: str, sample_mp4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Other:
        FFmpegError = OSError

        def open(self, file: object) -> None: ...

    monkeypatch.setattr(media_decoder, "library", Other)
    check_media(sample_mp4, ffmpeg)
    assert measured_seconds(sample_mp4, ffmpeg) == pytest.approx(1.0, abs=0.25)
    assert "running ffmpeg instead" in caplog.text
    path = tmp_path / "a.m4a"
    subprocess.run([ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=1", str(path)], check=True)
    with pytest.raises(NoPicture):
        check_media(path, ffmpeg)


def test_a_file_cannot_lead_to_another_one(ffmpeg: str, sample_mp4: Path, tmp_path: Path) -> None:
    """What is called an mp4 may name other files, in a playlist's words or in its own."""
    path = tmp_path / "a.mp4"
    for words in (b"ffconcat version 1.0\nfile %s\n", b"#EXTM3U\n#EXTINF:1,\n%s\n"):
        path.write_bytes(words % bytes(sample_mp4))
        for demuxer in ("mov", "matroska", "flv", "ogg", "mpegts"):
            with pytest.raises(NotPlayable):
                media_decoder.decode_first_picture(path, demuxer, ffmpeg)


@pytest.mark.parametrize("program", [True, False])
def test_what_nobody_can_decode_is_refused(
    decoder: str, program: bool, ffmpeg: str, sample_mp4: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(sample_mp4.read_bytes().replace(b"avc1", b"zzzz"))
    if program or decoder == "library":
        with pytest.raises(NotPlayable, match=r"[Cc]odec|[Dd]ecoder"):
            check_media(path, ffmpeg if program else None)
    else:
        check_media(path, None)  # it is whole, and there is nothing here to say more
    assert caplog.text == ""  # no word of updating anything


def test_a_cover_is_no_picture(ffmpeg: str, sample_mp4: Path, tmp_path: Path) -> None:
    cover, path = tmp_path / "cover.png", tmp_path / "a.m4a"
    made(ffmpeg, cover, "-frames:v", "1")
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=1", "-i", str(cover), "-c:a", "aac",
               "-c:v", "png", "-disposition:v", "attached_pic", str(path)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(NoPicture):
        check_media(path, ffmpeg)


def tagged(content: bytes, *, tag_bytes: int = 300, flags: int = 0) -> bytes:
    """Return *content* behind an ID3 tag, as MP3s have it."""
    size = bytes((tag_bytes >> shift) & 0x7F for shift in (21, 14, 7, 0))
    footer = b"3DI" + bytes(7) if flags & 0x10 else b""
    return b"ID3\x04\0" + bytes([flags]) + size + bytes(tag_bytes) + footer + content


SOUND = b"\xff\xfb\x90\x64" + bytes(400)


@pytest.mark.parametrize(
    "content",
    [
        *(HTML, PLAYLIST, b"", b"ffconcat version 1.0\nfile /etc/passwd\n", b"x" * 40, b"\xff", b"ID3", b"ID3\x04"),
        # ffmpeg passes over tags, and then takes for a playlist what is one.
        *(tagged(PLAYLIST), tagged(tagged(PLAYLIST)), tagged(b"\0\0" + PLAYLIST), tagged(b""), tagged(b"\xff")),
        *(tagged(PLAYLIST, flags=0x10), tagged(SOUND)[:100], b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + SOUND),
    ],
)
def test_a_part_that_is_no_media_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.f1.mp4"
    path.write_bytes(content)
    with pytest.raises(NotPlayable):
        check_part(path)


@pytest.mark.parametrize(
    "content",
    [SOUND, tagged(SOUND), tagged(tagged(SOUND)), tagged(bytes(500) + SOUND), tagged(SOUND, flags=0x10)],
)
def test_sound_may_have_tags_before_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.f1.mp3"
    path.write_bytes(content)
    check_part(path)


def test_a_part_of_sound_alone_is_taken(ffmpeg: str, tmp_path: Path) -> None:
    for name in ("a.m4a", "a.webm", "a.mp3", "a.aac"):
        path = tmp_path / name
        subprocess.run([ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=1", str(path)], check=True)
        check_part(path)
