"""The settings that downloads and their workers get."""

from __future__ import annotations

import pickle
from pathlib import Path

from downloader.download_settings import DownloadSettings
from downloader.settings import Settings


def test_what_is_carried_is_what_was_set(tmp_path: Path) -> None:
    settings = Settings(
        storage_dir=tmp_path,
        retries=7,
        socket_timeout_seconds=1.5,
        max_file_bytes=10,
        ytdlp_options={"format": "b"},
        umask="027",
        proxy="http://ada:hunter2@localhost:1",
    )
    carried = pickle.loads(pickle.dumps(settings.for_downloads()))
    assert {name: getattr(carried, name) for name in DownloadSettings.__slots__} == {
        name: getattr(settings, name) for name in DownloadSettings.__slots__
    }
    assert "hunter2" not in repr(carried)
