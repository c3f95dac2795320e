"""Subtitles of all kinds become SubRip that ffmpeg reads as it was meant."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.media.srt import NoCues, to_srt
from tests.simulator import subtitles as said
from tests.srt import cues_in


def cue(text: str, *, start: str = "00:00:01.000", end: str = "00:00:02.000", head: str = "WEBVTT\n\n") -> bytes:
    return f"{head}{start} --> {end}\n{text}\n".encode()


def only_text(data: bytes) -> str:
    [(_, _, text)] = cues_in(to_srt([data]))
    return text


@pytest.mark.parametrize("text", [said.webvtt("en"), said.subrip("en"), "\ufeff" + said.webvtt("en")])
def test_cues_are_kept_as_they_are(text: str) -> None:
    assert cues_in(to_srt([text.encode()])) == said.cues_of("en")
    assert cues_in(to_srt([text.removeprefix("\ufeff").encode("utf-16")])) == said.cues_of("en")


def test_what_comes_is_a_fixed_point() -> None:
    once = to_srt([said.webvtt("en").encode()])
    assert to_srt([once]) == once
    assert once.startswith(b"1\n00:00:00,000 --> 00:00:00,900\nAda & the garden (en)\n\n2\n")


def test_segments_of_a_stream_make_one_file() -> None:
    segments = [said.segment("en", number).encode() for number in (0, 1)]
    assert cues_in(to_srt(segments)) == said.cues_of("en")


def test_a_segments_own_clock_counts() -> None:
    head = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:{}\n\n"
    segments = [cue("one", head=head.format(900_000)), cue("two", head=head.format(1_800_000))]
    assert cues_in(to_srt(segments)) == ((1000, 2000, "one"), (11_000, 12_000, "two"))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("<v Ada Lovelace>Hello</v>", "Hello"),
        ("<c.yellow.bg_blue>Hello</c>", "Hello"),
        ("<00:00:01.500><c> Hello</c>", "Hello"),
        ("<i.loud>Hello</i> <b>you</b>", "<i>Hello</i> <b>you</b>"),
        ("<lang en>Hello", "Hello"),
        ("Tom &amp; Jerry &lt;3&nbsp;!", "Tom & Jerry <3\u00a0!"),
        ("a < b and c > d", "a < b and c > d"),
        ("{\\an8}Hello", "Hello"),
        ("Hel\x00lo\x1b[0m", "Hello[0m"),
        ("one\n \t\ntwo", "one"),
        ("one\n<c></c>\ntwo", "one\ntwo"),
        ("one --&gt; two", "one -> two"),
    ],
)
def test_marks_that_subrip_does_not_know_are_left_out(written: str, read: str) -> None:
    assert only_text(cue(written)) == read


def test_subrip_is_not_escaped() -> None:
    assert only_text(cue("&amp; <font color=red>red</font>", head="1\n").replace(b".", b",")) == "&amp; red"


@pytest.mark.parametrize(("start", "end"), [("00:01.000", "00:02.000"), ("0:00:01.000", "0:00:02.000")])
def test_hours_may_be_short_or_missing(start: str, end: str) -> None:
    assert cues_in(to_srt([cue("x", start=start, end=end)])) == ((1000, 2000, "x"),)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"WEBVTT\n",
        b"<!DOCTYPE html><html><body>Log in</body></html>",
        b"{}",
        b"#EXTM3U\n#EXTINF:4,\nfile:///etc/passwd\n",
        b"\xff\xd8\xff\xe0 a picture",
        b"\x00" * 100,
        cue(""),
        cue("<c></c>"),
        cue("backwards", start="00:00:03.000"),
        cue("no time", end="00:00:01.000"),
        b"WEBVTT\n\nNOTE\n00:00:01.000 --> is a note\n",
    ],
)
def test_what_has_no_cue_is_no_subtitles(data: bytes) -> None:
    with pytest.raises(NoCues):
        to_srt([data])


@given(st.lists(st.text(alphabet="WEBVT\n\r -->:.,0123&<{\\}>ci/", max_size=200).map(str.encode), max_size=3))
def test_whatever_comes_is_valid_or_refused(parts: list[bytes]) -> None:
    try:
        srt = to_srt(parts)
    except NoCues:
        return
    found = cues_in(srt)
    assert found
    assert all(0 <= start < end and text for start, end, text in found)


@pytest.mark.parametrize(
    "text",
    [
        "WEBVTT X-TIMESTAMP-MAP=" * 400_000,
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n" + "<b." * 3_000_000,
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n" + "{\\" * 4_000_000,
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n" + "&" * 9_000_000,
        "WEBVTT" + "\n \t" * 3_000_000,
        "0" * 9_000_000 + "-->",
    ],
)
@pytest.mark.thorough
def test_the_worst_text_takes_no_longer_than_any_other(text: str) -> None:
    began = time.process_time()
    with suppress(NoCues):
        to_srt([text.encode()])
    assert time.process_time() - began < 10


def test_ffmpeg_reads_what_we_write(ffmpeg: str, tmp_path: Path) -> None:
    path = tmp_path / "x.srt"
    path.write_bytes(to_srt([said.webvtt("en").encode()]))
    command = [ffmpeg, "-v", "error", "-xerror", "-f", "srt", "-i", str(path), "-f", "srt", "-"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert cues_in(done.stdout.replace(b"\r\n", b"\n")) == said.cues_of("en")
