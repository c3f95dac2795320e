"""What of a plain file is left to yt-dlp's downloader; see tests/simulator/test_photos.py for whole posts."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import HTTPError, TransportError

from downloader.ytdlp.plain_files import PlainFiles, plain_file

URL = "https://pictures.example/1.jpg"


class YtDlp:
    """Answers requests with *send*; notes what its downloader is left with."""

    def __init__(self, folder: Path, send: Callable[[], Response], **params: Any) -> None:
        self.params, self.folder, self.send = params, folder, send
        self.left: list[bytes | None] = []  #: what there was of each file, None: nothing
        self.headers: list[Mapping[str, str]] = []
        self.reports: list[Mapping[str, Any]] = []
        self._progress_hooks = [self.reports.append]

    def prepare_filename(self, info: Mapping[str, Any]) -> str:
        return str(self.folder / "name.jpg")

    def urlopen(self, request: Any) -> Response:
        self.headers.append(dict(request.headers))
        return self.send()

    def report_error(self, message: str) -> None:
        raise RuntimeError(message)

    def dl(self, path: str, info: Mapping[str, Any]) -> None:
        part = Path(f"{path}.part")
        self.left.append(part.read_bytes() if part.exists() else None)


def answer(body: bytes, **headers: str) -> Response:
    return Response(io.BytesIO(body), URL, {name.replace("_", "-"): value for name, value in headers.items()})


def fetched(ydl: YtDlp, **info: Any) -> tuple[PlainFiles, dict[str, Any]]:
    files = PlainFiles.of(ydl, lambda info: None)
    return files, files.process({**plain_file("picture", "7_1", lambda: URL), **info})


def raises(error: Exception) -> Callable[[], Response]:
    def send() -> Response:
        raise error

    return send


def test_a_file_is_fetched_without_yt_dlps_downloader(tmp_path: Path) -> None:
    ydl = YtDlp(tmp_path, lambda: answer(b"x" * 100_000, Content_Length="100000"))
    _, info = fetched(ydl, http_headers={"Referer": "https://pictures.example/", "cookie": "of=another"})
    [file] = info["requested_downloads"]
    assert Path(file["filepath"]).read_bytes() == b"x" * 100_000
    assert [path.name for path in tmp_path.iterdir()] == ["1-picture.jpg"]
    assert ydl.left == []
    assert ydl.headers == [{"Referer": "https://pictures.example/", "Accept-Encoding": "identity"}]
    assert [report["downloaded_bytes"] for report in ydl.reports] == [16_384, 49_152, 100_000, 100_000]
    assert {(report["filename"], report["total_bytes"]) for report in ydl.reports} == {(file["filepath"], 100_000)}
    assert ydl.reports[-1]["status"] == "finished"


def test_without_a_length_a_file_ends_with_the_response(tmp_path: Path) -> None:
    for headers in ({}, {"Content_Encoding": "gzip", "Content_Length": "20"}):
        ydl = YtDlp(tmp_path, lambda headers=headers: answer(b"unpacked" * 10, **headers))  # type: ignore[misc]
        _, info = fetched(ydl)
        path = Path(info["requested_downloads"][0]["filepath"])
        assert (path.read_bytes(), ydl.left) == (b"unpacked" * 10, [])
        path.unlink()


@pytest.mark.parametrize("error", [TransportError("reset"), HTTPError(Response(io.BytesIO(), URL, {}, status=503))])
def test_yt_dlp_tries_again_what_may_have_been_bad_luck(tmp_path: Path, error: Exception) -> None:
    ydl = YtDlp(tmp_path, raises(error))
    fetched(ydl)
    assert ydl.left == [None]


def test_yt_dlp_resumes_what_was_cut_off(tmp_path: Path) -> None:
    ydl = YtDlp(tmp_path, lambda: answer(b"half", Content_Length="8"))
    fetched(ydl)
    assert ydl.left == [b"half"]
    fetched(ydl)  # as the next attempt finds it
    assert (ydl.left, len(ydl.headers)) == ([b"half"] * 2, 1)


def test_yt_dlp_is_left_with_an_empty_file(tmp_path: Path) -> None:
    ydl = YtDlp(tmp_path, lambda: answer(b"", Content_Length="0"))
    fetched(ydl)
    assert ydl.left == [b""]


def test_a_file_that_is_there_is_not_requested(tmp_path: Path) -> None:
    (tmp_path / "1-picture.jpg").write_bytes(b"from the attempt before")
    ydl = YtDlp(tmp_path, raises(AssertionError("requested")))
    fetched(ydl)
    assert ydl.left == [None]


@pytest.mark.parametrize("options", [{"ratelimit": 1000}, {"external_downloader": "curl"}])
def test_yt_dlp_does_what_its_own_options_ask_for(tmp_path: Path, options: Mapping[str, Any]) -> None:
    ydl = YtDlp(tmp_path, raises(AssertionError("requested")), **options)
    fetched(ydl)
    assert ydl.left == [None]


@pytest.mark.parametrize(("status", "is_missing"), [(404, True), (410, True), (403, False), (429, False)])
def test_a_refusal_is_final(tmp_path: Path, status: int, is_missing: bool) -> None:
    ydl = YtDlp(tmp_path, raises(HTTPError(Response(io.BytesIO(), URL, {}, status=status))))
    if is_missing:
        files, info = fetched(ydl)
        assert [name for name, _ in files.missing] == ["picture 1"]
        assert "requested_downloads" not in info
    else:
        with pytest.raises(RuntimeError, match=f"HTTP Error {status}"):
            fetched(ydl)
    assert ydl.left == []
