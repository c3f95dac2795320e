"""The cookie store: files stay private, are checked for a login, and are never shown."""

from __future__ import annotations

import io
import stat
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from yt_dlp import YoutubeDL

from downloader.cookies.netscape import parse_lenient, to_netscape
from downloader.cookies.store import CookieStore
from downloader.errors import CookiesNotWritable, CookiesRefused
from downloader.platforms import PLATFORMS, PlatformType
from tests.fakes import FakeClock

SECRET = "hunter2"


class World:
    """A store with its clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.store = CookieStore(folder, clock=self.clock)

    def line(self, name: str = "sessionid", days: float | None = 30, domain: str = ".tiktok.com") -> str:
        expires = 0 if days is None else int((self.clock.now + timedelta(days=days)).timestamp())
        return f"{domain}\tTRUE\t/\tTRUE\t{expires}\t{name}\t{SECRET}\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "cookies")


def test_they_are_kept_for_the_server_alone_and_those_of_other_sites_are_not(world: World) -> None:
    state = world.store.put("tiktok", world.line() + world.line(domain=".google.com") + world.line("tt", days=-1))
    assert (state.cookies, state.dropped, state.expired, state.logged_in) == (2, 1, 1, True)
    assert (state.condition, state.sentence) == ("good", "The cookies for TikTok expire in 30 days.")
    path = world.folder / "tiktok.txt"
    assert "google" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(world.folder.stat().st_mode) == 0o700
    assert [each.name for each in world.folder.iterdir()] == ["tiktok.txt"]
    assert world.store.state("tiktok").cookies == 2


#: For each: platform, the lines as domain, name and days left, the condition, whether one is logged in, what is said.
LOGINS: list[tuple[PlatformType, list[tuple[str, str, float | None]], str, bool, str]] = [
    ("twitter", [(".x.com", "auth_token", 200)], "good", True, "expire in 200 days"),
    ("twitter", [(".twitter.com", "auth_token", -30), (".x.com", "auth_token", 200)], "good", True, "in 200 days"),
    ("twitter", [(".x.com", "auth_token", 200), (".twitter.com", "auth_token", -30)], "good", True, "in 200 days"),
    ("twitter", [(".twitter.com", "auth_token", 200), (".x.com", "auth_token", -30)], "expired", False, "have expired"),
    ("twitter", [("x.com", "auth_token", None)], "good", True, "do not say for how long"),
    (
        "twitter",
        [(".twitter.com", "auth_token", 200), (".twitter.com", "ct0", 200)],
        "unused",
        False,
        "are for twitter.com: log in at x.com and export again",
    ),
    ("twitter", [("twitter.com", "auth_token", -1)], "unused", False, "for twitter.com: log in at x.com"),
    ("twitter", [(".twitter.com", "guest_id", 9)], "unused", False, "for twitter.com: log in at x.com"),
    (
        "twitter",
        [(".twitter.com", "auth_token", 200), (".x.com", "guest_id", 200)],
        "good",
        False,
        "The login among the cookies for Twitter/X is for twitter.com: log in at x.com and export again.",
    ),
    ("twitter", [(".x.com", "guest_id", 200)], "good", False, "says who you are"),
    ("instagram", [("www.instagram.com", "sessionid", -9), (".instagram.com", "sessionid", 9)], "good", True, "9 days"),
    ("instagram", [(".instagram.com", "sessionid", 9), ("www.instagram.com", "sessionid", -9)], "good", True, "9 days"),
    ("instagram", [(".instagram.com", "sessionid", -9), ("www.instagram.com", "sessionid", 9)], "good", True, "9 days"),
    ("instagram", [(".instagram.com", "sessionid", 2), ("www.instagram.com", "sessionid", 9)], "good", True, "9 days"),
    (
        "instagram",
        [(".instagram.com", "sessionid", -9), ("www.instagram.com", "sessionid", -1)],
        "expired",
        False,
        "have",
    ),
    ("instagram", [("i.instagram.com", "sessionid", 9)], "unused", False, "are for i.instagram.com: log in at"),
    ("youtube", [(".youtube.com", "LOGIN_INFO", 9), (".youtube.com", "SAPISID", 8)], "good", True, "in 8 days"),
    (
        "youtube",
        [
            (".youtube.com", "LOGIN_INFO", 99),
            (".youtube.com", "SAPISID", -9),
            (".youtube.com", "__Secure-3PAPISID", 88),
        ],
        "good",
        True,
        "in 88 days",
    ),
    (
        "youtube",
        [(".youtube.com", "LOGIN_INFO", 99), (".youtube.com", "__Secure-1PAPISID", 2)],
        "expiring",
        True,
        "in 2 days",
    ),
    ("youtube", [(".youtube.com", "LOGIN_INFO", -1), (".youtube.com", "SAPISID", 9)], "expired", False, "have expired"),
    ("youtube", [(".youtube.com", "LOGIN_INFO", 9), (".youtube.com", "SAPISID", -9)], "expired", False, "have expired"),
    ("youtube", [(".youtube.com", "SAPISID", 9)], "good", False, "says who you are"),
    ("youtube", [(".youtube.com", "LOGIN_INFO", 9)], "good", False, "says who you are"),
    ("tiktok", [("www.tiktok.com", "sessionid", 9), (".tiktok.com", "sessionid", -9)], "good", True, "in 9 days"),
]


@pytest.mark.parametrize(("name", "lines", "condition", "logged_in", "said"), LOGINS)
def test_upload_and_folder_are_judged_alike_by_what_yt_dlp_asks(
    world: World,
    name: PlatformType,
    lines: list[tuple[str, str, float | None]],
    condition: str,
    logged_in: bool,
    said: str,
) -> None:
    text = "".join(world.line(cookie, days, domain) for domain, cookie, days in lines)
    world.folder.mkdir()
    (world.folder / f"{name}.txt").write_text(text)
    by_hand = world.store.state(name)
    assert (by_hand.condition, by_hand.logged_in) == (condition, logged_in)
    assert said in by_hand.sentence
    if condition in ("expired", "unused"):
        with pytest.raises(CookiesRefused, match=said):
            world.store.put(name, text)
    else:
        sent = world.store.put(name, text)
        assert replace(sent, updated_at=None) == replace(by_hand, updated_at=None)


ASKED: dict[PlatformType, tuple[str, str]] = {
    "instagram": ("Instagram", "_is_logged_in"),
    "twitter": ("Twitter", "is_logged_in"),
    "youtube": ("Youtube", "is_authenticated"),
}


@pytest.mark.parametrize(
    ("name", "lines", "logged_in"), [(each[0], each[1], each[3]) for each in LOGINS if each[0] in ASKED]
)
def test_yt_dlp_agrees_on_who_is_logged_in(
    name: PlatformType, lines: list[tuple[str, str, float | None]], logged_in: bool
) -> None:
    def expires(days: float | None) -> int:
        return 0 if days is None else int(time.time() + days * 86_400)

    text = "".join(f"{domain}\tTRUE\t/\tTRUE\t{expires(days)}\t{cookie}\tx\n" for domain, cookie, days in lines)
    cookies = io.StringIO(to_netscape(parse_lenient(text, PLATFORMS[name]).cookies))
    extractor, question = ASKED[name]
    with YoutubeDL({"cookiefile": cookies, "quiet": True}, auto_init=False) as ydl:
        assert getattr(ydl.get_info_extractor(extractor), question) is logged_in


def test_the_report_says_what_was_taken_and_what_was_left_out(world: World) -> None:
    good, other = world.line(), world.line(domain=".example.org")
    state = world.store.put("tiktok", good)
    assert state.report == "1 cookie taken; left out: 0 lines of other sites."
    bad = f".tiktok.com\tTRUE\t/\tTRUE\tnever\tsid\t{SECRET}\n"
    state = world.store.put("tiktok", f"{other}{good}{bad}{world.line('tt')}{other}\n")
    assert (state.cookies, state.dropped, state.bad_lines) == (2, 2, (3,))
    assert state.report == (
        "2 cookies taken; left out: 2 lines of other sites, 1 bad line. Line 3 must have a time, as a number of"
        " seconds, in its fifth field."
    )
    assert world.store.state("tiktok").report == "2 cookies taken; left out: 0 lines of other sites."


@pytest.mark.parametrize(
    ("days", "condition", "sentence"),
    [
        (None, "good", "The cookies for TikTok are good; they do not say for how long."),
        (400, "good", "The cookies for TikTok expire in 400 days."),
        (4000, "good", "The cookies for TikTok expire in more than 10 years."),
        (3, "expiring", "The cookies for TikTok expire in 3 days."),
        (1, "expiring", "The cookies for TikTok expire in 24 hours."),
        (1 / 24, "expiring", "The cookies for TikTok expire in 1 hour."),
        (0.01, "expiring", "The cookies for TikTok expire in less than an hour."),
    ],
)
def test_their_end_is_told_before_it_comes(world: World, days: float | None, condition: str, sentence: str) -> None:
    state = world.store.put("tiktok", world.line(days=days) + world.line("other", days=-3))
    assert (state.condition, state.sentence) == (condition, sentence)


def test_they_expire_while_stored(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.store.put("tiktok", world.line(days=10))
    world.store.warn()
    assert caplog.text == ""
    world.clock.forward(9 * 86_400)
    world.store.warn()
    assert "cookies need attention" in caplog.text
    world.clock.forward(86_400)
    state = world.store.state("tiktok")
    assert (state.condition, state.expired) == ("expired", 1)
    assert state.first_expires_at == state.last_expires_at == world.clock.now
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("name", "days", "domain", "said"),
    [
        ("sessionid", -1, ".tiktok.com", "These cookies for TikTok have expired"),
        ("other", -1, ".tiktok.com", "These cookies for TikTok have expired"),
        ("sessionid", 9, ".instagram.com", "This contains no cookie for TikTok; lines of other sites: 1"),
        ("sessionid", 9, "ads.tiktok.com", "are for ads.tiktok.com: log in at tiktok.com and export again"),
    ],
)
def test_what_is_of_no_use_is_refused_and_what_was_there_stays(
    world: World, name: str, days: float, domain: str, said: str
) -> None:
    world.store.put("tiktok", world.line(days=5))
    with pytest.raises(CookiesRefused, match=said) as refusal:
        world.store.put("tiktok", world.line(name, days, domain))
    assert SECRET not in str(refusal.value)
    assert world.store.state("tiktok").sentence == "The cookies for TikTok expire in 5 days."


def test_cookies_of_a_stranger_are_kept_and_told_of(world: World) -> None:
    state = world.store.put("tiktok", world.line("ttwid"))
    assert (state.logged_in, state.condition) == (False, "good")
    assert "log in before you export them" in state.sentence


def test_without_a_file_there_are_none(world: World) -> None:
    assert [state.condition for state in world.store.states()] == ["none"] * 4
    assert not world.store.remove("tiktok")
    world.store.put("tiktok", world.line())
    assert world.store.remove("tiktok")
    assert world.store.state("tiktok").condition == "none"


def test_a_file_put_there_by_hand_is_judged_too(world: World) -> None:
    world.folder.mkdir()
    (world.folder / "tiktok.txt").write_bytes(b"\xff\xd8 a picture")
    assert world.store.state("tiktok").condition == "unreadable"
    (world.folder / "tiktok.txt").write_text('[{"name": "sessionid"}]')
    assert "choose the Netscape format" in world.store.state("tiktok").sentence
    (world.folder / "tiktok.txt").unlink()
    (world.folder / "tiktok.txt").mkdir()
    assert world.store.state("tiktok").condition == "unreadable"
    assert "tiktok.txt is a folder: remove it" in world.store.state("tiktok").sentence


def test_a_link_is_replaced_and_not_written_through(world: World, tmp_path: Path) -> None:
    world.folder.mkdir()
    (tmp_path / "precious").write_bytes(b"x")
    (world.folder / "tiktok.txt").symlink_to(tmp_path / "precious")
    world.store.put("tiktok", world.line())
    assert (tmp_path / "precious").read_bytes() == b"x"
    assert not (world.folder / "tiktok.txt").is_symlink()


def test_a_folder_that_cannot_be_written_is_said_so(world: World) -> None:
    world.folder.write_bytes(b"a file")
    with pytest.raises(CookiesNotWritable, match="put the file there by hand"):
        world.store.put("tiktok", world.line())
