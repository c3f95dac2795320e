"""Finished files: checked, moved, and recovered after a crash."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from downloader.errors import DownloadFailed
from downloader.media import decoder
from downloader.media.downloads import Companion, Downloaded
from downloader.media.files import finalize, recover
from downloader.media.limits import MediaLimits
from downloader.media.move import move
from downloader.media.names import MAX_NAME_BYTES
from downloader.media.outcome import OUTCOME_NAME, added_files
from downloader.media.work_dir import clear_work_dir, prepare_work_dir, remove_work_dir
from downloader.models import Details
from downloader.presets import PRESETS


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "1"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture
def downloads(work_dir: Path, sample_mp4: Path) -> list[Downloaded]:
    """Return two finished downloads of one post."""
    found = []
    for number in (1, 2):
        path = work_dir / f"{number}-7.mp4"
        path.write_bytes(sample_mp4.read_bytes())
        found.append(Downloaded(path=path, post_id="7", video_id=f"7{number}", title="Ada ü", duration_seconds=1.5))
    (work_dir / "1-7.mp4.part-Frag0").write_bytes(b"x")
    return found


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what makes the process die, as it were, after so many moves."""

    def arrange(after_moves: int) -> None:
        made: list[Path] = []

        def make(source: Path, *args: Any, **options: Any) -> None:
            if len(made) == after_moves:
                raise KeyboardInterrupt
            made.append(source)
            move(source, *args, **options)

        monkeypatch.setattr("downloader.media.placement.move", make)

    return arrange


def test_only_the_outcome_stays_in_a_folder_that_is_kept(
    downloads: list[Downloaded], work_dir: Path, output_dir: Path
) -> None:
    details = Details(
        uploader="Ada",
        uploaded_at=datetime(2025, 10, 9, 8, tzinfo=UTC),
        width=320,
        height=240,
        thumbnails=("https://cdn.example/a.jpg",),
    )
    media = finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir, details=details)
    assert (media.uploader, media.uploaded_at, media.thumbnails) == ("Ada", details.uploaded_at, details.thumbnails)
    assert all(Path(file).is_file() for file in media.files)
    assert [path.name for path in work_dir.iterdir()] == [OUTCOME_NAME]
    # Asked again, as often as may be, it says the same.
    assert recover(work_dir, output_dir) == recover(work_dir, output_dir) == media
    remove_work_dir(work_dir)
    assert not work_dir.exists()
    remove_work_dir(work_dir)


def test_without_a_folder_that_is_kept_nothing_is_written(
    downloads: list[Downloaded], work_dir: Path, output_dir: Path
) -> None:
    finalize("tiktok", downloads, output_dir, ffmpeg=None)
    assert not (work_dir / OUTCOME_NAME).exists()


@pytest.mark.parametrize("moves", [0, 1])
def test_moves_that_a_crash_interrupted_are_completed(
    downloads: list[Downloaded],
    work_dir: Path,
    output_dir: Path,
    crash: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    moves: int,
) -> None:
    crash(moves)
    with pytest.raises(KeyboardInterrupt):
        finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir)
    monkeypatch.undo()
    assert len(list(output_dir.iterdir())) == moves
    media = recover(work_dir, output_dir)
    assert media is not None
    assert [Path(file).parent for file in media.files] == [output_dir] * 2
    assert all(Path(file).is_file() for file in media.files)
    assert (media.id, media.title, media.duration_seconds) == ("7", "Ada ü", 1.5)
    assert media.size_bytes == sum(Path(file).stat().st_size for file in media.files)


def test_what_was_added_is_what_replaced_nothing(
    downloads: list[Downloaded], work_dir: Path, output_dir: Path, sample_mp4: Path
) -> None:
    first, second = finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir).files
    assert added_files(work_dir, output_dir) == [Path(first), Path(second)]
    Path(second).unlink()
    for found in downloads:
        shutil.copy(sample_mp4, found.path)
    finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir)
    assert added_files(work_dir, output_dir) == [Path(second)]


def test_an_outcome_without_its_files_is_none(downloads: list[Downloaded], work_dir: Path, output_dir: Path) -> None:
    media = finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir)
    Path(media.files[1]).write_bytes(b"cut")
    assert recover(work_dir, output_dir) is None
    Path(media.files[1]).unlink()
    assert recover(work_dir, output_dir) is None


def test_there_need_not_be_an_outcome(work_dir: Path, output_dir: Path) -> None:
    assert recover(work_dir, output_dir) is None
    assert recover(work_dir / "nowhere", output_dir) is None


GOOD: dict[str, Any] = {
    "moves": [{"from": "a.mp4", "to": "b.mp4", "size_bytes": 1}],
    "id": "7",
    "title": None,
    "duration_seconds": 1,
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        "{}",
        "\udcff",
        *(
            json.dumps(GOOD | {"moves": [GOOD["moves"][0] | change]})
            for change in (
                {"to": "../b.mp4"}, {"to": "/etc/b.mp4"}, {"to": ".."}, {"to": ""}, {"to": 7}, {"to": "a\\b"},
                {"to": "c:b"}, {"to": "a\0b"}, {"from": "../../a.mp4"}, {"from": "/etc/passwd"}, {"from": OUTCOME_NAME},
                {"size_bytes": "1"}, {"size_bytes": None}, {"replaces": None}, {"replaces": 1},
            )
        ),
        json.dumps(GOOD | {"moves": []}),
        json.dumps(GOOD | {"moves": None}),
        json.dumps(GOOD | {"title": 7}),
        json.dumps(GOOD | {"duration_seconds": "long"}),
    ],
)  # fmt: skip
def test_an_outcome_that_is_not_ours_is_not_followed(work_dir: Path, output_dir: Path, content: str) -> None:
    (work_dir / "a.mp4").write_bytes(b"x")
    (work_dir / OUTCOME_NAME).write_text(content, errors="surrogateescape")
    assert recover(work_dir, output_dir) is None
    assert list(output_dir.iterdir()) == []
    (work_dir / OUTCOME_NAME).write_text(json.dumps(GOOD))
    assert recover(work_dir, output_dir) is not None


def test_a_file_that_does_not_play_does_not_stay(downloads: list[Downloaded], work_dir: Path, output_dir: Path) -> None:
    downloads[1].path.write_text("<html>")
    with pytest.raises(DownloadFailed) as failure:
        finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir)
    assert failure.value.code == "not_a_video"
    # Another attempt keeps the good one and downloads the bad one again.
    assert downloads[0].path.is_file()
    assert not downloads[1].path.exists()
    assert list(output_dir.iterdir()) == []


def test_what_is_merged_is_measured_again(downloads: list[Downloaded], work_dir: Path, output_dir: Path) -> None:
    limit = downloads[0].path.stat().st_size
    with downloads[1].path.open("ab") as file:
        file.write((8).to_bytes(4) + b"free")
    with pytest.raises(DownloadFailed) as failure:
        finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir, limits=MediaLimits(file_bytes=limit))
    assert failure.value.code == "too_large"
    assert list(output_dir.iterdir()) == []


def test_a_file_that_lasts_longer_than_was_said_is_refused(work_dir: Path, output_dir: Path, ffmpeg: str) -> None:
    path = work_dir / "1-7.mp4"
    picture = ["-f", "lavfi", "-i", "color=s=16x16:r=1:d=9", "-c:v", "libx264"]
    subprocess.run([ffmpeg, "-loglevel", "error", *picture, str(path)], check=True)
    found = Downloaded(path=path, post_id="7", video_id="7", title=None, duration_seconds=3.0)
    with pytest.raises(DownloadFailed) as failure:
        finalize("tiktok", [found], output_dir, ffmpeg=ffmpeg, limits=MediaLimits(duration_seconds=5))
    assert (failure.value.code, (failure.value.detail or "")[:18]) == ("too_large", "it lasts 9 seconds")
    finalize("tiktok", [found], output_dir, ffmpeg=ffmpeg, limits=MediaLimits(duration_seconds=9))


def test_a_link_in_place_of_a_work_folder_is_not_followed(output_dir: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    link = tmp_path / "work" / "1"
    link.parent.mkdir()
    link.symlink_to(outside)
    remove_work_dir(link)
    assert not link.is_symlink()
    link.symlink_to(outside)
    prepare_work_dir(link, output_dir)
    assert not link.is_symlink()
    assert stat.S_IMODE(link.stat().st_mode) == 0o700
    assert [path.name for path in outside.iterdir()] == ["precious"]


def test_links_among_unfinished_files_go_and_all_else_stays(work_dir: Path, output_dir: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    (work_dir / "1.part").write_bytes(b"part")
    (work_dir / "sub").mkdir()
    for link in (work_dir / "1-7.mp4", work_dir / "sub" / "link", work_dir / f".{OUTCOME_NAME}.new"):
        link.symlink_to(outside / "precious")
    (work_dir / "folder").symlink_to(outside)
    prepare_work_dir(work_dir, output_dir)
    assert {path.name for path in work_dir.rglob("*")} == {"1.part", "sub"}
    assert (outside / "precious").read_bytes() == b"x"


def test_a_link_in_the_place_of_a_finished_file_is_replaced(
    downloads: list[Downloaded], output_dir: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "precious.mp4"
    outside.write_bytes(b"x")
    place = output_dir / "tiktok_7_71_Ada ü.mp4"
    place.symlink_to(outside)
    finalize("tiktok", downloads, output_dir, ffmpeg=None)
    assert place.is_file()
    assert not place.is_symlink()
    assert outside.read_bytes() == b"x"


def test_a_link_is_no_download(downloads: list[Downloaded], output_dir: Path, sample_mp4: Path) -> None:
    downloads[0].path.unlink()
    downloads[0].path.symlink_to(sample_mp4)
    with pytest.raises(DownloadFailed) as failure:
        finalize("tiktok", downloads, output_dir, ffmpeg=None)
    assert failure.value.code == "file_missing"


def test_an_emptied_folder_is_still_there(downloads: list[Downloaded], work_dir: Path) -> None:
    (work_dir / "sub").mkdir()
    clear_work_dir(work_dir)
    assert list(work_dir.iterdir()) == []


def test_an_outcome_of_another_preset_is_not_taken(
    downloads: list[Downloaded], work_dir: Path, output_dir: Path
) -> None:
    media = finalize("tiktok", downloads, output_dir, ffmpeg=None, preset=PRESETS["720p"], work_dir=work_dir)
    assert [Path(file).name for file in media.files] == ["tiktok_7_71_720p_Ada ü.mp4", "tiktok_7_72_720p_Ada ü.mp4"]
    assert recover(work_dir, output_dir, preset="480p") is None
    assert recover(work_dir, output_dir) is None
    assert recover(work_dir, output_dir, preset="720p") == media


def test_an_outcome_that_names_no_preset_is_of_the_best_video(
    downloads: list[Downloaded], work_dir: Path, output_dir: Path
) -> None:
    media = finalize("tiktok", downloads, output_dir, ffmpeg=None, work_dir=work_dir)
    outcome = json.loads((work_dir / OUTCOME_NAME).read_text())
    assert outcome.pop("preset") == "video"
    (work_dir / OUTCOME_NAME).write_text(json.dumps(outcome))  # as older versions wrote it
    assert recover(work_dir, output_dir, preset="audio") is None
    assert recover(work_dir, output_dir, preset="video") == media


@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize(
    ("preset", "declared", "is_refused"),
    [
        ("480p", 480, True),
        ("480p", 240, True),
        ("480p", 1080, False),  # there was nothing smaller
        ("480p", None, False),
        ("1080p", 480, False),
        ("video", 480, False),
    ],
)
def test_a_video_is_not_larger_than_asked_and_declared(
    ffmpeg: str,
    work_dir: Path,
    output_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    library: bool,
    preset: str,
    declared: int | None,
    is_refused: bool,
) -> None:
    if not library:
        monkeypatch.setattr(decoder, "library", lambda: None)
    path = work_dir / "1.mp4"
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=720x1280:r=1:d=1", str(path)]
    subprocess.run(command, check=True)
    found = Downloaded(path=path, post_id="7", video_id="7", title="t", duration_seconds=1.0, shorter_side=declared)
    if is_refused:
        with pytest.raises(DownloadFailed) as failure:
            finalize("tiktok", [found], output_dir, ffmpeg=ffmpeg, preset=PRESETS[preset])
        assert failure.value.code == "platform_changed"
        assert failure.value.detail == f"its shorter side has 720 pixels, although {declared} were declared"
        assert not path.exists()
    else:
        assert finalize("tiktok", [found], output_dir, ffmpeg=ffmpeg, preset=PRESETS[preset]).files


def test_companions_lie_beside_their_video(downloads: list[Downloaded], work_dir: Path, output_dir: Path) -> None:
    first = replace(downloads[0], companions=companions(work_dir, ".en.srt", ".pt-BR.srt"))
    media = finalize("tiktok", [first, downloads[1]], output_dir, ffmpeg=None, work_dir=work_dir)
    stems = ["tiktok_7_71_Ada ü", "tiktok_7_72_Ada ü"]
    names = [f"{stems[0]}.mp4", f"{stems[1]}.mp4", f"{stems[0]}.en.srt", f"{stems[0]}.pt-BR.srt"]
    assert [Path(file).name for file in media.files] == names
    assert {path.name for path in output_dir.iterdir()} == set(names)
    assert media.size_bytes == sum(path.stat().st_size for path in output_dir.iterdir())
    assert recover(work_dir, output_dir) == media


def test_a_name_leaves_room_for_those_of_its_companions(
    downloads: list[Downloaded], work_dir: Path, output_dir: Path
) -> None:
    found = replace(downloads[0], title="x" * 300, companions=companions(work_dir, ".zh-Hant-HK.srt"))
    media = finalize("tiktok", [found], output_dir, ffmpeg=None)
    video, subtitles = (Path(file).name for file in media.files)
    assert len(subtitles) == MAX_NAME_BYTES
    assert subtitles == video.removesuffix(".mp4") + ".zh-Hant-HK.srt"


def companions(work_dir: Path, *suffixes: str) -> tuple[Companion, ...]:
    found = []
    for number, suffix in enumerate(suffixes):
        path = work_dir / f"{number}{suffix}"
        path.write_text(suffix)
        found.append(Companion(path=path, suffix=suffix))
    return tuple(found)
