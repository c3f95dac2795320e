"""How much there is: measured now and then, added up in between."""

from __future__ import annotations

from pathlib import Path

from downloader.queue.space import MEASURE_SECONDS, StorageWatch
from tests.fakes import FakeClock


def test_it_is_full_at_the_limit_and_has_room_again_when_something_went(tmp_path: Path) -> None:
    clock, raw, work = FakeClock(), tmp_path / "raw", tmp_path / "work"
    (work / "job").mkdir(parents=True)
    raw.mkdir()
    (raw / "a.mp4").write_bytes(bytes(6000))
    (work / "job" / "b.part").write_bytes(bytes(3000))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "large").write_bytes(bytes(50_000))
    (raw / "folder").symlink_to(outside)  # not followed; it has a few bytes itself
    watch = StorageWatch((raw, work, tmp_path / "nowhere"), 10_000)
    assert not watch.look(clock())
    assert not watch.full
    watch.arrived(1000)
    assert watch.look(clock())
    assert watch.full
    (raw / "a.mp4").unlink()
    assert not watch.look(clock())  # not measured yet
    watch.measure_soon()
    assert watch.look(clock())
    assert not watch.full
    (raw / "c.mp4").write_bytes(bytes(9000))
    clock.forward(MEASURE_SECONDS)
    assert watch.look(clock())


def test_without_a_limit_nothing_is_measured(tmp_path: Path) -> None:
    watch = StorageWatch((tmp_path,), None)
    watch.arrived(10**15)
    assert not watch.look(FakeClock()())
    assert not watch.full
