"""What is deleted, and above all what is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from downloader.media.outcome import OUTCOME_NAME
from downloader.media.removal import MediaRemoval


class Place:
    """A storage folder, who has which file, and what happens while that is looked up."""

    def __init__(self, folder: Path) -> None:
        self.raw, self.work = folder / "raw", folder / "work"
        self.raw.mkdir()
        self.work.mkdir()
        self.users: dict[str, set[str]] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        self.removal = MediaRemoval(self.raw, self.work, self._users)

    def _users(self, path: str, but: Collection[str]) -> int:
        self.meanwhile()
        return len(self.users.get(path, set()).difference(but))

    def file(self) -> Path:
        path = self.raw / "a.mp4"
        path.write_bytes(b"x")
        return path

    def promise(self, job_id: str, name: str) -> None:
        (self.work / job_id).mkdir(parents=True)
        move = {"from": "1.mp4", "to": name, "size_bytes": 1}
        outcome = {"moves": [move], "id": None, "title": None, "duration_seconds": None}
        (self.work / job_id / OUTCOME_NAME).write_text(json.dumps(outcome))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_file_goes_with_the_last_job_that_has_it(place: Place) -> None:
    path = place.file()
    place.users[str(path)] = {"one", "two"}
    assert place.removal.remove([str(path)], of=["one"]) == 0
    assert place.removal.remove([str(path), str(path)], of=["one", "two"]) == 1
    assert not path.exists()
    assert place.removal.remove([str(path)], of=[]) == 0


def test_a_file_that_an_unfinished_job_is_about_to_have_stays(place: Place) -> None:
    path = place.file()
    place.promise("two", "a.mp4")
    assert place.removal.remove([str(path)], of=["one"]) == 0
    assert place.removal.remove([str(path)], of=["two"]) == 1  # its own


def test_an_attempt_on_another_machine_has_a_work_folder_within_its_jobs(place: Place) -> None:
    path = place.file()
    place.promise("two/1-abc", "a.mp4")
    assert place.removal.remove([str(path)], of=["one"]) == 0
    place.removal.abandon("two")
    assert not path.exists()  # it was moved there by an attempt that came to nothing
    assert list(place.work.iterdir()) == []


def test_a_file_that_was_put_there_this_moment_stays(place: Place) -> None:
    path = place.file()
    new = place.work / "new.mp4"
    new.write_bytes(b"new")
    place.meanwhile = lambda: new.replace(path)
    assert place.removal.remove([str(path)], of=[]) == 0
    assert path.read_bytes() == b"new"


def test_nothing_outside_is_ever_touched(place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outside = tmp_path / "precious.mp4"
    outside.write_bytes(b"x")
    (place.raw / "link.mp4").symlink_to(outside)
    (place.raw / "folder").mkdir()
    (place.raw / "folder" / "a.mp4").write_bytes(b"x")
    (tmp_path / "raw2").mkdir()
    (tmp_path / "raw2" / "a.mp4").write_bytes(b"x")
    stored = [
        str(outside),
        f"{place.raw}/../precious.mp4",
        f"{place.raw}/link.mp4",
        f"{place.raw}/folder",
        f"{tmp_path}/raw2/a.mp4",
        f"{place.raw}/..",
        f"{place.raw}/.",
        str(place.raw),
        "/",
        "",
        "precious.mp4",
        f"{place.raw}/\0",
        f"{place.raw}/{'x' * 5000}",
    ]
    before = sorted(tmp_path.rglob("*"))
    assert place.removal.remove(stored, of=[]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert "left alone" in caplog.text


def test_a_link_that_takes_a_files_place_meanwhile_is_not_followed(place: Place, tmp_path: Path) -> None:
    path, outside = place.file(), tmp_path / "precious.mp4"
    outside.write_bytes(b"x")

    def swap() -> None:
        path.unlink()
        path.symlink_to(outside)

    place.meanwhile = swap
    assert place.removal.remove([str(path)], of=[]) == 0
    assert outside.exists()
