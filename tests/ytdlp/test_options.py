"""yt-dlp's options; those that need a download are tested in test_client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downloader.platforms import PLATFORMS
from downloader.settings import Settings
from downloader.ytdlp.options import ytdlp_options


@pytest.mark.parametrize(
    ("theirs", "used"),
    [
        ({"merger": ["-threads", "1"], "ffmpeg": ["-a"], "default": ["-b"]}, ["-threads", "1", "-a"]),
        ({"Merger+ffmpeg_o": ["-x"], "merger": ["-threads", "1"]}, ["-x"]),
        (["-b"], ["-b"]),
        (None, []),
    ],
)
def test_an_operators_arguments_for_ffmpeg_come_after_ours(
    make_settings: Callable[..., Settings], tmp_path: Path, theirs: Any, used: list[str]
) -> None:
    settings = make_settings(max_file_bytes=9, ytdlp_options={"postprocessor_args": theirs}).for_downloads()
    args = ytdlp_options(PLATFORMS["tiktok"], settings, tmp_path, proxy="")["postprocessor_args"]
    assert args["merger+ffmpeg_o1"] == ["-fs", "10", *used]
    assert args["merger+ffmpeg_i"][0] == "-format_whitelist"


@pytest.mark.parametrize(
    "evil", ["../../../etc/passwd", "/etc/passwd", "..", "a/../../b", "C:\\con", "%(title)s", "\0"]
)
def test_no_id_leads_out_of_the_work_folder(make_settings: Callable[..., Settings], tmp_path: Path, evil: str) -> None:
    from yt_dlp import YoutubeDL

    with YoutubeDL(
        ytdlp_options(PLATFORMS["tiktok"], make_settings().for_downloads(), tmp_path, proxy=""), auto_init=False
    ) as ydl:
        name = ydl.prepare_filename({"id": evil, "format_id": evil, "title": evil, "playlist_index": 1, "ext": "mp4"})
    assert Path(name).parent == tmp_path
    assert Path(name).name.startswith("1-")
