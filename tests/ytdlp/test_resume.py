"""Work folders of unfinished downloads; how they are resumed is tested in test_client, with real downloads."""

from __future__ import annotations

import os
from pathlib import Path

from downloader.media.move import INCOMING_PREFIX
from downloader.ytdlp.resume import LEFTOVER_SECONDS, PARTIAL_DIR, remove_leftovers


def test_leftovers_of_a_killed_process_go_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / PARTIAL_DIR / "old", tmp_path / PARTIAL_DIR / "young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "1-7.mp4.part").write_bytes(b"x")
    now = young.stat().st_mtime
    for path in (old / "1-7.mp4.part", old):
        os.utime(path, (now - LEFTOVER_SECONDS - 60,) * 2)
    os.utime(young, (now - LEFTOVER_SECONDS - 60,) * 2)  # but a byte was written to its file just now
    copies = [tmp_path / f"{INCOMING_PREFIX}{name}" for name in ("old", "young", "link")]
    for copy in copies[:2]:
        copy.write_bytes(b"x")
    copies[2].symlink_to(tmp_path / "finished.mp4")
    (tmp_path / "finished.mp4").write_bytes(b"x")
    for path in (copies[0], copies[2], tmp_path / "finished.mp4"):
        os.utime(path, (now - LEFTOVER_SECONDS - 60,) * 2, follow_symlinks=False)
    remove_leftovers(tmp_path, now=now)
    assert not old.exists()
    assert (young / "1-7.mp4.part").exists()
    assert [os.path.lexists(copy) for copy in copies] == [False, True, False]
    assert (tmp_path / "finished.mp4").exists()
