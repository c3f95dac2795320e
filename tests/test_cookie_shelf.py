"""Cookies on their shelf: kept private, judged by what keeps one logged in, never shown."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from downloader.batch_downloader import PLATFORMS
from downloader.cookie_shelf import CookieShelf
from downloader.errors import CookiesNotWritable, CookiesRefused
from tests.fakes import FakeClock

SECRET = "hunter2"


class Shelf:
    """A shelf with its clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.shelf = CookieShelf(folder, PLATFORMS, clock=self.clock)

    def line(self, name: str = "sessionid", days: float | None = 30, domain: str = ".tiktok.com") -> str:
        expires = 0 if days is None else int((self.clock.now + timedelta(days=days)).timestamp())
        return f"{domain}\tTRUE\t/\tTRUE\t{expires}\t{name}\t{SECRET}\n"


@pytest.fixture
def world(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "cookies")


def test_they_are_kept_for_the_server_alone_and_those_of_other_sites_are_not(world: Shelf) -> None:
    state = world.shelf.put("tiktok", world.line() + world.line(domain=".google.com") + world.line("tt", days=-1))
    assert (state.cookies, state.dropped, state.expired, state.logged_in) == (2, 1, 1, True)
    assert (state.condition, state.sentence) == ("good", "The cookies for TikTok expire in 30 days.")
    path = world.folder / "tiktok.txt"
    assert "google" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(world.folder.stat().st_mode) == 0o700
    assert [each.name for each in world.folder.iterdir()] == ["tiktok.txt"]
    assert world.shelf.state("tiktok").cookies == 2


@pytest.mark.parametrize(
    ("days", "condition", "sentence"),
    [
        (None, "good", "The cookies for TikTok are good; they do not say for how long."),
        (400, "good", "The cookies for TikTok expire in 400 days."),
        (3, "expiring", "The cookies for TikTok expire in 3 days."),
        (1, "expiring", "The cookies for TikTok expire in 24 hours."),
        (1 / 24, "expiring", "The cookies for TikTok expire in 1 hour."),
        (0.01, "expiring", "The cookies for TikTok expire in less than an hour."),
    ],
)
def test_their_end_is_told_before_it_comes(world: Shelf, days: float | None, condition: str, sentence: str) -> None:
    state = world.shelf.put("tiktok", world.line(days=days) + world.line("other", days=-3))
    assert (state.condition, state.sentence) == (condition, sentence)


def test_they_grow_old_on_the_shelf(world: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    world.shelf.put("tiktok", world.line(days=10))
    world.shelf.warn()
    assert caplog.text == ""
    world.clock.forward(9 * 86_400)
    world.shelf.warn()
    assert "cookies need attention" in caplog.text
    world.clock.forward(86_400)
    state = world.shelf.state("tiktok")
    assert (state.condition, state.expired) == ("expired", 1)
    assert state.first_expires_at == state.last_expires_at == world.clock.now
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("name", "days", "domain", "said"),
    [
        ("sessionid", -1, ".tiktok.com", "These cookies for TikTok have expired"),
        ("other", -1, ".tiktok.com", "These cookies for TikTok have expired"),
        ("sessionid", 9, ".instagram.com", "None of these 1 cookies is for TikTok"),
    ],
)
def test_what_is_of_no_use_is_refused_and_what_was_there_stays(
    world: Shelf, name: str, days: float, domain: str, said: str
) -> None:
    world.shelf.put("tiktok", world.line(days=5))
    with pytest.raises(CookiesRefused, match=said) as refusal:
        world.shelf.put("tiktok", world.line(name, days, domain))
    assert SECRET not in str(refusal.value)
    assert world.shelf.state("tiktok").sentence == "The cookies for TikTok expire in 5 days."


def test_cookies_of_a_stranger_are_kept_and_told_of(world: Shelf) -> None:
    state = world.shelf.put("tiktok", world.line("ttwid"))
    assert (state.logged_in, state.condition) == (False, "good")
    assert "log in before you export them" in state.sentence


def test_without_a_file_there_are_none(world: Shelf) -> None:
    assert [state.condition for state in world.shelf.states()] == ["none"] * 4
    assert not world.shelf.remove("tiktok")
    world.shelf.put("tiktok", world.line())
    assert world.shelf.remove("tiktok")
    assert world.shelf.state("tiktok").condition == "none"


def test_a_file_put_there_by_hand_is_judged_too(world: Shelf) -> None:
    world.folder.mkdir()
    (world.folder / "tiktok.txt").write_bytes(b"\xff\xd8 a picture")
    assert world.shelf.state("tiktok").condition == "unreadable"


def test_a_link_is_replaced_and_not_written_through(world: Shelf, tmp_path: Path) -> None:
    world.folder.mkdir()
    (tmp_path / "precious").write_bytes(b"x")
    (world.folder / "tiktok.txt").symlink_to(tmp_path / "precious")
    world.shelf.put("tiktok", world.line())
    assert (tmp_path / "precious").read_bytes() == b"x"
    assert not (world.folder / "tiktok.txt").is_symlink()


def test_a_folder_that_cannot_be_written_is_said_so(world: Shelf) -> None:
    world.folder.write_bytes(b"a file")
    with pytest.raises(CookiesNotWritable, match="put the file there by hand"):
        world.shelf.put("tiktok", world.line())
