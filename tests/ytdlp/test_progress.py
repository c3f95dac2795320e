"""What is reported of a download: few reports, real bytes, and a total only where it is known."""

from __future__ import annotations

from typing import Any

import pytest

from downloader.jobs import Phase, Progress
from downloader.ytdlp.progress import REPORT_INTERVAL_SECONDS, ProgressMeter

Told = tuple[Phase, int, int | None, float | None, float | None]


class Desk:
    """A meter, its clock, and what it told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[Told] = []
        self.meter = ProgressMeter(self._report, clock=lambda: self.now)

    def _report(self, told: Progress) -> None:
        speed = told.speed_bytes_per_second
        self.told.append((told.phase, told.downloaded_bytes, told.total_bytes, speed, told.eta_seconds))

    def later(self) -> Desk:
        self.now += REPORT_INTERVAL_SECONDS
        return self

    def block(self, downloaded: int, total: int | None, *, video: int = 1, format: str = "a", **more: Any) -> None:
        info = {"playlist_index": video, "format_id": format}
        progress = {"status": "downloading", "downloaded_bytes": downloaded, "total_bytes": total, "info_dict": info}
        self.meter.downloading(progress | more)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_at_most_four_reports_a_second_but_every_change_of_phase(desk: Desk) -> None:
    desk.meter.plan({"format_id": "a", "filesize": 1000})
    for step in range(1000):
        desk.now += 0.001
        desk.block(step, 1000)
    desk.meter.enter("merging")
    desk.meter.enter("checking")
    assert [told[0] for told in desk.told] == [*["downloading"] * 4, "merging", "checking"]


def test_every_sign_of_life_is_told_unless_the_last_was_just_now(desk: Desk) -> None:
    desk.meter.sign_of_life()
    assert desk.told == []  # the engine has just told of the start
    desk.later().meter.sign_of_life()
    desk.meter.sign_of_life()
    assert len(desk.told) == 1


def test_bytes_are_summed_over_streams_and_the_total_is_known_from_the_start(desk: Desk) -> None:
    parts = [{"format_id": "v", "filesize": 900}, {"format_id": "a", "filesize": 100}]
    desk.meter.plan({"requested_formats": parts})
    desk.later().block(450, 900, format="v", speed=100.0)
    assert desk.told[-1] == ("downloading", 450, 1000, 100.0, 5.5)
    desk.later().block(900, 900, format="v", speed=100.0)
    desk.later().block(50, 100, format="a", speed=50.0)
    assert desk.told[-1] == ("downloading", 950, 1000, 50.0, 1.0)


def test_a_stream_of_unknown_size_leaves_the_total_unknown(desk: Desk) -> None:
    desk.meter.plan({"requested_formats": [{"format_id": "v", "filesize": 900}, {"format_id": "a"}]})
    desk.later().block(450, 900, format="v", speed=100.0)
    assert desk.told[-1] == ("downloading", 450, None, 100.0, None)
    desk.later().block(10, None, format="a", total_bytes_estimate=77)
    assert desk.told[-1][:3] == ("downloading", 460, None)


def test_the_total_of_several_videos_is_known_with_the_last_of_them(desk: Desk) -> None:
    for video in (1, 2):
        desk.meter.plan({"format_id": "a", "filesize": 100, "playlist_index": video, "n_entries": 2})
        desk.later().block(50, 100, video=video)
        desk.later().block(100, 100, video=video)
    assert [told[1:3] for told in desk.told] == [(50, None), (100, None), (150, 200), (200, 200)]


def test_a_file_that_was_there_already_counts_as_a_whole(desk: Desk) -> None:
    desk.meter.plan({"requested_formats": [{"format_id": "v"}, {"format_id": "a"}]})
    info = {"format_id": "v"}
    desk.later().meter.downloading({"status": "finished", "total_bytes": 900, "info_dict": info})
    assert desk.told[-1][:3] == ("downloading", 900, None)
    desk.later().meter.downloading({"status": "error", "info_dict": info})
    assert len(desk.told) == 1


def test_a_platform_that_sends_more_than_it_announced_is_believed(desk: Desk) -> None:
    desk.meter.plan({"format_id": "a", "filesize": 100})
    desk.later().block(150, None)
    assert desk.told[-1][:3] == ("downloading", 150, 150)


@pytest.mark.parametrize(
    ("name", "ext", "phase"),
    [
        ("Merger", "mp4", "merging"),
        ("VideoRemuxer", "webm", "merging"),
        ("VideoRemuxer", "mp4", "extracting"),
        ("FixupM3u8", "mp4", "merging"),
        ("MoveFiles", "mp4", "extracting"),
    ],
)
def test_merging_is_what_ffmpeg_does(desk: Desk, name: str, ext: str, phase: Phase) -> None:
    desk.meter.processing({"status": "started", "postprocessor": name, "info_dict": {"ext": ext}})
    desk.later().meter.processing({"status": "finished", "postprocessor": name, "info_dict": {"ext": ext}})
    assert desk.told[-1][0] == phase


def test_a_hook_may_know_next_to_nothing(desk: Desk) -> None:
    desk.later().meter.downloading({"status": "downloading", "downloaded_bytes": 1})
    desk.meter.processing({"status": "started", "postprocessor": "Merger"})
    assert [told[:3] for told in desk.told[-2:]] == [("downloading", 1, None), ("merging", 1, None)]
